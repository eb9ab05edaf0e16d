"""By which gateway pod others leave, what it may send back, and that nobody else may."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.topology.asking import ip
from tests.topology.mixing import State, mixtures
from tests.topology.strategies import after, answer
from tests.topology.test_egress import DB, ONE, OUTSIDE, attached, fabric_of, packet, pod, sent, wish, world
from topology import requests
from topology.admission import admit
from topology.compiler import update
from topology.fields import ETH_DST, ETH_SRC, IPV4_DST, IPV4_SRC
from topology.model import Egress, Pod, PodKey
from topology.outcome import Delivered, Dropped, Sent, Where
from topology.packet import ICMP_UNREACHABLE, Ends, Packet, arriving, icmp, transport
from topology.requests import CreateEgress, Reason, Refused, Request
from topology.snapshot import Snapshot, apply_all
from topology.trace import Fabric, Trace
from topology.verification import prove

FIREWALL = PodKey("blue", "c")  # on n2


def via(name: str = "red", network: str = "red", to: PodKey = FIREWALL, **more: Any) -> CreateEgress:
    return CreateEgress(Egress(name, network, via=to, **more))


def by(fabric: Fabric, gateway: str, what: Packet, there: Trace | None = None) -> Trace:
    """Let a gateway send a packet as the pod itself does: with its own MAC, from whichever address."""
    port = pod(fabric.snapshot, gateway)
    trackers = {} if there is None else {"trackers": there.trackers}
    return fabric.carry(port.node, arriving(what.set(ETH_SRC, port.mac), port.ofport or 0), **trackers)


def given(snapshot: Snapshot, name: str) -> Delivered:
    port = pod(snapshot, name)
    return Delivered(port.node, port.key)


@pytest.mark.parametrize("name", ["a", "b", "d"])
@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP", "ICMP"])
def test_a_pod_leaves_by_the_gateway_and_gets_its_answers(name: str, protocol: str) -> None:
    """From its node and from another; and of a network with a range of its own."""
    fabric = fabric_of(world(via(), via("lime", "lime")))
    there = sent(fabric, name, protocol=protocol)
    assert there.outcome == given(fabric.snapshot, "c")
    port, gateway = pod(fabric.snapshot, name), pod(fabric.snapshot, "c")
    known_as = (port.cluster_addresses or port.addresses)[0]
    seen = (there.packet.get(ETH_DST), there.packet.get(IPV4_SRC), there.packet.get(IPV4_DST))
    assert seen == (gateway.mac, int(known_as), int(OUTSIDE))
    back = by(fabric, "c", answer(there.packet), there)
    assert back.outcome == given(fabric.snapshot, name)
    assert (back.packet.get(IPV4_SRC), back.packet.get(IPV4_DST)) == (int(OUTSIDE), int(port.addresses[0]))
    error = icmp(Ends(ip("198.51.100.1"), known_as), ICMP_UNREACHABLE, 3, arriving(there.packet, 0))
    assert by(fabric, "c", error, there).outcome == given(fabric.snapshot, name)


def test_the_gateway_itself_and_others_leave_as_before() -> None:
    fabric = fabric_of(world(via(), via("blue", "blue"), *attached("e", "blue", "n3", 7)))
    assert sent(fabric, "c").outcome == Sent("n2", Where.OUTSIDE)
    assert sent(fabric, "e").outcome == given(fabric.snapshot, "c")
    assert sent(fabric, "d").outcome == Sent("n1", Where.OUTSIDE)
    # By an address of its network's, it may.
    fixed = fabric_of(world(via(), wish("blue", "blue", ONE, nodes=("n3",))))
    assert sent(fixed, "c").outcome == Sent("n3", Where.OUTSIDE, ONE)
    assert sent(fixed, "a").outcome == given(fixed.snapshot, "c")


def test_gateways_do_not_send_to_each_other() -> None:
    fabric = fabric_of(world(via(), via("blue", "blue", PodKey("red", "a"))))
    assert sent(fabric, "b").outcome == given(fabric.snapshot, "c")
    assert sent(fabric, "c").outcome == Sent("n2", Where.OUTSIDE)
    assert sent(fabric, "a").outcome == Sent("n1", Where.OUTSIDE)


def test_a_gateway_sends_nothing_but_answers() -> None:
    """To nobody who asked nothing, of no other connection, and from no pod's address."""
    fabric = fabric_of(world(via()))
    a, lime = pod(fabric.snapshot, "a"), pod(fabric.snapshot, "d")
    there = sent(fabric, "a")
    wrong = [
        transport("TCP", Ends(OUTSIDE, a.addresses[0]), 443),
        transport("UDP", Ends(OUTSIDE, pod(fabric.snapshot, "b").addresses[0]), 443),
        transport("TCP", Ends(OUTSIDE, lime.cluster_addresses[0]), 443),
        transport("TCP", Ends(a.addresses[0], pod(fabric.snapshot, "b").addresses[0]), 443),
        transport("TCP", Ends(a.addresses[0], OUTSIDE), 443),
        answer(there.packet).set(IPV4_SRC, int(ip("198.51.100.8"))),
        answer(there.packet).set(IPV4_DST, int(pod(fabric.snapshot, "b").addresses[0])),
    ]
    for each in wrong:
        assert isinstance(by(fabric, "c", each, there).outcome, Dropped)
    # An answer by another pod than the gateway, or with another MAC.
    for name in ("b", "a"):
        assert isinstance(by(fabric, name, answer(there.packet), there).outcome, Dropped)
    strange = arriving(answer(there.packet).set(ETH_SRC, a.mac), pod(fabric.snapshot, "c").ofport or 0)
    assert isinstance(fabric.carry("n2", strange, there.trackers).outcome, Dropped)


