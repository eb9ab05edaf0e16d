"""Claims about the way out of a sender's space: what is committed, which range a destination is in, services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from topology import fields, pipeline
from topology.flow import Actions, Match
from topology.model import Address, ConnectionKey, Network, Scope, Service, ServiceKey
from topology.pipeline import BY_SERVICE, DESTINATION_VNID, OUTPUT_PORT, SOURCE_VNID, SPACE, Table
from topology.verification import attachment
from topology.verification.claim import About, Claim, Kind, always, of_cluster
from topology.verification.shape import (
    IS_IP,
    LEAVE_SPACE,
    SHARED,
    TO_EGRESS_POLICY,
    W8,
    W16,
    W32,
    Facts,
    commit,
    goto,
    in_prefix,
    is_to,
    load,
)
from topology.verification.world import View, World

_PROTOCOL: Final = {number: (name, field) for name, (number, _, field) in fields.TRANSPORT.items()}

# --- tracking ------------------------------------------------------------------------------------


def is_begun_one_way(may: Scope | None, back: Scope | None) -> bool:
    """Whether who may begin `may` can be asked less (`back`), so that answers have to be told apart."""
    asks = may is not None and (not may.services_only or bool(may.ports))
    return asks and (back is None or back.services_only or bool(back.ports))


def is_tracked(network: Network, peer: Network, view: View) -> bool:
    """Whether what `network` begins towards `peer` is committed: global networks may everything as it is."""
    connection = view.snapshot.connections.get(ConnectionKey.between(network.name, peer.name))
    if connection is None or network.is_global or peer.is_global:
        return False
    return is_begun_one_way(connection.scope(network.name), connection.scope(peer.name))


def _tracks(network: Network, view: View) -> bool:
    peers = (view.snapshot.networks.get(peer) for peer in view.snapshot.peers.get(network.name, {}))
    return any(peer is not None and is_tracked(network, peer, view) for peer in peers)


def _zones(network: Network, view: View) -> tuple[int, ...]:
    """Return the zones in which what a network's pods begin is committed: its own, and while they move the next one's.

    What is under way then has to be known where answers are asked for after the move.
    """
    move = None if network.transit_for is None else view.snapshot.moves.get(network.transit_for)
    goes_on = move is not None and move.transit == network.name
    target = view.snapshot.networks.get(move.target) if move is not None and goes_on else None
    asked = [one for one in (network, target) if one is not None and _tracks(one, view)]
    return tuple(one.zone for one in asked if one.zone is not None)


def _committed(view: View, match: Match, actions: Actions) -> bool:
    sender, kind = match
    network = view.world.by_vnid[sender[1]]
    if network is None or network.name not in view.hosting or kind not in view.world.kinds:
        return False
    zones = _zones(network, view)
    if not zones or sender != (SOURCE_VNID, network.vnid, W32):
        return False
    return actions == (*map(commit, zones[:-1]), commit(zones[-1], Table.CROSSING))


def _committed_owed(view: View) -> Iterator[Match]:
    for network in view.senders:
        if _zones(network, view):
            for kind in view.world.kinds:
                yield (SOURCE_VNID, network.vnid, W32), kind


# --- crossing ------------------------------------------------------------------------------------


def _own_space(view: View, match: Match) -> Network | None:
    """Return the network whose space a flow names first, if it has a range of its own."""
    name, space, mask = match[0]
    network = view.world.by_vnid[space]
    return network if name == SPACE and mask == W32 and network is not None and network.subnets else None


def _within(view: View, match: Match, actions: Actions) -> bool:
    network = _own_space(view, match)
    if network is None or network.name not in view.hosting or actions != TO_EGRESS_POLICY:
        return False
    return match in view.world.ranges[network.name]


def _within_owed(view: View) -> Iterator[Match]:
    for network in view.networks:
        yield from view.world.ranges[network.name]


def _enters(view: View, match: Match, actions: Actions) -> bool:
    source = _own_space(view, match)
    destination = view.world.by_vnid[actions[0][2]]  # type: ignore[index]
    if source is None or destination is None or source.name not in view.hosting:
        return False
    connection = view.snapshot.connections.get(ConnectionKey.between(source.name, destination.name))
    plain = connection is not None and source is not destination and not connection.translations
    into = any(match[1:] == in_prefix(subnet.cidr) for subnet in destination.subnets)
    return plain and into and actions == (load(SPACE, destination.vnid), *TO_EGRESS_POLICY)


def _enters_owed(view: View) -> Iterator[Match]:
    for key in view.connections:
        connection = view.snapshot.connections.get(key)
        if connection is not None and not connection.translations:
            for one, other in (key, key[::-1]):
                source, destination = view.snapshot.networks.get(one), view.snapshot.networks.get(other)
                if source is not None and destination is not None and source.subnets and one in view.hosting:
                    for subnet in destination.subnets:
                        yield (SPACE, source.vnid, W32), *in_prefix(subnet.cidr)


def _translates(view: View, match: Match, actions: Actions) -> bool:
    """Both ends change to what the receiver's network knows them by, and the packet goes on in its space."""
    source = _own_space(view, match)
    destination = view.world.by_vnid[actions[3][2]]  # type: ignore[index]
    if source is None or destination is None or source.name not in view.hosting:
        return False
    return view.world.translations[source.name, destination.name].get(match) == actions


