"""Ways that packets take in a laboratory, ours beside those of bare bridges, and what some traffic on one amounts to.

The laboratory has two nodes, with a pod that asks on the first, and on each a pod that answers and one that does so for
a service. These are two: of a connection to a service the switch knows for some time after its end that its endpoint's
answers come from the service, and a connection from the same port to the endpoint itself would get them too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, NamedTuple

from bench.bare import LEAST, NORMAL, TWICE, BareBridges
from bench.cpu import Programs, user_seconds
from bench.datapath import Passed, passed
from bench.loads import EXCHANGE_PORT, IPERF_PORT, Load, Moved, serve
from lab.laboratory import Lab
from lab.namespaces import Namespace
from lab.node import Node
from lab.pod import TCP_RECEIVE, Pod
from lab.state import State

PROJECT: Final = "red"
TAP: Final = "tap"
GENEVE: Final = "Geneve"
_SERVICES: Final[Mapping[str, str]] = {"near": "172.30.255.1", "far": "172.30.255.2"}
_PODS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("client", "near", "near-behind"), "n1"),
    **dict.fromkeys(("far", "far-behind"), "n2"),
}


class Way(NamedTuple):
    """From a namespace to an address; `title` says by whose flows."""

    title: str
    source: Namespace
    address: str


class Course(NamedTuple):
    """Ways from a pod to the same place: Heddle's, by what they are called, and each peer's.

    `others` are the first of ours again: with taps in place of veths, and by Geneve in place of VXLAN.
    """

    title: str
    ours: tuple[Way, ...]
    peers: tuple[Way, ...]
    others: tuple[Way, ...] = ()

    @property
    def ways(self) -> tuple[Way, ...]:
        """All, ours first."""
        return (*self.ours, *self.peers, *self.others)


class Courses(NamedTuple):
    """To the same node, to the other by VXLAN, to the outside.

    On the same node besides: `again`, a peer's way once more, tells how far two figures of the same thing are apart;
    `twice` what one more look at conntrack costs.
    """

    near: Course
    far: Course
    outside: Course
    again: Way
    twice: Way


@dataclass(frozen=True, slots=True)
class Ran:
    """A moment of one kind of traffic on one way: what arrived, and what both nodes' switches did for it."""

    moved: Moved
    cpu_ms: Mapping[str, float]  # by switch
    user_ms: float  # of both, outside the kernel
    passed: tuple[Passed, ...]  # through each switch, the client's first

    @property
    def packets(self) -> int:
        """How many the client's switch took in; what it had no time for is not among them."""
        return self.passed[0].packets

    @property
    def cpu_us(self) -> float:
        """CPU-microseconds of both switches for each of these."""
        return 1000 * sum(self.cpu_ms.values()) / self.packets


class Running:
    """Sends one kind of traffic on one way, time and again."""

    def __init__(self, load: Load, way: Way, nodes: Sequence[Node]) -> None:
        self._load = load
        self._way = way
        self._nodes = nodes
        self._pids = {node.name: int((node.ovs.directory / "ovs-vswitchd.pid").read_text()) for node in nodes}
        self._programs = Programs({f"ovs-vswitchd {name}": (pid,) for name, pid in self._pids.items()})

    def __call__(self, _: int) -> Ran:
        """A moment of it."""
        for node in self._nodes:
            node.ovs_appctl("dpif-netdev/pmd-stats-clear")
        before, user = self._programs.read(), self._user()
        moved = self._load.run(self._way.source, self._way.address)
        spent, used = self._programs.read().since(before), self._user() - user
        found = tuple(passed(node.ovs_appctl("dpif-netdev/pmd-stats-show")) for node in self._nodes)
        return Ran(moved, spent, used * 1000, found)

    def _user(self) -> float:
        return sum(map(user_seconds, self._pids.values()))


