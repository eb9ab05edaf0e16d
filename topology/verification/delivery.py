"""Claims about the last decision: which pair of networks may talk, what answers, and how a packet leaves the switch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from topology import fields, pipeline
from topology.flow import Actions, Match, Op
from topology.model import ICMP_OFPORT, TUN_OFPORT, ConnectionKey, Network, Scope
from topology.pipeline import BY_SERVICE, DESTINATION_VNID, NODE_ZONE, OUTPUT_PORT, SCRATCH, SOURCE_VNID, Table
from topology.verification.claim import About, Claim, Kind, always, of_cluster, of_node
from topology.verification.crossing import is_tracked
from topology.verification.ingress import own_addresses
from topology.verification.shape import (
    IS_IP,
    TO_OUTPUT,
    W8,
    W16,
    W32,
    W48,
    Facts,
    ask,
    commit,
    family_of,
    goto,
    is_to,
    pair,
)
from topology.verification.world import View, World

_STATE: Final = (fields.CT_STATE, fields.IS_REPLY, fields.IS_REPLY)


class Talk(NamedTuple):
    """Packets of one network to another, of a connection that the node has to do with."""

    source: Network
    destination: Network
    may: Scope | None  # what the source may begin
    begun: Scope | None  # what the destination may begin, and so be answered

    @property
    def pair(self) -> Match:
        """The terms of the two networks' numbers."""
        return pair(self.source.vnid, self.destination.vnid)


def _talk(view: View, match: Match) -> Talk | None:
    """Return what a pair of VNIDs stands for, None where the node has nothing to do with it."""
    (one, source_vnid, one_mask), (other, destination_vnid, other_mask) = match[0], match[1]
    if (one, one_mask, other, other_mask) != (SOURCE_VNID, W32, DESTINATION_VNID, W32):
        return None
    source, destination = view.world.by_vnid[source_vnid], view.world.by_vnid[destination_vnid]
    return None if source is None or destination is None else _between(view, source, destination)


def _between(view: View, source: Network, destination: Network) -> Talk | None:
    if source.name not in view.hosting and destination.name not in view.hosting:
        return None
    connection = view.snapshot.connections.get(_key(source.name, destination.name))
    if connection is None:
        return None
    return Talk(source, destination, connection.scope(source.name), connection.scope(destination.name))


def _key(one: str, other: str) -> ConnectionKey:
    return ConnectionKey(one, other) if one < other else ConnectionKey(other, one)


def _talks(view: View) -> Iterator[Talk]:
    networks = view.snapshot.networks
    for key in view.connections:
        for one, other in (key, key[::-1]):
            source, destination = networks.get(one), networks.get(other)
            talk = None if source is None or destination is None else _between(view, source, destination)
            if talk is not None:
                yield talk


def _talks_of(view: View) -> tuple[Talk, ...]:
    """Return all that the connections in focus let pass, worked out once for all stages."""
    if view.talks is None:
        view.talks = tuple(_talks(view))
    return view.talks


def _owed(matches: Callable[[View, Talk], Iterator[Match]]) -> Callable[[View], Iterator[Match]]:
    def owed(view: View) -> Iterator[Match]:
        for talk in _talks_of(view):
            yield from matches(view, talk)

    return owed


# --- within, and global --------------------------------------------------------------------------


def _within(view: View, match: Match, actions: Actions) -> bool:
    vnid = match[0][1]
    network = view.world.by_vnid[vnid]
    here = network is not None and network.name in view.hosting
    return here and actions == TO_OUTPUT and match == ((SOURCE_VNID, vnid, W32), (DESTINATION_VNID, vnid, W32))


def _within_owed(view: View) -> Iterator[Match]:
    for network in view.networks:
        yield pair(network.vnid, network.vnid)


def _is_global(view: View, match: Match, actions: Actions, field: int) -> bool:
    ((name, vnid, mask),) = match
    network = view.world.by_vnid[vnid]
    return name == field and mask == W32 and actions == TO_OUTPUT and network is not None and network.is_global


def _global_owed(view: View, field: fields.Field) -> Iterator[Match]:
    names = view.snapshot.global_networks if view.focus.whole else view.focus.networks
    for name in names:
        network = view.snapshot.networks.get(name)
        if network is not None and network.is_global:
            yield ((field, network.vnid, W32),)


# --- connections ---------------------------------------------------------------------------------


