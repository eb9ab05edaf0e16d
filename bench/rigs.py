"""What one contender of a row runs on: a ground with switches, and something that answers them. No measuring here.

All rigs are alike but for who answers: the controller, a plain socket, or a bare Ryu application.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import workers
from bench.controller import Controller
from bench.cpu import Programs
from bench.dummies import MOST_BRIDGES, Bridge, DummySwitches
from bench.ground import OPENFLOW_PORT, Ground
from bench.tap import Message, Tap
from bench.workers import Worker
from bench.world import FIRST_POD_PORT, Plan, interfaces, seed
from lab.probes import together
from lab.state import State
from topology.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Size:
    """How many switches: the first `real` nodes have a bridge of Open vSwitch, the others a fake.

    `alone`: every bridge has an Open vSwitch of its own and connects itself, as on real nodes; else ten share one, and
    connect through fronts.
    """

    nodes: int
    real: int = MOST_BRIDGES
    pods: int = 20
    alone: bool = False

    @property
    def per_process(self) -> int:
        """Bridges in one ovs-vswitchd."""
        return 1 if self.alone else MOST_BRIDGES

    @property
    def plan(self) -> Plan:
        """The network that goes with it."""
        return Plan(self.nodes, pods=self.pods)


class Site:
    """Switches on a ground: real bridges behind fronts, and fakes. They connect when told to."""

    def __init__(self, state: State, name: str, snapshot: Snapshot, size: Size) -> None:
        self.ground = Ground(state, name)
        self.size = size
        self._undo = ExitStack()
        bridges = [_bridge(snapshot, number) for number in range(1, size.real + 1)]
        namespace, folder, step = self.ground.namespace, self.ground.folder, size.per_process
        self.switches = [
            DummySwitches(namespace, folder(f"ovs{first}"), bridges[first : first + step])
            for first in range(0, size.real, step)
        ]
        together([switches.start for switches in self.switches])
        if size.alone:
            self.ground.open_entrances(range(1, size.real + 1))
        self.fronts = None if size.alone else self._start("bench.fronts", self._fronted())
        fakes = [_fake(snapshot, number) for number in range(size.real + 1, size.nodes + 1)]
        self.fakes = self._start("bench.fakes", fakes) if fakes else None
        self.tap = Tap(namespace)
        self._undo.callback(self.tap.close)

    def connect(self, port: int = OPENFLOW_PORT) -> None:
        """Let all switches connect to `port` of their entrances, at once."""
        for worker in self._workers:
            worker.remote.ask("connect", port=port)
        if self.size.alone:
            for switches in self.switches:
                switches.connect(port)

    def disconnect(self) -> None:
        """End all connections of fronts and fakes."""
        for worker in self._workers:
            worker.remote.ask("disconnect")

    def bridge(self, number: int) -> tuple[DummySwitches, Bridge]:
        """The real bridge of node `number`, and the process it is in."""
        switches = self.switches[(number - 1) // self.size.per_process]
        return switches, switches.bridges[(number - 1) % self.size.per_process]

    def tell_port(self, number: int, ofport: int, name: str, *, gone: bool) -> None:
        """Let the front of node `number` say that a port came or went; return when the bridge has committed."""
        if self.fronts is None:
            raise ValueError("these switches have no fronts")
        self.fronts.remote.ask("port", number=number, ofport=ofport, name=name, gone=gone)

    def flow_count(self, number: int) -> int:
        """How many flows the real bridge of node `number` has."""
        switches, bridge = self.bridge(number)
        return switches.flow_count(bridge)

    def close(self) -> None:
        """End what this process started; the state takes care of the rest."""
        self._undo.close()

    def pids(self) -> dict[str, tuple[int, ...]]:
        """The processes of the switches, by program; the fronts and fakes are called harness."""
        daemons = [switches.pids() for switches in self.switches]
        found = {program: tuple(one[program] for one in daemons) for program in ("ovs-vswitchd", "ovsdb-server")}
        return {**found, "harness": tuple(worker.pid for worker in self._workers)}

    @property
    def _workers(self) -> list[Worker]:
        return [worker for worker in (self.fronts, self.fakes) if worker is not None]

    def _fronted(self) -> list[dict[str, Any]]:
        return [
            {"number": bridge.number, "bridge": str(switches.directory / f"{bridge.name}.mgmt")}
            for switches in self.switches
            for bridge in switches.bridges
        ]

    def _start(self, module: str, nodes: Sequence[dict[str, Any]]) -> Worker:
        file = self.ground.folder("workers") / f"{module}.json"
        file.write_text(json.dumps(nodes))
        worker = workers.python(self.ground, module, str(file))
        self._undo.callback(worker.kill)
        return worker


class ControllerRig:
    """The real controller with its network in the store, and the switches connected and programmed by it."""

    def __init__(self, state: State, name: str, size: Size, make: Callable[[Path], Snapshot] | None = None) -> None:
        """`make` writes the store file; without, it is that of the size's plan."""
        path = state.folder(name, "controller") / "heddle.sqlite"
        self.snapshot = seed(path, size.plan) if make is None else make(path)
        self.site = Site(state, name, self.snapshot, size)
        self.controller = Controller(self.site.ground)

    def start(self) -> list[Message]:
        """Start the controller, connect the switches, and wait until all are programmed.

        Returns what went over the wire while the first ten were: with hundreds it is more than a tap can hold.
        """
        self.controller.start()
        self.site.tap.reset()
        if self.site.fronts is not None:
            connected = self.site.fronts.remote.ask("connect", most=MOST_BRIDGES)
            self.controller.wait_in_sync(connected)
        first = list(self.site.tap.read())
        self.site.connect()
        self.controller.wait_in_sync(self.site.size.nodes)
        self.site.tap.reset()
        return first

    def close(self) -> None:
        """End everything."""
        self.controller.kill()
        self.site.close()

    def programs(self) -> Programs:
        """The processes whose CPU counts."""
        return Programs({"controller": (self.controller.pid,), **self.site.pids()})


