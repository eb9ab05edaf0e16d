"""Match fields on the wire: OXM headers (OpenFlow 1.5.1, 7.2.3.2) of `topology.fields`, with and without a mask."""

from __future__ import annotations

from typing import Final, NamedTuple

from ryu_apps.openflow.wire import ERICSSON, NXM_1, OXM_BASIC
from topology import fields
from topology.fields import FULL_MASK, Field

_NUMBERS: Final[dict[str, tuple[int, int]]] = {
    "in_port": (OXM_BASIC, 0),
    "tunnel_id": (OXM_BASIC, 38),
    "tun_ipv4_src": (NXM_1, 31),
    "tun_ipv4_dst": (NXM_1, 32),
    "tun_ipv6_src": (NXM_1, 109),
    "tun_ipv6_dst": (NXM_1, 110),
    **{f"reg{number}": (NXM_1, number) for number in range(10)},
    "pkt_mark": (NXM_1, 33),
    "ct_state": (NXM_1, 105),
    "ct_zone": (NXM_1, 106),
    "ct_mark": (NXM_1, 107),
    "ct_label": (NXM_1, 108),
    "eth_dst": (OXM_BASIC, 3),
    "eth_src": (OXM_BASIC, 4),
    "eth_type": (OXM_BASIC, 5),
    "ip_dscp": (OXM_BASIC, 8),
    "ip_proto": (OXM_BASIC, 10),
    "ipv4_src": (OXM_BASIC, 11),
    "ipv4_dst": (OXM_BASIC, 12),
    "ipv6_src": (OXM_BASIC, 26),
    "ipv6_dst": (OXM_BASIC, 27),
    "arp_op": (OXM_BASIC, 21),
    "arp_spa": (OXM_BASIC, 22),
    "arp_tpa": (OXM_BASIC, 23),
    "arp_sha": (OXM_BASIC, 24),
    "arp_tha": (OXM_BASIC, 25),
    "tcp_src": (OXM_BASIC, 13),
    "tcp_dst": (OXM_BASIC, 14),
    "tcp_flags": (OXM_BASIC, 42),
    "udp_src": (OXM_BASIC, 15),
    "udp_dst": (OXM_BASIC, 16),
    "sctp_src": (OXM_BASIC, 17),
    "sctp_dst": (OXM_BASIC, 18),
    "icmpv4_type": (OXM_BASIC, 19),
    "icmpv4_code": (OXM_BASIC, 20),
    "icmpv6_type": (OXM_BASIC, 29),
    "icmpv6_code": (OXM_BASIC, 30),
    "ipv6_nd_target": (OXM_BASIC, 31),
    "ipv6_nd_sll": (OXM_BASIC, 32),
    "ipv6_nd_tll": (OXM_BASIC, 33),
    "nd_reserved": (ERICSSON, 1),
    "nd_options_type": (ERICSSON, 2),
}


class Oxm(NamedTuple):
    """How one field stands on the wire: its header without and with a mask, and the bytes of its value."""

    field: Field
    header: int
    header_masked: int
    size: int


def _oxm(field: Field) -> Oxm:
    spec = fields.spec(field)
    class_, number = _NUMBERS[spec.name]
    size = (spec.width + 7) // 8
    bare = class_ << 16 | number << 9
    return Oxm(field, bare | size, bare | 1 << 8 | size * 2, size)


BY_FIELD: Final[tuple[Oxm, ...]] = tuple(_oxm(field) for field in fields.all_fields())
# A header as it stands on the wire -> (field, bytes of the value, whether a mask follows).
BY_HEADER: Final[dict[int, tuple[Field, int, bool]]] = {
    **{oxm.header: (oxm.field, oxm.size, False) for oxm in BY_FIELD},
    **{oxm.header_masked: (oxm.field, oxm.size, True) for oxm in BY_FIELD},
}


def is_exact(field: Field, mask: int) -> bool:
    """Return whether `mask` covers all of the field, so that none is written."""
    return mask == FULL_MASK[field]


# In what is to be learnt Open vSwitch names fields by their older numbers (nicira-ext.h, NXM_OF_*), if they have one.
_OLD_NUMBERS: Final[dict[str, tuple[int, int, int]]] = {
    **{name: (0, number, 6) for number, name in enumerate(("eth_dst", "eth_src"), 1)},
    "eth_type": (0, 3, 2),
    "ip_proto": (0, 6, 1),
    "ipv4_src": (0, 7, 4),
    "ipv4_dst": (0, 8, 4),
    **{name: (0, number, 2) for number, name in enumerate(("tcp_src", "tcp_dst", "udp_src", "udp_dst"), 9)},
    "ipv6_src": (1, 19, 16),
    "ipv6_dst": (1, 20, 16),
}
BY_LEARNT_HEADER: Final[dict[int, Field]] = {
    **{header: field for header, (field, _, is_masked) in BY_HEADER.items() if not is_masked},
    **{kind << 16 | number << 9 | size: fields.BY_NAME[name] for name, (kind, number, size) in _OLD_NUMBERS.items()},
}
