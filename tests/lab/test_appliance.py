"""An appliance that is no node, with real packets: who reaches hosts behind its VTEP, and what is taken from it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface

import pytest

from lab.appliance import Appliance, appliance
from lab.frames import ETH_P_IP, Sniffer, ethernet, udp_packet, vxlan
from lab.hosts import Host
from lab.laboratory import Lab
from lab.pod import Pod
from lab.underlay import UPLINK
from tests.lab.watching import eventually, marked, overtake, watching
from topology.model import format_mac, mac_of

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

HOSTS = {"h1": IPv4Interface("198.18.7.129/26"), "h2": IPv4Interface("198.18.7.130/26")}
SUBNET = "198.18.7.128/26"
DISCARD = 9  # RFC 863


def _free(lab: Lab) -> IPv4Address:
    """An address of the underlay that nobody has."""
    return max(node.underlay for node in lab.description.nodes) + 40


@pytest.fixture(scope="module")
def behind(lab: Lab) -> Iterator[Appliance]:
    """An appliance of red's, declared, and two hosts behind it."""
    vnid = lab.api.get("/v1/networks/red")["vnid"]
    with appliance(lab, "f5", _free(lab), vnid, HOSTS) as running:
        body = {"name": "f5", "address": str(running.address), "subnets": [SUBNET], "vnid": vnid}
        assert lab.api.post("/v1/external-vteps", body)["network"] == "red"
        lab.settle()
        yield running
        lab.api.delete("/v1/external-vteps/f5")


def of(lab: Lab, *names: str) -> list[Pod]:
    return [lab.pods_by_name[name] for name in names]


def meet(one: Host, other: Host) -> bool:
    return bool(one.ping(other)) and bool(one.tcp(other)) and bool(one.udp(other))


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", ["red/a", "red/b", "red/c"])
def test_pods_of_its_network_and_its_hosts_meet_on_every_node(
    lab: Lab, behind: Appliance, host: str, name: str
) -> None:
    """Each way by TCP, UDP and ping, by their own addresses; nobody translates anything."""
    pod, other = lab.pods_by_name[name], behind.hosts[host]
    assert eventually(lambda: bool(pod.ping(other)))
    assert eventually(lambda: bool(other.ping(pod)))
    assert meet(pod, other)
    assert meet(other, pod)
    assert pod.tcp(other).seen_as == str(pod.address)
    assert other.tcp(pod).seen_as == str(other.address)


def test_what_it_gets_is_plain_vxlan(lab: Lab, behind: Appliance) -> None:
    """By its VNID, with the MACs of both hosts and none of our marks."""
    pod, host = lab.pods_by_name["red/c"], behind.hosts["h1"]
    assert eventually(lambda: bool(pod.ping(host)))
    with Sniffer(behind.namespace, UPLINK) as seen:
        assert pod.udp(host)
    vnid = lab.api.get("/v1/networks/red")["vnid"]
    inner = [
        frame.octets[42:]
        for frame in list(seen.frames)
        if frame.kind == ETH_P_IP and frame.octets[23] == socket.IPPROTO_UDP and frame.octets[36:38] == b"\x12\xb5"
    ]
    macs = {mac_of(IPv4Address(str(each.address))).to_bytes(6) for each in (pod, host)}
    assert inner
    for octets in inner:
        assert octets[:8] == b"\x08\0\0\0" + vnid.to_bytes(3) + b"\0"
        assert {octets[8:14], octets[14:20]} == macs


def test_others_reach_it_as_connections_say(lab: Lab, behind: Appliance) -> None:
    host = behind.hosts["h1"]
    near, far, anyone = of(lab, "blue/a", "blue/b", "default/a")
    for other in (near, far):
        assert not other.ping(host, patience=0.5)
        assert not host.ping(other, patience=0.5)
    assert meet(anyone, host)
    assert meet(host, anyone)
    lab.join("red", "blue")
    lab.settle()
    for other in (near, far):
        assert meet(other, host)
        assert meet(host, other)
    lab.isolate("red", "blue")
    lab.settle()
    for other in (near, far):
        assert not other.tcp(host, patience=0.5)
        assert not host.tcp(other, patience=0.5)


