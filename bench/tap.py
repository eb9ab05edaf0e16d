"""What went over loopback, and when: OpenFlow messages with the kernel's time stamps. Nobody on the way notices.

A packet socket that nobody reads costs the measured programs a copy of each packet's header and no wake-up; it is
read when the measured moment is over. Counting and timing here are on the wire, not in any program's code.
Not for more data than the socket's buffer holds: that raises.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from bench.framing import begins_message, whole_messages
from bench.ground import OPENFLOW_PORT
from lab.namespaces import Namespace
from ryu_apps.openflow.wire import WireError

_SOL_PACKET, _PACKET_STATISTICS, _PACKET_IGNORE_OUTGOING = 263, 6, 23  # linux/if_packet.h
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35  # asm-generic/socket.h
_ETH_P_IP = 0x0800
_BUFFER = 64 << 20
_LARGEST = 1 << 16
_SYN, _RST = 2, 4


class TapError(RuntimeError):
    """The tap has missed something: what was measured cannot be believed."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP segment: nanoseconds of the system's clock, from where to where, and what was in it."""

    at: int
    source: tuple[IPv4Address, int]
    target: tuple[IPv4Address, int]
    sequence: int
    flags: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """An OpenFlow message, when its last byte was sent; `switch` is the switch's end of the connection."""

    at: int
    switch: tuple[IPv4Address, int]
    to_switch: bool
    kind: int
    xid: int
    raw: bytes


@dataclass(slots=True)
class _Stream:
    """One direction of one connection: the next sequence number, and the beginning of a message that is not whole."""

    following: int
    held: bytearray = field(default_factory=bytearray)


class Streams:
    """Puts segments together to messages, in both directions of every connection to `port`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: dict[tuple[tuple[IPv4Address, int], tuple[IPv4Address, int]], _Stream] = {}

    def forget(self) -> None:
        """Take every stream up anew, where a segment begins with a message."""
        self._streams.clear()

    def messages(self, segment: Segment) -> Iterator[Message]:
        """The messages that `segment` completes. TapError when bytes are missing, or it is no OpenFlow 1.5."""
        to_switch = segment.source[1] == self._port
        if not to_switch and segment.target[1] != self._port:
            return
        key = (segment.source, segment.target)
        if segment.flags & _SYN:
            self._streams[key] = _Stream((segment.sequence + 1) & 0xFFFFFFFF)
        if segment.flags & _RST:
            self._streams.pop(key, None)
        if not segment.payload:
            return
        stream = self._streams.get(key)
        if stream is None:
            if not begins_message(segment.payload):
                return  # the middle of what began before the tap did
            stream = self._streams[key] = _Stream(segment.sequence)
        if segment.sequence != stream.following:
            if (stream.following - segment.sequence) & 0xFFFFFFFF < 1 << 31:
                return  # sent again
            raise TapError(f"bytes are missing between {segment.source} and {segment.target}")
        stream.following = (segment.sequence + len(segment.payload)) & 0xFFFFFFFF
        stream.held += segment.payload
        switch = segment.target if to_switch else segment.source
        try:
            for kind, xid, raw in whole_messages(stream.held):
                yield Message(segment.at, switch, to_switch, kind, xid, raw)
        except WireError as error:
            raise TapError(f"between {segment.source} and {segment.target}: {error}") from error


class Tap:
    """A passive tap on the loopback interface of a namespace, for OpenFlow connections to `port`."""

    def __init__(self, namespace: Namespace, port: int = OPENFLOW_PORT) -> None:
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.bind(("lo", _ETH_P_IP))
        self._socket.setblocking(False)
        self._streams = Streams(port)

    def close(self) -> None:
        """Take it off."""
        self._socket.close()

    def skip(self) -> None:
        """Pass over what has come since the last reading."""
        for _ in self.read():
            pass

    def reset(self) -> None:
        """Forget what has come until now, even if it was too much; streams are taken up at their next message."""
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(_LARGEST)
        self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)  # asking sets it back
        self._streams.forget()

    def read(self) -> Iterator[Message]:
        """The messages since the last reading, in order of their time. TapError when the buffer has overflown."""
        for segment in self.segments():
            yield from self._streams.messages(segment)

    def segments(self) -> Iterator[Segment]:
        """The TCP segments since the last reading."""
        self._check()
        with suppress(BlockingIOError):
            while True:
                data, ancillary, _, _ = self._socket.recvmsg(_LARGEST, 64)
                segment = parse(data, _time(ancillary))
                if segment is not None:
                    yield segment

    def _check(self) -> None:
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        packets, drops = struct.unpack("II", statistics)
        if drops:
            raise TapError(f"{drops} of {packets} packets did not fit the tap's buffer of {_BUFFER} bytes")


def parse(packet: bytes, at: int) -> Segment | None:
    """The TCP segment in an IPv4 packet, or None when it is none."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
        return None
    start = (packet[0] & 15) * 4
    (length,) = struct.unpack_from(">H", packet, 2)
    source, target, sequence, _, offset, flags = struct.unpack_from(">HHIIBB", packet, start)
    payload = packet[start + (offset >> 4) * 4 : length or len(packet)]
    ends = (IPv4Address(packet[12:16]), source), (IPv4Address(packet[16:20]), target)
    return Segment(at, *ends, sequence, flags, payload)


def _time(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", data)
            return int(seconds * 1_000_000_000 + nanoseconds)
    raise TapError("a packet without a time stamp")
