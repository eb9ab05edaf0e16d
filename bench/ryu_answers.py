"""`ryu-manager bench.ryu_answers`: what Ryu's own machinery costs. A Ryu application that answers a port's message
with bytes prepared beforehand, over the same connection class as the controller's, and does nothing else.

Settings come by the environment, as stock Ryu knows no flags of ours: BENCH_COMMANDS, the Unix socket for commands, and
BENCH_ASK, to ask every switch that connects for its sentinels, as the controller does first.
"""

from __future__ import annotations

import os
from typing import Any, Final

import eventlet

from ryu_apps import compat  # noqa: F401  # repairs Ryu, so it comes before it

from ryu.base.app_manager import RyuApp  # isort: skip
from ryu.controller import ofp_event  # isort: skip
from ryu.controller.handler import MAIN_DISPATCHER, set_ev_cls  # isort: skip
from ryu.ofproto import ofproto_v1_5  # isort: skip

from bench.answers import ASK, COMMANDS, Answers
from bench.commands import obey
from ryu_apps.openflow import channel, messages
from ryu_apps.openflow.wire import MessageType, MultipartType


class RyuAnswers(RyuApp):
    """Answers ports from a table."""

    OFP_VERSIONS: Final = [ofproto_v1_5.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answers = Answers()
        listener = eventlet.listen(os.environ[COMMANDS], family=eventlet.green.socket.AF_UNIX)
        eventlet.spawn(eventlet.serve, listener, self._obey)
        channel.intercept(self._on_message)

    def _obey(self, stream: Any, _address: Any) -> None:
        with stream.makefile("rwb") as file:
            for line in file:
                obey(line, self._answers, file.write)
                file.flush()

    @set_ev_cls(ofp_event.EventOFPStateChange, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def _connected(self, event: Any) -> None:
        asked = messages.sentinel_request(1) if ASK in os.environ else b""
        prelude = self._answers.prelude(event.datapath.id) or asked
        if prelude:
            event.datapath.send(prelude)

    def _on_message(self, datapath: Any, kind: int, _xid: int, raw: bytes) -> bool:
        if kind == MessageType.PORT_STATUS:
            reply = self._answers.for_port(datapath.id, raw)
            if reply is not None:
                datapath.send(reply)
            return True
        # The sentinels come in the only multipart reply that is not part of the handshake.
        return kind == MessageType.BUNDLE_CONTROL or _is_flows(kind, raw)


def _is_flows(kind: int, raw: bytes) -> bool:
    return kind == MessageType.MULTIPART_REPLY and int.from_bytes(raw[8:10]) == MultipartType.FLOW_DESC
