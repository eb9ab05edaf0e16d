"""A pod's addition as a node sees it, from asking for the port until all that is concerned is done; Heddle beside OVN.

Here a real port is made in the database of the node's switch, so Open vSwitch's own reconfiguration is in both figures.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.cpu import Programs
from bench.dummies import PortDatabase
from bench.ovn import Ovn
from bench.pods import WrongEndError
from bench.rigs import ControllerRig
from bench.world import host_interface, network_name, report

_SETTLE = 0.05  # seconds for what goes on after the answer: it is CPU time of the addition too
_FIRST_HOST = 100


@dataclass(frozen=True, slots=True)
class WholeRound:
    """Additions: seconds of each, and CPU-milliseconds of all by program."""

    seconds: tuple[float, ...]
    cpu_ms: dict[str, float]


class HeddleWhole:
    """Report the pod over REST, make the port, and wait until the controller says that its flows are in the switch."""

    def __init__(self, rig: ControllerRig, count: int) -> None:
        self._rig = rig
        self._count = count
        self._databases = [PortDatabase(switches) for switches in rig.site.switches]

    def __call__(self, number: int) -> WholeRound:
        """Add the pods of round `number`, measured, and remove them."""
        programs = self._rig.programs()
        before = programs.read()
        done = [self._add(node, name) for node, name in _names(number, self._count, len(self._databases))]
        time.sleep(_SETTLE)
        spent = programs.read().since(before)
        for node, path, row, _ in done:
            self._databases[node - 1].remove(f"br{node}", row)
            self._databases[node - 1].settled()
            self._rig.controller.wait_gone(path)
        return WholeRound(tuple(seconds for *_, seconds in done), spent)

    def _add(self, node: int, name: str) -> tuple[int, str, str, float]:
        controller, database = self._rig.controller, self._databases[node - 1]
        request = report(node, name, network_name(node % self._rig.site.size.plan.networks))
        key = request.key
        path = f"/v1/nodes/{key.node}/ports/{key.container}/{key.interface}"
        body = {"project": request.project, "pod": request.pod, "host_interface": request.host_interface}
        began = time.perf_counter()
        controller.put_port(path, body)
        database.add(f"br{node}", request.host_interface, {"heddle-container": key.container})
        found = controller.ask(f"{path}?wait=10")
        seconds = time.perf_counter() - began
        if found["phase"] != "Committed":
            raise WrongEndError(f"port {key} is {found['phase']}: {found.get('reason')}")
        return node, path, database.settled(), seconds


class OvnWhole:
    """Make the port, add the logical one, and wait until all chassis have its flows (`--wait=hv`)."""

    def __init__(self, ovn: Ovn, count: int) -> None:
        self._ovn = ovn
        self._count = count
        self._databases = [PortDatabase(switches) for switches in ovn.switches]
        self._hosts = 0

    def __call__(self, number: int) -> WholeRound:
        """Add the pods of round `number`, measured, and remove them."""
        programs = Programs(self._ovn.pids())
        before = programs.read()
        done = [self._add(node, name) for node, name in _names(number, self._count, len(self._databases))]
        time.sleep(_SETTLE)
        spent = programs.read().since(before)
        for node, name, row, _ in done:
            self._ovn.remove_port(name)
            self._databases[node - 1].remove("br-int", row)
            self._databases[node - 1].settled()
        return WholeRound(tuple(seconds for *_, seconds in done), spent)

    def _add(self, node: int, pod: str) -> tuple[int, str, str, float]:
        name, flows = host_interface(node, pod), self._ovn.flow_count(node)
        self._hosts = (self._hosts + 1) % 100
        began = time.perf_counter()
        database = self._databases[node - 1]
        database.add("br-int", name, {"iface-id": name})
        self._ovn.add_port(node % 10, name, node << 8 | _FIRST_HOST + self._hosts)
        seconds = time.perf_counter() - began
        row = database.settled()
        if self._ovn.flow_count(node) <= flows:
            raise WrongEndError(f"chassis {node} has no more flows than before port {name}")
        return node, name, row, seconds


def _names(number: int, count: int, nodes: int) -> Iterator[tuple[int, str]]:
    """The pods of a round: in turn on the nodes, another one first in each round."""
    for position in range(count):
        yield (number * count + position) % nodes + 1, f"w{number}x{position}"
