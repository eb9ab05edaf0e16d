"""A pod as the next hop of a network, with real packets: a firewall that forwards and masquerades in its namespace."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from lab.egress import Egress, seconds_until_seen
from lab.frames import ETH_P_IP, Sniffer, ethernet, ipv4, send
from lab.gateway import forward
from lab.laboratory import Lab
from lab.pod import Pod
from lab.probes import Verdict
from tests.lab.watching import eventually, marked, overtake

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

ASKED = 4481  # a UDP port of the outside host's that nobody else asks
CLOSED = 4482  # one where nobody listens
NAME = "blue/gw"
VIA = {"project": "blue", "pod": "gw"}


@pytest.fixture(scope="module")
def _asked(lab: Lab) -> None:
    lab.outside.listen(ASKED)


@pytest.fixture
def gateway(lab: Lab, _asked: None) -> Iterator[Pod]:
    """A gateway of blue's on n2, by which red leaves."""
    pod = lab.pod(NAME, "n2")
    forward(pod)
    egress = Egress(lab.api, "by-gateway", "red").make(via=VIA)
    yield pod
    egress.remove()
    if NAME in lab.pods_by_name:
        lab.remove_pod(NAME)


def own(lab: Lab, name: str) -> str:
    """The address of a pod's node."""
    return str(lab.pods_by_name[name].node.address)


def datagram(source: str, destination: str, mark: bytes) -> bytes:
    return ipv4(source, destination, socket.IPPROTO_UDP, struct.pack("!HHHH", ASKED, 4483, 8 + len(mark), 0) + mark)


@pytest.mark.parametrize("name", ["red/a", "red/c"])
def test_pods_leave_by_it_from_its_node_and_from_another(lab: Lab, gateway: Pod, name: str) -> None:
    source = lab.pods_by_name[name]
    with Sniffer(gateway.namespace) as seen:
        seconds_until_seen(source, lab.outside, own(lab, NAME), ASKED)
        assert {probe(lab.outside).seen_as for probe in (source.tcp, source.udp)} == {own(lab, NAME)}
        assert source.ping(lab.outside)
        assert source.udp(lab.outside, CLOSED).verdict is Verdict.REFUSED
        assert source.tcp(lab.outside, CLOSED).verdict is Verdict.REFUSED
    came = {(frame.source, frame.destination) for frame in list(seen.frames)}
    outside = str(lab.outside.address)
    assert {(str(source.address), outside), (outside, str(gateway.address))} <= came


def test_it_leaves_itself_as_before_and_so_do_others(lab: Lab, gateway: Pod) -> None:
    """Another network's pod on its node cannot use it, whichever MAC it sends to."""
    other = lab.pods_by_name["blue/b"]
    assert other.node.name == gateway.node.name
    seconds_until_seen(lab.pods_by_name["red/a"], lab.outside, own(lab, NAME), ASKED)
    assert gateway.tcp(lab.outside).seen_as == own(lab, NAME)
    assert lab.pods_by_name["blue/a"].tcp(lab.outside).seen_as == own(lab, "blue/a")
    mark = b"by another network"
    with Sniffer(gateway.namespace) as seen:
        packet = datagram(str(other.address), str(lab.outside.address), mark)
        send(other.namespace, "eth0", ethernet(gateway.mac, other.mac, ETH_P_IP, packet))
        overtake(lab, other)
    assert not marked(seen, mark)


def test_it_sends_from_outside_nothing_but_answers(lab: Lab, gateway: Pod) -> None:
    """Neither to its own network nor to the one that it serves, if nobody asked there."""
    seconds_until_seen(lab.pods_by_name["red/a"], lab.outside, own(lab, NAME), ASKED)
    mark, outside = b"from outside", str(lab.outside.address)
    for name in ("blue/b", "red/b", "red/c", "default/a"):
        target = lab.pods_by_name[name]
        with Sniffer(target.namespace) as seen:
            for source in (outside, "198.51.100.9", str(lab.pods_by_name["red/a"].address)):
                packet = datagram(source, str(target.address), mark)
                send(gateway.namespace, "eth0", ethernet("0a:58:0a:80:00:01", gateway.mac, ETH_P_IP, packet))
            overtake(lab, gateway)
        assert not marked(seen, mark)


def test_without_it_nothing_leaves_or_as_is_declared_by_the_node(lab: Lab, gateway: Pod) -> None:
    near, far = lab.pods_by_name["red/c"], lab.pods_by_name["red/a"]
    seconds_until_seen(far, lab.outside, own(lab, NAME), ASKED)
    lab.remove_pod(NAME)
    for source in (near, far):
        assert eventually(lambda source=source: not source.udp(lab.outside, ASKED, 0.3))  # type: ignore[misc]
        assert not source.tcp(lab.outside, patience=0.5).arrived
    Egress(lab.api, "by-gateway", "red").make(via=VIA, fail="open")
    for source in (near, far):
        seconds_until_seen(source, lab.outside, str(source.node.address), ASKED)
    forward(lab.pod(NAME, "n3"))
    for source in (near, far):
        seconds_until_seen(source, lab.outside, own(lab, NAME), ASKED)
