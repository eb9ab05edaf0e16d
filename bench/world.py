"""The network of a benchmark as a store file: nodes, networks and pods that are there before the first measurement.

Written through the same admission and store as everything else, in one transaction instead of thousands of requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from zlib import crc32

from bench.ground import underlay
from store.sqlite import SqliteStore
from topology.admission import admit
from topology.model import Cluster, Port, PortKey
from topology.requests import CreateNetwork, CreateNode, JoinNetworks, PortSeen, ReportPort, Request, SetCluster
from topology.snapshot import Event, Snapshot, apply_all, empty

FIRST_POD_PORT = 3  # 1 is vxlan0, 2 is tun0
FLOWS_OF_A_POD = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """How large: nodes, networks (each with a project of its name), and pods on each node, spread over the networks."""

    nodes: int
    networks: int = 10
    pods: int = 20


def node_name(number: int) -> str:
    """The name of node `number` (from 1)."""
    return f"n{number}"


def network_name(number: int) -> str:
    """The name of network `number` (from 0), and of its project."""
    return f"net{number}"


def seed(path: Path, plan: Plan) -> Snapshot:
    """Make a store file for `plan`, and return what is in it. The nodes' datapath ids are their numbers."""
    draft = Draft()
    draft.plan(plan)
    draft.write(path)
    return draft.snapshot


def seed_pairs(path: Path, nodes: int, sizes: Sequence[int], networks: int) -> Snapshot:
    """Make a store file with two networks of each size in pods, `pair_names`, and others with a pod each.

    `networks`: how many in all. Each network's pods are spread over the nodes, the first on node 1.
    """
    draft = Draft()
    for number in range(1, nodes + 1):
        draft.request(CreateNode(node_name(number), underlay(number), number))
    pods = {name: size for size in sizes for name in pair_names(size)}
    pods |= {network_name(number): 1 for number in range(networks - len(pods))}
    for name, count in pods.items():
        draft.request(CreateNetwork(name, projects=(name,)))
        for pod in range(count):
            place = pod if count > 1 else crc32(name.encode())
            draft.request(report(place % nodes + 1, f"{name}-{pod}", name))
    draft.write(path)
    return draft.snapshot


def pair_names(size: int) -> tuple[str, str]:
    """The names of the two networks of `size` pods."""
    return f"a{size}", f"b{size}"


def report(node: int, pod: str, project: str) -> ReportPort:
    """The report of a pod on a node; the pod's name is unique there."""
    key = PortKey(node_name(node), f"{node}-{pod}", "eth0")
    return ReportPort(key, project, f"{pod}-{node}", host_interface(node, pod))


def host_interface(node: int, pod: str) -> str:
    """The name of a pod's port on its switch: unique on the machine, as dummy devices share one name space."""
    return f"v{node}-{pod}"


def interfaces(snapshot: Snapshot, number: int) -> list[str]:
    """The names of the pods' ports on a node, in order of their reports."""
    ports: list[Port] = [snapshot.ports[key] for key in snapshot.ports_on.get(node_name(number), ())]
    return [port.host_interface for port in sorted(ports, key=lambda port: int(port.addresses[0]))]


def spread(nodes: int, networks: int, pods: int, connections: int = 0) -> Snapshot:
    """Nodes with `pods` each, whose ports their switches have, over all networks in turn; neighbours are connected."""
    draft = Draft()
    for number in range(1, nodes + 1):
        draft.request(CreateNode(node_name(number), underlay(number), number))
    for number in range(networks):
        draft.request(CreateNetwork(network_name(number), projects=(network_name(number),)))
    for position in range(nodes * pods):
        number, pod = position // pods + 1, position % pods
        asked = report(number, f"p{pod}", network_name(position % networks))
        draft.request(asked)
        draft.request(PortSeen(node_name(number), asked.host_interface, FIRST_POD_PORT + pod))
    for number in range(connections):
        draft.request(JoinNetworks(network_name(number), network_name((number + 1) % networks)))
    return draft.snapshot


def crowded_node(cluster: IPv4Network, pods: int, networks: int = 100) -> Snapshot:
    """One node, n1, whose subnet is half of `cluster`, with many pods whose ports its switch has."""
    draft = Draft()
    draft.request(SetCluster(Cluster(cluster_cidrs=(cluster,), node_prefix=cluster.prefixlen + 1)))
    draft.request(CreateNode(node_name(1), underlay(1), 1))
    for number in range(networks):
        draft.request(CreateNetwork(network_name(number), projects=(network_name(number),)))
    for pod in range(pods):
        asked = report(1, f"p{pod}", network_name(pod % networks))
        draft.request(asked)
        draft.request(PortSeen(node_name(1), asked.host_interface, FIRST_POD_PORT + pod))
    return draft.snapshot


def with_ports(snapshot: Snapshot) -> Snapshot:
    """Let the switches have the pods' ports, with the numbers that a benchmark's bridges give them."""
    for number in range(1, len(snapshot.nodes) + 1):
        for position, interface in enumerate(interfaces(snapshot, number)):
            seen = PortSeen(node_name(number), interface, FIRST_POD_PORT + position)
            snapshot, _ = apply_all(snapshot, admit(snapshot, seen))
    return snapshot


class Draft:
    """A network that is being made, request by request."""

    def __init__(self) -> None:
        self.snapshot = empty()
        self._events: list[Event] = []

    def plan(self, plan: Plan) -> None:
        """Let there be the nodes, networks and pods of a plan. The nodes' datapath ids are their numbers."""
        for number in range(1, plan.nodes + 1):
            self.request(CreateNode(node_name(number), underlay(number), number))
        for number in range(plan.networks):
            self.request(CreateNetwork(network_name(number), projects=(network_name(number),)))
        for number in range(1, plan.nodes + 1):
            for pod in range(plan.pods):
                self.request(report(number, f"p{pod}", network_name(pod % plan.networks)))

    def request(self, request: Request) -> None:
        """Let that be done."""
        events = admit(self.snapshot, request)
        self.snapshot, _ = apply_all(self.snapshot, events)
        self._events.extend(events)

    def write(self, path: Path) -> None:
        """Make a store file of it, in one transaction."""
        store = SqliteStore(path)
        try:
            store.commit(self._events)
        finally:
            store.close()
