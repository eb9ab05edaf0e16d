"""heddle-node's announcement of its address: who had asked before learns the new MAC address at once."""

from __future__ import annotations

import json

import pytest

from cni_shim.node.announce import announce
from lab.description import Topology
from lab.frames import BROADCAST, ETH_P_ARP, Sniffer
from lab.links import mac_address
from lab.probes import ping
from lab.state import State
from lab.underlay import UPLINK, Underlay

pytestmark = pytest.mark.netns

NEW_MAC = "02:00:00:00:00:11"


def test_an_old_mac_address_is_forgotten(state: State) -> None:
    hosts = Underlay(state, Topology.of(2)).hosts
    node, peer = hosts["n1"], hosts["n2"]

    def known() -> str:
        (found,) = json.loads(peer.run(["ip", "-json", "neighbour", "show", "192.0.2.11"]).stdout)
        return str(found["lladdr"])

    assert ping(peer, "192.0.2.11")
    assert known() == mac_address(node, UPLINK)
    node.ip([f"link set {UPLINK} address {NEW_MAC}"])
    assert known() != NEW_MAC
    with Sniffer(peer) as sniffer:
        node.call(lambda: announce("192.0.2.11", UPLINK))
        assert sniffer.caught(
            lambda frame: frame.kind == ETH_P_ARP and frame.source == frame.destination == "192.0.2.11"
        )
    assert known() == NEW_MAC
    (told,) = [frame for frame in sniffer.frames if frame.kind == ETH_P_ARP and frame.destination_mac == BROADCAST]
    assert told.source_mac == NEW_MAC


def test_ipv6_is_the_kernels_business(state: State) -> None:
    (node,) = state.namespaces(["n1"])
    node.call(lambda: announce("2001:db8::1", "lo"))


def test_no_such_interface(state: State) -> None:
    (node,) = state.namespaces(["n1"])
    with pytest.raises(OSError, match="No such device"):
        node.call(lambda: announce("192.0.2.11", "nothing"))
