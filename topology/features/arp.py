"""ARP is answered by flows, per address space, and never flooded.

Every MAC is derived from its IPv4 address (`model.mac_of`), so one flow answers for a whole prefix: it copies the
address asked for into the answer's MAC. The answer tells nothing about who exists. Probes from 0.0.0.0
(RFC 5227, 2.1.1) do not come here: POD_INGRESS lets only requests with the port's own address through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import pipeline
from topology.answering import ANSWER
from topology.features.section import Section, SubjectKey, has_other_range
from topology.fields import ARP_OP, ARP_TPA, ETH_ARP, ETH_TYPE
from topology.flow import Flow, at, match_fields
from topology.matches import in_space, masked
from topology.model import SHARED_SPACE, Cluster, Hosting, Network, Node, Prefix
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.ARP

_SHARED: Final = ""  # no network is called so


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The address spaces of networks with subnets that have ports on the node; the shared one is common."""
    if node in snapshot.nodes:
        for name in snapshot.hosting.get(node, {}):
            yield (name,)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Answer for each prefix of the space."""
    if node not in snapshot.nodes:
        return
    name = str(subject[0])
    network = snapshot.networks.get(name)
    if name == _SHARED:
        yield from common_flows(subject, snapshot)
    elif network is not None and (node, name) in snapshot.hosted:
        yield from _answers(network.space, tuple(subnet.cidr for subnet in network.subnets))


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A node concerns only itself; a network the nodes that have ports of it."""
    match change.subject:
        case Hosting(node=node, network=network):
            yield Section(node, (network,))
        case Network(name=name) if has_other_range(change):
            for node in snapshot.hosts.get(name, {}):
                yield Section(node, (name,))
        case Node(name=name):
            for subject in subjects(name, snapshot):
                yield Section(name, subject)


def common_subjects(snapshot: Snapshot) -> Iterable[SubjectKey]:
    """The shared address space."""
    return ((_SHARED,),)


def common_flows(subject: SubjectKey, snapshot: Snapshot) -> Iterable[Flow]:
    """Answer for all that is in the cluster."""
    return _answers(SHARED_SPACE, snapshot.cluster.cluster_cidrs)


def common_touched(change: Change, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """The cluster's settings concern it."""
    return ((_SHARED,),) if isinstance(change.subject, Cluster) else ()


def absent(node: str) -> Iterable[SubjectKey]:
    """Nothing is absent anywhere."""
    return ()


def _answers(space: int, cidrs: tuple[Prefix, ...]) -> Iterator[Flow]:
    for cidr in cidrs:
        if cidr.version == 4:
            terms = match_fields((ETH_TYPE, ETH_ARP), (ARP_OP, 1), (ARP_TPA, masked(cidr)), in_space(space))
            yield at(pipeline.ARP_ANSWER, terms, ANSWER)
