"""Values from the messages of a switch, read by hand. Every function takes one whole message, header included.

What does not hold what it says raises WireError; nothing is read beyond the message. Matches and actions are
read in `decode_flow`, when somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from ryu_apps.openflow import errors, wire
from ryu_apps.openflow.decode_flow import decode_actions, decode_instructions, decode_match
from ryu_apps.openflow.selection import selects_as
from ryu_apps.openflow.wire import BundleControl, MessageType, MultipartType, WireError
from topology.flow import DIGEST_MASK, Actions, Group, Match, Meter

Buffer: TypeAlias = bytes | bytearray | memoryview
Octets: TypeAlias = bytes  # by another name, for a class that has a field of this one


class Header(NamedTuple):
    """The first 8 bytes of every message."""

    version: int
    kind: int
    length: int
    xid: int


class Part(NamedTuple):
    """One part of a multipart reply; `more` says that it is not the last one."""

    xid: int
    kind: int
    more: bool


class FlowStats(NamedTuple):
    """A flow as a switch has it, with its counters; match and instructions are read when asked for."""

    cookie: int
    table: int
    priority: int
    packets: int
    bytes: int
    match_bytes: Octets
    instruction_bytes: Octets

    @property
    def match(self) -> Match:
        """The match. Raises WireError for a field that we do not know."""
        return decode_match(self.match_bytes)

    @property
    def actions(self) -> Actions:
        """The actions, a jump to a table included. Raises WireError for one that we do not know."""
        return decode_instructions(self.instruction_bytes)


class PortDesc(NamedTuple):
    """A port of a switch: ofport, name, MAC address, and whether it is administratively and physically down."""

    number: int
    name: str
    mac: int
    config_down: bool
    link_down: bool


class PortStatus(NamedTuple):
    """A port that was added (0), deleted (1) or modified (2)."""

    reason: int
    port: PortDesc


PORT_ADDED, PORT_DELETED, PORT_MODIFIED = range(3)


# 7.5.4.2 and 7.5.4.12.
_BAD_REQUEST: Final = 1
_IS_SLAVE: Final = 10
_ROLE_REQUEST_FAILED: Final = 11


class Refusal(NamedTuple):
    """An error message: what the switch refused, and the beginning of the refused message."""

    xid: int
    kind: int
    code: int
    experimenter: int | None
    data: bytes

    @property
    def about_flow(self) -> int | None:
        """The low 31 bits of the cookie of the flow that was refused, if it is about a flow."""
        return self.xid & (wire.FLOW_XID - 1) if self.xid & wire.FLOW_XID else None

    @property
    def about_group(self) -> int | None:
        """The id of the group that was refused, if it is about one."""
        is_group = self.xid >> 30 == wire.GROUP_XID >> 30
        return self.xid & (wire.GROUP_XID - 1) if is_group else None

    @property
    def about_meter(self) -> int | None:
        """The id of the meter that was refused, if it is about one."""
        is_meter = self.xid >> 28 == wire.METER_XID >> 28
        return self.xid & 0x0FFFFFFF if is_meter else None

    @property
    def text(self) -> str:
        """What was refused and why, in words."""
        subject = "a request"
        if self.about_flow is not None:
            subject = f"the flow whose cookie ends in {self.about_flow:08x}"
        elif self.about_group is not None:
            subject = f"group {self.about_group}"
        elif self.about_meter is not None:
            subject = f"meter {self.about_meter}"
        elif self.ends_bundle:
            subject = "the bundle"
        return f"{errors.name(self.kind, self.code, self.experimenter)}, about {subject}"

    @property
    def is_stale_role(self) -> bool:
        """Whether a role was refused because another controller has asked for one with a newer generation."""
        return (self.kind, self.code, self.experimenter) == (_ROLE_REQUEST_FAILED, 0, None)

    @property
    def is_slave(self) -> bool:
        """Whether it says that this controller may not write, for it is a slave."""
        return (self.kind, self.code, self.experimenter) == (_BAD_REQUEST, _IS_SLAVE, None)

    @property
    def ends_bundle(self) -> bool:
        """Whether it answers the open or the commit: no commit reply follows."""
        return self.xid in (wire.OPEN_XID, wire.COMMIT_XID)


class BundleReply(NamedTuple):
    """A reply about a bundle: opened, committed or discarded (BundleControl)."""

    xid: int
    bundle: int
    kind: int

    @property
    def committed(self) -> bool:
        """Whether it says that the bundle is in force."""
        return self.kind == BundleControl.COMMIT_REPLY


class RoleReply(NamedTuple):
    """The role this controller has now, and the newest generation the switch knows (all ones: none yet)."""

    xid: int
    role: int
    generation: int


_PART: Final = Struct(">BBHIHH4x")
_FLOW: Final = Struct(">H2xBxH8xQHH")  # length, table, priority, (time-outs, flags, importance), cookie, match
# What Open vSwitch sends: duration, idle time, packets, bytes. Any other order is read field by field.
_USUAL_STATS: Final = Struct(">2xHI8xI8xIQIQ")
_USUAL_HEADERS: Final = (0x80020008, 0x80020208, 0x80020808, 0x80020A08)
_PORT: Final = Struct(">IH2x6s2x16sII")
_GROUP: Final = Struct(">HBxIH6x")
_BUCKET: Final = Struct(">HHI")
_METER: Final = Struct(">HHI")  # length, flags, id
_BAND: Final = Struct(">HHII4x")
_TABLE: Final = Struct(">B3xIQQ")


def header(raw: Buffer) -> Header:
    """Return the header of a message (or of the beginning of one). Raises WireError below 8 bytes."""
    if len(raw) < wire.HEADER.size:
        raise WireError(f"a message of {len(raw)} bytes")
    return Header(*wire.HEADER.unpack_from(raw))


def part(raw: Buffer) -> Part:
    """Return what a multipart reply is a part of."""
    _check(raw, MessageType.MULTIPART_REPLY, _PART.size)
    _, _, _, xid, kind, flags = _PART.unpack_from(raw)
    return Part(xid, kind, bool(flags & wire.MULTIPART_MORE))


def flow_stats(raw: Buffer) -> Iterator[FlowStats]:
    """Read one part of the reply to `messages.flow_desc_request`."""
    data, position = _parts(raw, MultipartType.FLOW_DESC)
    end = len(data)
    unpack, new = _FLOW.unpack_from, tuple.__new__  # half the time of FlowStats(…), for every flow of every audit
    while position < end:
        if end - position < _FLOW.size:
            raise WireError(f"{end - position} bytes left where a flow begins")
        length, table, priority, cookie, kind, match_length = unpack(data, position)
        stats = position + 24 + (match_length + 7 & ~7)
        following = position + length
        if kind != wire.MATCH_OXM or match_length < 4 or following > end or stats + 4 > following:
            raise WireError(f"a flow of {length} bytes with a match of kind {kind} and {match_length} bytes")
        packets, octets, rest = _counters(data, stats, following)
        match = data[position + 28 : position + 24 + match_length]
        yield new(FlowStats, (cookie, table, priority, packets, octets, match, data[rest:following]))
        position = following


def cookies(raw: Buffer) -> Iterator[tuple[int, int]]:
    """Read of one part of the reply to `messages.flow_desc_request` no more than each flow's cookie and table."""
    data, position = _parts(raw, MultipartType.FLOW_DESC)
    end = len(data)
    unpack = _FLOW.unpack_from
    while position < end:
        if end - position < _FLOW.size:
            raise WireError(f"{end - position} bytes left where a flow begins")
        length, table, _, cookie, _, _ = unpack(data, position)
        position += length
        if length < _FLOW.size or position > end:
            raise WireError(f"a flow of {length} bytes")
        yield cookie, table