class RawRig:
    """Switches that are answered with recorded bytes, by the process that `start_answers` starts."""

    def __init__(
        self, state: State, name: str, snapshot: Snapshot, size: Size, start_answers: Callable[[Ground], Worker]
    ) -> None:
        self.site = Site(state, name, snapshot, size)
        self.answers = start_answers(self.site.ground)

    def close(self) -> None:
        """End everything."""
        self.answers.kill()
        self.site.close()

    def wait_like(self, other: Site, patience: float = 20.0) -> None:
        """Wait until the first real bridges have as many flows as another site's; TimeoutError after `patience` s."""
        numbers = range(1, min(self.site.size.real, MOST_BRIDGES) + 1)
        wanted = [other.flow_count(number) for number in numbers]
        deadline = time.monotonic() + patience
        while (found := [self.site.flow_count(number) for number in numbers]) != wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"bridges have {found} flows, not {wanted}")
            time.sleep(0.05)

    def programs(self) -> Programs:
        """The processes whose CPU counts."""
        return Programs({"answers": (self.answers.pid,), **self.site.pids()})


def plain_answers(ground: Ground) -> Worker:
    """Answers by a plain socket."""
    return workers.python(ground, "bench.plain", "answer")


def ryu_answering(ground: Ground) -> Worker:
    """Answers by a bare Ryu application."""
    return workers.ryu(ground, OPENFLOW_PORT)


def _ports(snapshot: Snapshot, number: int) -> dict[str, int]:
    pods = {name: FIRST_POD_PORT + position for position, name in enumerate(interfaces(snapshot, number))}
    return {f"{number}-vxlan0": 1, f"{number}-tun0": 2, **pods}


def _bridge(snapshot: Snapshot, number: int) -> Bridge:
    return Bridge(number, _ports(snapshot, number))


def _fake(snapshot: Snapshot, number: int) -> dict[str, Any]:
    ports = {ofport: name for name, ofport in _ports(snapshot, number).items()}
    return {"number": number, "dpid": number, "ports": ports}
