"""The graph of a snapshot, and what is asked of it."""

from itertools import combinations

import networkx as nx
import pytest
from hypothesis import given, settings

from tests.topology.asking import node, report
from tests.topology.strategies import after, snapshots
from topology import requests
from topology.graph import Kind, Vertex, as_topology, graph, tunnels
from topology.model import Connection, PortKey, Tunnel
from topology.snapshot import Snapshot, empty


@pytest.fixture
def world() -> Snapshot:
    """Return two nodes, networks red, blue and green of which red is connected with both, a pod of red on n1."""
    return after(
        empty(),
        node("n2", "192.0.2.12"),
        node("n1", "192.0.2.11"),
        *(requests.CreateNetwork(name, projects=(name,)) for name in ("red", "green", "blue")),
        requests.JoinNetworks("red", "blue"),
        requests.JoinNetworks("green", "red"),
        report(),
    )


def test_vertices_and_edges(world: Snapshot) -> None:
    picture = graph(world, with_ports=True)
    key = PortKey("n1", "c1", "eth0")
    red, port = Vertex(Kind.NETWORK, "red"), Vertex(Kind.PORT, key)
    n1, n2 = Vertex(Kind.NODE, "n1"), Vertex(Kind.NODE, "n2")
    assert picture.nodes[red] == {"kind": Kind.NETWORK, "value": world.networks["red"]}
    assert picture.nodes[n1]["value"] == world.nodes["n1"]
    assert picture.nodes[port]["value"] == world.ports[key]
    assert picture.edges[n1, n2] == {"kind": Kind.TUNNEL}
    assert picture.edges[n1, red] == {"kind": Kind.HOSTING, "ports": 1}
    assert picture.edges[red, Vertex(Kind.NETWORK, "blue")] == {"kind": Kind.CONNECTION}
    assert set(picture[port]) == {n1, red}
    assert nx.is_frozen(picture)
    with pytest.raises(nx.NetworkXError):
        picture.remove_node(n1)


def test_plain_values_are_in_order(world: Snapshot) -> None:
    view = as_topology(world)
    assert [each.name for each in view.nodes] == ["n1", "n2"]
    assert view.tunnels == (Tunnel("n1", "n2"),)
    assert [each.name for each in view.networks] == ["blue", "default", "green", "red"]
    assert view.connections == (Connection.between("blue", "red"), Connection.between("green", "red"))


@given(snapshots())
@settings(max_examples=40)
def test_the_graph_says_what_the_snapshot_says(snapshot: Snapshot) -> None:
    view = as_topology(snapshot)
    assert {each.name: each for each in view.nodes} == dict(snapshot.nodes)
    assert {each.name: each for each in view.externals} == dict(snapshot.externals)
    assert {each.name: each for each in view.networks} == dict(snapshot.networks)
    assert list(view.connections) == [value for _, value in sorted(snapshot.connections.items())]
    assert list(tunnels(snapshot)) == [Tunnel(*pair) for pair in combinations(sorted(snapshot.nodes), 2)]
    edges = graph(snapshot).edges(data=True)
    hosted = {(edge[0].key, edge[1].key): edge[2]["ports"] for edge in edges if edge[2]["kind"] is Kind.HOSTING}
    assert hosted == dict(snapshot.hosted)
