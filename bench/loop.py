"""The least event loop for the worker processes: non-blocking connections and a command socket. No OpenFlow.

Standard library only and no queues in between: what these processes cost is part of every figure.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

from bench.commands import obey

_PIECE = 1 << 18


class Connection:
    """A connected stream socket in the loop; `on_bytes` gets what arrives, and empty bytes once at its end."""

    def __init__(self, loop: Loop, stream: socket.socket, on_bytes: Callable[[Connection, bytes], None]) -> None:
        stream.setblocking(False)
        self.peer: str = stream.getpeername()[0] if stream.family == socket.AF_INET else ""
        self._loop = loop
        self._stream = stream
        self._on_bytes = on_bytes
        self._waiting = bytearray()
        loop.watch(stream, self._ready)

    def send(self, data: bytes) -> None:
        """Send now what fits, and the rest when there is room."""
        if self._stream.fileno() < 0:
            return
        if not self._waiting:
            try:
                data = data[self._stream.send(data) :]
            except BlockingIOError:
                pass
            except OSError:
                return  # the end is read soon
        if data:
            self._waiting += data
            self._loop.watch(self._stream, self._ready, writing=True)

    def close(self) -> None:
        """End the connection, if it has not ended; `on_bytes` is not called for it."""
        if self._stream.fileno() < 0:
            return
        self._loop.forget(self._stream)
        self._stream.close()

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._write()
        if events & selectors.EVENT_READ:
            try:
                data = self._stream.recv(_PIECE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.close()
            self._on_bytes(self, data)

    def _write(self) -> None:
        try:
            sent = self._stream.send(self._waiting)
        except OSError:
            return
        del self._waiting[:sent]
        if not self._waiting:
            self._loop.watch(self._stream, self._ready)


class Loop:
    """Calls back for sockets that are ready."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, stream: socket.socket, ready: Callable[[int], None], *, writing: bool = False) -> None:
        """Call `ready` with the events of `stream` from now on."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        if stream in self._selector.get_map():
            self._selector.modify(stream, events, ready)
        else:
            self._selector.register(stream, events, ready)

    def forget(self, stream: socket.socket) -> None:
        """Call nobody for `stream` any more."""
        if stream in self._selector.get_map():
            self._selector.unregister(stream)

    def listen(self, listener: socket.socket, accepted: Callable[[socket.socket], None]) -> None:
        """Call `accepted` with each connection to `listener`."""
        listener.setblocking(False)

        def accept(_: int) -> None:
            # All that wait: hundreds connect at once.
            while True:
                try:
                    stream, _address = listener.accept()
                except BlockingIOError:
                    return
                accepted(stream)

        self.watch(listener, accept)

    def obey(self, path: str, target: object) -> None:
        """Serve commands for the `do_…` methods of `target` on the Unix socket `path`."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def accepted(stream: socket.socket) -> None:
            held = bytearray()

            def take(connection: Connection, data: bytes) -> None:
                held.extend(data)
                while b"\n" in held:
                    line, _, rest = bytes(held).partition(b"\n")
                    held[:] = rest
                    obey(line, target, connection.send)

            Connection(self, stream, take)

        self.listen(listener, accepted)

    def run(self) -> None:
        """Run for ever."""
        while True:
            for key, events in self._selector.select():
                key.data(events)