def sentinels(raw: Buffer) -> dict[int, int]:
    """Read one part of the reply to `messages.sentinel_request`: the sum of digests by owner class."""
    found = {}
    for flow in flow_stats(raw):
        match = flow.match
        if len(match) == 1:
            found[match[0][1]] = flow.cookie & DIGEST_MASK
    return found


def ports(raw: Buffer) -> dict[str, int]:
    """Read one part of the reply to `messages.port_desc_request`: ofports by name."""
    return {port.name: port.number for port in port_descs(raw)}


def port_descs(raw: Buffer) -> Iterator[PortDesc]:
    """Read one part of the reply to `messages.port_desc_request`."""
    data, position = _parts(raw, MultipartType.PORT_DESC)
    while position < len(data):
        port, position = _port(data, position)
        yield port


def port_status(raw: Buffer) -> PortStatus:
    """Read the message about a port that came, went or changed."""
    _check(raw, MessageType.PORT_STATUS, 16)
    data = bytes(raw)
    port, end = _port(data, 16)
    if end != len(data):
        raise WireError(f"{len(data) - end} bytes behind a port's description")
    return PortStatus(data[8], port)


def groups(raw: Buffer) -> Iterator[Group]:
    """Read one part of the reply to `messages.group_desc_request`; a bucket without a weight has weight 1.

    One that chooses among its buckets in another way than ours do is read without any: it is none of ours.
    """
    data, position = _parts(raw, MultipartType.GROUP_DESC)
    while position < len(data):
        _need(data, position, _GROUP.size)
        length, _, group, buckets = _GROUP.unpack_from(data, position)
        first, following = position + _GROUP.size, position + length
        if length < _GROUP.size + buckets or following > len(data):
            raise WireError(f"group {group} of {length} bytes with buckets of {buckets}")
        held = tuple(_buckets(data, first, first + buckets))
        is_lower = selects_as(data, first + buckets, following, group)
        yield Group(group, ()) if is_lower is None else Group(group, held, is_lower)
        position = following


