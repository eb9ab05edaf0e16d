"""Which way packets go where tunnels are down or missing: that they arrive, over how many relays, and never circle.

Graphs are drawn; switches change one after the other, in every order that may be, and packets are sent in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from itertools import combinations, pairwise

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology.asking import node, report
from tests.topology.states import states
from tests.topology.strategies import EVERY_STAGE, after
from topology import fields, requests
from topology.admission import admit
from topology.compiler import FlowTable, Tables, compile_all, update
from topology.fields import ETH_DST, TUN_IPV4_DST
from topology.flow import Op
from topology.model import PortKey, Severed, Tunnel, TunnelStage
from topology.outcome import Delivered, Dropped
from topology.packet import Ends, arriving, icmp, tunnelled
from topology.pipeline import ENCAPSULATE, IN_TRANSIT, LABEL_MASK, TRANSIT_LAST, Table
from topology.relaying import Hop, Relaying, is_laid
from topology.requests import Refused, Request
from topology.snapshot import Put, Snapshot, apply_all, empty
from topology.specification import is_way
from topology.switch import Switch
from topology.trace import Fabric
from topology.verification import prove

MOST_NODES = 7
NAMES = tuple(f"n{number}" for number in range(1, MOST_NODES + 1))


def world(many: int, neighbours: dict[str, tuple[str, ...]] | None = None) -> Snapshot:
    """Return nodes of which each has a pod of one network."""
    snapshot = empty()
    for number, name in enumerate(NAMES[:many], 1):
        key = PortKey(name, f"c{number}", "eth0")
        snapshot = after(
            snapshot,
            node(name, f"192.0.2.{10 + number}"),
            requests.CreateNetwork("red", projects=("red",)),
            report(key=key, pod=f"p{number}", host_interface=f"v{number}"),
            requests.PortSeen(name, f"v{number}", 3),
        )
    return after(snapshot, *(requests.SetNeighbours(name, named) for name, named in (neighbours or {}).items()))


def picture(snapshot: Snapshot) -> nx.Graph[str]:
    """Return the graph of the tunnels that senders use."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(snapshot.nodes)
    for one, other in combinations(snapshot.nodes, 2):
        severed = snapshot.severed.get(Tunnel.between(one, other))
        used = severed is None or severed.stage in (TunnelStage.PREPARING, TunnelStage.RETURNED)
        if used and is_laid(snapshot.nodes, one, other):
            graph.add_edge(one, other)
    return graph


def carried(fabric: Fabric, source: str, destination: str) -> tuple[list[str], bool]:
    """Return the nodes that a packet of one node's pod to another's passes, and whether it gets there."""
    ports = {port.node: port for port in fabric.snapshot.ports.values()}
    ends = Ends(ports[source].addresses[0], ports[destination].addresses[0], ports[source].mac)
    trace = fabric.carry(source, arriving(icmp(ends), 3))
    passed = list(dict.fromkeys(step.node for step in trace.steps))
    hops = [step.node for step in trace.steps if step.table == Table.DISPATCH]
    assert len(hops) <= len(fabric.snapshot.nodes) + 1
    return (hops if hops != passed else passed), trace.outcome == Delivered(destination, ports[destination].key)


pairs = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda pair: pair[0] != pair[1]),
    max_size=14,
    unique_by=frozenset,
)


@st.composite
def networks(draw: st.DrawFn) -> Snapshot:
    """Draw nodes, an underlay that need not be a full mesh, and tunnels that are down."""
    many = draw(st.integers(3, MOST_NODES))
    named = draw(
        st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES), min_size=1, max_size=3), max_size=4)
    )
    snapshot = world(many, {name: tuple(others - {name}) for name, others in named.items()})
    return cut(snapshot, draw(pairs))


def cut(snapshot: Snapshot, down: Iterable[tuple[str, str]]) -> Snapshot:
    """Return the network as it is when these tunnels are down, and all have got used to it."""
    for end in snapshot.nodes:
        others = tuple(other for pair in down for one, other in (pair, pair[::-1]) if one == end)
        snapshot = after(snapshot, requests.ReportTunnels(end, others))
    return after(snapshot, *[requests.AdvanceTunnels(EVERY)] * 3)


EVERY = tuple((Tunnel.between(*pair), stage) for pair in combinations(NAMES, 2) for stage in TunnelStage)


