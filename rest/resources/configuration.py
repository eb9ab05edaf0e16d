"""What a node is told about itself: how to set itself up, and whether it can take pods."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from rest.asked import LongPoll
from rest.control import Published
from rest.lookup import known
from rest.options import Options
from rest.problems import NOT_READY, Problem
from rest.routing import Access, Answer, Answerer, Call, Empty, Route
from rest.shapes import Configuration, DoorView, HealthView, LocalPortView, NodePortsView, Readiness
from rest.views import gateways, is_programmed
from topology.allocation import free_addresses
from topology.doors import Door, Health, LocalPort, doors, health, local_ports
from topology.encapsulation import Encapsulation, overhead
from topology.model import HAIRPIN, NODE_PORTS, Cluster, Node
from topology.multicast import listening
from topology.snapshot import held_by

BRIDGE: Final = "br0"


def configuration(call: Call[LongPoll, Empty]) -> Answer:
    """How a node is to be set up; with `after` and `wait`, as soon as it is another way."""
    name, control, query = call.where["node"], call.control, call.query
    found = control.wait(name, _News(call), query.wait)
    if isinstance(found, Configuration):
        return Answer(200, found)
    published = control.published
    return Answer(200, _configuration(published, known(published.snapshot.nodes, "node", name), call.options))


class _News:
    """Asked at each publication: returns a configuration the caller does not have, None when there is none yet.

    False stands for a node that does not exist. Most publications are about pods; they cost a few comparisons.
    """

    def __init__(self, call: Call[LongPoll, Empty]) -> None:
        self._name = call.where["node"]
        self._after = call.query.after
        self._options = call.options
        self._seen: tuple[object, ...] | None = None
        self._listening: tuple[str, ...] = ()

    def __call__(self, published: Published) -> Configuration | bool | None:
        snapshot = published.snapshot
        node = snapshot.nodes.get(self._name)
        if node is None:
            return False
        programmed = is_programmed(published, self._name)
        replicas = published.replicas.living
        near = snapshot.near.get(self._name)
        listens = listening(self._name, snapshot)
        if listens != self._listening:
            self._listening = listens
        sources = (
            snapshot.nodes,
            snapshot.cluster,
            snapshot.services_outside,
            near,
            snapshot.held,
            self._listening,
            replicas,
            programmed,
        )
        if self._seen is not None and all(new is old for new, old in zip(sources, self._seen, strict=True)):
            return None
        self._seen = sources
        found = _configuration(published, node, self._options)
        return None if found.revision == self._after else found


def readiness(call: Call[Empty, Empty]) -> Answer:
    """Whether pods can be attached to a node."""
    published = call.control.published
    name = known(published.snapshot.nodes, "node", call.where["node"]).name
    subject = f'node "{name}"'
    if not is_programmed(published, name):
        status = published.switches.get(name)
        phase = status.phase.value if status else "Away"
        remedy = "look at heddle-node on it, and at GET /v1/switches"
        raise Problem(NOT_READY, subject, f"its switch does not have its flows (phase {phase})", remedy)
    free = free_addresses(published.snapshot, name)
    if free == 0:
        cause, remedy = "no address of its subnets is free", "remove pods from it, or use another node"
        raise Problem(NOT_READY, subject, cause, remedy)
    return Answer(200, Readiness(ready=True, free_addresses=free))


def _configuration(published: Published, node: Node, options: Options) -> Configuration:
    snapshot = published.snapshot
    cluster, living = snapshot.cluster, published.replicas.living
    others = (other.underlay for other in snapshot.nodes.values() if other.name != node.name)
    peers = sorted(others, key=lambda peer: (peer.version, int(peer)))
    unnumbered = Configuration(
        revision=0,
        node=node.name,
        bridge=BRIDGE,
        datapath_id=f"{node.dpid:016x}",
        underlay=str(node.underlay),
        gateways=gateways(node),
        cluster_cidrs=tuple(map(str, cluster.cluster_cidrs)),
        service_cidrs=tuple(map(str, cluster.service_cidrs)),
        hairpin=tuple(str(HAIRPIN[version]) for version in _versions(cluster)),
        node_ports=_node_ports(cluster),
        external=tuple(map(_door, doors(snapshot))),
        local=tuple(map(_local_port, local_ports(snapshot))),
        health=tuple(map(_health, health(node.name, snapshot))),
        control_plane=tuple(map(str, cluster.control_plane)),
        held=tuple(map(str, held_by(node.name, snapshot))),
        multicast=listening(node.name, snapshot),
        mtu_overhead=overhead(Encapsulation.VXLAN, node.underlay.version),
        controllers=tuple(replica.openflow for replica in living) or options.controllers,
        api=tuple(replica.api for replica in living),
        peers=tuple(map(str, peers)),
        guarded_tcp_ports=cluster.guarded_tcp_ports,
        guarded_udp_ports=cluster.guarded_udp_ports,
        programmed=is_programmed(published, node.name),
    )
    return msgspec.structs.replace(unnumbered, revision=_digest(unnumbered))


def _versions(cluster: Cluster) -> tuple[int, ...]:
    return tuple(sorted({cidr.version for cidr in cluster.cluster_cidrs}))


def _node_ports(cluster: Cluster) -> NodePortsView | None:
    offered = cluster.node_ports
    if offered is None:
        return None
    prefixes = tuple(str(NODE_PORTS[version]) for version in _versions(cluster))
    return NodePortsView(first=offered.first, last=offered.last, prefixes=prefixes)


def _door(door: Door) -> DoorView:
    return DoorView(
        address=str(door.address),
        protocol=door.protocol,
        port=door.port,
        service=str(door.service),
        node_port=door.node_port,
        sources=None if door.sources is None else tuple(map(str, door.sources)),
    )


def _local_port(port: LocalPort) -> LocalPortView:
    service, protocol, number, node_port = port
    return LocalPortView(service=str(service), protocol=protocol, port=number, node_port=node_port)


def _health(health: Health) -> HealthView:
    project, name = health.service
    return HealthView(port=health.port, project=project, service=name, endpoints=health.endpoints)


def _digest(content: Configuration) -> int:
    """Return a number for a configuration's content: equal after a restart, and from every controller."""
    return int.from_bytes(blake2b(msgspec.json.encode(content), digest_size=6).digest(), "big")


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/v1/nodes/{node}/configuration",
        "How a node is to be set up; with after and wait, as soon as that changes",
        configuration,
        Access.NODE,
        answers={200: Configuration},
        refusals=frozenset({404}),
        by=Answerer.NODE,
    ),
    Route(
        "GET",
        "/v1/nodes/{node}/readiness",
        "Whether pods can be attached to a node",
        readiness,
        Access.NODE,
        answers={200: Readiness},
        refusals=frozenset({404, 503}),
        by=Answerer.NODE,
    ),
)
