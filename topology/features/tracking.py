"""Tracking: a network that may begin more towards another than it may be asked has what its pods begin committed.

In its own zone, on the sender's node, in the addresses that the pod itself sees; so the reply is recognised where it is
delivered, and nothing else passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey, families
from topology.fields import ETH_TYPE
from topology.flow import Flow, at, conntrack, match_fields
from topology.model import Cluster, Connection, Hosting, Move, Network, Node
from topology.pipeline import SOURCE_VNID, Table
from topology.reach import needs_tracking
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.TRACKING


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The networks that have ports on the node."""
    for name in snapshot.hosting.get(node, {}):
        yield (name,)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Commit what the network's pods send."""
    network = snapshot.networks.get(str(subject[0]))
    if network is None or (node, network.name) not in snapshot.hosted:
        return
    zones = _zones(network, snapshot)
    if not zones:
        return
    *others, last = zones
    commit = (
        *(conntrack(zone, commit=True) for zone in others),
        conntrack(last, commit=True, table=Table.CROSSING),
    )
    for kind in families(snapshot.cluster):
        terms = match_fields((ETH_TYPE, kind.eth_type), (SOURCE_VNID, network.vnid))
        yield at(pipeline.TRACK, terms, commit)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A network and those connected to it, where they have ports; and the transit networks of moves to them."""
    match change.subject:
        case Cluster():
            yield from _everywhere(snapshot.hosts, snapshot)
        case Network(name=name):
            yield from _with_transits((name, *snapshot.peers.get(name, {})), snapshot)
        case Connection(key=key):
            yield from _with_transits(key, snapshot)
        case Move(transit=transit):
            yield from _everywhere((transit,), snapshot)
        case Hosting(node=node, network=network):
            yield Section(node, (network,))
        case Node(name=name):
            for subject in subjects(name, snapshot):
                yield Section(name, subject)


def _zones(network: Network, snapshot: Snapshot) -> tuple[int, ...]:
    """Return the zones in which what a network's pods send is committed: its own, if that is asked for replies.

    On a transit network also that of the move's target, which is asked next: what is under way then is known there.
    """
    move = None if network.transit_for is None else snapshot.moves.get(network.transit_for)
    target = None if move is None or move.transit != network.name else snapshot.networks.get(move.target)
    asked = (one for one in (network, target) if one is not None and needs_tracking(one.name, snapshot))
    return tuple(dict.fromkeys(one.zone for one in asked if one.zone is not None))


def _with_transits(networks: Iterable[str], snapshot: Snapshot) -> Iterator[Section]:
    for name in networks:
        transits = (snapshot.moves[project].transit for project in snapshot.moves_of.get(name, {}))
        yield from _everywhere((name, *transits), snapshot)


def _everywhere(networks: Iterable[str], snapshot: Snapshot) -> Iterator[Section]:
    for name in networks:
        for node in snapshot.hosts.get(name, {}):
            yield Section(node, (name,))