class ByGeneve:
    """Sends on a way while both nodes of a laboratory send to each other by Geneve."""

    def __init__(self, running: Running, lab: Lab) -> None:
        self._running = running
        self._lab = lab

    def __call__(self, number: int) -> Ran:
        """A moment of it; after that the nodes send by what the cluster does."""
        self._send_by("geneve")
        try:
            return self._running(number)
        finally:
            self._send_by(None)

    def _send_by(self, encapsulation: str | None) -> None:
        for node in self._lab.nodes:
            self._lab.api.patch(f"/v1/nodes/{node}", {"encapsulation": encapsulation})
        self._lab.settle()


def courses(lab: Lab, state: State, undo: ExitStack) -> Courses:
    """Make pods, services and bare bridges in a laboratory of two nodes, and servers in all that may be asked."""
    first, second = lab.nodes.values()
    lab.network(PROJECT)
    pods = dict(zip(_PODS, lab.pods({f"{PROJECT}/{name}": node for name, node in _PODS.items()}), strict=True))
    client = pods.pop("client").namespace
    taps = _taps(lab)
    tap_client = taps.pop("client").namespace
    for name, address in _SERVICES.items():
        _service(lab, name, address, pods[f"{name}-behind"])
    bare = {kind.bridge: BareBridges(state, kind, (first, second)) for kind in (NORMAL, LEAST, TWICE)}
    lab.outside.namespace.sysctl({"ipv4/tcp_rmem": TCP_RECEIVE})
    peers = [each.pods[host] for each in bare.values() for host in _SERVICES]
    serve([*(pod.namespace for pod in (*pods.values(), *taps.values())), *peers, lab.outside.namespace], undo)
    sides = [(bare[kind.bridge], kind) for kind in (NORMAL, LEAST)]

    def course(title: str, name: str) -> Course:
        ours = Way("pod", client, str(pods[name].address))
        by_service = Way("service", client, _SERVICES[name])
        theirs = tuple(Way(kind.title, each.pods["client"], kind.address(name)) for each, kind in sides)
        tap = Way(TAP, tap_client, str(taps[name].address))
        return Course(title, (ours, by_service), theirs, (tap,))

    out = str(lab.outside.address)
    outside = Course(
        "outside",
        (Way("pod", client, out),),
        tuple(Way(kind.title, each.pods["client"], out) for each, kind in sides),
        (Way(TAP, tap_client, out),),
    )
    twice = Way(TWICE.title, bare[TWICE.bridge].pods["client"], TWICE.address("near"))
    near = course("same node", "near")
    again = near.peers[0]._replace(title=f"{near.peers[0].title} again")
    far = course("VXLAN", "far")
    far = far._replace(others=(*far.others, far.ours[0]._replace(title=GENEVE)))
    return Courses(near, far, outside, again, twice)


def _taps(lab: Lab) -> dict[str, Pod]:
    """Make a pod that asks and two that answer whose interfaces are taps."""
    for node in lab.nodes.values():
        node.runtime.overrides["interface"] = "tap"
    try:
        names = ("client", *_SERVICES)
        made = lab.pods({f"{PROJECT}/{name}-tap": _PODS[name] for name in names})
        return dict(zip(names, made, strict=True))
    finally:
        for node in lab.nodes.values():
            del node.runtime.overrides["interface"]


def _service(lab: Lab, name: str, address: str, pod: Pod) -> None:
    ports = [
        {"name": f"{protocol}-{number}".lower(), "protocol": protocol, "port": number}
        for protocol, number in (("TCP", IPERF_PORT), ("UDP", IPERF_PORT), ("TCP", EXCHANGE_PORT))
    ]
    lab.api.post("/v1/services", {"project": PROJECT, "name": name, "address": address, "ports": ports})
    endpoints = [{"address": str(pod.cluster_address), "node": pod.node.name}]
    body = {"project": PROJECT, "name": f"{name}-1", "service": name, "ports": ports, "endpoints": endpoints}
    lab.api.post("/v1/endpoints", body)
