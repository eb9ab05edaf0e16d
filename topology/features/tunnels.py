"""Tunnels: from which VTEPs packets are believed, and to which VTEP another node's subnet is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey, families
from topology.fields import ETH_DST, ETH_SRC, ETH_TYPE, TUNNEL_ID, family
from topology.flow import Flow, at, copy, goto, match_fields
from topology.matches import in_space, to_prefix
from topology.model import SHARED_SPACE, Cluster, Node
from topology.pipeline import BY_SERVICE, SERVICE_MAC, SOURCE_VNID, SPACE, SPACE_BITS, SPACE_MAC, VNID_BITS, Table
from topology.snapshot import Change, Snapshot
from topology.tunnelling import to_vtep

ID: Final = pipeline.FeatureId.TUNNELS

_UPPER: Final = 0xFFFF_FF00_0000  # of a MAC, what is before the 24 bits that carry a number
_SERVICE_OR_EGRESS: Final = 0xFFFE_0000_0000  # what SERVICE_MAC and EGRESS_MAC have in common


def subjects(node: str, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """None: what it has is common to all nodes."""
    return ()


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Believe the peer's VTEP towards this node's subnets; send to the peer's subnets by its VTEP."""
    if node in snapshot.nodes and node != subject[0]:
        yield from common_flows(subject, snapshot)


def common_subjects(snapshot: Snapshot) -> Iterator[SubjectKey]:
    """Every node: each is a peer to all others."""
    for name in snapshot.nodes:
        yield (name,)


def common_flows(subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """What a peer puts on each of the other nodes, the same on all."""
    peer = snapshot.nodes.get(str(subject[0]))
    if peer is None:
        return
    outer = family(peer.underlay.version)
    vtep = int(peer.underlay)
    # What both inner MACs of ours begin with: the low bits of any other would be taken for a space or a service.
    ours = ((ETH_DST, (SPACE_MAC, _UPPER)), (ETH_SRC, (SERVICE_MAC, _SERVICE_OR_EGRESS)))
    for kind in families(snapshot.cluster):
        terms = match_fields((ETH_TYPE, kind.eth_type), (outer.tunnel_source, vtep), *ours)
        tags = (
            copy(TUNNEL_ID, SOURCE_VNID, VNID_BITS),
            copy(ETH_DST, SPACE, SPACE_BITS),
            copy(ETH_SRC, BY_SERVICE, VNID_BITS),
        )
        yield at(pipeline.TUNNEL_PEER, terms, (*tags, goto(Table.SERVICE_REPLIES)))
    for subnet in peer.subnets:
        yield at(pipeline.TUNNEL_ROUTE, to_prefix(subnet, in_space(SHARED_SPACE)), to_vtep(peer.underlay))


def touched(change: Change, snapshot: Snapshot) -> Iterable[Section]:
    """Nothing of a single node."""
    return ()


def common_touched(change: Change, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """A node, as the peer that it is to all others; the cluster's families are what all of them are believed in."""
    match change.subject:
        case Node(name=name):
            yield (name,)
        case Cluster():
            yield from common_subjects(snapshot)


def absent(node: str) -> Iterable[SubjectKey]:
    """No node is a peer of its own."""
    return ((node,),)
