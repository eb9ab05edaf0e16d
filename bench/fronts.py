"""`python -m bench.fronts SOCKET NODES`: a process that stands between real bridges and the controller.

Every message passes as it is. Two things are gained: each bridge connects from its own node's address at the moment it
is told to (Open vSwitch would wait out its back-off), and a port's message can be put into the stream although no port
was made. Open vSwitch, when it has made a port, goes on reconfiguring for milliseconds before it reads OpenFlow again,
which would hide the microseconds that are to be compared. The hop costs every contender the same.

NODES is a JSON file: a list of {"number", "bridge": path of the bridge's management socket}.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

from bench.commands import Later
from bench.fake_switch import port_status
from bench.framing import whole_messages
from bench.ground import OPENFLOW_PORT, entrance, underlay
from bench.loop import Connection, Loop
from ryu_apps.openflow.decode import PORT_ADDED, PORT_DELETED, bundle_reply
from ryu_apps.openflow.wire import MessageType


class Front:
    """One bridge's two connections, and who waits for its next commit reply."""

    def __init__(self, loop: Loop, number: int, bridge: str, port: int) -> None:
        self.awaited: Later | None = None
        self._held = bytearray()
        near = socket.socket(socket.AF_UNIX)
        near.connect(bridge)
        far = socket.create_connection((str(entrance(number)), port), 5, (str(underlay(number)), 0))
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._bridge = Connection(loop, near, self._from_bridge)
        self._controller = Connection(loop, far, self._from_controller)

    def inject(self, message: bytes) -> None:
        """Say something in the bridge's name, between two messages of its own."""
        self._controller.send(message)

    def close(self) -> None:
        """End both connections."""
        self._bridge.close()
        self._controller.close()

    def _from_controller(self, _: Connection, data: bytes) -> None:
        if data:
            self._bridge.send(data)
        else:
            self._bridge.close()

    def _from_bridge(self, _: Connection, data: bytes) -> None:
        if not data:
            self._controller.close()
            return
        self._held += data
        found = list(whole_messages(self._held))
        self._controller.send(b"".join(raw for _, _, raw in found))
        if any(kind == MessageType.BUNDLE_CONTROL and bundle_reply(raw).committed for kind, _, raw in found):
            self._committed()

    def _committed(self) -> None:
        if self.awaited is not None:
            awaited, self.awaited = self.awaited, None
            awaited.send(True)


class Fronts:
    """All fronts of the process, by the number of their node; its `do_` methods are its commands."""

    def __init__(self, loop: Loop, nodes: list[dict[str, Any]]) -> None:
        self._loop = loop
        self._bridges = {node["number"]: node["bridge"] for node in nodes}
        self._fronts: dict[int, Front] = {}

    def do_connect(self, port: int = OPENFLOW_PORT, most: int | None = None) -> int:
        """Connect bridges that are not connected, `most` of them at most, to `port`; how many are connected then."""
        missing = [number for number in self._bridges if number not in self._fronts]
        for number in missing[:most]:
            self._fronts[number] = Front(self._loop, number, self._bridges[number], port)
        return len(self._fronts)

    def do_disconnect(self) -> None:
        """End all connections."""
        for front in self._fronts.values():
            front.close()
        self._fronts.clear()

    def do_port(self, number: int, ofport: int, name: str, gone: bool) -> Later:
        """Say that a port came or went; the answer comes when the bridge has committed what followed from it."""
        front = self._fronts[number]
        front.awaited = Later()
        front.inject(port_status(PORT_DELETED if gone else PORT_ADDED, ofport, name))
        return front.awaited


def main() -> None:
    """Serve until killed."""
    path, nodes = sys.argv[1:]
    loop = Loop()
    loop.obey(path, Fronts(loop, json.loads(Path(nodes).read_text())))
    loop.run()


if __name__ == "__main__":
    main()