def _connected(view: View, match: Match, actions: Actions) -> bool:
    talk = _talk(view, match)
    return talk is not None and talk.pair == match and actions == TO_OUTPUT and _is_all(talk.may)


def _is_all(scope: Scope | None) -> bool:
    return scope is not None and not scope.services_only and not scope.ports


def _connected_owed(view: View, talk: Talk) -> Iterator[Match]:
    if _is_all(talk.may):
        yield talk.pair


def _servers(view: View, scope: Scope | None, client: Network, server: Network) -> Iterator[Network]:
    """Yield the networks of whose services a scope is; VNID 0 says that a packet is by no service, so it names none.

    Pods on their way are of two networks, and nobody's services are of the one in between: they are reached by those
    of either, if that is for services to whom the client's are of at that time.
    """
    if scope is None or not scope.services_only:
        return
    ways = {(one, other) for one, other in zip(_stands_for(view, client), _stands_for(view, server), strict=True)}
    for one, other in sorted(ways):
        connection = view.snapshot.connections.get(_key(one, other))
        may = None if connection is None else connection.scope(one)
        network = view.snapshot.networks.get(other)
        if may is not None and may.services_only and network is not None and network.vnid:
            yield network


def _stands_for(view: View, network: Network) -> tuple[str, str]:
    move = None if network.transit_for is None else view.snapshot.moves.get(network.transit_for)
    return (network.name,) * 2 if move is None or move.transit != network.name else (move.source, move.target)


def _by_service(view: View, match: Match, actions: Actions) -> bool:
    talk = _talk(view, match)
    return talk is not None and actions == TO_OUTPUT and match in set(_by_service_owed(view, talk))


def _by_service_owed(view: View, talk: Talk) -> Iterator[Match]:
    """By a service of the receiver's own network; one of a third leads nobody there."""
    for server in _servers(view, talk.may, talk.source, talk.destination):
        yield *talk.pair, (BY_SERVICE, server.vnid, W32)


def _answered_by_service(view: View, match: Match, actions: Actions) -> bool:
    talk = _talk(view, match)
    return talk is not None and actions == TO_OUTPUT and match in set(_answered_by_service_owed(view, talk))


def _answered_by_service_owed(view: View, talk: Talk) -> Iterator[Match]:
    """Against the direction of what was begun by a service of the network that answers, and nothing else."""
    for server in _servers(view, talk.begun, talk.destination, talk.source):
        against = (fields.CT_STATE, fields.IS_ANSWER, fields.IS_ANSWER)
        yield *talk.pair, against, (fields.CT_MARK, server.vnid, W32)


def _refused_by_service(view: View, match: Match, actions: Actions) -> bool:
    talk = _talk(view, match[1:])
    return talk is not None and actions == TO_OUTPUT and match in set(_refused_by_service_owed(view, talk))


def _refused_by_service_owed(view: View, talk: Talk) -> Iterator[Match]:
    """An error against that direction, where it has been by icmp0: only for pods with addresses of their own."""
    for server in _servers(view, talk.begun, talk.destination, talk.source) if talk.destination.subnets else ():
        yield (fields.IN_PORT, ICMP_OFPORT, W32), *talk.pair, (SCRATCH, server.vnid, W32)


def _to_port(view: View, match: Match, actions: Actions) -> bool:
    talk = _talk(view, match)
    return talk is not None and actions == TO_OUTPUT and match in set(_to_port_owed(view, talk))


def _to_port_owed(view: View, talk: Talk) -> Iterator[Match]:
    for protocol, port in () if talk.may is None else talk.may.ports:
        number, _, destination = fields.TRANSPORT[protocol]
        for kind in view.world.kinds:
            yield *talk.pair, kind, (fields.IP_PROTO, number, W8), (destination, port, W16)


def _asks(view: View, match: Match, actions: Actions) -> bool:
    talk = _talk(view, match)
    if talk is None or talk.destination.zone is None or not _is_answered(view, talk):
        return False
    (kind,) = match[2:]
    return kind in view.world.kinds and actions == (ask(talk.destination.zone, Table.REPLIES),)


def _is_answered(view: View, talk: Talk) -> bool:
    return talk.begun is not None and is_tracked(talk.destination, talk.source, view)


def _asks_owed(view: View, talk: Talk) -> Iterator[Match]:
    if talk.destination.zone is not None and _is_answered(view, talk):
        for kind in view.world.kinds:
            yield *talk.pair, kind


