"""Who may begin what towards whom, and by which address pods know each other. Questions to a snapshot; no flows."""

from __future__ import annotations

from collections.abc import Iterator

from topology.model import Address, Connection, ConnectionKey, Port, Prefix, Scope
from topology.snapshot import Snapshot


def scope(source: str, destination: str, snapshot: Snapshot) -> Scope | None:
    """Return what the connection of two different networks lets `source` begin; None: nothing."""
    connection = snapshot.connections.get(ConnectionKey.between(source, destination))
    return None if connection is None else connection.scope(source)


def is_one_way(source: str, destination: str, snapshot: Snapshot) -> bool:
    """Whether, by their connection, `source` may begin towards pods of `destination`, which may not begin all back."""
    there = scope(source, destination, snapshot)
    back = scope(destination, source, snapshot)
    if there is None or (there.services_only and not there.ports):
        return False
    return back is None or not back.is_everything


def services_at(source: str, destination: str, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the networks by whose services `source` may get to pods of `destination`: that one, if it may by services.

    No service belongs to a transit network. Pods there are reached by those of the move's source while it begins, and
    by those of its target from then on, each as far as that network's services may be used.
    """
    pairs = zip(_ends(source, snapshot), _ends(destination, snapshot), strict=True)
    used = ((there, scope(here, there, snapshot)) for here, there in dict.fromkeys(pairs))
    return tuple(dict.fromkeys(there for there, may in used if may is not None and may.services_only))


def _ends(network: str, snapshot: Snapshot) -> tuple[str, str]:
    """Return what a network stands for, before and after moves: a transit network for source and target of its own."""
    project = snapshot.networks[network].transit_for if network in snapshot.networks else None
    move = None if project is None else snapshot.moves.get(project)
    return (network, network) if move is None or move.transit != network else (move.source, move.target)


def begins_tracked(source: str, destination: str, snapshot: Snapshot) -> bool:
    """Whether replies to what `source` begins have to be told from what `destination` begins.

    A connection shows only while neither network is global.
    """
    apart = source not in snapshot.global_networks and destination not in snapshot.global_networks
    return apart and is_one_way(source, destination, snapshot)


def needs_tracking(network: str, snapshot: Snapshot) -> bool:
    """Whether what pods of a network begin is committed: for one of its connections, or one that is narrowed next."""
    return any(
        begins_tracked(network, peer, snapshot) or snapshot.connections[ConnectionKey.between(network, peer)].is_tracked
        for peer in snapshot.peers.get(network, {})
    )


def needs_zone(network: str, snapshot: Snapshot) -> bool:
    """Whether a network has to have a conntrack zone: also while it, or who it is connected to, is global."""
    return any(
        is_one_way(network, peer, snapshot) or snapshot.connections[ConnectionKey.between(network, peer)].is_tracked
        for peer in snapshot.peers.get(network, {})
    )


def ranges_known(network: str, connection: Connection, snapshot: Snapshot) -> tuple[Prefix, ...]:
    """Return the prefixes by which the other network of a connection knows the subnets of `network`."""
    return tuple(connection.seen_as(network, subnet.cidr) for subnet in snapshot.networks[network].subnets)


def ranges_seen(network: str, snapshot: Snapshot) -> Iterator[Prefix]:
    """Yield the prefixes that pods of a network know by themselves: of it and of connected networks, if it has any."""
    home = snapshot.networks[network]
    if not home.subnets:
        return
    yield from (subnet.cidr for subnet in home.subnets)
    for peer in snapshot.peers.get(network, {}):
        connection = snapshot.connections.get(ConnectionKey.between(network, peer))
        if connection is not None and peer in snapshot.networks:  # events come in any order
            yield from ranges_known(peer, connection, snapshot)


def known_as(target: Port, source: Port, snapshot: Snapshot) -> tuple[Address, ...]:
    """Return the addresses by which a pod reaches another (or itself): its own, or else its cluster addresses.

    Its own hold inside its network, and in connected networks if both have ranges of their own; translated where
    their connection is.
    """
    connection = snapshot.connections.get(ConnectionKey.between(source.network, target.network))
    own_ranges = bool(source.cluster_addresses) and bool(target.cluster_addresses)
    if own_ranges and target.network == source.network:
        return target.addresses
    if own_ranges and connection is not None:
        return tuple(translated(address, connection, target.network) for address in target.addresses)
    return target.cluster_addresses or target.addresses


def translated(address: Address, connection: Connection, network: str) -> Address:
    """Return the address by which the other network of a connection knows one of `network`'s own."""
    for owner, cidr, seen_as in connection.translations:
        if owner == network and address in cidr:
            return seen_as[int(address) - int(cidr[0])]
    return address
