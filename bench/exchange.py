"""`python -m bench.exchange serve PORT` and `… requests|connections ADDRESS PORT SECONDS`: one byte there, one back.

The client does it as often as it can, over one connection or over a new one each time, and prints how often and in how
many seconds. Run in two namespaces, so that it is the way between them that is measured. Standard library only.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable

_STAY, _END = b"s", b"e"  # what the client asks with: the server keeps the connection, or closes it after its answer
_PATIENCE = 5.0


def serve(port: int) -> None:
    """Answer one connection after the other, for ever."""
    with socket.create_server(("", port), backlog=128) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                _answer(connection)


def requests(address: tuple[str, int], seconds: float) -> tuple[int, float]:
    """Ask over one connection; how often it was answered, and in how many seconds."""
    with socket.create_connection(address, _PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _repeat(lambda: _ask(connection, _STAY), seconds)


def connections(address: tuple[str, int], seconds: float) -> tuple[int, float]:
    """Connect, ask once, and wait for the server's end of the connection, so that no port of the client's lingers."""

    def once() -> None:
        with socket.create_connection(address, _PATIENCE) as connection:
            _ask(connection, _END)
            if connection.recv(1):
                raise ConnectionError(f"{address} goes on after its answer")

    return _repeat(once, seconds)


KINDS: dict[str, Callable[[tuple[str, int], float], tuple[int, float]]] = {
    "requests": requests,
    "connections": connections,
}


def main() -> None:
    """Serve until killed, or ask and tell."""
    kind, *rest = sys.argv[1:]
    if kind == "serve":
        serve(int(rest[0]))
    address, port, seconds = rest
    times, took = KINDS[kind]((address, int(port)), float(seconds))
    print(json.dumps({"times": times, "seconds": took}))


def _answer(connection: socket.socket) -> None:
    connection.settimeout(_PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while asked := connection.recv(1):
            connection.sendall(asked)
            if asked == _END:
                return
    except OSError:
        return  # the client is gone


def _ask(connection: socket.socket, what: bytes) -> None:
    connection.sendall(what)
    if connection.recv(1) != what:
        raise ConnectionError("no answer")


def _repeat(once: Callable[[], None], seconds: float) -> tuple[int, float]:
    began = time.perf_counter()
    times = 0
    while (now := time.perf_counter()) < began + seconds:
        once()
        times += 1
    return times, now - began


if __name__ == "__main__":
    main()