@pytest.mark.parametrize(
    ("vnid", "source"),
    [
        (0, "198.18.7.129"),
        ("blue", "198.18.7.129"),
        (4711, "198.18.7.129"),
        ("red", "198.18.7.200"),
        ("red", "10.128.2.2"),
        ("red", "192.0.2.11"),
    ],
)
def test_nothing_else_is_taken_from_it(lab: Lab, behind: Appliance, vnid: int | str, source: str) -> None:
    """Another VNID, or an address that is not of its hosts: whoever gets it would have heard it."""
    number = lab.api.get(f"/v1/networks/{vnid}")["vnid"] if isinstance(vnid, str) else vnid
    host, mark = behind.hosts["h1"], b"not of its hosts"
    assert meet(host, lab.pods_by_name["red/a"])
    with watching(lab.pods_by_name.values()) as seen:
        for pod in lab.pods_by_name.values():
            forge(behind, number, source, pod, mark)
        overtake(lab, lab.pods_by_name["red/a"])
        for pod in of(lab, "red/a", "red/c"):
            assert host.ping(pod)
    assert not [name for name, sniffer in seen.items() if marked(sniffer, mark)]


def test_its_marks_lead_nowhere(lab: Lab, behind: Appliance) -> None:
    """With MACs as our nodes write them, a packet of its host is what it is without them: for a pod on that node."""
    mark, a, c = b"with marks of ours", *of(lab, "red/a", "red/c")
    with watching(lab.pods_by_name.values()) as seen:
        for destination in ("0a:59:00:00:00:0b", "0a:5c:00:00:00:01"):
            for own in ("0a:5a:00:00:00:0b", "0a:5b:cb:00:71:42"):
                macs = destination, own
                vnid = lab.api.get("/v1/networks/red")["vnid"]
                forge(behind, vnid, "198.18.7.129", a, mark, macs)
                forge(behind, vnid, "198.18.7.129", c, mark, macs, at=a)  # by a node where that pod is not
        overtake(lab, a)
    assert {name for name, sniffer in seen.items() if marked(sniffer, mark)} == {"red/a"}


def forge(
    behind: Appliance,
    vnid: int,
    source: str,
    pod: Pod,
    mark: bytes,
    macs: tuple[str, str] | None = None,
    at: Pod | None = None,
) -> None:
    """Send a datagram to a pod by the tunnel from the appliance itself, to the pod's node or that of another."""
    destination = str(pod.address)
    to, own = macs or tuple(format_mac(mac_of(IPv4Address(each))) for each in (destination, source))
    inner = ethernet(to, own, ETH_P_IP, udp_packet(source, destination, (DISCARD, DISCARD), mark))
    with behind.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(vxlan(vnid, inner), (str((at or pod).node.address), 4789))


def test_no_pod_sends_to_its_tunnel(lab: Lab, behind: Appliance) -> None:
    """It would come from a node, and be believed."""
    pod, mark = lab.pods_by_name["blue/a"], b"by a pod's own hand"
    inner = ethernet(
        *[format_mac(mac_of(HOSTS["h1"].ip))] * 2, ETH_P_IP, udp_packet("10.128.0.2", "198.18.7.129", (9, 9), mark)
    )
    with Sniffer(behind.namespace, UPLINK) as seen, Sniffer(behind.hosts["h1"].namespace) as inside:
        with pod.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(vxlan(lab.api.get("/v1/networks/red")["vnid"], inner), (str(behind.address), 4789))
        overtake(lab, pod)
    assert not marked(seen, mark)
    assert not marked(inside, mark)


def test_the_way_is_told_and_ends_when_it_is_removed(lab: Lab, behind: Appliance) -> None:
    pod, host = lab.pods_by_name["red/a"], behind.hosts["h1"]
    told = lab.api.get(f"/v1/trace?from=red/a&to={host.address}")
    assert (told["verdict"], told["at"]["node"]) == ("sent", "n1")
    assert told["reason"] == f'by vxlan to external VTEP "f5" at {behind.address}'
    (shown,) = lab.api.get("/v1/topology")["external_vteps"]
    assert shown["network"] == "red"
    lab.api.delete("/v1/external-vteps/f5")
    lab.settle()
    assert not pod.ping(host, patience=0.5)
    assert not host.ping(pod, patience=0.5)
    body = {"name": "f5", "address": str(behind.address), "subnets": [SUBNET], "network": "red"}
    lab.api.post("/v1/external-vteps", body)
    lab.settle()
    assert eventually(lambda: meet(pod, host))
