"""Connections: what two networks may begin towards each other. A relation, not transitive.

One flow per direction on each node that hosts either network: the receiver's node decides delivery, the sender's node
decides services. Where a direction may begin only some things, or nothing, replies are asked of conntrack on the node
of whoever began. Between networks with ranges of their own, the range of one leads into its space from the other; with
translation, a prefix that stands for it does, and the network bits of both ends are exchanged on the way: one flow for
each subnet of one and each of the other, in each direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey, families
from topology.fields import (
    CT_MARK,
    CT_STATE,
    ETH_TYPE,
    IN_PORT,
    IP_PROTO,
    IS_ANSWER,
    IS_REPLY,
    TRANSPORT,
    Family,
    Field,
    family,
)
from topology.flow import Flow, at, conntrack, copy, goto, load, match_fields
from topology.matches import in_space, masked, to_prefix
from topology.model import ICMP_OFPORT, Cluster, Connection, ConnectionKey, Hosting, Move, Network, Node, Scope
from topology.pipeline import BY_SERVICE, DESTINATION_VNID, SCRATCH, SOURCE_VNID, SPACE, Table
from topology.reach import begins_tracked, services_at
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.CONNECTIONS

_DELIVER: Final = (goto(Table.OUTPUT),)


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The connections of the networks that have ports on the node."""
    yield from {
        ConnectionKey.between(network, peer)
        for network in snapshot.hosting.get(node, {})
        for peer in snapshot.peers.get(network, {})
    }


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Both directions."""
    key = ConnectionKey(*map(str, subject))
    connection = snapshot.connections.get(key)
    first, second = snapshot.networks.get(key.first), snapshot.networks.get(key.second)
    hosted = any((node, network) in snapshot.hosted for network in key)
    if connection is None or first is None or second is None or not hosted or node not in snapshot.nodes:
        return
    kinds = families(snapshot.cluster)
    for source, destination in ((first, second), (second, first)):
        may = connection.scope(source.name)
        if may is not None:
            yield from _may_begin(may, source, destination, kinds)
            yield from _may_use(source, destination, snapshot)
        begun = connection.scope(destination.name)
        yield from _may_answer(source, destination, snapshot)
        if begun is not None and begins_tracked(destination.name, source.name, snapshot):
            yield from _may_reply(begun, source, destination, kinds)
        if (node, source.name) in snapshot.hosted:
            yield from _crossing(connection, source, destination)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A connection where either network has ports; the first and last port of a network on a node."""
    match change.subject:
        case Connection(key=key):
            yield from _everywhere(_with_transits(key, snapshot), snapshot)
        case Move(transit=transit):
            keys = (ConnectionKey.between(transit, peer) for peer in snapshot.peers.get(transit, {}))
            yield from _everywhere(keys, snapshot)
        case Hosting(node=node, network=network):
            for peer in snapshot.peers.get(network, {}):
                yield Section(node, ConnectionKey.between(network, peer))
        case Network(name=name):
            keys = (ConnectionKey.between(name, peer) for peer in snapshot.peers.get(name, {}))
            yield from _everywhere(keys, snapshot)
        case Node(name=name):
            for subject in subjects(name, snapshot):
                yield Section(name, subject)
        case Cluster():
            yield from _everywhere(snapshot.connections, snapshot)


def _with_transits(key: ConnectionKey, snapshot: Snapshot) -> Iterator[ConnectionKey]:
    """Yield a connection, and those of the transit networks of moves from or to either of its networks."""
    first, second = (
        (name, *(snapshot.moves[project].transit for project in snapshot.moves_of.get(name, {}))) for name in key
    )
    yield from (ConnectionKey.between(*pair) for pair in product(first, second))


def _everywhere(keys: Iterable[ConnectionKey], snapshot: Snapshot) -> Iterator[Section]:
    for key in keys:
        for node in _hosts(key, snapshot):
            yield Section(node, key)


def _hosts(key: ConnectionKey, snapshot: Snapshot) -> set[str]:
    hosts = {node for network in key for node in snapshot.hosts.get(network, {})}
    return {node for node in hosts if node in snapshot.nodes}


def _pair(source: Network, destination: Network) -> tuple[tuple[Field, int], ...]:
    return ((SOURCE_VNID, source.vnid), (DESTINATION_VNID, destination.vnid))


