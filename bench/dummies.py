"""Real switches without packets: one ovs-vswitchd with up to ten bridges on the dummy datapath.

`--enable-dummy=override` replaces every device and datapath by one in memory, so a bridge costs memory and control
messages only. One process may host hundreds, but then each bundle costs more the more bridges there are.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.ground import OPENFLOW_PORT, entrance
from lab.namespaces import Namespace
from lab.ovs import OPENFLOW, OpenVSwitch

MOST_BRIDGES = 10
_PIECE = 1 << 16
_DATABASE = "Open_vSwitch"


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge to be: its node's number, which is its datapath id too, and its ports (ofport by name)."""

    number: int
    ports: Mapping[str, int]

    @property
    def name(self) -> str:
        """Its name: unique on the machine, as dummy devices share one name space."""
        return f"br{self.number}"


class DummyVSwitch(OpenVSwitch):
    """ovsdb-server and ovs-vswitchd in a namespace, with dummy devices and no bridges."""

    def start_switch(self) -> None:
        """Start ovs-vswitchd with dummy devices."""
        self._run(
            "ovs-vswitchd", f"unix:{self.database}", "--enable-dummy=override", "--disable-system", *self._daemon()
        )

    def listen(self, bridge: str, port: int) -> None:
        """Let a bridge be reached by OpenFlow on a port of the namespace's loopback."""
        self.vsctl("set-controller", bridge, f"ptcp:{port}:127.0.0.1")

    def pids(self) -> dict[str, int]:
        """The pids of both daemons, by their names."""
        programs = ("ovsdb-server", "ovs-vswitchd")
        return {program: int((self.directory / f"{program}.pid").read_text()) for program in programs}


class DummySwitches(DummyVSwitch):
    """ovsdb-server and ovs-vswitchd in a namespace, with bridges that have no controller yet."""

    def __init__(self, namespace: Namespace, directory: Path, bridges: Iterable[Bridge]) -> None:
        super().__init__(namespace, directory)
        self.bridges = tuple(bridges)
        if len(self.bridges) > MOST_BRIDGES:
            raise ValueError(f"{len(self.bridges)} bridges in one process, where {MOST_BRIDGES} are the most")

    def start(self) -> None:
        """Start both daemons and make the bridges with their ports."""
        super().start()
        commands: list[str] = []
        for bridge in self.bridges:
            commands += _create(bridge)
        self.vsctl(*commands[1:])

    def connect(self, port: int = OPENFLOW_PORT) -> None:
        """Let every bridge connect to its entrance, all by one transaction."""
        commands: list[str] = []
        for bridge in self.bridges:
            target = f"tcp:{entrance(bridge.number)}:{port}"
            commands += ["--", "set-controller", bridge.name, target]
            commands += ["--", "set", "controller", bridge.name, "max_backoff=1000", "inactivity_probe=30000"]
        self.vsctl("--no-wait", *commands[1:])

    def flow_count(self, bridge: Bridge) -> int:
        """How many flows a bridge has, over all tables."""
        reply = self.ofctl("dump-aggregate", bridge=bridge.name)
        return int(reply.rsplit("flow_count=", 1)[1].split()[0])


class PortDatabase:
    """Adds and removes ports over one OVSDB connection (RFC 7047), as a CNI plugin does; replies are read later."""

    def __init__(self, switches: OpenVSwitch) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(str(switches.database))
        self._held = b""
        self._ids = 0

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def add(self, bridge: str, name: str, identifiers: Mapping[str, str]) -> None:
        """Ask for a port with these external ids; `settled` tells its row."""
        about = {"name": name, "type": "dummy", "external_ids": ["map", [list(item) for item in identifiers.items()]]}
        interface = {"op": "insert", "table": "Interface", "uuid-name": "i", "row": about}
        row = {"name": name, "interfaces": ["named-uuid", "i"]}
        port = {"op": "insert", "table": "Port", "uuid-name": "p", "row": row}
        self._send([interface, port, _mutate(bridge, "insert", ["named-uuid", "p"])])

    def remove(self, bridge: str, row: str) -> None:
        """Ask for a port's removal, by the row that `settled` told."""
        self._send([_mutate(bridge, "delete", ["uuid", row])])

    def settled(self) -> str:
        """Read the reply to what was asked last; the row of the port, if it was an addition."""
        decoder = json.JSONDecoder()
        while True:
            try:
                reply, end = decoder.raw_decode(self._held.decode())
            except ValueError:
                self._held += self._socket.recv(_PIECE)
                continue
            self._held = self._held[end:]
            if reply.get("id") == self._ids:
                return _row_of(reply)

    def _send(self, operations: list[dict[str, Any]]) -> None:
        self._ids += 1
        request = {"method": "transact", "params": [_DATABASE, *operations], "id": self._ids}
        self._socket.sendall(json.dumps(request).encode())


def _row_of(reply: dict[str, Any]) -> str:
    results = reply["result"]
    failed = [result for result in results if result and "error" in result]
    if reply["error"] or failed:
        raise RuntimeError(f"OVSDB refused: {reply['error'] or failed}")
    return str(results[1]["uuid"][1]) if len(results) == 3 else ""


def _mutate(bridge: str, how: str, port: list[str]) -> dict[str, Any]:
    where = [["name", "==", bridge]]
    return {"op": "mutate", "table": "Bridge", "where": where, "mutations": [["ports", how, ["set", [port]]]]}


def _create(bridge: Bridge) -> list[str]:
    name = bridge.name
    commands = ["--", "add-br", name, "--", "set", "bridge", name, "datapath_type=dummy", "fail_mode=secure"]
    commands += [f"protocols={OPENFLOW}", "other_config:disable-in-band=true"]
    commands += [f"other_config:datapath-id={bridge.number:016x}"]
    for port, number in bridge.ports.items():
        commands += ["--", "add-port", name, port]
        commands += ["--", "set", "interface", port, "type=dummy", f"ofport_request={number}"]
    return commands
