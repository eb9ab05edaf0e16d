"""Connections: two networks that may talk. Not transitive; one flow per direction on each node that hosts either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey
from topology.flow import Flow, at, goto, match
from topology.model import Connection, Hosting, Network, Node
from topology.pipeline import Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.CONNECTIONS


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The connections of the networks that have ports on the node."""
    found = {
        Connection.between(network, peer)
        for network in snapshot.hosting.get(node, {})
        for peer in snapshot.peers.get(network, {})
    }
    yield from found


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """The pairs (A, B) and (B, A): the receiver's node decides delivery, the sender's node decides services."""
    connection = Connection(*map(str, subject))
    first, second = snapshot.networks.get(connection.first), snapshot.networks.get(connection.second)
    if connection not in snapshot.connections or first is None or second is None:
        return
    if node not in snapshot.nodes:
        return
    if (node, first.name) not in snapshot.hosted and (node, second.name) not in snapshot.hosted:
        return
    for source, destination in ((first, second), (second, first)):
        pair = match(reg0=source.vnid, reg1=destination.vnid)
        yield at(pipeline.DELIVER_CONNECTED, pair, (goto(Table.OUTPUT),))


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A connection where either network has ports; the first and last port of a network on a node."""
    match change.subject:
        case Connection() as connection:
            for node in _hosts(connection, snapshot):
                yield Section(node, connection)
        case Hosting(node=node, network=network):
            for peer in snapshot.peers.get(network, {}):
                yield Section(node, Connection.between(network, peer))
        case Network(name=name):
            for peer in snapshot.peers.get(name, {}):
                connection = Connection.between(name, peer)
                for node in _hosts(connection, snapshot):
                    yield Section(node, connection)
        case Node(name=name):
            for subject in subjects(name, snapshot):
                yield Section(name, subject)


def _hosts(connection: Connection, snapshot: Snapshot) -> set[str]:
    return {node for network in connection for node in snapshot.hosts.get(network, {})}