def meters(raw: Buffer) -> Iterator[Meter]:
    """Read one part of the reply to `messages.meter_desc_request`.

    One that is not of our form is read with rate 0: it is none of ours. A switch's own, virtual ones are left out.
    """
    data, position = _parts(raw, MultipartType.METER_DESC)
    while position < len(data):
        _need(data, position, _METER.size)
        length, flags, number = _METER.unpack_from(data, position)
        following = position + length
        if length < _METER.size or following > len(data):
            raise WireError(f"meter {number} of {length} bytes")
        band = data[position + _METER.size : following]
        kind, _, rate, burst = _BAND.unpack(band) if len(band) == _BAND.size else (0, 0, 0, 0)
        is_ours = kind == wire.METER_DROP and flags & ~wire.METER_STATS == wire.METER_KBPS | wire.METER_BURST
        if number <= wire.LAST_METER:
            yield Meter(number, rate, burst) if is_ours else Meter(number, 0, 0)
        position = following


def flow_counts(raw: Buffer) -> dict[int, int]:
    """Read one part of the reply to `messages.table_stats_request`: the number of flows by table."""
    data, position = _parts(raw, MultipartType.TABLE_STATS)
    if (len(data) - position) % _TABLE.size:
        raise WireError(f"{len(data) - position} bytes of table statistics")
    counts = (_TABLE.unpack_from(data, offset) for offset in range(position, len(data), _TABLE.size))
    return {table: active for table, active, _, _ in counts}


def error(raw: Buffer) -> Refusal:
    """Read an error message."""
    head = _check(raw, MessageType.ERROR, 12)
    data = bytes(raw)
    kind, code = int.from_bytes(data[8:10], "big"), int.from_bytes(data[10:12], "big")
    if kind != wire.ERROR_EXPERIMENTER:
        return Refusal(head.xid, kind, code, None, data[12:])
    _need(data, 12, 4)
    return Refusal(head.xid, kind, code, int.from_bytes(data[12:16], "big"), data[16:])


def bundle_reply(raw: Buffer) -> BundleReply:
    """Read the reply to an open, a commit or a discard."""
    head = _check(raw, MessageType.BUNDLE_CONTROL, 16)
    return BundleReply(head.xid, int.from_bytes(raw[8:12], "big"), int.from_bytes(raw[12:14], "big"))


def barrier_reply(raw: Buffer) -> int:
    """Return the xid of the barrier that is reached."""
    return _check(raw, MessageType.BARRIER_REPLY, 8).xid


