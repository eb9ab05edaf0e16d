"""`python -m bench.fakes SOCKET NODES`: a process full of fake switches, each connecting from its node's own address.

NODES is a JSON file: a list of {"number", "dpid", "ports": {NUMBER: NAME}}. What one says is in `fake_switch`.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

from bench.fake_switch import FakeSwitch
from bench.ground import OPENFLOW_PORT, entrance, underlay
from bench.loop import Connection, Loop


class Fakes:
    """All fake switches of the process, by the number of their node; its `do_` methods are its commands."""

    def __init__(self, loop: Loop, nodes: list[dict[str, Any]]) -> None:
        self._loop = loop
        self._switches = {
            node["number"]: FakeSwitch(node["dpid"], {int(port): name for port, name in node["ports"].items()})
            for node in nodes
        }
        self._connections: dict[int, Connection] = {}

    def do_connect(self, port: int = OPENFLOW_PORT) -> int:
        """Connect all that are not connected; how many that were."""
        missing = [number for number in self._switches if number not in self._connections]
        for number in missing:
            self._connect(number, port)
        return len(missing)

    def do_disconnect(self) -> None:
        """End all connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def do_flow_counts(self) -> dict[int, int]:
        """How many flows each has, by the number of its node."""
        return {number: len(switch.flows) for number, switch in self._switches.items()}

    def do_remove_ports(self, ports: list[tuple[int, int]]) -> None:
        """Remove ports (number of the node, of the port), and tell the controller where one is connected."""
        for number, port in ports:
            message = self._switches[number].remove_port(port)
            if number in self._connections:
                self._connections[number].send(message)

    def _connect(self, number: int, port: int) -> None:
        switch = self._switches[number]
        stream = socket.create_connection((str(entrance(number)), port), 5, (str(underlay(number)), 0))
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def received(connection: Connection, data: bytes) -> None:
            if data:
                connection.send(switch.receive(data))
            elif self._connections.get(number) is connection:
                del self._connections[number]

        self._connections[number] = Connection(self._loop, stream, received)
        self._connections[number].send(switch.connect())


def main() -> None:
    """Serve until killed."""
    path, nodes = sys.argv[1:]
    loop = Loop()
    loop.obey(path, Fakes(loop, json.loads(Path(nodes).read_text())))
    loop.run()


if __name__ == "__main__":
    main()
