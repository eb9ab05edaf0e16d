"""What if: a plan tells what comes true when the change is made, and changes nothing itself."""

from __future__ import annotations

from ipaddress import IPv4Address
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology import seeded
from tests.topology.asking import node, report
from tests.topology.strategies import after, any_request, granted, snapshots
from topology import requests
from topology.compiler import FlowTable, compile_all
from topology.model import EVERYTHING, Connection, Move, Network, Port, PortKey, Project, Scope, ServicePort
from topology.outcome import Delivered
from topology.plan import OTHERS, Cut, FlowChange, Plan, PodChange, ReachChange, moves_done, plan, plan_request
from topology.requests import Reason, Request
from topology.snapshot import Event, Put, Snapshot, apply_all, empty
from topology.trace import Fabric, trace_pods


def pod(name: str, project: str, place: str, ofport: int) -> tuple[Request, ...]:
    key = PortKey(place, name, "eth0")
    return report(name, key=key, project=project, pod=name), requests.PortSeen(place, f"v{name}", ofport)


@pytest.fixture
def network() -> Snapshot:
    """Red on both nodes, blue on the second, green without pods."""
    made = [requests.CreateNetwork(name, projects=(name,)) for name in ("red", "blue", "green")]
    nodes = (node("n1", "192.0.2.11"), node("n2", "192.0.2.12"))
    pods = (*pod("a", "red", "n1", 3), *pod("b", "red", "n2", 3), *pod("c", "blue", "n2", 4))
    return after(empty(), *nodes, *made, *pods)


def planned(snapshot: Snapshot, request: Request) -> Plan:
    return plan_request(snapshot, compile_all(snapshot), request)


def test_a_join(network: Snapshot) -> None:
    found = planned(network, requests.JoinNetworks("red", "blue"))
    assert found.reach == (
        ReachChange("blue", "red", None, EVERYTHING, 1, 2),
        ReachChange("red", "blue", None, EVERYTHING, 2, 1),
    )
    assert found.flows == (FlowChange("n1", 2, 0), FlowChange("n2", 2, 0))
    assert (found.cut, found.pods, found.findings, found.refused) == ((), (), (), None)


def test_an_end_of_a_connection_cuts_what_goes_on(network: Snapshot) -> None:
    joined = after(network, requests.JoinNetworks("red", "blue"), requests.JoinNetworks("red", "green"))
    found = planned(joined, requests.IsolateNetworks("red"))
    why = "nothing may be begun any more"
    assert found.cut == (Cut("blue", "red", why, 1, 2), Cut("red", "blue", why, 2, 1))
    assert [(each.source, each.destination) for each in found.reach] == [
        *(("blue", "red"), ("green", "red"), ("red", "blue"), ("red", "green"))
    ]
    assert found.flows == (FlowChange("n1", 0, 4), FlowChange("n2", 0, 4))


def test_a_narrowed_connection_cuts_and_is_tracked(network: Snapshot) -> None:
    joined = after(network, requests.JoinNetworks("red", "blue"))
    https = Scope(ports=(ServicePort("TCP", 443),))
    found = planned(joined, requests.JoinNetworks("red", "blue", https, None))
    assert [(each.source, each.after) for each in found.reach] == [("blue", None), ("red", https)]
    assert {(each.source, each.why) for each in found.cut} == {
        ("blue", "nothing may be begun any more"),
        ("red", "less may be begun than before"),
    }
    assert found.tracking == ("red",)
    narrow = after(joined, requests.JoinNetworks("red", "blue", https, None))
    wider = planned(narrow, requests.JoinNetworks("red", "blue"))
    assert (wider.cut, wider.tracking) == ((), ("red",))


def test_being_global_is_told_once_for_all(network: Snapshot) -> None:
    joined = after(network, requests.JoinNetworks("red", "blue"))
    found = planned(joined, requests.SetGlobal("red", True))
    besides = ("blue", "default")
    assert found.reach == (
        ReachChange("red", OTHERS, None, EVERYTHING, 2, 0, besides),
        ReachChange(OTHERS, "red", None, EVERYTHING, 0, 2, besides),
    )
    back = planned(after(joined, requests.SetGlobal("red", True)), requests.SetGlobal("red", False))
    assert {(each.source, each.destination, each.after) for each in back.reach} == {
        ("red", OTHERS, None),
        (OTHERS, "red", None),
    }


def test_a_refusal_is_a_plan(network: Snapshot) -> None:
    found = planned(network, requests.JoinNetworks("red", "purple"))
    assert found.refused is not None
    assert found.refused.reason is Reason.UNKNOWN
    assert found == Plan(refused=found.refused)


def test_a_node_that_goes_takes_its_pods_along(network: Snapshot) -> None:
    found = planned(network, requests.DeleteNode("n2", drain=True))
    assert set(found.pods) == {PodChange("red", None, 1, 0), PodChange("blue", None, 1, 0)}
    assert {each.node: each.added for each in found.flows}["n2"] == 0


