"""VXLAN and Geneve by real packets: by which a node sends, that any is received, and that a change loses nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.api import ProblemError
from lab.frames import ETH_P_IP, Sniffer
from lab.laboratory import Lab
from lab.underlay import UPLINK
from tests.lab.watching import eventually

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

PROBES = 2
UDP_PORTS = {"vxlan": 4789, "geneve": 6081}
NODES = ("n1", "n2", "n3")
PAIRS = (("red/a", "red/c"), ("red/c", "red/a"), ("blue/b", "blue/c"), ("blue/c", "blue/a"))


def send_by(lab: Lab, node: str, encapsulation: str | None) -> None:
    lab.api.patch(f"/v1/nodes/{node}", {"encapsulation": encapsulation})


@pytest.fixture(autouse=True)
def as_before(lab: Lab) -> Iterator[None]:
    """Let all nodes send by the cluster's encapsulation in the end."""
    yield
    for node in NODES:
        send_by(lab, node, None)
    lab.settle()


def tunnelled(sniffer: Sniffer, source: str) -> set[tuple[int, int]]:
    """Return the UDP ports and VNIDs of the tunnel packets that came from a node, those of probes (2) left out."""
    found = set()
    for frame in list(sniffer.frames):
        if frame.kind == ETH_P_IP and frame.octets[23] == socket.IPPROTO_UDP and frame.source == source:
            header = frame.octets[14 + (frame.octets[14] & 15) * 4 :]
            port = int.from_bytes(header[2:4])
            if port in UDP_PORTS.values() and int.from_bytes(header[12:15]) != PROBES:
                found.add((port, int.from_bytes(header[12:15])))  # both have the VNID there
    return found


@pytest.mark.parametrize("first", UDP_PORTS)
@pytest.mark.parametrize("second", UDP_PORTS)
def test_a_node_sends_by_its_own_and_takes_any(lab: Lab, first: str, second: str) -> None:
    """Over either the VNID is the sender's network."""
    send_by(lab, "n1", first)
    send_by(lab, "n2", second)
    lab.settle()
    a, c = lab.pods_by_name["red/a"], lab.pods_by_name["red/c"]
    n1, n2 = lab.node("n1"), lab.node("n2")
    vnid = lab.api.get("/v1/networks/red")["vnid"]
    with ExitStack() as stack:
        at_first, at_second = (stack.enter_context(Sniffer(node.namespace, UPLINK)) for node in (n1, n2))
        assert a.ping(c)
        assert c.tcp(a)
        assert tunnelled(at_second, str(n1.address)) == {(UDP_PORTS[first], vnid)}
        assert tunnelled(at_first, str(n2.address)) == {(UDP_PORTS[second], vnid)}
    assert not a.ping(lab.pods_by_name["blue/b"])


def test_nodes_change_one_by_one_and_no_packet_is_lost(lab: Lab) -> None:
    pods = lab.pods_by_name
    with lab.pings([(pods[source], pods[target]) for source, target in PAIRS]) as pings:
        for encapsulation in ("geneve", "vxlan"):
            for node in NODES:
                send_by(lab, node, encapsulation)
    assert min(len(tally.sent) for tally in pings.tallies.values()) > 0
    assert pings.lost == {}


def test_a_mirrors_copies_go_as_their_node_sends(lab: Lab) -> None:
    target = lab.pod("blue/watcher", on="n3")
    body = {"name": "m", "target": {"project": "blue", "pod": "watcher"}, "network": "red", "direction": "out"}
    lab.api.post("/v1/mirrors", body)
    try:
        send_by(lab, "n1", "geneve")
        lab.settle()
        n1, n3 = lab.node("n1"), lab.node("n3")
        with Sniffer(n3.namespace, UPLINK) as underlay, Sniffer(target.namespace) as copies:
            assert lab.pods_by_name["red/a"].ping(lab.pods_by_name["red/b"])
            assert copies.caught(lambda frame: frame.destination_mac.startswith("0a:5c:"))
            assert tunnelled(underlay, str(n1.address)) == {(UDP_PORTS["geneve"], 1)}
    finally:
        lab.api.delete("/v1/mirrors/m")
        lab.remove_pod("blue/watcher")


def test_while_a_node_has_no_geneve0_none_sends_by_it(lab: Lab) -> None:
    """As with a heddle-node of an earlier version; the packets go on by VXLAN."""
    n3 = lab.node("n3")
    n3.stop_keeper()
    try:
        n3.ovs.vsctl("del-port", "geneve0")
        assert eventually(lambda: refusal(lab, "n1").startswith('node "n1": cannot send by Geneve: n3 has no geneve0'))
        assert lab.pods_by_name["blue/b"].ping(lab.pods_by_name["blue/c"])
    finally:
        n3.start_keeper()
    assert eventually(lambda: refusal(lab, "n1") == "")


def refusal(lab: Lab, node: str) -> str:
    """Return why a node is not to send by Geneve; "" if it is."""
    try:
        send_by(lab, node, "geneve")
    except ProblemError as refused:
        return str(refused.problem["detail"])
    return ""


def test_an_unknown_encapsulation_is_refused(lab: Lab) -> None:
    with pytest.raises(ProblemError, match="gre") as refused:
        send_by(lab, "n1", "gre")
    assert refused.value.status in (400, 422)
    assert lab.api.get("/v1/nodes/n1")["encapsulation"] == "vxlan"
