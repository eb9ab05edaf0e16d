"""`python -m bench.plain SOCKET answer|ask`: the limit. A plain socket that answers with bytes prepared beforehand.

It knows no network and computes nothing. "answer", beside a pod's addition: a port's message is looked up, and the
bytes found are written. "ask", beside a controller's restart: each switch that connects is asked for its sentinels.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable

from bench.answers import Answers
from bench.ground import ASKING_PORT, OPENFLOW_PORT
from bench.loop import Connection, Loop
from ryu_apps.openflow import messages, wire
from ryu_apps.openflow.wire import HEADER, MessageType

_FEATURES_REQUEST = 5
_HELLO = HEADER.pack(wire.VERSION, MessageType.HELLO, 16, 1) + struct.pack(">HHI", 1, 8, 1 << wire.VERSION)
_WHO = HEADER.pack(wire.VERSION, _FEATURES_REQUEST, 8, 2)


class Switch:
    """One connection: bytes that are not yet a message, and the switch's number once it is known."""

    def __init__(self, answers: Answers) -> None:
        self.dpid = 0
        self._answers = answers
        self._held = b""

    def received(self, connection: Connection, data: bytes) -> None:
        """Take in bytes, answer at once."""
        held = self._held + data
        start, end = 0, len(held)
        while end - start >= 8:
            length = held[start + 2] << 8 | held[start + 3]
            if end - start < length:
                break
            kind = held[start + 1]
            if kind == MessageType.PORT_STATUS:
                reply = self._answers.for_port(self.dpid, held[start : start + length])
                if reply is not None:
                    connection.send(reply)
            elif kind != MessageType.BUNDLE_CONTROL:
                self._other(connection, kind, held[start : start + length])
            start += length
        self._held = held[start:]

    def _other(self, connection: Connection, kind: int, raw: bytes) -> None:
        if kind == MessageType.ECHO_REQUEST:
            connection.send(messages.echo_reply(int.from_bytes(raw[4:8]), raw[8:]))
        elif kind == MessageType.FEATURES_REPLY:
            self.dpid = int.from_bytes(raw[8:16])
            connection.send(self._answers.prelude(self.dpid))


def _greeted(loop: Loop, stream: socket.socket, on_bytes: Callable[[Connection, bytes], None], question: bytes) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    Connection(loop, stream, on_bytes).send(_HELLO + question)


def _seen_on_the_wire(_: Connection, _data: bytes) -> None:
    """Nobody here looks at the reply."""


def _listener(port: int) -> socket.socket:
    return socket.create_server(("0.0.0.0", port), backlog=1024)


def main() -> None:
    """Serve until killed."""
    path, way = sys.argv[1:]
    loop, answers = Loop(), Answers()

    def answered(stream: socket.socket) -> None:
        _greeted(loop, stream, Switch(answers).received, _WHO)

    def asked(stream: socket.socket) -> None:
        _greeted(loop, stream, _seen_on_the_wire, messages.sentinel_request(1))

    if way == "ask":
        loop.listen(_listener(ASKING_PORT), asked)
    else:
        loop.listen(_listener(OPENFLOW_PORT), answered)
    loop.obey(path, answers)
    loop.run()


if __name__ == "__main__":
    main()
