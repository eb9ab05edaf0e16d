"""Tunnels: from which VTEPs packets are believed, and to which VTEP another node's subnet is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey
from topology.fields import TUNNEL_ID, family
from topology.flow import Flow, at, copy, goto, load, output
from topology.matches import in_space, to_prefix
from topology.model import SHARED_SPACE, VXLAN_OFPORT, Node
from topology.pipeline import SOURCE_VNID, Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.TUNNELS

_VNID_BITS: Final = 24


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """Every other node."""
    if node in snapshot.nodes:
        for peer in snapshot.nodes:
            if peer != node:
                yield (peer,)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Believe the peer's VTEP towards this node's subnets; send to the peer's subnets by its VTEP."""
    this, peer = snapshot.nodes.get(node), snapshot.nodes.get(str(subject[0]))
    if this is None or peer is None or this.name == peer.name:
        return
    outer = family(peer.underlay.version)
    vtep = int(peer.underlay)
    for subnet in this.subnets:
        terms = to_prefix(subnet, (outer.tunnel_source, vtep))
        tagged = (copy(TUNNEL_ID, SOURCE_VNID, _VNID_BITS), goto(Table.LOCAL))
        yield at(pipeline.TUNNEL_PEER, terms, tagged)
    for subnet in peer.subnets:
        send = (
            copy(SOURCE_VNID, TUNNEL_ID, _VNID_BITS),
            load(outer.tunnel_destination, vtep),
            output(VXLAN_OFPORT),
        )
        yield at(pipeline.TUNNEL_ROUTE, to_prefix(subnet, in_space(SHARED_SPACE)), send)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A node concerns all others, and all others concern it."""
    match change.subject:
        case Node(name=name):
            for other in snapshot.nodes:
                if other != name:
                    yield Section(other, (name,))
                    yield Section(name, (other,))
