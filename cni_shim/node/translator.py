"""The translator of quotes at work: takes frames from icmp0, gives them back translated. It decides and keeps nothing.

A thread of its own. A pod can send as many ICMP errors as it likes, so the thread does no more than RATE of them a
second: when they come faster it sleeps, the socket's queue runs over, and the kernel drops what does not fit.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from dataclasses import dataclass

from cni_shim.node.quotes import translate

RATE, BURST = 1000.0, 200.0  # errors a second, and at once after a rest
RETRY = 1.0  # seconds until the interface is looked for again
QUEUE = 1 << 18  # bytes of frames that wait
LONGEST_FRAME = 1 << 16
ETH_P_IP = 0x0800
log = logging.getLogger("heddle-node")


@dataclass
class Bucket:
    """How many frames may still be taken at a time (a token bucket). Seconds of any clock that does not go back."""

    tokens: float = BURST
    since: float = 0.0
    rate: float = RATE
    burst: float = BURST

    def take(self, now: float) -> float:
        """Take one token; the seconds to wait before it may be used."""
        self.tokens = min(self.burst, self.tokens + (now - self.since) * self.rate) - 1
        self.since = now
        return max(0.0, -self.tokens / self.rate)


def start(interface: str) -> None:
    """Translate what comes by `interface`, for as long as the process lives; the interface may come and go."""
    threading.Thread(target=_keep, args=(interface,), name="translator", daemon=True).start()


def _keep(interface: str) -> None:
    while True:
        try:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE)
                sock.bind((interface, ETH_P_IP))
                log.info("translating what ICMP errors quote, by %s", interface)
                _serve(sock)
        except OSError as error:  # it is not there yet, or ovs-vswitchd was restarted
            log.debug("%s: %s", interface, error)
        time.sleep(RETRY)


def _serve(sock: socket.socket) -> None:
    """Translate until the socket fails, with OSError."""
    bucket = Bucket(since=time.monotonic())
    while True:
        frame = sock.recv(LONGEST_FRAME)
        delay = bucket.take(time.monotonic())
        if delay:
            time.sleep(delay)
        try:
            back = translate(frame)
        except Exception:  # whatever a pod sends, the next frame gets its turn
            log.exception("a frame of %d bytes could not be translated", len(frame))
            continue
        if back is not None:
            sock.send(back)