def test_what_follows_by_itself_is_part_of_the_plan(network: Snapshot) -> None:
    """As a move in several stages would: each pod by itself."""

    def complete(snapshot: Snapshot) -> tuple[Event, ...]:
        left = [port for port in snapshot.ports.values() if port.network == "red"]
        return (Put(_moved(left[0])),) if left else ()

    found = plan(network, compile_all(network), (), complete)
    assert found.pods == (PodChange("red", "blue", 2, 0),)


def test_a_move_is_planned_to_its_end(network: Snapshot) -> None:
    found = planned(network, requests.MoveProject("red", "blue"))
    assert found.pods == (PodChange("red", "blue", 2, 0),)
    changed = [(type(each.before), type(each.after), getattr(each.after, "network", None)) for each in found.objects]
    assert (Project, Project, "blue") in changed
    assert not any(isinstance(each.subject, Move | Network | Connection) for each in found.objects)


def test_who_leaves_is_cut_from_whom_it_leaves(network: Snapshot) -> None:
    joined = after(network, requests.JoinNetworks("red", "green"), *pod("d", "green", "n1", 5))
    stays = after(joined, requests.CreateProject("red-test", "red"), *pod("e", "red-test", "n1", 6))
    found = planned(stays, requests.MoveProject("red", "blue"))
    assert (found.pods, found.reach) == ((PodChange("red", "blue", 2, 0),), ())
    assert {(each.source, each.destination, each.source_pods, each.destination_pods) for each in found.cut} == {
        *(("red", "red", 2, 1), ("red", "red", 1, 2), ("red", "green", 2, 1), ("green", "red", 1, 2))
    }


def test_a_move_from_a_global_network_leaves_all_others(network: Snapshot) -> None:
    world = after(network, requests.SetGlobal("red", True))
    found = planned(world, requests.MoveProject("red", "green"))
    assert {(each.source, each.destination) for each in found.cut} == {("red", OTHERS), (OTHERS, "red")}


def _moved(port: Port) -> Port:
    return Port(
        port.key, port.project, port.pod, "blue", port.host_interface, port.mac, port.addresses, ofport=port.ofport
    )


@given(snapshots(), any_request())
@settings(max_examples=150)
def test_a_plan_comes_true(snapshot: Snapshot, request: Request) -> None:
    tables = compile_all(snapshot)
    found = plan_request(snapshot, tables, request)
    then, _ = apply_all(snapshot, granted(snapshot, request))
    while events := moves_done(snapshot)(then):
        then, _ = apply_all(then, events)
    new = compile_all(then)
    assert found.findings == ()
    counted = {each.node: (each.added, each.removed) for each in found.flows}
    for name in {*tables, *new}:
        was, now = ({e.cookie for e in all_.get(name, FlowTable()).entries()} for all_ in (tables, new))
        assert counted.get(name, (0, 0)) == (len(now - was), len(was - now))


@pytest.mark.parametrize("seed", range(12))
def test_pods_reach_each_other_otherwise_only_as_planned(seed: int) -> None:
    """Pairs of pods that gain or lose a packet to each other are of networks that the plan names."""
    chance = Random(seed)
    snapshot = seeded.network(chance)
    for _ in range(12):
        request = seeded.administration(chance)
        found = plan_request(snapshot, compile_all(snapshot), request)
        then = after(snapshot, request)
        named = {(each.source, each.destination) for each in found.reach}
        for source, destination in changed_pairs(snapshot, then):
            besides = {(each.source, each.destination): each.besides for each in found.reach}
            as_one = destination not in besides.get((source, OTHERS), ()) and (source, OTHERS) in named
            as_other = source not in besides.get((OTHERS, destination), ()) and (OTHERS, destination) in named
            assert (source, destination) in named or as_one or as_other, request
        snapshot = then


def changed_pairs(before: Snapshot, then: Snapshot) -> set[tuple[str, str]]:
    """Return pairs of networks whose pods, if they are there before and after, reach each other otherwise."""
    stays = [key for key in before.ports if before.ports[key] == then.ports.get(key)]
    fabrics = [Fabric(state, compile_all(state)) for state in (before, then)]
    pairs = set()
    for one in stays:
        for other in stays:
            source, target = before.ports[one], before.ports[other]
            if one == other or source.ofport is None or target.ofport is None:
                continue
            address = IPv4Address((target.cluster_addresses or target.addresses)[0])
            for protocol, port in (("TCP", 443), ("TCP", 80), ("UDP", 53)):
                seen = [trace_pods(fabric, source, address, protocol, port).outcome for fabric in fabrics]
                if len({isinstance(outcome, Delivered) for outcome in seen}) > 1:
                    pairs.add((source.network, target.network))
    return pairs


@given(st.data())
@settings(max_examples=20)
def test_planning_changes_nothing(data: st.DataObject) -> None:
    snapshot = data.draw(snapshots())
    tables = compile_all(snapshot)
    plan_request(snapshot, tables, data.draw(any_request()))
    assert tables == compile_all(snapshot)
