"""By which node another one is reached: directly, or over relays by a shortest path of tunnels that are up.

Worked out on the graph of nodes and tunnels (networkx). Where nothing is down and no node names its neighbours, there
is nothing to work out. What a relay is asked to do follows from a number that the packet carries and that becomes less
at each: so it arrives or ends, even while some switches have the flows of one graph and some those of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import combinations
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

import networkx as nx

from topology.model import Node, Severed, Tunnel, TunnelStage
from topology.pipeline import LAST_LABELLED, MOST_RELAYS


class Hop(NamedTuple):
    """The first relay on the way to a node, and how many there are, itself included."""

    relay: str
    relays: int


class Transit(NamedTuple):
    """What a relay gets: a packet to a node that may pass so many relays, itself included."""

    destination: str
    relays: int


# By sender and destination, of those pairs that have no tunnel to use; None: there is no way at all.
Routes: TypeAlias = Mapping[str, Mapping[str, Hop | None]]
# By relay: to which node it passes on what is in transit, over one relay less. What may pass one relay only is not
# here: that goes to its destination directly, whatever the graph.
Transits: TypeAlias = Mapping[str, Mapping[Transit, str]]

_NOBODY: Final = "*"  # stands for all nodes that have a tunnel to every other; no node is called so
_UNUSED: Final = frozenset({TunnelStage.DOWN, TunnelStage.RETURNING})
# Graphs by the stages of tunnels that are not in them, in the order in which they are asked what a relay does: first
# the one without all that may be broken, then what senders use, then what they are to use and what they used.
_GRAPHS: Final = (
    _UNUSED | {TunnelStage.PREPARING},
    _UNUSED,
    frozenset({TunnelStage.DOWN, TunnelStage.PREPARING}),
    _UNUSED | {TunnelStage.RETURNED},
)
_NONE: Final[Mapping[str, Hop | None]] = MappingProxyType({})
_NO_TRANSIT: Final[Mapping[Transit, str]] = MappingProxyType({})


class Relaying:
    """The ways between nodes. Nothing of it is worked out before somebody asks."""

    def __init__(self, nodes: Mapping[str, Node], severed: Mapping[Tunnel, Severed], declared: Iterable[str]) -> None:
        """Take nodes by name, tunnels that are down or on their way back, and the nodes that name neighbours."""
        self._nodes, self._severed, self.declared = nodes, severed, frozenset(declared)

    def __bool__(self) -> bool:
        return bool(self._severed or self.declared)

    @cached_property
    def routes(self) -> Routes:
        """The ways that senders use now."""
        return self._without(_UNUSED)

    @cached_property
    def transits(self) -> Transits:
        """What relays do, for all who may use them now, may be about to, or may have done so a moment ago."""
        found: dict[str, dict[Transit, str]] = {}
        stages = {each.stage for each in self._severed.values()}
        for unused in dict.fromkeys(graph & stages for graph in _GRAPHS):
            for relay, transit, onwards in _transits(
                self.routes if unused == _UNUSED & stages else self._without(unused)
            ):
                found.setdefault(relay, {}).setdefault(transit, onwards)
        return found

    def route(self, source: str, destination: str) -> Hop | None:
        """Return the first hop of a way over relays. Raises LookupError if the tunnel itself is used."""
        return self.routes.get(source, _NONE)[destination]

    def at(self, node: str) -> Mapping[Transit, str]:
        """Return what a node does as a relay."""
        return self.transits.get(node, _NO_TRANSIT)

    @cached_property
    def destinations(self) -> frozenset[str]:
        """The nodes that somebody does not reach directly, or may not in a moment."""
        direct = (each for routes in self.routes.values() for each in routes)
        passed = (each.destination for transits in self.transits.values() for each in transits)
        return frozenset((*direct, *passed))

    @cached_property
    def last_relays(self) -> Mapping[str, frozenset[str]]:
        """By destination: the relays from which it gets what was in transit."""
        found: dict[str, set[str]] = {}
        for routes in self.routes.values():
            for destination, hop in routes.items():
                while hop is not None and hop.relays > 1:
                    hop = self.routes[hop.relay][destination]
                if hop is not None:
                    found.setdefault(destination, set()).add(hop.relay)
        return {destination: frozenset(relays) for destination, relays in found.items()}

    def is_tunnel(self, one: str, other: str) -> bool:
        """Whether the underlay leads from either of two nodes to the other."""
        return is_laid(self._nodes, one, other)

    def _without(self, unused: frozenset[TunnelStage]) -> dict[str, dict[str, Hop | None]]:
        """Return the ways in the graph without the tunnels that are at one of these stages."""
        gone = {tunnel for tunnel, each in self._severed.items() if each.stage in unused}
        if not gone and not self.declared:
            return {}
        return _Reduced(self, sorted(self._nodes), self._special(gone), gone).routes()

    def _special(self, gone: Iterable[Tunnel]) -> set[str]:
        """Return the nodes that may have no tunnel to some other, but for those whose others all say so."""
        named = {name for node in self.declared for name in self.named(node)}
        ends = {name for tunnel in gone for name in tunnel}
        return {*self.declared, *named, *ends}.intersection(self._nodes)

    def named(self, node: str) -> tuple[str, ...]:
        """Return the neighbours that a node names; none if it names none."""
        return self._nodes[node].neighbours or ()

    def label(self, destination: str) -> int | None:
        """Return the number by which relays know a node; None if there is no room for it."""
        dpid = self._nodes[destination].dpid
        return dpid if dpid <= LAST_LABELLED else None


class _Reduced:
    """The graph in which all nodes that are like each other are one vertex: with a thousand nodes and one tunnel down,
    it has three.
    """

    def __init__(self, relaying: Relaying, names: list[str], special: set[str], gone: set[Tunnel]) -> None:
        self._relaying, self._gone, self._special = relaying, gone, special
        self._alike = [name for name in names if name not in special]
        self._graph: nx.Graph[str] = nx.Graph()
        self._graph.add_nodes_from(sorted(special))
        if self._alike:
            self._graph.add_node(_NOBODY)
        for one, other in self._pairs():
            if Tunnel.between(one, other) not in gone and relaying.is_tunnel(one, other):
                self._graph.add_edge(one, other)
        for name in special if self._alike else ():
            if relaying.is_tunnel(name, self._alike[0]):
                self._graph.add_edge(name, _NOBODY)

    def _pairs(self) -> Iterator[tuple[str, str]]:
        """Yield the pairs of nodes that may have an edge: of one that names its neighbours, these."""
        yield from combinations(sorted(self._special.difference(self._relaying.declared)), 2)
        for node in sorted(self._special & self._relaying.declared):
            for name in self._relaying.named(node):
                if name in self._special and name != node:
                    yield node, name

    def routes(self) -> dict[str, dict[str, Hop | None]]:
        """Return all ways in it."""
        found: dict[str, dict[str, Hop | None]] = {}
        for vertex in self._graph:
            ways = dict(self._to(vertex))
            for destination in self._meant(vertex) if ways else ():
                is_labelled = self._relaying.label(destination) is not None
                for source, shortest in ways.items():
                    hop = shortest if is_labelled else None
                    if hop is None and self._is_tried(source, destination):
                        continue
                    for name in self._meant(source):
                        found.setdefault(name, {})[destination] = hop
        return found

    def _meant(self, vertex: str) -> Iterable[str]:
        """Return the nodes that a vertex stands for."""
        return self._alike if vertex == _NOBODY else (vertex,)

    def _to(self, destination: str) -> Iterator[tuple[str, Hop | None]]:
        """Yield the ways to a vertex from all that have no edge to it."""
        if len(self._graph[destination]) == len(self._graph) - 1:
            return
        far: dict[str, int] = nx.single_source_shortest_path_length(self._graph, destination)
        for source in self._graph:
            if source == destination or far.get(source) == 1:
                continue
            relays = far.get(source, MOST_RELAYS + 2) - 1
            if relays > MOST_RELAYS:
                yield source, None
            else:
                near = (name for each in self._graph[source] if far.get(each) == relays for name in self._meant(each))
                yield source, Hop(min(near, key=lambda name: _order(name, destination)), relays)

    def _is_tried(self, source: str, destination: str) -> bool:
        """Whether there is a tunnel, said to be down: where there is no other way, nothing is gained by giving up."""
        return source != _NOBODY and self._relaying.is_tunnel(source, destination)


def is_laid(nodes: Mapping[str, Node], one: str, other: str) -> bool:
    """Whether the underlay leads from either of two nodes to the other, as far as they say."""
    first, second = nodes[one].neighbours, nodes[other].neighbours
    return (first is None or other in first) and (second is None or one in second)


def _order(relay: str, destination: str) -> tuple[int, str]:
    """Where several relays are as near, which of them it is: not the same one for all destinations."""
    return crc32(f"{destination} {relay}".encode()), relay


def _transits(routes: Routes) -> Iterator[tuple[str, Transit, str]]:
    """Yield what the ways of all need of relays that are not the last one."""
    for ways in routes.values():
        for destination, hop in ways.items():
            if hop is not None and hop.relays > 1:
                onwards = routes[hop.relay][destination]
                assert onwards is not None
                yield hop.relay, Transit(destination, hop.relays), onwards.relay


NO_RELAYING: Final = Relaying({}, {}, ())