@given(networks())
@settings(max_examples=150, deadline=None)
def test_packets_take_a_shortest_way_to_wherever_there_is_one(snapshot: Snapshot) -> None:
    graph = picture(snapshot)
    fabric = Fabric(snapshot, compile_all(snapshot))
    for source, destination in combinations(snapshot.nodes, 2):
        for one, other in ((source, destination), (destination, source)):
            hops, arrives = carried(fabric, one, other)
            laid = is_laid(snapshot.nodes, one, other)
            if nx.has_path(graph, one, other):
                assert arrives
                assert len(hops) == nx.shortest_path_length(graph, one, other) + 1
                assert all(graph.has_edge(*step) for step in pairwise(hops))
            else:  # the tunnel that is down is tried
                assert hops == ([one, other] if laid else [one])
            assert is_way(snapshot, one, other) == (nx.has_path(graph, one, other) or laid)


@given(networks())
@settings(max_examples=60, deadline=None)
def test_all_of_it_is_proven(snapshot: Snapshot) -> None:
    assert [proof.findings for proof in prove(snapshot, compile_all(snapshot)) if proof.findings] == []


# --- while it changes ----------------------------------------------------------------------------


def staged(snapshot: Snapshot, asked: Request) -> Iterator[Snapshot]:
    """Yield what follows of a report, stage by stage, as the controller leads it."""
    snapshot, _ = apply_all(snapshot, admit(snapshot, asked))
    yield snapshot
    while any(each.stage is not TunnelStage.DOWN for each in snapshot.severed.values()):
        stages = tuple((tunnel, each.stage) for tunnel, each in snapshot.severed.items())
        snapshot, _ = apply_all(snapshot, admit(snapshot, requests.AdvanceTunnels(stages)))
        yield snapshot


@given(networks(), st.data())
@settings(max_examples=120, deadline=None)
def test_nothing_circles_and_no_more_is_lost_while_switches_change(snapshot: Snapshot, data: st.DataObject) -> None:
    """A packet arrives if it would before and after, over tunnels that are up, whichever switches have changed."""
    end = data.draw(st.sampled_from(list(snapshot.nodes)))
    others = [name for name in snapshot.nodes if name != end]
    down = data.draw(st.lists(st.sampled_from(others), max_size=3, unique=True))
    before = snapshot
    for following in staged(snapshot, requests.ReportTunnels(end, tuple(down))):
        old, new = compile_all(before), compile_all(following)
        # What is really up: what is said to be down is, from the moment that it is said.
        alive = nx.Graph(
            [
                pair
                for pair in combinations(following.nodes, 2)
                if is_laid(following.nodes, *pair)
                and not getattr(following.severed.get(Tunnel.between(*pair)), "said_by", ())
            ]
        )
        changed = data.draw(st.sets(st.sampled_from(list(following.nodes))))
        mixed = Tables({name: new[name] if name in changed else old[name] for name in following.nodes})
        fabrics = [Fabric(following, tables) for tables in (old, mixed, new)]
        for pair in combinations(following.nodes, 2):
            for source, destination in (pair, pair[::-1]):
                (was, _), (hops, arrives), (now, _) = (carried(each, source, destination) for each in fabrics)
                if all(_is_up(alive, way) and way[-1] == destination for way in (was, now)):
                    assert arrives
                    assert _is_up(alive, hops)
        before = following


def _is_up(alive: nx.Graph[str], way: list[str]) -> bool:
    return all(alive.has_edge(*step) for step in pairwise(way))


@given(networks(), networks(), st.data())
@settings(max_examples=100, deadline=None)
def test_no_packet_circles_whatever_flows_switches_have(one: Snapshot, other: Snapshot, data: st.DataObject) -> None:
    """Even of two graphs that have nothing to do with each other: over each relay there is one relay less to pass."""
    many = min(len(one.nodes), len(other.nodes))
    first, second = compile_all(one), compile_all(other)
    chosen = data.draw(st.lists(st.booleans(), min_size=many, max_size=many))
    tables = Tables(
        {name: (first if is_first else second)[name] for name, is_first in zip(NAMES, chosen, strict=False)}
    )
    fewer = one if len(one.nodes) == many else other
    for pair in combinations(NAMES[:many], 2):
        for source, destination in (pair, pair[::-1]):
            hops, _ = carried(Fabric(fewer, tables), source, destination)
            assert len(hops) <= MOST_NODES


