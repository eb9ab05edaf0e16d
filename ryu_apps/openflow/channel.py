"""Raw messages, taken off Ryu's connection before Ryu parses them. Nothing here reads what is in a message.

Ryu's own loop reads each message in two system calls and parses all of them into objects, which costs more than what
the switch did for them. Here a connection is read in large pieces; what `on_message` takes is not parsed by Ryu at all,
what it leaves (the handshake, echoes) goes Ryu's way. Import `ryu_apps.compat` before this.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, Final

from ryu.controller import controller, ofp_event
from ryu.controller.handler import DEAD_DISPATCHER
from ryu.lib import hub
from ryu.ofproto import ofproto_parser

from ryu_apps.openflow import wire
from ryu_apps.openflow.wire import MessageType, MultipartType, WireError

LOG = logging.getLogger(__name__)

# (datapath, type, xid, whole message) -> whether it is dealt with. Called in the green thread of the connection.
OnMessage = Callable[[Any, int, int, bytes], bool]

_PIECE: Final = 1 << 17  # bytes per read
_PATIENCE: Final = 256  # messages after which other green threads have a turn


def intercept(on_message: OnMessage) -> None:
    """Let every connection that is accepted from now on pass its messages to `on_message` first.

    `on_message` returns whether it has dealt with the message; it must not block. A WireError from it, or a message
    whose length is impossible, ends the connection.
    """

    class Channel(_Channel):
        """A connection of this process."""

        def __init__(self, socket: Any, address: Any) -> None:
            self.on_message = on_message
            super().__init__(socket, address)

    def serve(socket: Any, address: Any) -> None:
        with closing(Channel(socket, address)) as channel:
            channel.serve()

    # Ryu's listener looks this name up when it starts; Datapath itself keeps its name, which its methods refer to.
    controller.datapath_connection_factory = serve


class _Channel(controller.Datapath):
    """Ryu's connection to a switch, with a receive loop of our own."""

    on_message: OnMessage

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
            held += piece
            try:
                done, used = self._take(held)
            except WireError as error:
                LOG.error("switch at %s sent what cannot be read, its connection is closed: %s", self.address, error)
                break
            del held[:used]
            count += done
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
            return  # nobody asked for it; Ryu's parser reads beyond its end
        msg = ofproto_parser.msg(self, version, kind, len(raw), xid, bytearray(raw))
        if not msg:
            return
        event = ofp_event.ofp_msg_to_ev(msg)
        self.ofp_brick.send_event_to_observers(event, self.state)
        for handler in self.ofp_brick.get_handlers(event):
            if self.state in handler.callers[event.__class__].dispatchers:
                handler(event)


_GROUP_DESC: Final = MultipartType.GROUP_DESC.to_bytes(2, "big")