def _may_begin(may: Scope, source: Network, destination: Network, kinds: tuple[Family, ...]) -> Iterator[Flow]:
    pair = _pair(source, destination)
    if may.is_everything:
        yield at(pipeline.DELIVER_CONNECTED, match_fields(*pair), _DELIVER)
    for protocol, port in may.ports:
        number, _, field = TRANSPORT[protocol]
        for kind in kinds:
            terms = (*pair, (ETH_TYPE, kind.eth_type), (IP_PROTO, number), (field, port))
            yield at(pipeline.DELIVER_PORT, match_fields(*terms), _DELIVER)


def _may_use(source: Network, destination: Network, snapshot: Snapshot) -> Iterator[Flow]:
    """What `source` begins by a service of `destination`, or of the networks that this stands for."""
    pair = _pair(source, destination)
    for vnid in _services_at(source, destination, snapshot):
        yield at(pipeline.DELIVER_SERVICE, match_fields(*pair, (BY_SERVICE, vnid)), _DELIVER)


def _may_answer(source: Network, destination: Network, snapshot: Snapshot) -> Iterator[Flow]:
    """What `source` answers to pods of `destination` that asked by a service of it: conntrack has its VNID as mark.

    Of an error that was at the translator of quotes, conntrack's word has come back in a register.
    """
    pair = _pair(source, destination)
    for vnid in _services_at(destination, source, snapshot):
        answer = ((CT_STATE, (IS_ANSWER, IS_ANSWER)), (CT_MARK, vnid))
        yield at(pipeline.DELIVER_ANSWER, match_fields(*pair, *answer), _DELIVER)
        if destination.subnets:
            error = ((IN_PORT, ICMP_OFPORT), (SCRATCH, vnid))
            yield at(pipeline.DELIVER_ERROR, match_fields(*pair, *error), _DELIVER)


def _services_at(source: Network, destination: Network, snapshot: Snapshot) -> Iterator[int]:
    connection = snapshot.connections[ConnectionKey.between(source.name, destination.name)]
    may = connection.scope(source.name)
    if may is not None and may.services_only:
        names = services_at(source.name, destination.name, snapshot)
        yield from (snapshot.networks[name].vnid for name in names if name in snapshot.networks)


def _may_reply(begun: Scope, source: Network, destination: Network, kinds: tuple[Family, ...]) -> Iterator[Flow]:
    """Only replies pass from `source`, and only to what is in scope for those that they reply to.

    The ports are looked at behind conntrack, which puts fragments together.
    """
    if destination.zone is None:
        return
    pair = _pair(source, destination)
    for kind in kinds:  # conntrack takes packets only that are known to be IP
        ask = (conntrack(destination.zone, table=Table.REPLIES),)
        yield at(pipeline.DELIVER_REPLY, match_fields(*pair, (ETH_TYPE, kind.eth_type)), ask)
    is_reply = (CT_STATE, (IS_REPLY, IS_REPLY))
    if begun.is_everything:
        yield at(pipeline.REPLY_KNOWN, match_fields(*pair, is_reply), _DELIVER)
    for protocol, port in begun.ports:
        number, field, _ = TRANSPORT[protocol]
        for kind in kinds:
            terms = (*pair, (ETH_TYPE, kind.eth_type), (IP_PROTO, number), (field, port))
            yield at(pipeline.REPLY_KNOWN, match_fields(*terms, is_reply), _DELIVER)


def _crossing(connection: Connection, source: Network, destination: Network) -> Iterator[Flow]:
    """Between two networks with ranges of their own: the destination's range leads into its space."""
    space = load(SPACE, destination.space)
    for subnet in destination.subnets if source.subnets else ():
        if not connection.translations:
            yield at(
                pipeline.CROSS_PEER, to_prefix(subnet.cidr, in_space(source.space)), (space, goto(Table.EGRESS_POLICY))
            )
            continue
        seen_as, kind = connection.seen_as(destination.name, subnet.cidr), family(subnet.cidr.version)
        for own in source.subnets:
            there = connection.seen_as(source.name, own.cidr)
            terms = to_prefix(seen_as, (kind.source, masked(own.cidr)), in_space(source.space))
            before = copy(kind.source, SCRATCH, 32)
            ends = (load(kind.source, *masked(there)), load(kind.destination, *masked(subnet.cidr)))
            yield at(pipeline.CROSS_TRANSLATED, terms, (before, *ends, space, goto(Table.LEAVING_ERRORS)))
