"""Datagrams between all pods of a laboratory, each with its number; a record of every one sent and every one delivered.

What is delivered is read from a packet socket on the receiver's own interface, whoever the datagram was meant for: also
one that came to a wrong pod is seen. Nothing here knows which should pass.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from threading import Event, Thread
from typing import NamedTuple

from lab.pod import INTERFACE, Pod

PORT = 7007
_MAGIC = 0x48644C65
_BODY = struct.Struct("!II")  # magic, number
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_IGNORE_OUTGOING = 263, 6, 23  # linux/if_packet.h
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_ETH_P_IP = 0x0800
_BUFFER = 16 << 20
_IP_AND_UDP = 28  # bytes of both headers, without options
_LAST_WORDS = 1.0  # seconds in which what is still under way may arrive


class OverflowedError(RuntimeError):
    """A packet socket has dropped something: the record is not whole."""


class Sent(NamedTuple):
    """A datagram that was sent: when (seconds, monotonic), by whom, for whom (positions among the pods)."""

    at: float
    source: int
    target: int


class Arrival(NamedTuple):
    """A datagram that came to a pod: when, its number, and at which pod."""

    at: float
    number: int
    pod: int


@dataclass
class Traffic:
    """While the context is open, every pod sends to every other one, each pair `rate` times a second, spread evenly."""

    pods: Sequence[Pod]
    rate: float
    sent: list[Sent] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    unsent: int = 0  # refused by the sender's own kernel

    def __enter__(self) -> Traffic:
        self._stop, self._over = Event(), Event()
        self._sinks = [_sink(pod) for pod in self.pods]
        self._taps = [_tap(pod) for pod in self.pods]
        self._senders = [pod.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) for pod in self.pods]
        self._threads = [Thread(target=self._send, daemon=True), Thread(target=self._receive, daemon=True)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        sender, receiver = self._threads
        self._stop.set()
        sender.join()
        time.sleep(_LAST_WORDS)
        self._over.set()
        receiver.join()
        dropped = [_dropped(tap) for tap in self._taps]
        for sock in (*self._sinks, *self._taps, *self._senders):
            sock.close()
        if any(dropped):
            raise OverflowedError(f"{sum(dropped)} packets did not fit the taps' buffers")

    def _send(self) -> None:
        pairs = list(permutations(range(len(self.pods)), 2))
        addresses = [str(pod.address) for pod in self.pods]
        step = 1 / (self.rate * len(pairs))
        due = time.monotonic()
        while not self._stop.is_set():
            for source, target in pairs:
                due += step
                pause = due - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                elif pause < -1:
                    due = time.monotonic()  # the machine was busy elsewhere: not all at once afterwards
                self._send_one(source, target, addresses[target])

    def _send_one(self, source: int, target: int, address: str) -> None:
        number = len(self.sent)
        self.sent.append(Sent(time.monotonic(), source, target))
        try:
            self._senders[source].sendto(_BODY.pack(_MAGIC, number), (address, PORT))
        except OSError:
            self.unsent += 1

    def _receive(self) -> None:
        poller = select.poll()
        for tap in self._taps:
            poller.register(tap, select.POLLIN)
        pods = {tap.fileno(): (pod, tap) for pod, tap in enumerate(self._taps)}
        while not self._over.is_set():
            for number, _ in poller.poll(50):
                pod, tap = pods[number]
                self._note(pod, tap)

    def _note(self, pod: int, tap: socket.socket) -> None:
        packet = tap.recv(2048)
        if len(packet) < _IP_AND_UDP + _BODY.size or packet[9] != socket.IPPROTO_UDP:
            return
        magic, number = _BODY.unpack_from(packet, _IP_AND_UDP)
        if magic == _MAGIC:
            self.arrivals.append(Arrival(time.monotonic(), number, pod))


def _sink(pod: Pod) -> socket.socket:
    """A socket that nobody reads: without it the receiver's kernel would answer that the port is closed."""
    sock = pod.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", PORT))
    return sock


def _tap(pod: Pod) -> socket.socket:
    sock = pod.namespace.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    sock.bind((INTERFACE, _ETH_P_IP))
    return sock


def _dropped(tap: socket.socket) -> int:
    statistics: tuple[int, int] = struct.unpack("II", tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    return statistics[1]