def _replies(view: View, match: Match, actions: Actions) -> bool:
    talk = _talk(view, match)
    return talk is not None and actions == TO_OUTPUT and match in set(_replies_owed(view, talk))


def _replies_owed(view: View, talk: Talk) -> Iterator[Match]:
    if talk.destination.zone is None or talk.begun is None or not _is_answered(view, talk):
        return
    if _is_all(talk.begun):
        yield *talk.pair, _STATE
    for protocol, port in talk.begun.ports:
        number, source, _ = fields.TRANSPORT[protocol]
        for kind in view.world.kinds:
            yield *talk.pair, _STATE, kind, (fields.IP_PROTO, number, W8), (source, port, W16)


def _related(world: World) -> Facts:
    state = (fields.CT_STATE, fields.IS_RELATED, fields.IS_RELATED)
    return {(state, kind): TO_OUTPUT for kind in world.kinds}


# --- output --------------------------------------------------------------------------------------

_BY_TUN: Final = (OUTPUT_PORT, TUN_OFPORT, W32)
_OUT: Final = (Op.OUTPUT, TUN_OFPORT)


def _to_itself(view: View) -> Facts:
    to_tun: Actions = ((Op.SET, fields.ETH_DST, view.this.mac, W48), _OUT)
    return {(_BY_TUN, *is_to(own)): to_tun for version in (4, 6) for own in own_addresses(view, version)}


def _elsewhere(view: View) -> Facts:
    begin: Actions = ((Op.SET, fields.ETH_DST, view.this.mac, W48), commit(NODE_ZONE), _OUT)
    return {(_BY_TUN, IS_IP[family_of(cidr.version).version]): begin for cidr in view.this.subnets}


CLAIMS: Final[tuple[Claim, ...]] = (
    always(pipeline.INGRESS_POLICY_NONE, Kind.LEAK, (goto(Table.DELIVERY),)),
    Claim(pipeline.DELIVER_WITHIN, Kind.LEAK, About.NETWORKS, _within, _within_owed, lambda view: len(view.networks)),
    Claim(
        pipeline.DELIVER_ERROR,
        Kind.LEAK,
        About.CONNECTIONS,
        _refused_by_service,
        _owed(_refused_by_service_owed),
    ),
    Claim(pipeline.DELIVER_PORT, Kind.LEAK, About.CONNECTIONS, _to_port, _owed(_to_port_owed)),
    Claim(pipeline.DELIVER_SERVICE, Kind.LEAK, About.CONNECTIONS, _by_service, _owed(_by_service_owed)),
    Claim(
        pipeline.DELIVER_ANSWER,
        Kind.LEAK,
        About.CONNECTIONS,
        _answered_by_service,
        _owed(_answered_by_service_owed),
    ),
    Claim(pipeline.DELIVER_REPLY, Kind.LEAK, About.CONNECTIONS, _asks, _owed(_asks_owed)),
    Claim(pipeline.DELIVER_CONNECTED, Kind.LEAK, About.CONNECTIONS, _connected, _owed(_connected_owed)),
    Claim(
        pipeline.DELIVER_FROM_GLOBAL,
        Kind.LEAK,
        About.NETWORKS,
        lambda view, match, actions: _is_global(view, match, actions, SOURCE_VNID),
        lambda view: _global_owed(view, SOURCE_VNID),
    ),
    Claim(
        pipeline.DELIVER_TO_GLOBAL,
        Kind.LEAK,
        About.NETWORKS,
        lambda view, match, actions: _is_global(view, match, actions, DESTINATION_VNID),
        lambda view: _global_owed(view, DESTINATION_VNID),
    ),
    Claim(pipeline.REPLY_KNOWN, Kind.LEAK, About.CONNECTIONS, _replies, _owed(_replies_owed)),
    of_cluster(pipeline.REPLY_RELATED, Kind.LEAK, _related),
    of_node(pipeline.OUTPUT_OWN, Kind.LEAK, _to_itself),
    of_node(pipeline.OUTPUT_TUN, Kind.LEAK, _elsewhere),
    always(pipeline.OUTPUT_POD, Kind.LEAK, (goto(Table.RECEIVED),)),
    always(pipeline.RECEIVED_NONE, Kind.LEAK, ((Op.OUTPUT_FIELD, OUTPUT_PORT),)),
)
