"""Which other nodes a node's tunnels matter to most: pods talk there, addresses are held there, packets pass there."""

from __future__ import annotations

from topology.relaying import is_laid
from topology.snapshot import Snapshot


def neighbours(node: str, snapshot: Snapshot) -> list[str]:
    """Return all nodes to which a node has a tunnel, in order."""
    return sorted(name for name in snapshot.nodes if name != node and is_laid(snapshot.nodes, node, name))


def busy(node: str, snapshot: Snapshot) -> set[str]:
    """Return the nodes to which a node's pods may send, or by which something passes on its way from or to it."""
    here = {*snapshot.hosting.get(node, {})}
    names = {*here, *(peer for network in here for peer in snapshot.peers.get(network, {}))}
    names |= {*snapshot.global_networks} if here else set()
    found = {place for network in names for place in snapshot.hosts.get(network, {})}
    if any(network in snapshot.global_networks for network in here):
        found |= {*snapshot.hosting}
    found |= {*snapshot.held.values()}
    return found | _passing(node, snapshot)


def _passing(node: str, snapshot: Snapshot) -> set[str]:
    """Return the nodes that are next to one on some way over relays."""
    found: set[str] = set()
    for source, ways in snapshot.relaying.routes.items():
        for destination, first in ways.items():
            way, hop = [source], first
            while hop is not None:
                way.append(hop.relay)
                hop = snapshot.relaying.routes.get(hop.relay, {}).get(destination) if hop.relays > 1 else None
            way.append(destination)
            if node in way[:-1] and len(way) > 2:
                found.add(way[way.index(node) + 1])
            if node in way[1:] and len(way) > 2:
                found.add(way[way.index(node) - 1])
    return found
