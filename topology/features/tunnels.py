"""Tunnels: from which VTEPs packets are believed, and to which VTEP another node's subnet is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey, families
from topology.fields import ETH_DST, ETH_TYPE, TUNNEL_ID, family
from topology.flow import Flow, at, copy, goto, match_fields
from topology.matches import in_space, to_prefix
from topology.model import SHARED_SPACE, Node
from topology.pipeline import SOURCE_VNID, SPACE, SPACE_BITS, VNID_BITS, Table
from topology.snapshot import Change, Snapshot
from topology.tunnelling import to_vtep

ID: Final = pipeline.FeatureId.TUNNELS


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """Every other node."""
    if node in snapshot.nodes:
        for peer in snapshot.nodes:
            if peer != node:
                yield (peer,)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Believe the peer's VTEP towards this node's subnets; send to the peer's subnets by its VTEP."""
    if node in snapshot.nodes and node != subject[0]:
        yield from common(subject, snapshot)


def common(subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """What a peer puts on each of the other nodes, the same on all."""
    peer = snapshot.nodes.get(str(subject[0]))
    if peer is None:
        return
    outer = family(peer.underlay.version)
    vtep = int(peer.underlay)
    for kind in families(snapshot.cluster):
        terms = match_fields((ETH_TYPE, kind.eth_type), (outer.tunnel_source, vtep))
        tagged = (copy(TUNNEL_ID, SOURCE_VNID, VNID_BITS), copy(ETH_DST, SPACE, SPACE_BITS), goto(Table.LOCAL))
        yield at(pipeline.TUNNEL_PEER, terms, tagged)
    for subnet in peer.subnets:
        yield at(pipeline.TUNNEL_ROUTE, to_prefix(subnet, in_space(SHARED_SPACE)), to_vtep(peer.underlay))


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A node concerns all others, and all others concern it."""
    match change.subject:
        case Node(name=name):
            for other in snapshot.nodes:
                if other != name:
                    yield Section(other, (name,))
                    yield Section(name, (other,))