def test_a_gateway_that_serves_another_network_is_not_believed() -> None:
    """Two gateways on one node: neither answers for the other."""
    fabric = fabric_of(world(via(), *attached("f", "blue", "n2", 8), via("lime", "lime", PodKey("blue", "f"))))
    there = sent(fabric, "a")
    assert there.outcome == given(fabric.snapshot, "c")
    assert isinstance(by(fabric, "f", answer(there.packet), there).outcome, Dropped)
    assert by(fabric, "c", answer(there.packet), there).outcome == given(fabric.snapshot, "a")


def test_an_answer_goes_to_the_network_that_asked_alone() -> None:
    before = world(via())
    there = sent(fabric_of(before), "a")
    blue = after(before, requests.ForgetPort(pod(before, "a").key))
    released = requests.ReleaseAddresses(((0, pod(before, "a").addresses[0]),))
    now, number = after(blue, released), 10
    while all(port.addresses != pod(before, "a").addresses for port in now.ports.values()):
        now, number = after(now, *attached(f"z{number}", "blue", "n1", number)), number + 1
    assert isinstance(by(fabric_of(now), "c", answer(there.packet), there).outcome, Dropped)


@pytest.mark.parametrize("name", ["a", "b"])
def test_while_the_gateway_is_not_there(name: str) -> None:
    gone = requests.ForgetPort(pod(world(), "c").key)
    closed = fabric_of(after(world(via()), gone))
    assert sent(closed, name).outcome == Dropped(pod(closed.snapshot, name).node, *_last(closed, name))
    opened = fabric_of(after(world(via(fail_open=True)), gone))
    assert sent(opened, name).outcome == Sent(pod(opened.snapshot, name).node, Where.OUTSIDE)
    again = fabric_of(after(closed.snapshot, *attached("c", "blue", "n3", 9)))
    assert sent(again, name).outcome == given(again.snapshot, "c")


def _last(fabric: Fabric, name: str) -> tuple[Any, ...]:
    outcome = sent(fabric, name).outcome
    assert isinstance(outcome, Dropped)
    return outcome[1:]


def test_pods_that_are_chosen() -> None:
    labelled = requests.SetPod(Pod(PodKey("red", "a"), (("tier", "db"),)))
    fabric = fabric_of(world(via(pods=DB), wish("rest", "red", ONE, nodes=("n3",)), labelled))
    assert sent(fabric, "a").outcome == given(fabric.snapshot, "c")
    assert sent(fabric, "b").outcome == Sent("n3", Where.OUTSIDE, ONE)


def test_a_pod_cannot_say_that_it_is_of_a_network_that_is_served() -> None:
    fabric = fabric_of(world(via(), *attached("f", "blue", "n1", 8)))
    port, c = pod(fabric.snapshot, "f"), pod(fabric.snapshot, "c")
    lying = packet(port).set(ETH_SRC, 0x0A5B_0000_0000 | int(c.addresses[0]))
    assert isinstance(fabric.carry("n1", arriving(lying, port.ofport or 0)).outcome, Dropped)


CHANGES: dict[str, tuple[tuple[Request, ...], tuple[Request, ...]]] = {
    "to another pod": ((via(),), (via(to=PodKey("lime", "d")),)),
    "from an address": ((wish(nodes=("n3",)),), (via(),)),
    "to an address": ((via(),), (wish(nodes=("n3",)),)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_while_switches_change_nothing_leaves_by_a_node_or_to_a_third(name: str) -> None:
    first, second = CHANGES[name]
    before = State.of(world(*first))
    now = State.of(after(before.snapshot, *second))
    fabrics = [fabric_of(state.snapshot) for state in (before, now)]
    ends = {each: {_end(sent(fabric, each)) for fabric in fabrics} for each in ("a", "b")}
    for fabric in mixtures(before, now):
        for each, allowed in ends.items():
            trace = sent(fabric, each)
            assert isinstance(trace.outcome, Dropped) or _end(trace) in allowed


def _end(trace: Trace) -> tuple[object, int | None]:
    """To which pod or from which node, and from which address."""
    outcome = trace.outcome
    return outcome.port if isinstance(outcome, Delivered) else outcome.node, trace.packet.get(IPV4_SRC)


def test_a_pod_that_is_a_gateway_no_more_is_believed_as_any_other() -> None:
    before = State.of(world(via()))
    for change in (wish(nodes=("n3",)), requests.DeleteEgress("red"), via(to=PodKey("lime", "d"))):
        now, changes = apply_all(before.snapshot, admit(before.snapshot, change))
        tables, _ = update(before.tables, changes, before.snapshot, now)
        assert all(proof.findings == () for proof in prove(now, tables))


BAD: dict[str, tuple[Request, Reason, str]] = {
    "no such project": (via(to=PodKey("pink", "p")), Reason.UNKNOWN, 'project "pink"'),
    "no name of a pod": (via(to=PodKey("blue", "P!")), Reason.INVALID, "the name"),
    "addresses as well": (
        CreateEgress(replace(via().egress, addresses=(ONE,))),
        Reason.INVALID,
        "names addresses as well",
    ),
    "nodes as well": (via(nodes=("n1",)), Reason.INVALID, "names nodes as well"),
    "neither": (CreateEgress(Egress("red", "red")), Reason.INVALID, "it has 0 addresses"),
    "a second one": (via("other", "lime"), Reason.TAKEN, 'leaves by egress "known" already'),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused(name: str) -> None:
    request, reason, words = BAD[name]
    with pytest.raises(Refused) as refused:
        admit(world(via("known", "lime")), request)
    assert refused.value.reason is reason
    assert words in str(refused.value)
