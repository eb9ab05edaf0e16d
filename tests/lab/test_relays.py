"""Tunnels that are cut, by real packets: traffic goes on over a third node, and back when the underlay is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab.frames import ETH_P_IP, Sniffer
from lab.laboratory import Lab
from lab.node import Node
from lab.pings import Pings, Tally
from lab.pod import Pod
from lab.transfers import transfer
from lab.underlay import UPLINK
from tests.lab.watching import eventually

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

PLACEMENT = {"red/a": "n1", "red/b": "n2", "red/c": "n3", "red/d": "n4"}
INTERVAL = 0.02  # seconds between pings
MOST_LOST = 3.0  # seconds: three probes, a report, one change of a switch
BIG = 3_000_000  # octets
IN_TRANSIT = 0x86  # how the inner destination MAC begins of what may pass one relay
RING = {"n1": ["n2", "n4"], "n2": ["n1", "n3"], "n3": ["n2", "n4"], "n4": ["n1", "n3"]}


@pytest.fixture
def world(unique_name: Callable[[], str]) -> Iterator[Lab]:
    with Lab(unique_name(), nodes=4) as lab:
        lab.network("red")
        lab.pods(PLACEMENT)
        assert eventually(lambda: all(tunnel["up"] for tunnel in tunnels(lab).values()))
        # Before a tunnel has carried anything, it may be that its other end is not set up yet.
        assert eventually(lambda: all(answers(node) >= 5 * len(lab.nodes) for node in lab.nodes.values()))
        yield lab


def answers(node: Node) -> int:
    """Return how many answers to its probes a node has got."""
    flows = [line for line in node.ovs_ofctl("dump-flows", "table=16").splitlines() if "priority=90" in line]
    return sum(int(field.partition("=")[2]) for line in flows for field in line.split(", ") if "n_packets" in field)


def tunnels(lab: Lab) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["from"], each["to"]): each for each in lab.api.get("/v1/topology")["tunnels"]}


def pods(lab: Lab, *names: str) -> list[Pod]:
    return [lab.pods_by_name[f"red/{name}"] for name in names]


def seconds_lost(tally: Tally) -> float:
    """For how long packets were lost: from the first that was to the last."""
    return (tally.lost[-1] - tally.lost[0] + 1) * INTERVAL if tally.lost else 0.0


def answered(tally: Tally, many: int) -> Callable[[], bool]:
    """Return whether so many more pings are answered from now on, in a row, as they are sent."""
    start = max(tally.sent, default=0)
    return lambda: set(range(start + 1, start + many + 1)) <= tally.answered


def relayed(lab: Lab, first: str, second: str) -> bool:
    return bool(tunnels(lab)[first, second]["by"])


def is_up(lab: Lab, first: str, second: str) -> bool:
    return bool(tunnels(lab)[first, second]["up"])


@contextmanager
def pinging(lab: Lab, *pairs: tuple[Pod, Pod]) -> Iterator[Pings]:
    with lab.pings(pairs, INTERVAL) as running:
        assert eventually(lambda: all(len(tally.answered) > 5 for tally in running.tallies.values()))
        yield running


@pytest.mark.parametrize("one_way", [False, True])
def test_a_cut_tunnel_goes_over_a_third_node_and_back(world: Lab, one_way: bool) -> None:
    """Of the pings between nodes that are not concerned none is lost, nor any when the tunnel is back."""
    a, b, c = pods(world, "a", "b", "c")
    with pinging(world, (a, b), (b, a), (a, c), (c, b)) as pings:
        first, second, *others = pings.tallies.values()
        with world.underlay.cut("n1", "n2", one_way=one_way):
            assert eventually(lambda: relayed(world, "n1", "n2"))
            assert eventually(answered(first, 100))
            assert eventually(answered(second, 100))
            shown = tunnels(world)["n1", "n2"]
            assert (shown["up"], set(shown["by"]) <= {"n3", "n4"}) == (False, True)
            relayed_from = max(first.sent)
        assert eventually(lambda: is_up(world, "n1", "n2"), 30.0)
        assert eventually(answered(first, 50))
    for tally in (first, second):
        assert len(tally.lost) > 0
        assert seconds_lost(tally) < MOST_LOST
        assert tally.lost[-1] < relayed_from  # nothing since: not when it came back either
    assert [tally.lost for tally in others] == [[], []]


def test_what_passes_a_relay_is_as_large_and_one_hop_older(world: Lab) -> None:
    a, b = pods(world, "a", "b")
    with world.underlay.cut("n1", "n2"):
        assert eventually(lambda: relayed(world, "n1", "n2"))
        world.settle()
        arrived = transfer(a.namespace, b.namespace, str(b.address), BIG)
        assert (arrived.octets, arrived.intact) == (BIG, True)
        assert "1 received" in a.run(f"ping -c1 -W1 -Mdo -s1422 {b.address}").stdout  # 1450 bytes: all of the pods' MTU
        assert "ttl=63" in a.run(f"ping -c1 -W1 {b.address}").stdout
        assert "0 received" in a.run(f"ping -c1 -W1 -t1 {b.address}").stdout
        relay = tunnels(world)["n1", "n2"]["by"][0]
        with Sniffer(world.node(relay).namespace, UPLINK) as underlay:
            assert a.ping(b)
            assert underlay.caught(lambda frame: is_vxlan(frame) and frame.octets[50] == IN_TRANSIT)
    assert eventually(lambda: is_up(world, "n1", "n2"), 30.0)
    assert "ttl=64" in a.run(f"ping -c1 -W1 {b.address}").stdout


def is_vxlan(frame: Any) -> bool:
    return frame.kind == ETH_P_IP and frame.octets[23] == 17 and frame.octets[36:38] == (4789).to_bytes(2)


def test_a_mirrors_copies_go_over_relays_too(world: Lab) -> None:
    a, c = pods(world, "a", "c")
    watcher = world.pod("default/watcher", on="n2")
    body = {"name": "m", "target": {"project": "default", "pod": "watcher"}, "network": "red", "direction": "out"}
    world.api.post("/v1/mirrors", body)
    try:
        with world.underlay.cut("n1", "n2"):
            assert eventually(lambda: relayed(world, "n1", "n2"))
            world.settle()
            with Sniffer(watcher.namespace) as copies:
                assert a.ping(c)
                assert copies.caught(
                    lambda frame: frame.destination_mac.startswith("0a:5c:") and frame.source == str(a.address)
                )
    finally:
        world.api.delete("/v1/mirrors/m")
        world.remove_pod("default/watcher")
    assert eventually(lambda: is_up(world, "n1", "n2"), 30.0)


def test_an_underlay_that_is_a_ring(world: Lab) -> None:
    """Neighbours are declared; a cut makes the way between its ends one over two relays, which get ready before."""
    a, b, c, d = pods(world, "a", "b", "c", "d")
    try:
        for node, named in RING.items():
            world.api.patch(f"/v1/nodes/{node}", {"neighbours": named})
        with world.underlay.cut("n1", "n3"), world.underlay.cut("n2", "n4"):
            world.settle()
            with pinging(world, (a, c), (b, d), (a, b), (c, d)) as pings:
                across, other, cut, apart = pings.tallies.values()
                assert eventually(answered(across, 50))
                assert not across.lost
                with world.underlay.cut("n1", "n2"):
                    assert eventually(lambda: relayed(world, "n1", "n2"))
                    assert eventually(answered(cut, 100))
                    assert eventually(answered(other, 50))
                    relayed_from = max(cut.sent)
                assert eventually(lambda: is_up(world, "n1", "n2"), 30.0)
                assert eventually(answered(cut, 50))
            assert seconds_lost(cut) < MOST_LOST
            assert all(tally.lost[-1] < relayed_from for tally in (cut, across, other) if tally.lost)
            assert apart.lost == []
            assert "ttl=63" in a.run(f"ping -c1 -W1 {c.address}").stdout
    finally:
        for node in RING:
            world.api.patch(f"/v1/nodes/{node}", {"neighbours": None})
    world.settle()
    assert a.ping(c)


def test_without_any_way_it_is_lost_and_comes_back(world: Lab) -> None:
    a, b = pods(world, "a", "b")
    node = world.underlay
    with node.cut("n1", "n2"), node.cut("n1", "n3"), node.cut("n1", "n4"):
        assert eventually(lambda: not a.ping(b, 0.3))
        assert eventually(lambda: not tunnels(world)["n1", "n2"]["up"])
        assert eventually(lambda: not relayed(world, "n1", "n2"))
    assert eventually(lambda: bool(a.ping(b)))
    assert eventually(lambda: all(each["up"] for each in tunnels(world).values()), 60.0)
