"""Mirrors by real packets: who gets copies and nobody else, and that nothing answers them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.frames import ETH_P_IP, Frame, Sniffer, ethernet, send, udp_packet, vxlan
from lab.laboratory import Lab
from lab.links import mac_address
from lab.pod import Pod
from lab.underlay import UPLINK
from tests.lab.watching import eventually, others, overtake, watching

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

DISCARD = 9  # RFC 863
MIRROR_VNID = 1

Mirror = Callable[..., None]


@pytest.fixture(scope="module")
def probes(lab: Lab) -> Iterator[dict[str, Pod]]:
    """Pods of a network that talks with none, one on each of two nodes."""
    lab.network("ops")
    yield {node: lab.pod(f"ops/probe-{node}", on=node) for node in ("n1", "n3")}
    for node in ("n1", "n3"):
        lab.remove_pod(f"ops/probe-{node}")
    assert eventually(lambda: lab.api.get("/v1/networks/ops")["ports"] == 0)
    lab.api.delete("/v1/networks/ops")


@pytest.fixture
def mirror(lab: Lab) -> Iterator[Mirror]:
    """A function that mirrors something to a pod, until the end."""
    made: list[str] = []

    def make(target: Pod, **fields: Any) -> None:
        project, pod = target.name.split("/")
        body = {"name": f"m{len(made)}", "target": {"project": project, "pod": pod}, **fields}
        lab.api.post("/v1/mirrors", body)
        made.append(body["name"])

    yield make
    for name in made:
        lab.api.delete(f"/v1/mirrors/{name}")


def say(source: Pod, target: Pod, words: bytes) -> None:
    with source.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(words, (str(target.known_to(source)), DISCARD))


def heard(sniffer: Sniffer, words: bytes) -> list[Frame]:
    """Return the datagrams with these words; not the refusals that quote them, which are mirrored as well."""
    frames = (frame for frame in list(sniffer.frames) if frame.kind == ETH_P_IP and frame.octets.endswith(words))
    return [frame for frame in frames if frame.octets[23] == socket.IPPROTO_UDP]


def refusals(pod: Pod) -> int:
    """Return how many ICMP refusals a pod's kernel has sent."""
    counters = pod.namespace.call(lambda: Path("/proc/thread-self/net/snmp").read_text())
    names, values = (line.split() for line in counters.splitlines() if line.startswith("Icmp:"))
    return int(dict(zip(names[1:], values[1:], strict=True))["OutDestUnreachs"])


@pytest.mark.parametrize("node", ["n1", "n3"])
@pytest.mark.parametrize(("direction", "copies"), [("out", 1), ("in", 1), ("both", 2)])
@pytest.mark.parametrize("receiver", ["red/b", "red/c"])
def test_a_target_gets_a_networks_packets_and_nobody_else_does(
    lab: Lab, probes: dict[str, Pod], mirror: Mirror, node: str, direction: str, copies: int, receiver: str
) -> None:
    """On the senders' node, and on one where the network has no pod; one copy where it is sent, one where received."""
    sender, target = lab.pods_by_name["red/a"], probes[node]
    mirror(target, network="red", direction=direction)
    words = f"{node} {direction} {receiver}".encode()
    with watching([*others(lab, sender), *([] if target.name in lab.pods_by_name else [target])]) as seen:
        say(sender, lab.pods_by_name[receiver], words)
        assert eventually(lambda: len(heard(seen[target.name], words)) >= copies)
        overtake(lab, sender)
        counts = {name: len(heard(sniffer, words)) for name, sniffer in seen.items() if heard(sniffer, words)}
    assert counts == {target.name: copies, receiver: 1}
    for frame in heard(seen[target.name], words):
        assert (frame.source, frame.destination) == (str(sender.address), str(lab.pods_by_name[receiver].address))
        assert frame.destination_mac.startswith("0a:5c:")


