"""A pod that lies about its IP address, its MAC address or in ARP is not heard by anybody."""

from __future__ import annotations

import os

import pytest

from lab.frames import (
    ARP_REPLY,
    ARP_REQUEST,
    BROADCAST,
    ETH_P_ARP,
    ETH_P_IP,
    Frame,
    arp,
    ethernet,
    ipv4,
    ping_packet,
    send,
    udp_packet,
)
from lab.laboratory import Lab
from lab.pod import Pod
from tests.lab.watching import marked, overtake, watching

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

OTHER_MAC = "0a:58:0a:80:7f:7f"
TARGETS = ("red/b", "red/c", "default/a", "blue/a")


def _heard(lab: Lab, liar: Pod, frames: list[bytes], mark: bytes) -> list[str]:
    """The names of all, the outside included, that hear what carries `mark`."""
    with watching([*lab.pods_by_name.values(), lab.outside]) as seen:
        send(liar.namespace, liar.interface, *frames)
        overtake(lab, liar)
    return sorted(name for name, sniffer in seen.items() if marked(sniffer, mark))


def _frames(liar: Pod, targets: list[Pod], lie: tuple[str, str], mark: bytes) -> list[bytes]:
    """To every target, an ICMP echo and a datagram that say they come from `lie`, a MAC and an IPv4 address."""
    mac, address = lie
    packets = [
        packet
        for target in targets
        for packet in (
            ping_packet(address, str(target.address), mark),
            udp_packet(address, str(target.address), (1234, 7), mark),
        )
    ]
    return [ethernet(target.mac, mac, ETH_P_IP, packet) for target in targets for packet in packets]


def test_the_truth_is_heard(lab: Lab) -> None:
    """What the tests below send, with true addresses: they would notice it."""
    liar, mark = lab.pods_by_name["red/a"], os.urandom(16)
    targets = [lab.pods_by_name[name] for name in TARGETS]
    frames = _frames(liar, targets, (liar.mac, str(liar.address)), mark)
    assert set(_heard(lab, liar, frames, mark)) == {"red/a", "red/b", "red/c", "default/a"}  # itself: the echo replies


@pytest.mark.parametrize("victim", ["red/b", "red/c", "blue/a", "blue/c", "default/a"])
def test_another_pods_address(lab: Lab, victim: str) -> None:
    liar, mark = lab.pods_by_name["red/a"], os.urandom(16)
    targets = [lab.pods_by_name[name] for name in TARGETS]
    lie = lab.pods_by_name[victim]
    frames = _frames(liar, targets, (liar.mac, str(lie.address)), mark)
    frames += _frames(liar, targets, (lie.mac, str(lie.address)), mark)
    assert _heard(lab, liar, frames, mark) == []


def test_a_nodes_address_and_nobodys(lab: Lab) -> None:
    liar, mark = lab.pods_by_name["red/a"], os.urandom(16)
    targets = [lab.pods_by_name[name] for name in TARGETS]
    lies = [str(address) for node in lab.nodes.values() for address in (node.gateway, node.address)]
    lies += ["0.0.0.0", "127.0.0.1", "10.131.255.254", "203.0.113.9", "192.0.2.1"]
    frames = [frame for lie in lies for frame in _frames(liar, targets, (liar.mac, lie), mark)]
    frames.append(ethernet(BROADCAST, liar.mac, ETH_P_IP, ipv4(lies[0], str(lab.outside.address), 253, mark)))
    assert _heard(lab, liar, frames, mark) == []


def test_another_mac(lab: Lab) -> None:
    liar, mark = lab.pods_by_name["red/a"], os.urandom(16)
    targets = [lab.pods_by_name[name] for name in TARGETS]
    macs = [OTHER_MAC, *(target.mac for target in targets)]
    frames = [frame for mac in macs for frame in _frames(liar, targets, (mac, str(liar.address)), mark)]
    assert _heard(lab, liar, frames, mark) == []


@pytest.mark.parametrize("operation", [ARP_REQUEST, ARP_REPLY])
def test_lies_in_arp(lab: Lab, operation: int) -> None:
    """Gratuitous and directed ARP with another's address: nobody hears it, and no answer tells anything."""
    liar, peer = lab.pods_by_name["red/a"], lab.pods_by_name["red/b"]
    stranger = lab.pods_by_name["blue/a"]
    own, lies = (liar.mac, str(liar.address)), [str(peer.address), str(stranger.address), "10.128.0.1", "0.0.0.0"]
    contents = [
        arp(operation, (liar.mac, lie), (peer.mac, target)) for lie in lies for target in (lie, str(peer.address))
    ]
    contents += [arp(operation, (OTHER_MAC, own[1]), (peer.mac, str(peer.address)))]
    lies_told = [ethernet(mac, liar.mac, ETH_P_ARP, content) for content in contents for mac in (BROADCAST, peer.mac)]
    with watching(lab.pods_by_name.values()) as seen:
        send(liar.namespace, liar.interface, *lies_told)
        overtake(lab, liar)
    heard = {name: [frame for frame in sniffer.frames if frame.kind == ETH_P_ARP] for name, sniffer in seen.items()}
    assert [(name, frame) for name, frames in heard.items() for frame in frames if not _is_true(frame)] == []
    assert [frame for frame in heard[liar.name] if frame.destination in lies] == []
    assert peer.ping(stranger).arrived is False
    assert liar.ping(peer)


def _is_true(frame: Frame) -> bool:
    """Whether an ARP packet's sender has the MAC address that belongs to its IPv4 address in this network."""
    return frame.octets[22:28] == b"\x0a\x58" + frame.octets[28:32]
