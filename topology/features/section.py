"""What features say about sections: (node, subject) pairs. Nothing of any one feature belongs here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from topology.fields import Family, family
from topology.model import Cluster, Node
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