@given(networks(), st.data())
@settings(max_examples=60, deadline=None)
def test_what_changes_is_what_is_compiled_anew(snapshot: Snapshot, data: st.DataObject) -> None:
    end = data.draw(st.sampled_from(list(snapshot.nodes)))
    named = data.draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple))
    kinds: list[Request] = [
        requests.ReportTunnels(end, tuple(name for name in named if name != end)),
        requests.SetNeighbours(end, tuple(name for name in named if name != end) or None),
        requests.AdvanceTunnels(EVERY),
        requests.DeleteNode(end, drain=True),
    ]
    asked = data.draw(st.sampled_from(kinds))
    following, changes = apply_all(snapshot, admit(snapshot, asked))
    tables, _ = update(compile_all(snapshot), changes, snapshot, following)
    assert {name: set(table.entries()) for name, table in tables.items()} == {
        name: set(table.entries()) for name, table in compile_all(following).items()
    }


# --- stages --------------------------------------------------------------------------------------


def stages(snapshot: Snapshot) -> dict[Tunnel, TunnelStage]:
    return {tunnel: each.stage for tunnel, each in snapshot.severed.items()}


def test_over_one_relay_senders_change_at_once() -> None:
    start = world(3)
    down = after(start, requests.ReportTunnels("n1", ("n2",)))
    assert dict(down.severed) == {Tunnel("n1", "n2"): Severed(Tunnel("n1", "n2"), ("n1",), TunnelStage.DOWN)}
    assert down.relaying.routes == {"n1": {"n2": Hop("n3", 1)}, "n2": {"n1": Hop("n3", 1)}}
    assert not down.relaying.transits
    both = after(down, requests.ReportTunnels("n2", ("n1",)))
    assert both.severed[Tunnel("n1", "n2")].said_by == ("n1", "n2")
    one = after(both, requests.ReportTunnels("n1", ()))
    assert stages(one) == {Tunnel("n1", "n2"): TunnelStage.DOWN}
    assert after(one, requests.ReportTunnels("n2", ())) == start


RING = {"n1": ("n2", "n4"), "n2": ("n1", "n3"), "n3": ("n2", "n4"), "n4": ("n1", "n3")}


def test_where_relays_need_more_they_come_first_and_last() -> None:
    """In a ring of four, a cut makes the way between its ends one over two relays."""
    start, tunnel = world(4, RING), Tunnel("n1", "n2")
    seen = [stages(each) for each in staged(start, requests.ReportTunnels("n2", ("n1",)))]
    assert seen == [{tunnel: TunnelStage.PREPARING}, {tunnel: TunnelStage.DOWN}]
    preparing = after(start, requests.ReportTunnels("n2", ("n1",)))
    assert "n1" not in preparing.relaying.routes["n2"]
    assert preparing.relaying.transits
    down = after(preparing, requests.AdvanceTunnels(EVERY))
    assert down.relaying.routes["n2"]["n1"] == Hop("n3", 2)
    back = [stages(each) for each in staged(down, requests.ReportTunnels("n2", ()))]
    assert back == [{tunnel: TunnelStage.RETURNED}, {}]


@pytest.mark.parametrize("stage", list(TunnelStage))
def test_at_each_stage_it_may_be_said_otherwise(stage: TunnelStage) -> None:
    tunnel = Tunnel("n1", "n2")
    start = world(4, RING)
    said = () if stage in (TunnelStage.RETURNING, TunnelStage.RETURNED) else ("n1",)
    present = apply_all(start, (Put(Severed(tunnel, said, stage)),))[0]
    cut_again = after(present, requests.ReportTunnels("n1", ("n2",)))
    healed = after(present, requests.ReportTunnels("n1", ()))
    expected = {
        TunnelStage.PREPARING: (TunnelStage.PREPARING, None),
        TunnelStage.DOWN: (TunnelStage.DOWN, TunnelStage.RETURNED),
        TunnelStage.RETURNING: (TunnelStage.DOWN, TunnelStage.RETURNING),
        TunnelStage.RETURNED: (TunnelStage.DOWN, TunnelStage.RETURNED),  # relays have it still
    }[stage]
    assert (stages(cut_again).get(tunnel), stages(healed).get(tunnel)) == expected


def test_a_node_takes_its_tunnels_along() -> None:
    down = after(world(3), requests.ReportTunnels("n1", ("n2",)), requests.DeleteNode("n2", drain=True))
    assert not down.severed
    assert not down.relaying


