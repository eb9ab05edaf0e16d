"""A plain OpenFlow connection to a bridge, for what is sent in bulk and for looking afterwards."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator

from bench.framing import whole_messages
from ryu_apps.openflow import decode, messages, wire
from ryu_apps.openflow.encode import delete_everything
from ryu_apps.openflow.wire import HEADER, MessageType

_PIECE = 1 << 18
_TIMEOUT = 60.0
_XID = 7
_HELLO = HEADER.pack(wire.VERSION, MessageType.HELLO, 16, 1) + struct.pack(">HHI", 1, 8, 1 << wire.VERSION)


class RefusedError(RuntimeError):
    """The switch answered with an error, or not at all."""


class SwitchConnection:
    """One connection; requests one after the other."""

    def __init__(self, stream: socket.socket) -> None:
        """`stream` is connected."""
        self._socket = stream
        self._socket.settimeout(_TIMEOUT)
        self._held = bytearray()
        self._socket.sendall(_HELLO)
        self._until(MessageType.HELLO)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def commit(self, bundle: Iterable[bytes]) -> None:
        """Write a bundle, piece by piece, and return when it is committed. RefusedError when it is not."""
        for piece in bundle:
            self._socket.sendall(piece)
        while not decode.bundle_reply(self._until(MessageType.BUNDLE_CONTROL)).committed:
            pass

    def barrier(self) -> None:
        """Return when the switch has done all that was written before."""
        self._socket.sendall(messages.barrier(_XID))
        self._until(MessageType.BARRIER_REPLY)

    def flow_count(self) -> int:
        """How many flows there are, over all tables."""
        self._socket.sendall(messages.table_stats_request(_XID))
        total = 0
        while True:
            raw = self._until(MessageType.MULTIPART_REPLY)
            total += sum(decode.flow_counts(raw).values())
            if not decode.part(raw).more:
                return total

    def clear(self) -> None:
        """Delete all flows and groups."""
        self.commit((delete_everything(),))
        self.barrier()

    def _until(self, kind: MessageType) -> bytes:
        """The next message of a kind; echo requests are answered, others passed over."""
        while True:
            for found, xid, raw in self._messages():
                if found == MessageType.ECHO_REQUEST:
                    self._socket.sendall(messages.echo_reply(xid, raw[8:]))
                elif found == MessageType.ERROR:
                    raise RefusedError(f"the switch refused: {decode.error(raw)}")
                elif found == kind:
                    return raw
            try:
                data = self._socket.recv(_PIECE)
            except TimeoutError:
                raise RefusedError(f"no {kind.name} in {_TIMEOUT:.0f} s") from None
            if not data:
                raise RefusedError("the switch hung up")
            self._held += data

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        return whole_messages(self._held)
