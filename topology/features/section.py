"""What features say about sections: (node, subject) pairs. Nothing of any one feature belongs here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from topology.fields import Family, family
from topology.model import Cluster, Network, Node
from topology.snapshot import Change, Snapshot

# What a feature calls its subject by: strings and numbers, of one shape per feature, so that keys can be ordered.
SubjectKey: TypeAlias = tuple[str | int, ...]
WHOLE_NODE: SubjectKey = ()


class Section(NamedTuple):
    """The flows of one subject on one node."""

    node: str
    subject: SubjectKey


def families(cluster: Cluster) -> tuple[Family, ...]:
    """Return the address families the cluster has addresses of."""
    return tuple(family(version) for version in sorted({cidr.version for cidr in cluster.cluster_cidrs}))


def of_each_node(subject: SubjectKey, change: Change, snapshot: Snapshot) -> Iterable[Section]:
    """Name what a change touches of a subject that stands once on each node and follows the node and the settings."""
    match change.subject:
        case Cluster():
            return on_every_node(subject, snapshot)
        case Node(name=name):
            return (Section(name, subject),)
        case _:
            return ()


def on_every_node(subject: SubjectKey, snapshot: Snapshot) -> Iterator[Section]:
    """Name the sections of one subject on all nodes."""
    for name in snapshot.nodes:
        yield Section(name, subject)


def nodes_reaching(network: str, snapshot: Snapshot) -> set[str]:
    """Return the nodes that have ports of a network or of one connected to it."""
    names = (network, *snapshot.peers.get(network, {}))
    return {node for name in names for node in snapshot.hosts.get(name, {})}


def is_reaching(node: str, network: str, snapshot: Snapshot) -> bool:
    """Whether a node is one of `nodes_reaching`: asked for one node, this costs no walk over all."""
    names = (network, *snapshot.peers.get(network, {}))
    return any((node, name) in snapshot.hosted for name in names)


def networks_within_reach(node: str, snapshot: Snapshot) -> set[str]:
    """Return the networks that have ports on a node, and those connected to them."""
    here: Iterable[str] = snapshot.hosting.get(node, {})
    return {*here, *(peer for network in here for peer in snapshot.peers.get(network, {}))}


def has_other_range(change: Change) -> bool:
    """Whether the change of a network is one of its ranges or of its address space."""
    before, after = (
        (side.space, side.subnets) if isinstance(side, Network) else None for side in (change.before, change.after)
    )
    return before != after
