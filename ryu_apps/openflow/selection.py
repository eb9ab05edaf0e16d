"""How a select group chooses a bucket: Open vSwitch's property of a group (netronome-ext.h), written and read.

Without one, Open vSwitch hashes what is the same in both directions and leaves the ports of UDP out, so that all that a
pod sends to a service by UDP would go to one endpoint.
"""

from __future__ import annotations

from struct import Struct, pack
from typing import Final

from ryu_apps.openflow import wire
from ryu_apps.openflow.oxm import BY_FIELD
from topology.fields import BY_NAME
from topology.flow import Group

_PROPERTY: Final = Struct(">HHIII16sQ")
# The data path hashes addresses and ports, and asks for a bucket by up to 8 bits of that.
_BY_DATA_PATH: Final = b"dp_hash"
# A packet has one such hash: a group that another leads to needs another one, or it would not choose among all of its
# buckets. Open vSwitch hashes these fields itself, once for each connection, and passes over those a packet has not.
_BY_FIELDS: Final = b"hash"
_IS_LOWER: Final = {_BY_DATA_PATH: False, _BY_FIELDS: True}
_NAMES: Final = ("ipv4_src", "ipv6_src", "tcp_src", "udp_src", "sctp_src")
# Each with a mask of all its bits.
_HASHED: Final = b"".join(pack(">I", oxm.header) + b"\xff" * oxm.size for oxm in (BY_FIELD[BY_NAME[n]] for n in _NAMES))


def selection_property(group: Group) -> bytes:
    """Return the property, padded; its parameter makes each group choose in its own way."""
    method, hashed = (_BY_FIELDS, _HASHED) if group.is_lower else (_BY_DATA_PATH, b"")
    length = _PROPERTY.size + len(hashed)
    kind = wire.GROUP_EXPERIMENTER, length, wire.NETRONOME, wire.SELECTION_METHOD, 0
    return _PROPERTY.pack(*kind, method, group.group_id) + hashed + bytes(-length % 8)


def selects_as(data: bytes, position: int, end: int, group_id: int) -> bool | None:
    """Read a group's properties: whether it `is_lower`; None when it chooses in another way than ours do.

    Raises WireError for a property whose length lies.
    """
    found: bool | None = None
    while position < end:
        length = int.from_bytes(data[position + 2 : position + 4])
        if length < 4 or position + length > end:
            raise wire.WireError(f"a property of {length} bytes of group {group_id}")
        if length >= _PROPERTY.size:
            kind, _, experimenter, number, _, method, parameter = _PROPERTY.unpack_from(data, position)
            if (kind, experimenter, number) == (wire.GROUP_EXPERIMENTER, wire.NETRONOME, wire.SELECTION_METHOD):
                found = _IS_LOWER.get(method.rstrip(b"\0")) if parameter == group_id else None
        position += length + 7 & ~7
    return found
