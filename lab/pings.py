"""Pings that go on while something else happens, and the exact list of those that were lost."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread

from lab.namespaces import Namespace
from lab.probes import icmp_echo


@dataclass(frozen=True)
class Path:
    """From a namespace to an address; `name` is for messages."""

    name: str
    source: Namespace
    target: str


@dataclass
class Tally:
    """What one path's pings came to: the sequence numbers sent, and those answered."""

    sent: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)

    @property
    def lost(self) -> list[int]:
        """The sequence numbers without an answer, in order."""
        return sorted(self.sent - self.answered)


class Pings:
    """While the context is open, every path is pinged every `interval` seconds.

    The context's end waits up to `patience` seconds for the last answers; `tallies` is final then.
    """

    def __init__(self, paths: Sequence[Path], interval: float = 0.02, patience: float = 2.0) -> None:
        self.tallies = {path.name: Tally() for path in paths}
        self._paths = tuple(paths)
        self._interval = interval
        self._patience = patience
        self._nonce = os.urandom(8)
        self._stop = Event()
        self._all_sent = Event()

    @property
    def lost(self) -> dict[str, list[int]]:
        """Paths with lost pings, and the sequence numbers of these."""
        return {name: tally.lost for name, tally in self.tallies.items() if tally.lost}

    def __enter__(self) -> Pings:
        self._sockets = [
            path.source.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) for path in self._paths
        ]
        self._threads = [Thread(target=self._send, daemon=True), Thread(target=self._receive, daemon=True)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        sender, receiver = self._threads
        self._stop.set()
        sender.join()
        self._all_sent.set()
        receiver.join()
        for sock in self._sockets:
            sock.close()

    def _send(self) -> None:
        sequence = 0
        while not self._stop.wait(self._interval):
            for path, sock in zip(self._paths, self._sockets, strict=True):
                self.tallies[path.name].sent.add(sequence)
                payload = self._nonce + sequence.to_bytes(4)
                request = icmp_echo(int.from_bytes(self._nonce[:2]), sequence & 0xFFFF, payload)
                with suppress(OSError):  # no way there at the moment: this one is lost
                    sock.sendto(request, (path.target, 0))
            sequence += 1

    def _receive(self) -> None:
        poller = select.poll()
        owners = {sock.fileno(): (path, sock) for path, sock in zip(self._paths, self._sockets, strict=True)}
        for number in owners:
            poller.register(number, select.POLLIN)
        deadline = None
        while deadline is None or (self.lost and time.monotonic() < deadline):
            for number, _ in poller.poll(50):
                self._note(*owners[number])
            if deadline is None and self._all_sent.is_set():
                deadline = time.monotonic() + self._patience

    def _note(self, path: Path, sock: socket.socket) -> None:
        packet, (sender, _) = sock.recvfrom(2048)
        icmp = packet[(packet[0] & 15) * 4 :]
        if icmp[0] == 0 and icmp[8:16] == self._nonce and sender == path.target:
            self.tallies[path.name].answered.add(int.from_bytes(icmp[16:20]))
