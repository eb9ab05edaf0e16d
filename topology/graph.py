"""The network as one graph of networkx: nodes and their tunnels, networks and their connections, who hosts what, and
external VTEPs.

Made from a snapshot when somebody asks for the whole picture; what is looked up per event is an index of the
snapshot, not a walk over this graph. Nothing here decides or changes anything.
"""

from __future__ import annotations

from enum import Enum
from itertools import combinations
from typing import NamedTuple

import networkx as nx

from topology.model import Connection, ConnectionKey, ExternalVtep, Network, Node, PortKey, Tunnel
from topology.snapshot import Snapshot


class Kind(Enum):
    """What a vertex or an edge of the graph stands for."""

    NODE = "node"
    NETWORK = "network"
    PORT = "port"
    EXTERNAL = "external VTEP"
    TUNNEL = "tunnel"  # between two nodes
    CONNECTION = "connection"  # between two networks
    HOSTING = "hosting"  # between a node and a network that has ports on it; `ports` says how many
    BEHIND = "behind"  # between an external VTEP and the network whose hosts are behind it
    ATTACHMENT = "attachment"  # between a port and its node, and a port and its network


class Vertex(NamedTuple):
    """What identifies a vertex: kind and key of the object, which is its attribute `value`."""

    kind: Kind
    key: str | PortKey


class View(NamedTuple):
    """The graph as plain values, each kind in the order of its names."""

    nodes: tuple[Node, ...]
    tunnels: tuple[Tunnel, ...]
    networks: tuple[Network, ...]
    connections: tuple[Connection, ...]
    externals: tuple[ExternalVtep, ...]


def graph(snapshot: Snapshot, *, with_ports: bool = False) -> nx.Graph[Vertex]:
    """Return the frozen graph of a snapshot; every vertex and edge has a `kind`, vertices the `value` they stand for.

    Every two nodes have a tunnel: VTEPs need no set-up per peer. Ports are left out unless asked for.
    """
    picture: nx.Graph[Vertex] = nx.Graph()
    for name, node in sorted(snapshot.nodes.items()):
        picture.add_node(Vertex(Kind.NODE, name), kind=Kind.NODE, value=node)
    for name, network in sorted(snapshot.networks.items()):
        picture.add_node(Vertex(Kind.NETWORK, name), kind=Kind.NETWORK, value=network)
    for first, second in combinations(sorted(snapshot.nodes), 2):
        picture.add_edge(Vertex(Kind.NODE, first), Vertex(Kind.NODE, second), kind=Kind.TUNNEL)
    for first, second in sorted(snapshot.connections):
        picture.add_edge(Vertex(Kind.NETWORK, first), Vertex(Kind.NETWORK, second), kind=Kind.CONNECTION)
    for (place, hosted), number in sorted(snapshot.hosted.items()):
        picture.add_edge(Vertex(Kind.NODE, place), Vertex(Kind.NETWORK, hosted), kind=Kind.HOSTING, ports=number)
    for name, external in sorted(snapshot.externals.items()):
        picture.add_node(Vertex(Kind.EXTERNAL, name), kind=Kind.EXTERNAL, value=external)
        picture.add_edge(Vertex(Kind.EXTERNAL, name), Vertex(Kind.NETWORK, external.network), kind=Kind.BEHIND)
    for key, port in sorted(snapshot.ports.items()) if with_ports else ():
        vertex = Vertex(Kind.PORT, key)
        picture.add_node(vertex, kind=Kind.PORT, value=port)
        picture.add_edge(vertex, Vertex(Kind.NODE, port.node), kind=Kind.ATTACHMENT)
        picture.add_edge(vertex, Vertex(Kind.NETWORK, port.network), kind=Kind.ATTACHMENT)
    nx.freeze(picture)
    return picture


def as_topology(snapshot: Snapshot) -> View:
    """Return what GET /v1/topology shows."""
    picture = graph(snapshot)
    vertices = {kind: tuple(v["value"] for _, v in picture.nodes(data=True) if v["kind"] is kind) for kind in Kind}
    edges = [(str(a.key), str(b.key), what["kind"]) for a, b, what in picture.edges(data=True)]
    return View(
        nodes=vertices[Kind.NODE],
        tunnels=tuple(Tunnel(a, b) for a, b, kind in edges if kind is Kind.TUNNEL),
        networks=vertices[Kind.NETWORK],
        connections=tuple(
            snapshot.connections[ConnectionKey.between(a, b)] for a, b, kind in edges if kind is Kind.CONNECTION
        ),
        externals=vertices[Kind.EXTERNAL],
    )


def tunnels(snapshot: Snapshot) -> tuple[Tunnel, ...]:
    """Return the tunnel of every two nodes."""
    return as_topology(snapshot).tunnels
