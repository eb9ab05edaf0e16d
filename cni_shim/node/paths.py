"""Which sizes the underlay really carries from this node to others: ICMP echoes that nobody may fragment.

An interface's MTU says what it takes, not what arrives: a switch between, or the other end, may take less, and then
only large packets are lost. The other node's kernel answers, so that nothing has to run there.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

from cni_shim.errors import IO_FAILURE, ShimError

PATIENCE = 0.3  # seconds for answers to one probe
TRIES = 2  # of each probe: one packet may be lost for other reasons
AT_ONCE = 32  # peers; so many answers fit into a socket's buffer
_PROBE = 3  # IP_PMTUDISC_PROBE: do not fragment, and ask no cache of the kernel's how large is too large
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _IPV6_DONTFRAG = 10, 23, 62  # linux/in.h, linux/in6.h
_ICMP_FILTER, _SOL_RAW, _SOL_ICMPV6 = 1, 255, 58  # linux/icmp.h, linux/icmpv6.h
_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number (RFC 792, RFC 4443)


class _Kind(NamedTuple):
    """ICMP echo in one address family. `least`: bytes of a packet that every path must carry."""

    family: int
    protocol: int
    request: int
    reply: int
    ip_header: int
    least: int


_ECHO = MappingProxyType(
    {
        4: _Kind(socket.AF_INET, socket.IPPROTO_ICMP, 8, 0, 20, 68),
        6: _Kind(socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129, 40, 1280),
    }
)


def largest(source: str, peers: Iterable[str], full: int, until: float) -> dict[str, int]:
    """The bytes of the largest IP packet, at most `full`, that gets from this node's address `source` to each peer.

    0: it answers not even to the smallest. Peers for which there was no time `until` then (time.monotonic) are left
    out. ShimError when this process may not send such packets.
    """
    found: dict[str, int] = {}
    mine = [peer for peer in peers if (":" in peer) == (":" in source)]
    with _Prober(source) as prober:
        for some in _batches(mine):
            if time.monotonic() > until:
                break
            found |= _search(prober, some, full)
    return found


def _batches(peers: Iterable[str]) -> Iterator[tuple[str, ...]]:
    rest = iter(peers)
    while some := tuple(islice(rest, AT_ONCE)):
        yield some


def _search(prober: _Prober, peers: Iterable[str], full: int) -> dict[str, int]:
    """Halve, for all peers at once, what is not known of the way to each."""
    arrived = prober.probe(dict.fromkeys(peers, full))
    found = dict.fromkeys(arrived, full)
    least = prober.kind.least
    small = prober.probe({peer: least for peer in peers if peer not in found})
    found |= {peer: 0 for peer in peers if peer not in found and peer not in small}
    bounds = dict.fromkeys(small, (least, full))  # the first arrives, the second does not
    while open_ways := {peer: bound for peer, bound in bounds.items() if bound[1] - bound[0] > 1}:
        sizes = {peer: sum(bound) // 2 for peer, bound in open_ways.items()}
        arrived = prober.probe(sizes)
        for peer, size in sizes.items():
            low, high = bounds[peer]
            bounds[peer] = (size, high) if peer in arrived else (low, size)
    narrow = {peer: low for peer, (low, _) in bounds.items()}
    again = prober.probe(dict.fromkeys(narrow, full))  # the first time, nothing may have got there yet
    return found | narrow | dict.fromkeys(again, full)


class _Prober:
    """A raw socket that sends echo requests and hears the replies to these."""

    def __init__(self, source: str) -> None:
        self.kind = _ECHO[6 if ":" in source else 4]
        self._identifier = int.from_bytes(os.urandom(2), "big")
        self._number = 0
        try:
            self._socket = socket.socket(self.kind.family, socket.SOCK_RAW, self.kind.protocol)
        except OSError as error:
            raise ShimError(IO_FAILURE, "the underlay's paths cannot be measured", str(error)) from None
        self._socket.setblocking(False)
        self._choose()
        try:
            self._socket.bind((source, 0))
        except OSError as error:
            self._socket.close()
            raise ShimError(IO_FAILURE, f"{source} is not an address of this node", str(error)) from None

    def __enter__(self) -> _Prober:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def probe(self, sizes: Mapping[str, int]) -> set[str]:
        """Those of the peers, by address, to which a packet of so many bytes gets."""
        arrived: set[str] = set()
        for _ in range(TRIES):
            asked = {peer: size for peer, size in sizes.items() if peer not in arrived}
            if asked:
                arrived |= self._once(asked)
        return arrived

    def _once(self, sizes: Mapping[str, int]) -> set[str]:
        self._number = (self._number + 1) % (1 << 16)
        waiting = {peer for peer, size in sizes.items() if self._send(peer, size)}
        arrived: set[str] = set()
        deadline = time.monotonic() + PATIENCE
        while waiting and (left := deadline - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                break
            peer = self._heard()
            if peer in waiting:
                waiting.discard(peer)
                arrived.add(peer)
        return arrived

    def _send(self, peer: str, size: int) -> bool:
        kind, rest = self.kind.request, (self._identifier, self._number)
        # RFC 1071; what follows the header is zeros. Of ICMPv6 the kernel makes the checksum.
        total = (kind << 8) + sum(rest)
        total = (total & 0xFFFF) + (total >> 16)
        header = _HEADER.pack(kind, 0, ~(total + (total >> 16)) & 0xFFFF, *rest)
        request = header + bytes(size - self.kind.ip_header - _HEADER.size)
        try:
            self._socket.sendto(request, (peer, 0))
        except OSError:  # larger than the interface takes, or no route
            return False
        return True

    def _heard(self) -> str:
        """Who has answered to the present number; "" for anything else that came."""
        try:
            packet, sender = self._socket.recvfrom(65535)
        except OSError:
            return ""
        start = (packet[0] & 0xF) * 4 if self.kind.family == socket.AF_INET else 0
        if len(packet) < start + _HEADER.size:
            return ""
        kind, _, _, identifier, number = _HEADER.unpack_from(packet, start)
        mine = (kind, identifier, number) == (self.kind.reply, self._identifier, self._number)
        return str(sender[0]) if mine else ""

    def _choose(self) -> None:
        """Send whole packets only, and let no ICMP message through but replies to an echo."""
        own = self._socket
        if self.kind.family == socket.AF_INET:
            own.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
            own.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << self.kind.reply) & 0xFFFFFFFF))
            return
        own.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PROBE)
        own.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
        blocked = [0xFFFFFFFF] * 8
        blocked[self.kind.reply >> 5] &= ~(1 << (self.kind.reply & 31)) & 0xFFFFFFFF
        own.setsockopt(_SOL_ICMPV6, _ICMP_FILTER, struct.pack("=8I", *blocked))
