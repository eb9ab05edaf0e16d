"""By which ways nodes are reached, asked of the model: whether what was chosen among shortest paths is one.

Which of several equally short ways is taken is a choice, made in `topology.relaying`. Here is found out that it is one
of them, that every relay on it does its part, and that there is none where none is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

import networkx as nx

from topology.model import Tunnel, TunnelStage
from topology.relaying import Hop, Transit
from topology.snapshot import Snapshot
from topology.verification.lazily import lazily

_MOST_RELAYS = 15
_LAST_DPID = 0xFFFF
_USED = (TunnelStage.PREPARING, TunnelStage.RETURNED)


class Ways:
    """The ways between the nodes of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._far: dict[str, dict[str, int]] = {}

    def is_laid(self, one: str, other: str) -> bool:
        """Whether the underlay leads from either of two nodes to the other, as far as they say."""
        first, second = (self._snapshot.nodes[name].neighbours for name in (one, other))
        return (first is None or other in first) and (second is None or one in second)

    def is_used(self, one: str, other: str) -> bool:
        """Whether senders use the tunnel of two nodes."""
        severed = self._snapshot.severed.get(Tunnel.between(one, other))
        return self.is_laid(one, other) and (severed is None or severed.stage in _USED)

    def detours(self, node: str) -> Iterator[str]:
        """Yield the nodes that a node may not reach by a tunnel of its own, or only if it is tried all the same."""
        if self._snapshot.declared:
            names = (name for name in self._snapshot.nodes if name != node)
        else:
            names = (tunnel.other(node) for tunnel in self._snapshot.severed if node in tunnel)
        for name in names:
            if name not in self._snapshot.nodes or self.is_used(node, name):
                continue
            if not self.is_laid(node, name) or self.has_way(node, name):
                yield name

    def has_way(self, source: str, destination: str) -> bool:
        """Whether there is a way over relays that can be used."""
        if self._snapshot.nodes[destination].dpid > _LAST_DPID:
            return False
        hop = self._snapshot.relaying.routes.get(source, {}).get(destination)
        if hop is not None and self.is_way(source, destination, hop):
            return True
        return self._distances(destination).get(source, _MOST_RELAYS + 2) <= _MOST_RELAYS + 1

    def is_way(self, source: str, destination: str, hop: Hop) -> bool:
        """Whether a first hop begins a shortest way, and relays on it do what it needs."""
        way, transit = [source, hop.relay], Transit(destination, hop.relays)
        while transit.relays > 1:
            onwards = self._snapshot.relaying.at(way[-1]).get(transit)
            if onwards is None:
                return False
            way.append(onwards)
            transit = Transit(destination, transit.relays - 1)
        way.append(destination)
        if not all(self.is_used(one, other) for one, other in pairwise(way)):
            return False
        # Between two without a tunnel nothing is shorter than one relay.
        return hop.relays == 1 or self._distances(destination).get(source) == hop.relays + 1

    def is_passed_on(self, relay: str, transit: Transit, onwards: str) -> bool:
        """Whether what a relay does brings a packet to somebody who knows what to do with it."""
        if transit.relays < 2 or not self.is_laid(relay, onwards):
            return False
        if transit.relays == 2:
            return self.is_laid(onwards, transit.destination)
        return Transit(transit.destination, transit.relays - 1) in self._snapshot.relaying.at(onwards)

    def last_to(self, destination: str) -> set[str]:
        """Return the relays from which a node gets what was in transit to it."""
        found = set()
        for source in self._snapshot.relaying.routes if self._snapshot.relaying else ():
            hop = self._snapshot.relaying.routes[source].get(destination)
            while hop is not None and hop.relays > 1:
                hop = self._snapshot.relaying.routes[hop.relay].get(destination)
            if hop is not None:
                found.add(hop.relay)
        return found

    @lazily
    def _graph(self) -> nx.Graph[str]:
        graph: nx.Graph[str] = nx.Graph()
        graph.add_nodes_from(self._snapshot.nodes)
        graph.add_edges_from(pair for pair in combinations(self._snapshot.nodes, 2) if self.is_used(*pair))
        return graph

    def _distances(self, destination: str) -> dict[str, int]:
        found = self._far.get(destination)
        if found is None:
            found = self._far[destination] = dict(nx.single_source_shortest_path_length(self._graph, destination))
        return found
