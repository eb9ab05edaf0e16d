"""Claims about the way out of a sender's space: what is committed, which range a destination is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from topology import pipeline
from topology.flow import Actions, Match
from topology.model import ConnectionKey, Network, Scope
from topology.pipeline import SOURCE_VNID, SPACE, Table
from topology.verification import attachment
from topology.verification.claim import About, Claim, Kind, always
from topology.verification.shape import (
    IS_IP,
    LEAVE_SPACE,
    SHARED,
    TO_EGRESS_POLICY,
    W32,
    commit,
    goto,
    in_prefix,
    load,
)
from topology.verification.world import View

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
    """Whether what a network's pods begin is committed for it: for a connection, or one that is narrowed next."""
    for name in view.snapshot.peers.get(network.name, {}):
        peer = view.snapshot.networks.get(name)
        connection = view.snapshot.connections.get(ConnectionKey.between(network.name, name))
        if peer is not None and connection is not None and (connection.is_tracked or is_tracked(network, peer, view)):
            return True
    return False


def _zones(network: Network, view: View) -> tuple[int, ...]:
    """The zones that a network's pods are committed in; on the way to another network, also in the one of that."""
    zones = [network.zone] if network.zone is not None and _tracks(network, view) else []
    move = None if network.transit_for is None else view.snapshot.moves.get(network.transit_for)
    if move is not None and move.transit == network.name:
        target = view.snapshot.networks.get(move.target)
        if target is not None and target.zone is not None and target.zone not in zones and _tracks(target, view):
            zones.append(target.zone)
    return tuple(zones)


def _committed(view: View, match: Match, actions: Actions) -> bool:
    sender, kind = match
    network = view.world.by_vnid[sender[1]]
    if network is None or network.name not in view.hosting or kind not in view.world.kinds:
        return False
    zones = _zones(network, view)
    if not zones or sender != (SOURCE_VNID, network.vnid, W32):
        return False
    return actions == (*(commit(zone) for zone in zones[:-1]), commit(zones[-1], Table.CROSSING))


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


CLAIMS: Final[tuple[Claim, ...]] = (
    Claim(pipeline.TRACK, Kind.LEAK, About.REACHED, _committed, _committed_owed),
    always(pipeline.NO_TRACK, Kind.LEAK, (goto(Table.CROSSING),)),
    Claim(pipeline.CROSS_NOT, Kind.LEAK, About.NETWORKS, _within, _within_owed),
    attachment.claim(pipeline.CROSS_SELF, Kind.LEAK, 3, attachment.at_himself),
    Claim(pipeline.CROSS_PEER, Kind.LEAK, About.CONNECTIONS, _enters, _enters_owed),
    Claim(pipeline.CROSS_TRANSLATED, Kind.LEAK, About.CONNECTIONS, _translates, _translates_owed),
    Claim(pipeline.CROSS_LEAVE, Kind.LEAK, About.NETWORKS, _leaves, _leaves_owed),
    always(pipeline.CROSS_SHARED, Kind.LEAK, (goto(Table.SERVICES),), (SHARED,)),
    always(pipeline.EGRESS_POLICY_NONE, Kind.LEAK, (goto(Table.ROUTING),)),
)
