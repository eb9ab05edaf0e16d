"""Who gets what a network's pods send to a group. Nothing about flows."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from itertools import islice

from topology.model import MOST_AUDIENCE, SHARED_SPACE, ConnectionKey, Port, PortKey
from topology.snapshot import Snapshot


def audible(sender: str, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the networks whose members hear what a network sends to groups: itself, and connected ones.

    Both have multicast switched on. A connection admits it whose scope from the sender is everything: a group is no
    service, and has no answers. It does not cross address spaces, where the sender would need another address for each.
    """
    home = snapshot.networks.get(sender)
    if home is None or not home.multicast:
        return ()
    found = [sender]
    for peer in sorted(snapshot.peers.get(sender, {})):
        other = snapshot.networks.get(peer)
        connection = snapshot.connections.get(ConnectionKey.between(sender, peer))
        if other is None or connection is None or not other.multicast:
            continue
        scope = connection.scope(sender)
        if scope is not None and scope.is_everything and home.space == other.space == SHARED_SPACE:
            found.append(peer)
    return tuple(found)


def heard(sender: str, snapshot: Snapshot) -> frozenset[IPv4Address]:
    """Return the groups that some member hears of what a network sends."""
    return frozenset(group for network in audible(sender, snapshot) for group in snapshot.groups_of.get(network, {}))


def listening(node: str, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the host interfaces of a node's ports that are on networks with multicast, in order."""
    names = {
        name
        for name in snapshot.hosting.get(node, {})
        if name in snapshot.networks and snapshot.networks[name].multicast
    }
    keys: Iterable[PortKey] = snapshot.ports_on.get(node, {})
    ports = (snapshot.ports[key] for key in (keys if names else ()))
    return tuple(sorted(port.host_interface for port in ports if port.network in names))


def audience(sender: str, group: IPv4Address, snapshot: Snapshot) -> tuple[Port, ...]:
    """Return the ports that get what a network sends to a group, in order; MOST_AUDIENCE of them at most."""
    names = audible(sender, snapshot)
    keys = sorted(key for name in names for key in snapshot.listeners.get((name, group), {}))
    return tuple(islice((snapshot.ports[key] for key in keys if key in snapshot.ports), MOST_AUDIENCE))
