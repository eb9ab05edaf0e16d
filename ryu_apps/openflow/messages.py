"""Requests to a switch, as bytes: what has neither a flow nor a group in it."""

from __future__ import annotations

from enum import IntEnum
from struct import pack
from typing import Final

from ryu_apps.openflow import wire
from ryu_apps.openflow.wire import BundleControl, MessageType, MultipartType
from topology.model import Address
from topology.pipeline import Table

BUNDLED_SIZE: Final = 16  # bytes of OFPT_BUNDLE_ADD_MESSAGE before the message in it


class Role(IntEnum):
    """OFPCR_ROLE_*: what a controller may do on a switch (6.3.7). The numbers and meanings are the specification's."""

    NO_CHANGE = 0
    EQUAL = 1
    MASTER = 2
    SLAVE = 3


def message(kind: MessageType, xid: int, body: bytes = b"") -> bytes:
    """Return a message of a type with a transaction id (32 bits). Raises ValueError above 65,535 bytes."""
    length = wire.HEADER.size + len(body)
    if length > wire.LONGEST:
        raise ValueError(f"a message of {length} bytes, where at most {wire.LONGEST} are possible")
    return wire.HEADER.pack(wire.VERSION, kind, length, xid) + body


def bundled(kind: MessageType, xid: int, body: bytes) -> bytes:
    """Return OFPT_BUNDLE_ADD_MESSAGE (7.3.9.6) that carries a message; both have the same xid, as it demands."""
    inner = message(kind, xid, body)
    return message(MessageType.BUNDLE_ADD, xid, pack(">I2xH", wire.BUNDLE_ID, wire.BUNDLE_FLAGS) + inner)


def bundle_open() -> bytes:
    """Return the request to open the bundle."""
    return _bundle_control(BundleControl.OPEN_REQUEST, wire.OPEN_XID)


def bundle_commit() -> bytes:
    """Return the request to commit the bundle."""
    return _bundle_control(BundleControl.COMMIT_REQUEST, wire.COMMIT_XID)


def bundle_discard() -> bytes:
    """Return the request to drop the bundle, with nothing of it done."""
    return _bundle_control(BundleControl.DISCARD_REQUEST, wire.DISCARD_XID)


def barrier(xid: int) -> bytes:
    """Return a barrier request: the reply comes after all that was sent before is done, errors included."""
    return message(MessageType.BARRIER_REQUEST, xid)


def echo_request() -> bytes:
    """Return a request that the switch answers at once."""
    return message(MessageType.ECHO_REQUEST, wire.BEAT_XID)


def echo_reply(xid: int, data: bytes) -> bytes:
    """Return the reply to an echo request with the same xid and data."""
    return message(MessageType.ECHO_REPLY, xid, data)


def role_request(xid: int, role: Role, generation: int = 0) -> bytes:
    """Return a request for a role; `generation` (64 bits) tells masters apart, the older is refused."""
    return message(MessageType.ROLE_REQUEST, xid, pack(">I4xQ", role, generation))


def flow_desc_request(xid: int, table: int = wire.ALL_TABLES, cookie: int = 0, mask: int = 0) -> bytes:
    """Return a request for the flows of a table whose cookie equals `cookie` in the bits of `mask`.

    The answer carries the counters too; OFPMP_FLOW_STATS is not known to Open vSwitch.
    """
    # A match without fields follows: all flows.
    anything = (wire.MATCH_OXM, 4)
    body = pack(">B3xII4xQQHH4x", table, wire.ANY_PORT, wire.ANY_GROUP, cookie, mask, *anything)
    return multipart(MultipartType.FLOW_DESC, xid, body)


def sentinel_request(xid: int) -> bytes:
    """Return a request for the sentinels."""
    return flow_desc_request(xid, Table.SENTINELS)


def port_desc_request(xid: int) -> bytes:
    """Return a request for the description of all ports."""
    return multipart(MultipartType.PORT_DESC, xid, pack(">I4x", wire.ANY_PORT))


def group_desc_request(xid: int, group: int = wire.ALL_GROUPS) -> bytes:
    """Return a request for the description of one group, or all."""
    return multipart(MultipartType.GROUP_DESC, xid, pack(">I4x", group))


def meter_desc_request(xid: int) -> bytes:
    """Return a request for the description of all meters."""
    return multipart(MultipartType.METER_DESC, xid, pack(">I4x", wire.ALL_METERS))


def ct_flush(xid: int, zone: int, protocol: int, address: Address, port: int) -> bytes:
    """Return the request to forget the connections of a zone that are answered from an address and a port.

    `protocol`: its IP number. Open vSwitch takes it from 3.1 on, and not inside a bundle.
    """
    source = _flush_address(wire.CT_FLUSH_SOURCE, address)
    source_port = pack(">HHH2x", wire.CT_FLUSH_SOURCE_PORT, 8, port)
    answers = pack(">HH4x", wire.CT_FLUSH_REPLY, 8 + len(source) + len(source_port)) + source + source_port
    body = pack(">IIB7x", wire.NICIRA, wire.NX_CT_FLUSH, protocol) + answers
    return message(MessageType.EXPERIMENTER, xid, body + pack(">HHH2x", wire.CT_FLUSH_ZONE, 8, zone))


def ct_flush_to(xid: int, zone: int, address: Address, source: Address | None = None) -> bytes:
    """Return the request to forget the connections of a zone that are answered to an address, of every protocol.

    With `source`, only those that it began. As `ct_flush` otherwise.
    """
    answers = pack(">HH4x", wire.CT_FLUSH_REPLY, 32) + _flush_address(wire.CT_FLUSH_DESTINATION, address)
    begun = b""
    if source is not None:
        begun = pack(">HH4x", wire.CT_FLUSH_ORIGINAL, 32) + _flush_address(wire.CT_FLUSH_SOURCE, source)
    body = pack(">IIB7x", wire.NICIRA, wire.NX_CT_FLUSH, 0) + begun + answers
    return message(MessageType.EXPERIMENTER, xid, body + pack(">HHH2x", wire.CT_FLUSH_ZONE, 8, zone))


def _flush_address(which: int, address: Address) -> bytes:
    mapped = int(address) if address.version == 6 else 0xFFFF << 32 | int(address)
    return pack(">HH16s4x", which, 20, mapped.to_bytes(16, "big"))


def table_stats_request(xid: int) -> bytes:
    """Return a request for the number of flows per table."""
    return multipart(MultipartType.TABLE_STATS, xid, b"")


def multipart(kind: MultipartType, xid: int, body: bytes) -> bytes:
    """Return a multipart request (7.3.5) in one part."""
    return message(MessageType.MULTIPART_REQUEST, xid, pack(">HH4x", kind, 0) + body)


def _bundle_control(what: BundleControl, xid: int) -> bytes:
    return message(MessageType.BUNDLE_CONTROL, xid, pack(">IHH", wire.BUNDLE_ID, what, wire.BUNDLE_FLAGS))
