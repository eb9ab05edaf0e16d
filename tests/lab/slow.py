"""Datagrams that are answered late, each from a port of its own: what a tracker must keep in mind. No tests here."""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from threading import Event, Thread

from lab.pod import Pod

PORT = 7011


class SlowAnswers:
    """While the context is open, a pod asks another every `interval` s, and is answered `delay` s later.

    `lost` is final when the context has ended: the numbers of the questions that were not answered.
    """

    def __init__(self, asker: Pod, answerer: Pod, delay: float, interval: float = 0.01) -> None:
        self.asked = 0
        self.lost: list[int] = []
        self._asker, self._answerer = asker, answerer
        self._delay, self._interval = delay, interval
        self._stop, self._over = Event(), Event()

    def __enter__(self) -> SlowAnswers:
        self._server = self._answerer.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._server.bind(("0.0.0.0", PORT))
        self._sockets: list[socket.socket] = []
        self._threads = [Thread(target=self._ask, daemon=True), Thread(target=self._answer, daemon=True)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asking, answering = self._threads
        self._stop.set()
        asking.join()
        time.sleep(self._delay + 1.0)
        self._over.set()
        answering.join()
        self.asked = len(self._sockets)
        self.lost = [number for number, sock in enumerate(self._sockets) if not _has_answer(sock)]
        for sock in (*self._sockets, self._server):
            sock.close()

    def _ask(self) -> None:
        while not self._stop.wait(self._interval):
            sock = self._asker.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._sockets.append(sock)
            sock.sendto(b"?", (str(self._answerer.known_to(self._asker)), PORT))

    def _answer(self) -> None:
        due: deque[tuple[float, tuple[str, int]]] = deque()
        while not self._over.is_set():
            ready, _, _ = select.select([self._server], [], [], 0.002)
            if ready:
                due.append((time.monotonic() + self._delay, self._server.recvfrom(64)[1]))
            while due and due[0][0] <= time.monotonic():
                self._server.sendto(b"!", due.popleft()[1])


def _has_answer(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])