@pytest.mark.parametrize(
    ("asked", "cause"),
    [
        (requests.ReportTunnels("n9", ()), "does not exist"),
        (requests.ReportTunnels("n1", ("n1",)), "to itself is down"),
        (requests.SetNeighbours("n1", ("n1",)), "names itself"),
        (requests.SetNeighbours("n1", ()), "names no neighbour"),
    ],
)
def test_what_cannot_be_is_refused(asked: Request, cause: str) -> None:
    with pytest.raises(Refused, match=cause):
        admit(world(2), asked)


def test_of_nodes_that_are_gone_nothing_is_said() -> None:
    assert admit(world(2), requests.ReportTunnels("n1", ("n9",))) == ()


def test_a_node_whose_number_is_too_large_is_reached_directly_only() -> None:
    start = after(world(2), node("n3", "192.0.2.13", dpid=0x1_0000))
    down = after(start, requests.ReportTunnels("n3", ("n1",)))
    assert down.relaying.routes == {"n3": {"n1": Hop("n2", 1)}}


# --- scale and choice ----------------------------------------------------------------------------


def test_with_a_thousand_nodes_and_few_tunnels_down_the_graph_is_small() -> None:
    snapshot = empty()
    for number in range(300):
        snapshot = after(snapshot, node(f"n{number}", f"192.0.{2 + number // 200}.{1 + number % 200}"))
    tunnels = {Tunnel.between("n7", f"n{other}"): TunnelStage.DOWN for other in (8, 9, 100)}
    severed = {tunnel: Severed(tunnel, (tunnel.first,)) for tunnel in tunnels}
    relaying = Relaying(snapshot.nodes, severed, ())
    assert {name: set(ways) for name, ways in relaying.routes.items()} == {
        "n7": {"n8", "n9", "n100"},
        "n8": {"n7"},
        "n9": {"n7"},
        "n100": {"n7"},
    }
    assert len({hop.relay for ways in relaying.routes.values() for hop in ways.values() if hop}) > 1
    assert relaying.routes == Relaying(snapshot.nodes, dict(reversed(severed.items())), ()).routes


# --- what a relay believes -----------------------------------------------------------------------


def test_in_transit_is_only_what_a_known_node_sends() -> None:
    snapshot = states()["this node is a relay"]
    fabric = Fabric(snapshot, compile_all(snapshot))
    n2, n3 = snapshot.nodes["n2"], snapshot.nodes["n3"]
    packet = icmp(Ends(IPv4Address("10.128.4.9"), IPv4Address("10.128.2.9")))
    label = (IN_TRANSIT | 1 << 42 | n2.dpid << 24) & LABEL_MASK
    for vtep, is_known in ((n3.underlay, True), (IPv4Address("203.0.113.77"), False)):
        came = tunnelled(packet, 10, vtep, snapshot.nodes["n1"].underlay, space=0).set(ETH_DST, label)
        passage = fabric.switch("n1").process(came)
        assert bool(passage.outputs) == is_known
        if is_known:
            sent = passage.outputs[0].packet
            assert sent.get(TUN_IPV4_DST) == int(n2.underlay)
            assert (sent.get(ETH_DST) or 0) >> 24 == 0x0A5900
    pod = next(port for port in snapshot.ports.values() if port.node == "n1")
    sent_by_pod = arriving(packet.set(ETH_DST, label), pod.ofport or 0)
    assert isinstance(fabric.carry("n1", sent_by_pod).outcome, Dropped)


def test_a_relay_counts_as_a_hop() -> None:
    for table in compile_all(states()["nodes in a row"]).values():
        for entry in table.entries():
            if entry.flow.table == Table.TRANSIT and any(term[0] == fields.ETH_TYPE for term in entry.flow.match):
                assert (Op.DEC_TTL,) in entry.flow.actions


def test_where_nothing_is_down_only_what_is_common_is_there() -> None:
    table: FlowTable = compile_all(world(3))["n1"]
    found = [entry.flow for entry in table.entries() if entry.flow.table in (Table.TRANSIT, Table.ENCAPSULATION)]
    assert {flow.priority for flow in found} == {TRANSIT_LAST.priority, ENCAPSULATE.priority, 0}
    assert Switch.of(table)
    assert EVERY_STAGE
