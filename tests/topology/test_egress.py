"""By which address pods leave, and that nobody leaves by another one, whatever switches know already."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address
from typing import Any

import pytest

from tests.topology.asking import endpoints, ip, nets, node, report, service
from tests.topology.mixing import State, mixtures
from tests.topology.strategies import CONTROLLER, after, answer, own_range
from topology import requests
from topology.admission import admit
from topology.compiler import compile_all
from topology.egress import Left, forgotten, source_of
from topology.fields import ETH_DST, ETH_SRC, IPV4_DST, IPV4_SRC
from topology.labels import Operator, Requirement, Selector
from topology.model import (
    TUN_OFPORT,
    Address,
    Cluster,
    Egress,
    Pod,
    PodKey,
    Port,
    PortKey,
    ServiceKey,
    Stage,
)
from topology.outcome import Delivered, Dropped, Sent, Where
from topology.packet import ICMP_UNREACHABLE, Ends, Packet, arriving, icmp, transport
from topology.requests import CreateEgress, DeleteEgress, NodeFound, NodeLost, Reason, Refused, Request
from topology.snapshot import Snapshot, apply_all, empty
from topology.trace import Fabric, Trace

OUTSIDE = ip("198.51.100.7")
ONE, OTHER, THIRD = ip("203.0.113.65"), ip("203.0.113.66"), ip("203.0.113.67")
DB = Selector((Requirement("tier", Operator.IN, ("db",)),))


def wish(name: str = "red", network: str = "red", *addresses: Address, **more: Any) -> CreateEgress:
    return CreateEgress(Egress(name, network, addresses or (ONE,), **more))


def attached(name: str, project: str, place: str, ofport: int) -> tuple[Request, ...]:
    key = PortKey(place, name, "eth0")
    return report(name, key=key, project=project, pod=name), requests.PortSeen(place, f"v{name}", ofport)


def world(*more: Request) -> Snapshot:
    """Return three nodes; a of red on n1, b of red and c of blue on n2, d of lime, which has a range, on n1."""
    return after(
        empty(),
        requests.SetCluster(Cluster(control_plane=(CONTROLLER,))),
        *(node(f"n{number}", f"192.0.2.1{number}") for number in (1, 2, 3)),
        requests.CreateNetwork("red", projects=("red",)),
        requests.CreateNetwork("blue", projects=("blue",)),
        requests.CreateNetwork("lime", projects=("lime",), subnets=own_range("10.0.0.0/24")),
        *attached("a", "red", "n1", 3),
        *attached("b", "red", "n2", 3),
        *attached("c", "blue", "n2", 4),
        *attached("d", "lime", "n1", 4),
        *more,
    )


def fabric_of(snapshot: Snapshot) -> Fabric:
    tables = compile_all(snapshot)
    assert all(table.conflicts == () for table in tables.values())
    return Fabric(snapshot, tables)


def pod(snapshot: Snapshot, name: str) -> Port:
    return next(port for port in snapshot.ports.values() if port.pod == name)


def packet(port: Port, to: Address = OUTSIDE, protocol: str = "TCP") -> Packet:
    ends = Ends(port.addresses[0], to, port.mac)
    return icmp(ends) if protocol == "ICMP" else transport(protocol, ends, 443)


def sent(fabric: Fabric, name: str, to: Address = OUTSIDE, protocol: str = "TCP") -> Trace:
    port = pod(fabric.snapshot, name)
    return fabric.carry(port.node, arriving(packet(port, to, protocol), port.ofport or 0))


def left(fabric: Fabric, name: str) -> object:
    """By which address a pod leaves, and where; its node's own (None); or that it does not."""
    outcome = sent(fabric, name).outcome
    return (outcome.node, outcome.source) if isinstance(outcome, Sent) else None


@pytest.mark.parametrize("holder", ["n1", "n2", "n3"])
@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP", "ICMP"])
def test_a_pod_leaves_by_the_holder_and_gets_its_answers(holder: str, protocol: str) -> None:
    fabric = fabric_of(world(wish(nodes=(holder,)), wish("lime", "lime", OTHER, nodes=(holder,))))
    for name, address in (("a", ONE), ("b", ONE), ("d", OTHER)):
        there = sent(fabric, name, protocol=protocol)
        assert there.outcome == Sent(holder, Where.OUTSIDE, address)
        assert there.packet.get(ETH_DST) == fabric.snapshot.nodes[holder].mac
        port = pod(fabric.snapshot, name)
        back = fabric.carry(holder, arriving(answer(there.packet), TUN_OFPORT), there.trackers)
        assert back.outcome == Delivered(port.node, port.key)
        assert back.packet.get(IPV4_DST) == int(port.addresses[0])
        error = icmp(Ends(ip("198.51.100.1"), address), ICMP_UNREACHABLE, 3, arriving(there.packet, 0))
        failed = fabric.carry(holder, arriving(error, TUN_OFPORT), there.trackers)
        assert failed.outcome == Delivered(port.node, port.key)
        quoted = failed.packet.quoted
        assert quoted is not None
        assert quoted.get(IPV4_DST) == int(OUTSIDE)
    assert left(fabric, "c") == ("n2", None)


