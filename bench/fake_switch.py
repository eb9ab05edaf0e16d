"""One fake switch: the OpenFlow 1.5 that a controller of ours speaks with a switch, answered from memory.

A state machine over bytes, without sockets and clocks. It keeps flows by table, priority and match, and groups by id,
replaces and deletes as a switch does (OpenFlow 1.5.1, 6.4), tells them when asked, and answers what it does not know
with an error.
It does not forward, check or sort anything: it stands for a switch that costs nothing.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from bench.framing import whole_messages
from ryu_apps.openflow import wire
from ryu_apps.openflow.decode import PORT_ADDED, PORT_DELETED
from ryu_apps.openflow.wire import HEADER, BundleControl, GroupCommand, MessageType, MultipartType

_BAD_REQUEST, _BAD_TYPE = 1, 1
_FLOW_MOD = struct.Struct(">QQBB4xH")  # cookie, its mask, table, command, (time-outs), priority
_MATCH_AT = 48  # bytes of OFPT_FLOW_MOD before its match
_FLOW_DESC_REQUEST = struct.Struct(">B3xII4xQQ")
_GROUP_MOD = struct.Struct(">HBxIH2xI")  # command, type, group, size of the buckets, the bucket that it is about
_LARGEST_PART = 60_000
# Duration, idle time, packets and bytes, all 0: what Open vSwitch tells of a flow that has seen no packet.
_STATISTICS = struct.pack(">HHIQIQIQIQ4x", 0, 52, 0x80020008, 0, 0x80020208, 0, 0x80020808, 0, 0x80020A08, 0)

FlowKey: TypeAlias = tuple[int, int, bytes]


@dataclass(frozen=True, slots=True)
class HeldFlow:
    """What a flow has besides its key."""

    cookie: int
    instructions: bytes


@dataclass(slots=True)
class FakeSwitch:
    """A switch with ports (name by number), its tables in `flows`, and each group's buckets by id in `groups`.

    How a group chooses is kept in `properties`, as it was said when the group was made.
    """

    dpid: int
    ports: dict[int, str]
    flows: dict[FlowKey, HeldFlow] = field(default_factory=dict)
    groups: dict[int, dict[int, bytes]] = field(default_factory=dict)
    properties: dict[int, bytes] = field(default_factory=dict)
    _bundle: list[bytes] = field(default_factory=list)
    _held: bytearray = field(default_factory=bytearray)

    def connect(self) -> bytes:
        """What it says first on a new connection; an unfinished bundle of the last one is forgotten."""
        self._held.clear()
        self._bundle.clear()
        return _message(MessageType.HELLO, 1, struct.pack(">HHI", 1, 8, 1 << wire.VERSION))

    def receive(self, data: bytes) -> bytes:
        """What it answers to bytes of the controller. WireError for what cannot be a message."""
        self._held += data
        replies: list[bytes] = []
        for kind, xid, raw in whole_messages(self._held):
            replies.extend(self._answer(kind, xid, raw))
        return b"".join(replies)

    def add_port(self, number: int, name: str) -> bytes:
        """Add a port; the message that says so."""
        self.ports[number] = name
        return port_status(PORT_ADDED, number, name)

    def remove_port(self, number: int) -> bytes:
        """Remove a port; the message that says so. KeyError when there is none."""
        return port_status(PORT_DELETED, number, self.ports.pop(number))

    def _answer(self, kind: int, xid: int, raw: bytes) -> Iterator[bytes]:
        match kind:
            case MessageType.HELLO | MessageType.ERROR | MessageType.ECHO_REPLY | 9:  # 9: OFPT_SET_CONFIG
                pass
            case MessageType.ECHO_REQUEST:
                yield _message(MessageType.ECHO_REPLY, xid, raw[8:])
            case 5:  # OFPT_FEATURES_REQUEST
                yield _message(MessageType.FEATURES_REPLY, xid, struct.pack(">QIBB2xII", self.dpid, 0, 254, 0, 0, 0))
            case MessageType.BARRIER_REQUEST:
                yield _message(MessageType.BARRIER_REPLY, xid)
            case MessageType.ROLE_REQUEST:
                yield _message(MessageType.ROLE_REPLY, xid, raw[8:])
            case MessageType.FLOW_MOD | MessageType.GROUP_MOD:
                self._apply(raw)
            case MessageType.METER_MOD:  # nothing that is measured has a limit, so these go only
                pass
            case MessageType.BUNDLE_ADD:
                self._bundle.append(raw[16:])
            case MessageType.BUNDLE_CONTROL:
                yield self._control(xid, raw)
            case MessageType.MULTIPART_REQUEST:
                yield from self._multipart(xid, raw)
            case _:
                yield _refusal(xid, raw)

    def _control(self, xid: int, raw: bytes) -> bytes:
        bundle, request = struct.unpack_from(">IH", raw, 8)
        if request == BundleControl.COMMIT_REQUEST:
            for message in self._bundle:
                self._apply(message)
        self._bundle.clear()
        return _message(MessageType.BUNDLE_CONTROL, xid, struct.pack(">IHH", bundle, request + 1, wire.BUNDLE_FLAGS))

    def _apply(self, raw: bytes) -> None:
        if raw[1] == MessageType.FLOW_MOD:
            self._apply_flow(raw)
        elif raw[1] == MessageType.GROUP_MOD:
            self._apply_group(raw)

    def _apply_group(self, raw: bytes) -> None:
        command, _, group, size, bucket = _GROUP_MOD.unpack_from(raw, 8)
        first = 8 + _GROUP_MOD.size
        if command == GroupCommand.DELETE:
            for number in [number for number in self.groups if group in (number, wire.ALL_GROUPS)]:
                del self.groups[number], self.properties[number]
        elif command == GroupCommand.REMOVE_BUCKET:
            self.groups[group].pop(bucket, None)
        elif command == GroupCommand.INSERT_BUCKET:
            self.groups[group].update(_buckets(raw[first : first + size]))
        else:
            self.groups[group] = dict(_buckets(raw[first : first + size]))
            self.properties[group] = raw[first + size :]

    def _apply_flow(self, raw: bytes) -> None:
        cookie, mask, table, command, priority = _FLOW_MOD.unpack_from(raw, 8)
        match_end = _MATCH_AT + (int.from_bytes(raw[_MATCH_AT + 2 : _MATCH_AT + 4]) + 7 & ~7)
        match = raw[_MATCH_AT:match_end]
        if command == wire.FLOW_ADD:
            self.flows[table, priority, match] = HeldFlow(cookie, raw[match_end:])
        elif command == wire.FLOW_DELETE:
            # Ours name a cookie, or nothing: a match that is not empty is not looked at.
            for key in [key for key, flow in self.flows.items() if not (flow.cookie ^ cookie) & mask]:
                if table in (wire.ALL_TABLES, key[0]):
                    del self.flows[key]

    def _multipart(self, xid: int, raw: bytes) -> Iterator[bytes]:
        kind = int.from_bytes(raw[8:10])
        match kind:
            case MultipartType.PORT_DESC:
                yield from _parts(kind, xid, (_port(number, name) for number, name in self.ports.items()))
            case MultipartType.FLOW_DESC:
                yield from _parts(kind, xid, self._flows_asked(raw))
            case MultipartType.GROUP_DESC:
                yield from _parts(kind, xid, self._groups_asked(raw))
            case MultipartType.METER_DESC:  # it has none: nothing that is measured has a limit
                yield from _parts(kind, xid, iter(()))
            case MultipartType.TABLE_STATS:
                counts = Counter(table for table, _, _ in self.flows)
                yield from _parts(
                    kind, xid, (struct.pack(">B3xIQQ", table, counts[table], 0, 0) for table in range(254))
                )
            case _:
                yield _refusal(xid, raw)

    def _flows_asked(self, raw: bytes) -> Iterator[bytes]:
        table, _, _, cookie, mask = _FLOW_DESC_REQUEST.unpack_from(raw, 16)
        for key, flow in self.flows.items():
            if table in (wire.ALL_TABLES, key[0]) and not (flow.cookie ^ cookie) & mask:
                body = key[2] + _STATISTICS + flow.instructions
                head = struct.pack(">H2xBxH8xQ", 24 + len(body), key[0], key[1], flow.cookie)
                yield head + body

    def _groups_asked(self, raw: bytes) -> Iterator[bytes]:
        asked = int.from_bytes(raw[16:20])
        for number, found in self.groups.items():
            if asked in (number, wire.ALL_GROUPS):
                buckets = b"".join(found.values())
                rest = buckets + self.properties[number]
                yield struct.pack(">HBxIH6x", 16 + len(rest), wire.SELECT, number, len(buckets)) + rest


def port_status(reason: int, number: int, name: str) -> bytes:
    """OFPT_PORT_STATUS: why (added, deleted, modified), and which port."""
    return _message(MessageType.PORT_STATUS, 0, struct.pack(">B7x", reason) + _port(number, name))


def _parts(kind: int, xid: int, items: Iterator[bytes]) -> Iterator[bytes]:
    """A multipart reply in as many messages as it takes, the last without OFPMPF_REPLY_MORE."""
    held: list[bytes] = []
    size = 0
    for item in items:
        if size + len(item) > _LARGEST_PART:
            yield _part(kind, xid, wire.MULTIPART_MORE, held)
            held, size = [], 0
        held.append(item)
        size += len(item)
    yield _part(kind, xid, 0, held)


def _buckets(packed: bytes) -> Iterator[tuple[int, bytes]]:
    """Buckets by their ids, each as it was sent."""
    start = 0
    while start < len(packed):
        length, _, number = struct.unpack_from(">HHI", packed, start)
        yield number, packed[start : start + length]
        start += length


def _part(kind: int, xid: int, flags: int, items: list[bytes]) -> bytes:
    return _message(MessageType.MULTIPART_REPLY, xid, struct.pack(">HH4x", kind, flags) + b"".join(items))


def _port(number: int, name: str) -> bytes:
    """OFPT_PORT without properties: 7.2.1."""
    address = b"\xaa" + number.to_bytes(5)
    return struct.pack(">IH2x6s2x16sII", number, 40, address, name.encode(), 0, 0)


def _refusal(xid: int, raw: bytes) -> bytes:
    return _message(MessageType.ERROR, xid, struct.pack(">HH", _BAD_REQUEST, _BAD_TYPE) + raw[:64])


def _message(kind: MessageType, xid: int, body: bytes = b"") -> bytes:
    return HEADER.pack(wire.VERSION, kind, HEADER.size + len(body), xid) + body
