"""Raw messages, taken off Ryu's connection before Ryu parses them. Nothing here reads what is in a message.

Ryu's own loop reads each message in two system calls and parses all of them into objects, which costs more than what
the switch did for them. Here a connection is read in large pieces; what `on_message` takes is not parsed by Ryu at all,
what it leaves (the handshake, echoes) goes Ryu's way. And what is sent leaves at once where it can, not in the turn
of another green thread: that is a tenth to a fifth of the time until a small bundle is committed.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, Final

from eventlet.greenio import GreenSocket

from ryu_apps import compat  # noqa: F401  # repairs Ryu, so it comes before it

from ryu.controller import controller, ofp_event  # isort: skip
from ryu.controller.handler import DEAD_DISPATCHER  # isort: skip
from ryu.lib import hub  # isort: skip
from ryu.ofproto import ofproto_parser  # isort: skip

from ryu_apps.openflow import wire
from ryu_apps.openflow.wire import MessageType, MultipartType, WireError

LOG = logging.getLogger(__name__)

# (datapath, type, xid, whole message) -> whether it is dealt with. Called in the green thread of the connection.
OnMessage = Callable[[Any, int, int, bytes], bool]

_PIECE: Final = 1 << 16  # bytes per read
_PATIENCE: Final = 256  # messages, or pages of 4 KB, after which other green threads have a turn
_GROUP_DESC: Final = MultipartType.GROUP_DESC.to_bytes(2, "big")


def intercept(on_message: OnMessage) -> None:
    """Let every connection that is accepted from now on pass its messages to `on_message` first.

    `on_message` returns whether it has dealt with the message; it must not block. A WireError from it, or a message
    whose length is impossible, ends the connection.
    """

    def serve(socket: Any, address: Any) -> None:
        with closing(Channel(socket, address, on_message)) as channel:
            channel.serve()

    # Ryu's listener looks this name up when it starts; Datapath itself keeps its name, which its methods refer to.
    controller.datapath_connection_factory = serve


class _Stream:
    """A socket that knows whether somebody is in the middle of sending, and can send without waiting."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.sending = False
        # Encrypted connections have no short cut: only a plain socket of eventlet's is known to be one underneath.
        self._plain = socket.fd if type(socket) is GreenSocket else None

    def sendall(self, data: bytes) -> None:
        """Send all of it, waiting as long as the switch takes to read."""
        self.sending = True
        try:
            self._socket.sendall(data)
        finally:
            self.sending = False

    def send_now(self, data: bytes) -> int:
        """Return how many bytes could be sent without waiting; an error is left to the next `sendall`."""
        if self._plain is None or self.sending:
            return 0
        try:
            sent: int = self._plain.send(data)
        except OSError:
            return 0
        return sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class Channel(controller.Datapath):
    """Ryu's connection to a switch, with a receive loop of our own."""

    def __init__(self, socket: Any, address: Any, on_message: OnMessage) -> None:
        self.on_message = on_message
        self._has_spoken = True
        super().__init__(_Stream(socket), address)

    def send(self, buf: bytes, close_socket: bool = False) -> bool:
        """Send messages, after all that was given to `send` before. Returns False when the connection is closing.

        Waits only when 16 earlier calls have not been sent yet.
        """
        # Ryu's sending thread takes a buffer from the queue and begins to send it without a pause, so nothing
        # is under way that is neither in the queue nor in `sending`.
        if self.send_q is not None and self.send_q.empty() and not close_socket:
            sent = self.socket.send_now(buf)
            if sent == len(buf):
                return True
            buf = buf[sent:]
        queued: bool = super().send(buf, close_socket)
        return queued

    def has_spoken(self) -> bool:
        """Whether the switch has sent anything since this was asked last."""
        spoken, self._has_spoken = self._has_spoken, False
        return spoken

    def _recv_loop(self) -> None:
        try:
            self._receive()
        finally:
            with suppress(OSError):
                self.socket.close()

    def _receive(self) -> None:
        held = bytearray()
        count = 0
        while self.state != DEAD_DISPATCHER:
            piece = self._read()
            if piece is None:
                continue
            if not piece:
                break
            self._has_spoken = True
            held += piece
            try:
                done, used = self._take(held)
            except WireError as error:
                LOG.error("switch at %s sent what cannot be read, its connection is closed: %s", self.address, error)
                break
            del held[:used]
            count += done + (used >> 12)
            if count >= _PATIENCE:
                count = 0
                hub.sleep(0)

    def _read(self) -> bytes | None:
        """Return what has arrived; nothing at the end; None when it is only late."""
        try:
            data: bytes = self.socket.recv(_PIECE)
        except TimeoutError:
            return None
        except ssl.SSLError as error:
            return None if "timed out" in str(error) else b""
        except (EOFError, OSError):
            return b""
        return data

    def _take(self, held: bytearray) -> tuple[int, int]:
        """Deal with the whole messages in `held`; return how many they are and how many bytes they take."""
        start = count = 0
        end = len(held)
        while end - start >= wire.HEADER.size and self.state != DEAD_DISPATCHER:
            version, kind, length, xid = wire.HEADER.unpack_from(held, start)
            if length < wire.HEADER.size:
                raise WireError(f"a message of {length} bytes")
            if end - start < length:
                break
            raw = bytes(held[start : start + length])
            start += length
            count += 1
            if version != wire.VERSION or not self.on_message(self, kind, xid, raw):
                self._leave_to_ryu(version, kind, xid, raw)
        return count, start

    def _leave_to_ryu(self, version: int, kind: int, xid: int, raw: bytes) -> None:
        if kind == MessageType.MULTIPART_REPLY and raw[8:10] == _GROUP_DESC:
            return  # it came before its time, and of all replies this is the one that Ryu's parser reads wrongly
        msg = ofproto_parser.msg(self, version, kind, len(raw), xid, bytearray(raw))
        if not msg:
            return
        event = ofp_event.ofp_msg_to_ev(msg)
        self.ofp_brick.send_event_to_observers(event, self.state)
        for handler in self.ofp_brick.get_handlers(event):
            if self.state in handler.callers[event.__class__].dispatchers:
                handler(event)