def _translates_owed(view: View) -> Iterator[Match]:
    for key in view.connections:
        connection = view.snapshot.connections.get(key)
        if connection is not None and connection.translations:
            for one, other in (key, key[::-1]):
                if one in view.hosting:
                    yield from view.world.translations[one, other]


def _leaves(view: View, match: Match, actions: Actions) -> bool:
    network = _own_space(view, match)
    known = network is not None and network.name in view.hosting
    return known and match[1:] == (IS_IP[4],) and actions == LEAVE_SPACE


def _leaves_owed(view: View) -> Iterator[Match]:
    for network in view.networks:
        if network.subnets:
            yield (SPACE, network.vnid, W32), IS_IP[4]


# --- services ------------------------------------------------------------------------------------


def _service_ranges(world: World) -> Facts:
    return {in_prefix(cidr): () for cidr in world.snapshot.cluster.service_cidrs}


def _network_of(service: Service, view: View) -> Network | None:
    project = view.snapshot.projects.get(service.key.project)
    return None if project is None else view.snapshot.networks.get(project.network)


def may_use_here(network: Network, view: View) -> bool:
    """Whether the node has ports of a network that may use services of `network`."""
    if network.is_global:
        return bool(view.hosting)
    users: tuple[Iterable[str], ...] = (view.snapshot.peers.get(network.name, {}), view.snapshot.global_networks)
    return network.name in view.hosting or any(view.hosts_any(names) for names in users)


def _serves(view: View, match: Match, actions: Actions) -> bool:
    kind, protocol, to, port = match
    address: Address = IPv4Address(to[1]) if kind == IS_IP[4] else IPv6Address(to[1])
    key = view.snapshot.service_by_address.get(address)
    service = None if key is None else view.snapshot.services.get(key)
    network = None if service is None else _network_of(service, view)
    if service is None or network is None or not may_use_here(network, view):
        return False
    name, field = _PROTOCOL[protocol[1]]
    form = match == (*is_to(service.address)[:1], protocol, is_to(service.address)[1], (field, port[1], W16))
    offered = any((offer.protocol, offer.port) == (name, port[1]) for offer in service.ports)
    return form and protocol[2] == W8 and offered and actions == _to_service(network)


def _to_service(network: Network) -> Actions:
    return (
        load(DESTINATION_VNID, network.vnid),
        load(OUTPUT_PORT, 2),
        load(BY_SERVICE, 1),
        goto(Table.DELIVERY),
    )


def _serves_owed(view: View) -> Iterator[Match]:
    keys: Iterable[ServiceKey] = view.snapshot.services if view.focus.whole else view.focus.services
    for key in keys:
        service = view.snapshot.services.get(key)
        network = None if service is None else _network_of(service, view)
        if service is not None and network is not None and may_use_here(network, view):
            kind, to = is_to(service.address)
            for offer in service.ports:
                number, _, field = fields.TRANSPORT[offer.protocol]
                yield kind, (fields.IP_PROTO, number, W8), to, (field, offer.port, W16)


CLAIMS: Final[tuple[Claim, ...]] = (
    Claim(pipeline.TRACK, Kind.LEAK, About.REACHED, _committed, _committed_owed),
    always(pipeline.NO_TRACK, Kind.LEAK, (goto(Table.CROSSING),)),
    Claim(pipeline.CROSS_NOT, Kind.LEAK, About.NETWORKS, _within, _within_owed),
    attachment.claim(pipeline.CROSS_SELF, Kind.LEAK, 3, attachment.at_himself),
    Claim(pipeline.CROSS_PEER, Kind.LEAK, About.CONNECTIONS, _enters, _enters_owed),
    Claim(pipeline.CROSS_TRANSLATED, Kind.LEAK, About.CONNECTIONS, _translates, _translates_owed),
    Claim(pipeline.CROSS_LEAVE, Kind.LEAK, About.NETWORKS, _leaves, _leaves_owed),
    always(pipeline.CROSS_SHARED, Kind.LEAK, (goto(Table.SERVICES),), (SHARED,)),
    Claim(pipeline.SERVICE_PORT, Kind.LEAK, About.SERVICES, _serves, _serves_owed),
    of_cluster(pipeline.SERVICE_RANGE, Kind.LEAK, _service_ranges),
    always(pipeline.NO_SERVICE, Kind.LEAK, (goto(Table.EGRESS_POLICY),)),
    always(pipeline.EGRESS_POLICY_NONE, Kind.LEAK, (goto(Table.ROUTING),)),
)