def test_nothing_is_begun_from_outside() -> None:
    fabric = fabric_of(world(wish(nodes=("n1",))))
    for protocol in ("TCP", "UDP"):
        asks = transport(protocol, Ends(OUTSIDE, ONE), 443)
        for name in ("n1", "n2"):
            assert isinstance(fabric.carry(name, arriving(asks, TUN_OFPORT)).outcome, Dropped)


def test_an_answer_goes_to_the_network_that_asked_alone() -> None:
    """Somebody else may have the pod's address by then."""
    before = world(wish(nodes=("n1",)))
    there = sent(fabric_of(before), "a")
    key = pod(before, "a").key
    released = requests.ReleaseAddresses(((0, pod(before, "a").addresses[0]),))
    now = after(before, requests.ForgetPort(key), released)
    now = after(now, *attached("x", "blue", "n1", 5), *attached("y", "blue", "n1", 6))
    heir = next((port for port in now.ports.values() if port.addresses == pod(before, "a").addresses), None)
    while heir is None:  # addresses are given in turn
        number = len(now.ports) + 10
        now = after(now, *attached(f"z{number}", "blue", "n1", number))
        heir = next((port for port in now.ports.values() if port.addresses == pod(before, "a").addresses), None)
    back = fabric_of(now).carry("n1", arriving(answer(there.packet), TUN_OFPORT), there.trackers)
    assert isinstance(back.outcome, Dropped)


def test_nodes_controllers_and_pods_are_no_outside() -> None:
    fabric = fabric_of(world(wish(nodes=("n3",)), requests.JoinNetworks("red", "blue")))
    for to, where in (("192.0.2.11", Sent("n1", Where.NODE)), ("192.0.2.13", Sent("n1", Where.OUTSIDE))):
        assert sent(fabric, "a", ip(to)).outcome == where
    assert sent(fabric, "a", CONTROLLER).outcome == Sent("n1", Where.OUTSIDE)
    assert sent(fabric, "a", ip("169.254.43.7")).outcome == Sent("n1", Where.SERVICE)
    assert isinstance(sent(fabric, "a", pod(fabric.snapshot, "c").addresses[0]).outcome, Delivered)


def test_by_a_service_to_the_outside() -> None:
    """The endpoint sees the address, and the pod is answered by the service."""
    made = (service("172.30.0.20", ("TCP", 443)), endpoints(str(OUTSIDE)))
    fabric = fabric_of(world(wish(nodes=("n3",)), *made))
    there = sent(fabric, "a", ip("172.30.0.20"))
    assert there.outcome == Sent("n3", Where.OUTSIDE, ONE)
    back = fabric.carry("n3", arriving(answer(there.packet), TUN_OFPORT), there.trackers)
    assert back.outcome == Delivered("n1", pod(fabric.snapshot, "a").key)
    assert fabric.snapshot.services[ServiceKey("red", "api")].address == ip("172.30.0.20")


def test_when_no_node_lives_that_may_hold_it() -> None:
    closed = fabric_of(world(wish(nodes=("n3",)), NodeLost("n3")))
    assert left(closed, "a") is None
    assert sent(closed, "a").outcome.node == "n1"
    opened = fabric_of(world(wish(nodes=("n3",), fail_open=True), NodeLost("n3")))
    assert left(opened, "a") == ("n1", None)
    again = fabric_of(after(opened.snapshot, NodeFound("n3")))
    assert left(again, "a") == ("n3", ONE)


def test_pods_that_are_chosen_go_before_the_network() -> None:
    labelled = requests.SetPod(Pod(PodKey("red", "a"), (("tier", "db"),)))
    both = (wish(nodes=("n1",)), wish("chosen", "red", OTHER, pods=DB, nodes=("n2",)))
    assert left(fabric_of(world(*both, labelled)), "a") == ("n2", OTHER)
    assert left(fabric_of(world(*both)), "a") == ("n1", ONE)
    assert left(fabric_of(world(both[1])), "a") == ("n1", None)
    # Of two that choose a pod, the first in order.
    third = wish("another", "red", THIRD, pods=DB, nodes=("n3",))
    assert left(fabric_of(world(*both, labelled, third)), "a") == ("n3", THIRD)


