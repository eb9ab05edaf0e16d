"""Questions put to the network with real packets: ICMP, TCP and UDP between namespaces. Frames made by hand: frames.py.

An answer ends a probe at once; only a "no" costs the whole patience. Requests are repeated within it, so that a busy
machine or a first packet that waits for address resolution is not taken for isolation. Probes block their thread;
`together` asks many at a time.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from lab.namespaces import Namespace

PATIENCE = 1.6
"""Seconds without an answer that mean "no": a lost SYN is repeated after 1 s (RFC 6298)."""

REPEAT = 0.3
"""Seconds between two requests of one ICMP or UDP probe."""

AT_ONCE = 128
ICMP_ECHO, ICMP_ECHO_REPLY = 8, 0
ICMPV6_ECHO, ICMPV6_ECHO_REPLY = 128, 129

T = TypeVar("T")


class Verdict(Enum):
    """What became of a probe."""

    ANSWERED = "answered"
    REFUSED = "refused"  # somebody's kernel said no (TCP reset, ICMP port unreachable): the packet arrived
    SILENT = "silent"
    UNREACHABLE = "unreachable"  # our own kernel, or a router, said that there is no way


@dataclass(frozen=True)
class Outcome:
    """A probe's verdict; who answered, by its own name, and the address it saw us under (TCP and UDP); seconds."""

    verdict: Verdict
    by: str = ""
    seen_as: str = ""
    seconds: float = 0.0

    def __bool__(self) -> bool:
        return self.verdict is Verdict.ANSWERED

    @property
    def arrived(self) -> bool:
        """Whether the packet certainly got through: an answer or a refusal came back."""
        return self.verdict in (Verdict.ANSWERED, Verdict.REFUSED)


def together(questions: Sequence[Callable[[], T]]) -> list[T]:
    """What each of `questions` returns, in their order, all asked at the same time.

    The first exception comes through at once; questions that are being asked then run to their own ends.
    """
    pool = ThreadPoolExecutor(max_workers=max(1, min(AT_ONCE, len(questions))))
    try:
        return [future.result() for future in [pool.submit(question) for question in questions]]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def ping(source: Namespace, target: str, patience: float = PATIENCE, bound: str = "") -> Outcome:
    """ICMP echo from `source` to the address `target`, repeated for `patience` seconds.

    `bound`: the address to send from; the kernel of `source` chooses when it is empty. OSError when it has none such.
    """
    nonce = os.urandom(8)
    if ":" in target:
        return _ping6(source, target, patience, bound, nonce)
    with source.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        _bind(sock, bound)

        def send(sequence: int) -> None:
            sock.sendto(icmp_echo(int.from_bytes(nonce[:2]), sequence, nonce), (target, 0))

        def read() -> Outcome | None:
            packet, (sender, _) = sock.recvfrom(2048)
            icmp = packet[(packet[0] & 15) * 4 :]
            echoed = icmp[0] == ICMP_ECHO_REPLY and icmp[8:16] == nonce
            return Outcome(Verdict.ANSWERED, by=sender) if echoed else None

        return _repeat(sock, send, read, patience)


def _ping6(source: Namespace, target: str, patience: float, bound: str, nonce: bytes) -> Outcome:
    """ICMPv6 echo (RFC 4443, section 4); the kernel writes its checksum, and tells no header of IPv6."""
    with source.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        _bind(sock, bound)

        def send(sequence: int) -> None:
            head = struct.pack("!BBHHH", ICMPV6_ECHO, 0, 0, int.from_bytes(nonce[:2]), sequence)
            sock.sendto(head + nonce, (target, 0))

        def read() -> Outcome | None:
            icmp, (sender, *_) = sock.recvfrom(2048)
            echoed = icmp[0] == ICMPV6_ECHO_REPLY and icmp[8:16] == nonce
            return Outcome(Verdict.ANSWERED, by=sender) if echoed else None

        return _repeat(sock, send, read, patience)


def family_of(target: str) -> socket.AddressFamily:
    """The address family of an address in text."""
    return socket.AF_INET6 if ":" in target else socket.AF_INET


def udp(source: Namespace, target: str, port: int, patience: float = PATIENCE, bound: str = "") -> Outcome:
    """A datagram from `source` to an echo server (see echo.py), repeated for `patience` s; `bound` as for ping."""
    nonce = os.urandom(8).hex()
    with source.socket(family_of(target), socket.SOCK_DGRAM) as sock:
        _bind(sock, bound)

        def send(sequence: int) -> None:
            if sequence == 0:
                sock.connect((target, port))
            sock.send(nonce.encode())

        def read() -> Outcome | None:
            by, seen_as, echoed = (*sock.recv(2048).decode().split(), "", "", "")[:3]
            return Outcome(Verdict.ANSWERED, by, seen_as) if echoed == nonce else None

        return _repeat(sock, send, read, patience)


def tcp(source: Namespace, target: str, port: int, patience: float = PATIENCE, bound: str = "") -> Outcome:
    """A connection from `source` to an echo server (see echo.py), read to its end, within `patience` s; `bound` as for
    ping."""
    start = time.monotonic()
    received = b""
    with source.socket(family_of(target), socket.SOCK_STREAM) as sock:
        _bind(sock, bound)
        try:
            sock.settimeout(patience)
            sock.connect((target, port))
            while chunk := _receive_before(sock, start + patience):
                received += chunk
        except OSError as error:
            return Outcome(_verdict(error), seconds=time.monotonic() - start)
    by, seen_as, length = (*received.partition(b"\n")[0].decode().split(), "", "", "")[:3]
    whole = length and len(received) == int(length)
    return Outcome(Verdict.ANSWERED if whole else Verdict.SILENT, by, seen_as, time.monotonic() - start)


def icmp_echo(identifier: int, sequence: int, payload: bytes) -> bytes:
    """An ICMP echo request (RFC 792) with its checksum."""
    unsummed = struct.pack("!BBHHH", ICMP_ECHO, 0, 0, identifier, sequence) + payload
    return unsummed[:2] + struct.pack("!H", checksum(unsummed)) + unsummed[4:]


def checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    octets += b"\0" * (len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _repeat(
    sock: socket.socket, send: Callable[[int], None], read: Callable[[], Outcome | None], patience: float
) -> Outcome:
    """Send again and again until `read` has found the answer or `patience` seconds are over."""
    start = time.monotonic()
    deadline = start + patience
    sequence = 0
    try:
        while (now := time.monotonic()) < deadline:
            send(sequence)
            sequence += 1
            again = min(deadline, now + REPEAT)
            with suppress(TimeoutError):
                while (left := again - time.monotonic()) > 0:
                    sock.settimeout(left)
                    if outcome := read():
                        return Outcome(outcome.verdict, outcome.by, outcome.seen_as, time.monotonic() - start)
    except OSError as error:
        return Outcome(_verdict(error), seconds=time.monotonic() - start)
    return Outcome(Verdict.SILENT, seconds=patience)


def _bind(sock: socket.socket, address: str) -> None:
    if address:
        sock.bind((address, 0))


def _receive_before(sock: socket.socket, deadline: float) -> bytes:
    sock.settimeout(max(0.001, deadline - time.monotonic()))
    return sock.recv(65536)


def _verdict(error: OSError) -> Verdict:
    if isinstance(error, TimeoutError):
        return Verdict.SILENT
    if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET):
        return Verdict.REFUSED
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM):
        return Verdict.UNREACHABLE
    raise error
