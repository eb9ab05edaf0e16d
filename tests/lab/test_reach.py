"""Who reaches whom over three nodes, by real packets: within a tenant, across, joined, global, node, outside."""

from __future__ import annotations

import os
from functools import partial

import pytest

from lab.frames import ARP_REPLY, ARP_REQUEST, BROADCAST, ETH_P_ARP, Frame, arp, ethernet, send
from lab.laboratory import Lab
from lab.matrix import Party, explore, may
from lab.probes import together
from tests.lab.watching import marked, overtake, watching

pytestmark = [pytest.mark.netns, pytest.mark.ovs]


def _parties(lab: Lab) -> list[Party]:
    return [Party(pod, name.partition("/")[0]) for name, pod in lab.pods_by_name.items()]


def test_isolated(lab: Lab) -> None:
    pods, nodes = _parties(lab), [Party(node) for node in lab.nodes.values()]
    assert explore([*pods, *nodes], [*pods, Party(lab.outside)]).wrong == []


def test_join_and_isolate(lab: Lab) -> None:
    pods = _parties(lab)
    lab.join("red", "blue")
    try:
        assert explore(pods, pods, [frozenset({"red", "blue"})]).wrong == []
    finally:
        lab.isolate("red", "blue")
    lab.settle()
    assert explore(pods, pods).wrong == []


def test_udp(lab: Lab) -> None:
    pods = _parties(lab)
    pairs = [(source, target) for source in pods for target in pods if source != target]
    outcomes = together([partial(source.host.udp, target.host) for source, target in pairs])
    for (source, target), outcome in zip(pairs, outcomes, strict=True):
        assert bool(outcome) is may(source, target, []), (source, target, outcome)
        if outcome:
            assert (outcome.by, outcome.seen_as) == (target.host.name, str(source.host.address))


def test_udp_to_the_outside_leaves_with_the_nodes_address(lab: Lab) -> None:
    pod = lab.pods_by_name["blue/b"]
    answered = pod.udp(lab.outside)
    assert (answered.by, answered.seen_as) == ("outside", str(pod.node.address))


def test_beyond_the_underlay(lab: Lab) -> None:
    assert lab.pods_by_name["red/c"].tcp("198.51.100.1").by == "outside"


def test_pods_reach_every_nodes_open_ports(lab: Lab) -> None:
    pod = lab.pods_by_name["red/a"]
    for node in lab.nodes.values():
        for address in (node.gateway, node.address):
            answered = pod.tcp(address)
            assert answered.by == node.name, (node, address, answered)


def test_arp_is_answered_for_the_asker_only(lab: Lab) -> None:
    """A flow answers with the MAC that the address implies; nobody else sees the question."""
    asker, asked = lab.pods_by_name["red/a"], lab.pods_by_name["blue/a"]
    question = arp(ARP_REQUEST, (asker.mac, str(asker.address)), ("00:00:00:00:00:00", str(asked.address)))
    with watching(lab.pods_by_name.values()) as seen:
        send(asker.namespace, asker.interface, ethernet(BROADCAST, asker.mac, ETH_P_ARP, question))
        assert seen[asker.name].caught(partial(_answers, str(asked.address)))
        overtake(lab, asker)
    (answer,) = [frame for frame in seen[asker.name].frames if _answers(str(asked.address), frame)]
    assert answer.source_mac == asked.mac
    assert answer.octets[22:28].hex(":") == asked.mac
    for name, sniffer in seen.items():
        strangers = [
            frame for frame in sniffer.frames if frame.kind == ETH_P_ARP and frame.destination_mac == BROADCAST
        ]
        assert not strangers, name


def test_broadcast_and_multicast_reach_nobody(lab: Lab) -> None:
    asker = lab.pods_by_name["red/a"]
    mark = os.urandom(16)
    frames = [
        ethernet(mac, asker.mac, kind, mark.rjust(60, b"\0"))
        for mac in (BROADCAST, "01:00:5e:00:00:01", "33:33:00:00:00:01", "01:80:c2:00:00:00")
        for kind in (0x0800, 0x0806, 0x86DD, 0x88CC, 0x0842)
    ]
    with watching(lab.pods_by_name.values()) as seen:
        send(asker.namespace, asker.interface, *frames)
        overtake(lab, asker)
    assert {name: marked(sniffer, mark) for name, sniffer in seen.items()} == {name: [] for name in seen}


def test_large_packets_pass_and_too_large_ones_are_told(lab: Lab) -> None:
    """The pod's MTU is the underlay's less 50 bytes; a full packet crosses the tunnel, a larger one is refused here."""
    near, far = lab.pods_by_name["red/a"], lab.pods_by_name["red/c"]
    assert "mtu 1450" in near.run(f"ip link show {near.interface}").stdout
    full = near.run(f"ping -c 1 -W 2 -M do -s {1450 - 28} {far.address}")
    assert full.returncode == 0, full.stdout
    assert "too long" in (larger := near.run(f"ping -c 1 -W 2 -M do -s {1451 - 28} {far.address}")).stderr, larger


def _answers(address: str, frame: Frame) -> bool:
    return frame.kind == ETH_P_ARP and int.from_bytes(frame.octets[20:22]) == ARP_REPLY and frame.source == address