def role_reply(raw: Buffer) -> RoleReply:
    """Read the reply to a role request."""
    head = _check(raw, MessageType.ROLE_REPLY, 24)
    return RoleReply(head.xid, int.from_bytes(raw[8:12], "big"), int.from_bytes(raw[16:24], "big"))


def role_status(raw: Buffer) -> RoleReply:
    """Read the message by which a switch says that this controller's role has changed (7.4.4)."""
    head = _check(raw, MessageType.ROLE_STATUS, 24)
    return RoleReply(head.xid, int.from_bytes(raw[8:12], "big"), int.from_bytes(raw[16:24], "big"))


# --- inside ----------------------------------------------------------------------------------------


def _check(raw: Buffer, kind: MessageType, smallest: int) -> Header:
    head = header(raw)
    if head.version != wire.VERSION or head.kind != kind:
        raise WireError(f"version {head.version}, type {head.kind} where {kind.name} is expected")
    if head.length != len(raw) or head.length < smallest:
        raise WireError(f"{kind.name} of {len(raw)} bytes that calls itself {head.length} long")
    return head


def _parts(raw: Buffer, kind: MultipartType) -> tuple[bytes, int]:
    found = part(raw)
    if found.kind != kind:
        raise WireError(f"multipart type {found.kind} where {kind.name} is expected")
    return bytes(raw), _PART.size


def _need(data: bytes, position: int, count: int) -> None:
    if len(data) - position < count:
        raise WireError(f"{len(data) - position} bytes left where {count} are needed")


def _counters(data: bytes, start: int, limit: int) -> tuple[int, int, int]:
    """Read OXS fields (7.2.4): packets, bytes, and where what follows begins."""
    if limit - start >= _USUAL_STATS.size:
        length, *heads, packets, last, octets = _USUAL_STATS.unpack_from(data, start)
        if length == 52 and (*heads, last) == _USUAL_HEADERS and start + 56 <= limit:
            return packets, octets, start + 56
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    end = start + (length + 7 & ~7)
    if length < 4 or end > limit:
        raise WireError(f"statistics of {length} bytes where {limit - start} are left")
    values = dict(_oxs(data, start + 4, start + length))
    return values.get(wire.OXS_PACKETS, 0), values.get(wire.OXS_BYTES, 0), end


def _oxs(data: bytes, position: int, end: int) -> Iterator[tuple[int, int]]:
    while position < end:
        _need(data[:end], position, 4)
        head = int.from_bytes(data[position : position + 4], "big")
        following = position + 4 + (head & 0xFF)
        if following > end:
            raise WireError("a statistic longer than the statistics")
        if head >> 16 == wire.OXS_BASIC:
            yield head >> 9 & 0x7F, int.from_bytes(data[position + 4 : following], "big")
        position = following


def _port(data: bytes, position: int) -> tuple[PortDesc, int]:
    _need(data, position, _PORT.size)
    number, length, mac, name, config, state = _PORT.unpack_from(data, position)
    if length < _PORT.size or position + length > len(data):
        raise WireError(f"port {number} of {length} bytes")
    text = name.split(b"\0", 1)[0].decode("utf-8", "replace")
    return PortDesc(number, text, int.from_bytes(mac, "big"), bool(config & 1), bool(state & 1)), position + length


def _buckets(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, Actions]]:
    while position < end:
        _need(data[:end], position, _BUCKET.size)
        length, actions, number = _BUCKET.unpack_from(data, position)
        first, following = position + _BUCKET.size, position + length
        if length < _BUCKET.size + actions or following > end:
            raise WireError(f"bucket {number} of {length} bytes with actions of {actions}")
        weight = _weight(data, first + actions, following)
        yield number, weight, decode_actions(data[first : first + actions])
        position = following


def _weight(data: bytes, position: int, end: int) -> int:
    weight = 1
    while position < end:
        _need(data[:end], position, 8)
        kind, length = int.from_bytes(data[position : position + 2]), int.from_bytes(data[position + 2 : position + 4])
        if length < 4 or position + length > end:
            raise WireError(f"a bucket's property of {length} bytes")
        if kind == wire.BUCKET_WEIGHT:
            weight = int.from_bytes(data[position + 4 : position + 6])
        position += length + 7 & ~7
    return weight