def test_several_addresses_are_spread_over_pods_and_each_keeps_its_own() -> None:
    asked = [request for number in range(40) for request in attached(f"p{number}", "red", "n3", 10 + number)]
    snapshot = world(wish("red", "red", ONE, OTHER), *asked)
    chosen = {port.pod: source_of(port, snapshot) for port in snapshot.ports.values() if port.network == "red"}
    counts = Counter(source.address for source in chosen.values() if source is not None)
    assert counts.keys() == {ONE, OTHER}
    assert min(counts.values()) > 10
    more = after(snapshot, wish("red", "red", ONE, OTHER, THIRD))
    now = {port.pod: source_of(port, more) for port in more.ports.values() if port.network == "red"}
    assert all(now[name] == chosen[name] or (now[name] or ("",))[0] == THIRD for name in chosen)


CHANGES: dict[str, tuple[tuple[Request, ...], tuple[Request, ...]]] = {
    "it is lost": ((wish(nodes=("n2", "n3")),), (NodeLost("n2"), NodeLost("n3"))),
    "one is lost": ((wish(nodes=("n2", "n3")),), (NodeLost("n2"),)),
    "the other is lost": ((wish(nodes=("n2", "n3")),), (NodeLost("n3"),)),
    "it is found": ((wish(nodes=("n3",)), NodeLost("n3")), (NodeFound("n3"),)),
    "it goes to another": ((wish(nodes=("n1",)),), (wish(nodes=("n2",)),)),
    "another address": ((wish(nodes=("n1",)),), (wish("red", "red", OTHER, nodes=("n3",)),)),
    "one more": ((wish(),), (wish("red", "red", ONE, OTHER, THIRD),)),
    "from one network to another": ((wish(), wish("blue", "blue", OTHER)), (wish("blue", "blue", THIRD),)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_while_switches_change_nothing_leaves_by_another_address(name: str) -> None:
    """Whichever of them have changed already: by the old address, by the new one, or not at all."""
    first, second = CHANGES[name]
    before = State.of(world(*first))
    now = State.of(after(before.snapshot, *second))
    allowed = {
        port.key: {source.address for state in (before, now) if (source := source_of(port, state.snapshot))}
        for port in before.snapshot.ports.values()
    }
    tried = 0
    for fabric in mixtures(before, now):
        for key, addresses in allowed.items():
            port = fabric.snapshot.ports[key]
            trace = fabric.carry(port.node, arriving(packet(port), port.ofport or 0))
            if addresses:
                source = IPv4Address(trace.packet.get(IPV4_SRC) or 0)
                assert isinstance(trace.outcome, Dropped) or source in addresses
                tried += 1
            else:
                assert trace.outcome == Sent(port.node, Where.OUTSIDE)
    assert tried >= 2


def test_a_project_that_moves_keeps_its_address_until_it_is_there() -> None:
    snapshot = world(wish(nodes=("n3",)), wish("blue", "blue", OTHER, nodes=("n3",)))
    request: Request = requests.MoveProject("red", "blue")
    seen: list[object] = []
    while True:
        snapshot, _ = apply_all(snapshot, admit(snapshot, request))
        seen.append(left(fabric_of(snapshot), "a"))
        if not snapshot.moves:
            break
        move = snapshot.moves["red"]
        request = requests.AdvanceMove(move.project, move.transit, move.stage)
    assert seen == [("n3", ONE)] * stages_before(Stage.ARRIVING) + [("n3", OTHER)] * 2


def stages_before(stage: Stage) -> int:
    return list(Stage).index(stage)


def test_a_pod_cannot_say_that_it_is_another_node() -> None:
    """What a packet from another node carries counts by the tunnel only."""
    fabric = fabric_of(world(wish(nodes=("n2",))))
    port = pod(fabric.snapshot, "c")
    lying = packet(port).set(ETH_SRC, 0x0A5B_0000_0000 | int(ONE))
    assert isinstance(fabric.carry("n2", arriving(lying, port.ofport or 0)).outcome, Dropped)
    told = packet(port, pod(fabric.snapshot, "b").addresses[0]).set(ETH_SRC, 0x0A5B_0000_0000 | int(ONE))
    assert isinstance(fabric.carry("n2", arriving(told, port.ofport or 0)).outcome, Dropped)


# --- what is forgotten ---------------------------------------------------------------------------


def told(snapshot: Snapshot, *asked: Request) -> set[tuple[str, Left]]:
    found: set[tuple[str, Left]] = set()
    for request in asked:
        before = snapshot
        snapshot, changes = apply_all(before, admit(before, request))
        found |= set(forgotten(changes, before, snapshot))
    return found


def test_what_left_by_an_address_is_forgotten_where_it_is_no_more() -> None:
    snapshot = world(wish(nodes=("n2",)))
    assert told(snapshot, wish(nodes=("n3",))) == {("n2", Left(ONE))}
    assert told(snapshot, NodeLost("n2")) == {("n2", Left(ONE))}
    assert told(snapshot, DeleteEgress("red")) == {("n2", Left(ONE))}
    assert told(snapshot, wish("red", "blue", ONE, nodes=("n2",))) == {("n2", Left(ONE))}
    assert told(snapshot, wish("red", "red", ONE, OTHER, nodes=("n2",))) == {("n2", Left(ONE)), ("n2", Left(OTHER))}
    assert told(snapshot, wish(nodes=("n2",), fail_open=True)) == set()
    assert told(snapshot, NodeLost("n1")) == set()


def test_what_a_pod_began_is_forgotten_when_it_leaves_otherwise() -> None:
    snapshot = world(wish(nodes=("n2",)), wish("chosen", "red", OTHER, pods=DB, nodes=("n3",)))
    a = pod(snapshot, "a")
    mine = {("n2", Left(ONE, a.addresses[0]))}
    assert told(snapshot, requests.SetPod(Pod(PodKey("red", "a"), (("tier", "db"),)))) == mine
    assert told(snapshot, requests.SetPod(Pod(PodKey("red", "a"), (("tier", "web"),)))) == set()
    assert told(snapshot, requests.ForgetPort(a.key)) == mine


# --- refused -------------------------------------------------------------------------------------

BAD: dict[str, tuple[Request, Reason, str]] = {
    "no name": (wish("Red"), Reason.INVALID, "the name"),
    "no such network": (wish("red", "pink"), Reason.UNKNOWN, "does not exist"),
    "no address": (CreateEgress(Egress("red", "red", ())), Reason.INVALID, "it has 0 addresses"),
    "too many": (
        CreateEgress(Egress("red", "red", tuple(ip("203.0.113.0") + number for number in range(17)))),
        Reason.INVALID,
        "it has 17 addresses",
    ),
    "twice": (CreateEgress(Egress("red", "red", (ONE, ONE))), Reason.INVALID, "twice"),
    "a node's": (wish("red", "red", ip("192.0.2.12")), Reason.TAKEN, 'belongs to node "n2"'),
    "a controller's": (wish("red", "red", CONTROLLER), Reason.INVALID, "is a controller's"),
    "a gateway's": (wish("red", "red", ip("10.128.0.1")), Reason.INVALID, "belongs to pods and services"),
    "a service's": (wish("red", "red", ip("172.30.0.1")), Reason.INVALID, "belongs to pods and services"),
    "a translated one": (wish("red", "red", ip("100.64.0.1")), Reason.INVALID, "belongs to pods and services"),
    "multicast": (wish("red", "red", ip("224.0.0.5")), Reason.INVALID, "no address of a machine"),
    "another's": (wish("other", "blue", ONE), Reason.TAKEN, 'belongs to egress "known"'),
    "a second one": (wish("other", "red", OTHER), Reason.TAKEN, 'leaves by egress "known" already'),
    "no such node": (wish("other", "blue", OTHER, nodes=("n9",)), Reason.UNKNOWN, "does not exist"),
    "a node twice": (wish("other", "blue", OTHER, nodes=("n1", "n1")), Reason.INVALID, "twice"),
    "a bad selector": (
        wish("other", "red", OTHER, pods=Selector((Requirement("tier", Operator.IN, ()),))),
        Reason.INVALID,
        "tier",
    ),
    "its network is used": (requests.DeleteNetwork("green"), Reason.IN_USE, 'is named by egress "known-too"'),
    "none to delete": (DeleteEgress("nobody"), Reason.UNKNOWN, "does not exist"),
    "a node at its address": (node("n4", str(ONE)), Reason.TAKEN, 'belongs to egress "known"'),
    "settings in its way": (
        requests.SetCluster(Cluster(external_cidrs=nets("203.0.113.64/26"))),
        Reason.IN_USE,
        'of egress "known"',
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused(name: str) -> None:
    request, reason, words = BAD[name]
    green = requests.CreateNetwork("green", projects=("green",))
    snapshot = world(wish("known"), green, wish("known-too", "green", THIRD))
    assert len(snapshot.egresses) == 2
    with pytest.raises(Refused) as refused:
        admit(snapshot, request)
    assert refused.value.reason is reason
    assert words in str(refused.value)


def test_the_same_again_is_no_change() -> None:
    snapshot = world(wish("red", "red", OTHER, ONE, nodes=("n2", "n1")))
    assert admit(snapshot, wish("red", "red", ONE, OTHER, nodes=("n1", "n2"))) == ()


def test_a_node_that_is_named_may_go_and_the_egress_stays() -> None:
    snapshot = after(world(wish(nodes=("n3",))), requests.DeleteNode("n3"))
    assert not snapshot.held
    assert admit(snapshot, wish(nodes=("n3",), fail_open=True))
