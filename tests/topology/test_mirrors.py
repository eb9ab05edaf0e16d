"""Mirrors: who gets copies of whose packets, on which node, and what is never taken for one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from tests.topology.states import states
from tests.topology.strategies import after
from topology import requests
from topology.admission import admit
from topology.compiler import compile_all, diff, update
from topology.fields import ETH_DST
from topology.flow import IN_PORT_NUMBER
from topology.model import MOST_MIRRORS, Mirror, PodKey, Port, PortKey
from topology.outcome import Delivered, Dropped
from topology.packet import Ends, Packet, arriving, transport, tunnelled
from topology.pipeline import MIRROR_MAC, MIRROR_VNID, FeatureId
from topology.requests import Reason, Refused, Request
from topology.snapshot import Put, Snapshot, apply_all
from topology.trace import Fabric, Trace

A, B, C, P = (PodKey(*pod) for pod in (("red", "a"), ("blue", "b"), ("red", "c"), ("ops", "probe")))


def pod(project: str, name: str, node: str, ofport: int) -> tuple[Request, ...]:
    report = requests.ReportPort(PortKey(node, name, "eth0"), project, name, f"v{name}")
    return report, requests.PortSeen(node, f"v{name}", ofport)


@pytest.fixture(scope="module")
def network() -> Snapshot:
    """Red's a and c on n1 and n2, blue's b on n2, joined; and the probe of a network that talks with none, on n1."""
    return after(
        states()["joined networks"],
        *pod("red", "c", "n2", 5),
        requests.CreateNetwork("ops", projects=("ops",)),
        *pod("ops", "probe", "n1", 7),
    )


def mirror(target: PodKey = P, source: str | PodKey = "red", direction: str = "both", name: str = "m") -> Request:
    sources = (source, None) if isinstance(source, str) else (None, source)
    return requests.CreateMirror(Mirror(name, 0, target, *sources, direction != "in", direction != "out"))


def port(snapshot: Snapshot, of: PodKey) -> Port:
    (key,) = snapshot.port_by_pod[of]
    return snapshot.ports[key]


def packet(snapshot: Snapshot, source: PodKey, destination: PodKey) -> Packet:
    one, other = port(snapshot, source), port(snapshot, destination)
    return transport("UDP", Ends(one.addresses[0], other.addresses[0], one.mac), 53)


def sent(snapshot: Snapshot, source: PodKey, destination: PodKey) -> Trace:
    sender = port(snapshot, source)
    asked = arriving(packet(snapshot, source, destination), sender.ofport or 0)
    return Fabric(snapshot, compile_all(snapshot)).carry(sender.node, asked)


def copied(snapshot: Snapshot, source: PodKey, destination: PodKey) -> list[PodKey]:
    """Return the pods that got copies; all of them got there."""
    trace = sent(snapshot, source, destination)
    ports = [snapshot.ports[copy.port] for copy in trace.copies if isinstance(copy, Delivered)]
    assert len(ports) == len(trace.copies)
    return [PodKey(each.project, each.pod) for each in ports]


def test_a_network_is_copied_in_both_directions_and_each_alone(network: Snapshot) -> None:
    both, out, into = (after(network, mirror(direction=direction)) for direction in ("both", "out", "in"))
    assert copied(both, A, C) == [P, P]  # as it is sent, and as it is received
    assert copied(out, A, C) == copied(into, A, C) == [P]
    assert copied(out, A, B) == copied(into, B, A) == [P]
    assert copied(out, B, A) == copied(into, A, B) == []
    assert copied(network, A, C) == []


def test_what_becomes_of_the_packet_itself_is_the_same(network: Snapshot) -> None:
    mirrored = after(network, mirror())
    for ends in ((A, C), (C, A), (A, B), (B, A), (A, P), (P, A)):
        one, other = sent(network, *ends), sent(mirrored, *ends)
        assert (type(one.outcome), one.packet) == (type(other.outcome), other.packet)
    assert isinstance(sent(mirrored, A, P).outcome, Dropped)  # that it gets copies opens nothing


def test_a_pod_is_copied_wherever_the_target_is(network: Snapshot) -> None:
    for target in (P, B, C):
        mirrored = after(network, mirror(target, A))
        assert copied(mirrored, A, C) == [target]
        assert copied(mirrored, C, A) == ([target] if target != C else [C])
    assert copied(after(network, mirror(P, A)), B, C) == []


def test_several_mirrors_copy_one_packet_each(network: Snapshot) -> None:
    mirrored = after(network, mirror(), mirror(B, A, name="n"), mirror(P, C, "in", "o"))
    assert sorted(copied(mirrored, A, C)) == sorted([P, P, P, B])


def test_a_targets_own_packets_are_not_copied_to_it_and_copies_not_again(network: Snapshot) -> None:
    mirrored = after(network, mirror(C), mirror(A, C, name="back"))
    assert copied(mirrored, A, C) == [C, A]  # as it is sent, to c; as it is received, to a, and not to c again
    assert copied(mirrored, C, A) == [A, C]


def test_a_target_that_is_gone_stops_the_copies_and_nothing_else(network: Snapshot) -> None:
    mirrored = after(network, mirror())
    gone = after(mirrored, requests.ForgetPort(port(mirrored, P).key))
    assert copied(gone, A, C) == []
    assert isinstance(sent(gone, A, C).outcome, Delivered)
    back = after(gone, *pod("ops", "probe", "n2", 9))
    assert copied(back, A, C) == [P, P]


def test_no_pod_takes_a_copy_for_its_own(network: Snapshot) -> None:
    mirrored = after(network, mirror(B, A))
    fabric = Fabric(mirrored, compile_all(mirrored))
    (copy,) = fabric.switch("n1").process(arriving(packet(mirrored, A, C), port(mirrored, A).ofport or 0)).copies
    assert copy.packet.get(ETH_DST) == MIRROR_MAC | mirrored.mirrors["m"].number
    assert copy.port != IN_PORT_NUMBER


@pytest.mark.parametrize("vtep", ["192.0.2.12", "192.0.2.99"])
@pytest.mark.parametrize("number", [1, 2])
def test_what_is_no_copy_by_the_vnid_of_copies_is_dropped(network: Snapshot, vtep: str, number: int) -> None:
    """Also to a pod of a global network, which any VNID reaches; and a copy goes to its target only."""
    world = after(network, mirror(), requests.SetGlobal("red", True))
    sender, receiver = IPv4Address(vtep), world.nodes["n1"].underlay
    frame = tunnelled(packet(world, B, A), MIRROR_VNID, sender, receiver).update(eth_dst=MIRROR_MAC | number)
    outcome = Fabric(world, compile_all(world)).carry("n1", frame).outcome
    if (vtep, number) == ("192.0.2.12", 1):  # from where there are pods that it copies
        assert outcome == Delivered("n1", port(world, P).key)
    else:
        assert isinstance(outcome, Dropped)


def told(snapshot: Snapshot, *asked: Request) -> dict[str, int]:
    """Return how many flows of mirrors each switch is told, by the incremental way."""
    tables, later, changes = compile_all(snapshot), snapshot, []
    for request in asked:
        later, more = apply_all(later, admit(later, request))
        changes += more
    new, dirty = update(tables, changes, snapshot, later)
    assert new == compile_all(later)
    deltas = {node: diff(tables[node], new[node], dirty.get(node, ())) for node in new}
    return {node: _of_mirrors(delta.adds) for node, delta in deltas.items()}


def _of_mirrors(adds: Iterable[object]) -> int:
    return sum(1 for entry in adds if entry.cookie >> 56 == FeatureId.MIRRORS)  # type: ignore[attr-defined]


def test_a_mirror_of_a_pod_concerns_its_node_and_the_targets(network: Snapshot) -> None:
    assert told(network, mirror(B, A)) == {"n1": 2, "n2": 1}
    assert told(network, mirror(P, A)) == {"n1": 2, "n2": 0}
    mirrored = after(network, mirror(B, A))
    assert told(mirrored, mirror(B, A, "out")) == {"n1": 0, "n2": 0}
    assert told(mirrored, *pod("red", "d", "n1", 9)) == {"n1": 0, "n2": 0}
    assert told(mirrored, requests.DeleteMirror("m")) == {"n1": 0, "n2": 0}
    assert told(mirrored, requests.PortSeen("n2", "vb", 11)) == {"n1": 0, "n2": 1}


def test_a_number_is_kept_and_not_given_again_soon(network: Snapshot) -> None:
    first = after(network, mirror())
    assert first.mirrors["m"].number == 1
    assert after(first, mirror(B)).mirrors["m"].number == 1
    assert after(first, requests.DeleteMirror("m"), mirror()).mirrors["m"].number == 2


@pytest.mark.parametrize(
    ("asked", "reason", "said"),
    [
        (mirror(P, P), Reason.INVALID, "own target"),
        (requests.CreateMirror(Mirror("m", 0, P)), Reason.INVALID, "a network"),
        (requests.CreateMirror(Mirror("m", 0, P, "red", A)), Reason.INVALID, "alone"),
        (requests.CreateMirror(Mirror("m", 0, P, "red", None, False, False)), Reason.INVALID, "neither"),
        (mirror(P, "pink"), Reason.UNKNOWN, "pink"),
        (mirror(PodKey("pink", "a")), Reason.UNKNOWN, "pink"),
        (mirror(P, PodKey("pink", "a")), Reason.UNKNOWN, "pink"),
        (mirror(PodKey("red", "-")), Reason.INVALID, "pod"),
        (requests.CreateMirror(Mirror("M", 0, P, "red")), Reason.INVALID, "mirror"),
        (requests.DeleteMirror("m"), Reason.UNKNOWN, 'mirror "m"'),
    ],
)
def test_a_mirror_is_refused(network: Snapshot, asked: Request, reason: Reason, said: str) -> None:
    with pytest.raises(Refused, match=said) as refused:
        admit(network, asked)
    assert refused.value.reason is reason


def test_there_are_not_too_many(network: Snapshot) -> None:
    full = after(network, *(mirror(name=f"m{number}") for number in range(MOST_MIRRORS)))
    with pytest.raises(Refused, match=f"{MOST_MIRRORS} others"):
        admit(full, mirror(name="more"))
    assert admit(full, mirror(B, name="m0"))


def test_a_port_that_becomes_another_pods_is_a_target_no_more(network: Snapshot) -> None:
    """As a port's key may in an order of events in which it was not taken away first."""
    before = after(network, mirror())
    target = port(before, P)
    events = (Put(replace(target, project="red", pod="other")),)
    snapshot, changes = apply_all(before, events)
    assert update(compile_all(before), changes, before, snapshot)[0] == compile_all(snapshot)
