"""The guard: pods reach no tunnel, OpenFlow, OVSDB or REST port of a node or a controller.

A VXLAN packet that a pod sends to a node would arrive there with a node's source address: it would be believed.
Ports are matched only after the destination is known to be a guarded address, so that no other packet's
megaflow is split by port numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey, families, of_each_node
from topology.fields import ETH_TYPE, IP_PROTO, TRANSPORT
from topology.flow import DROP, Flow, at, goto, load, match_fields
from topology.matches import in_space, to_address
from topology.model import SHARED_SPACE, TUN_OFPORT, Address, Cluster, Node
from topology.pipeline import OUTPUT_PORT, Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.GUARD

# Subjects: the guarded ports (one per node), and every guarded address, whoever has it: the subject is the match.
_PORTS: Final[SubjectKey] = ("ports",)


def subjects(node: str, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """The ports; guarded addresses are common."""
    return (_PORTS,) if node in snapshot.nodes else ()


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterable[Flow]:
    """Send what goes to a guarded address to the guard, and let the guard drop guarded ports."""
    this = snapshot.nodes.get(node)
    if this is None:
        return ()
    return _guard(this, snapshot.cluster) if subject == _PORTS else common_flows(subject, snapshot)


def common_subjects(snapshot: Snapshot) -> Iterator[SubjectKey]:
    """Each address of a node or controller."""
    for address in {*snapshot.node_by_underlay, *snapshot.cluster.control_plane}:
        yield ("address", str(address))


def common_flows(subject: SubjectKey, snapshot: Snapshot) -> Iterable[Flow]:
    """What a guarded address puts on each node, its own among them."""
    address = ip_address(str(subject[1]))
    if not _is_guarded(address, snapshot):
        return ()
    return (at(pipeline.ROUTE_GUARDED, to_address(address, in_space(SHARED_SPACE)), (goto(Table.NODE_GUARD),)),)


def touched(change: Change, snapshot: Snapshot) -> Iterable[Section]:
    """The cluster's settings concern every node; a node only itself."""
    return of_each_node(_PORTS, change, snapshot)


def common_touched(change: Change, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """Addresses that appear or go."""
    for side in (change.before, change.after):
        match side:
            case Cluster(control_plane=addresses):
                for address in addresses:
                    yield ("address", str(address))
            case Node(underlay=underlay):
                yield ("address", str(underlay))


def absent(node: str) -> Iterable[SubjectKey]:
    """Nothing is absent: a node's own address is guarded on it too."""
    return ()


def _is_guarded(address: Address, snapshot: Snapshot) -> bool:
    return address in snapshot.node_by_underlay or address in snapshot.cluster.control_plane


def _guard(this: Node, cluster: Cluster) -> Iterator[Flow]:
    for gateway in this.gateways:
        terms = to_address(gateway, in_space(SHARED_SPACE))
        yield at(pipeline.LOCAL_GATEWAY, terms, (goto(Table.NODE_GUARD),))
    ports = {"TCP": cluster.guarded_tcp_ports, "UDP": cluster.guarded_udp_ports}
    for kind in families(cluster):
        for protocol, numbers in ports.items():
            number, _, destination = TRANSPORT[protocol]
            for port in numbers:
                terms = match_fields((ETH_TYPE, kind.eth_type), (IP_PROTO, number), (destination, port))
                yield at(pipeline.GUARDED_PORT, terms, DROP)
    yield at(pipeline.GUARD_PASS, (), (load(OUTPUT_PORT, TUN_OFPORT), goto(Table.OUTPUT)))