def test_a_pods_packets_are_copied_and_its_neighbours_are_not(lab: Lab, probes: dict[str, Pod], mirror: Mirror) -> None:
    target = probes["n3"]
    mirror(target, pod={"project": "red", "pod": "a"})
    with watching([target]) as seen:
        say(lab.pods_by_name["red/b"], lab.pods_by_name["red/c"], b"of a neighbour")
        say(lab.pods_by_name["red/a"], lab.pods_by_name["red/c"], b"of the pod")
        assert eventually(lambda: heard(seen[target.name], b"of the pod") != [])
        say(lab.pods_by_name["red/c"], lab.pods_by_name["red/a"], b"to the pod")
        assert eventually(lambda: heard(seen[target.name], b"to the pod") != [])
        assert heard(seen[target.name], b"of a neighbour") == []


@pytest.mark.parametrize("node", ["n1", "n3"])
def test_nothing_answers_a_copy(lab: Lab, probes: dict[str, Pod], mirror: Mirror, node: str) -> None:
    """A target's kernel takes none for its own: a closed port's refusal, or an answer to a ping, would come back."""
    sender, receiver, target = lab.pods_by_name["red/a"], lab.pods_by_name["red/c"], probes[node]
    mirror(target, network="red")
    with watching([sender, receiver]) as seen:
        assert sender.ping(receiver)
        assert sender.tcp(receiver)
        overtake(lab, sender)
        assert {str(target.address), str(target.cluster_address)}.isdisjoint(
            frame.source for sniffer in seen.values() for frame in list(sniffer.frames)
        )
    assert refusals(target) == 0


def test_that_it_gets_copies_opens_nothing(lab: Lab, probes: dict[str, Pod], mirror: Mirror) -> None:
    mirror(probes["n1"], network="red")
    assert not probes["n1"].ping(lab.pods_by_name["red/a"])
    assert not lab.pods_by_name["red/a"].ping(probes["n1"])


def test_a_target_that_goes_stops_the_copies_and_nothing_else(lab: Lab, mirror: Mirror) -> None:
    sender, receiver = lab.pods_by_name["red/a"], lab.pods_by_name["red/c"]
    target = lab.pod("blue/watcher", on="n2")
    mirror(target, network="red")
    assert lab.api.get("/v1/mirrors/m0")["node"] == "n2"
    lab.remove_pod("blue/watcher")
    assert eventually(lambda: lab.api.get("/v1/mirrors/m0")["node"] is None)
    assert sender.ping(receiver)
    assert eventually(lambda: "clone(" not in "".join(lab.node("n1").flows()))


def test_the_vnid_of_copies_brings_nobody_anything_else(lab: Lab, probes: dict[str, Pod], mirror: Mirror) -> None:
    """A frame by the tunnel that says it is a copy: from a stranger, or by a number that no mirror has."""
    target, victim = probes["n3"], lab.pods_by_name["default/a"]
    mirror(target, network="red")
    number = lab.api.get("/v1/mirrors/m0")["number"]
    node = lab.node("n3")
    outer = mac_address(node.namespace, "br-ex")
    with watching([target, victim]) as seen:
        for named, source in ((number, lab.outside.address), (number + 7, lab.node("n1").address)):
            inner = udp_packet("10.128.0.2", str(victim.address), (40000, DISCARD), b"no copy")
            frame = ethernet(f"0a:5c:00:00:00:{named:02x}", "0a:58:0a:80:00:02", ETH_P_IP, inner)
            packet = udp_packet(str(source), str(node.address), (50000, 4789), vxlan(MIRROR_VNID, frame))
            own = mac_address(lab.outside.namespace, UPLINK)
            send(lab.outside.namespace, UPLINK, ethernet(outer, own, ETH_P_IP, packet))
        overtake(lab, lab.pods_by_name["red/a"])
        assert [frame for sniffer in seen.values() for frame in heard(sniffer, b"no copy")] == []
