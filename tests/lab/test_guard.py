"""What a pod must not reach, whatever it sends: other tenants by the node's kernel or a tunnel, control ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Address

import pytest

from lab.echo import ECHO_PORT
from lab.frames import ETH_P_IP, ethernet, geneve, send, udp_packet, vxlan
from lab.laboratory import Lab
from lab.links import mac_address
from lab.node import Node
from lab.pod import Pod
from lab.probes import Verdict, together
from tests.lab.watching import eventually, marked, others, overtake, watching
from topology.model import SHARED_SPACE, format_mac
from topology.pipeline import SERVICE_MAC, SPACE_MAC, Table

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

VXLAN_PORT, GENEVE_PORT = 4789, 6081
CONTROL_PORTS = (6653, 6640, 8080)
SHARED_SPACE_MAC = format_mac(SPACE_MAC | SHARED_SPACE)  # tells the receiving node the space of the address
BY_NO_SERVICE_MAC = format_mac(SERVICE_MAC)  # and that no service was asked for it


@pytest.fixture
def sender(lab: Lab) -> Pod:
    """Return the pod that does what it must not."""
    return lab.pods_by_name["red/a"]


@pytest.fixture
def host_veth(sender: Pod) -> str:
    """Return the MAC address of the other end of the sender's link, in the node's kernel."""
    return mac_address(sender.node.namespace, sender.host_interface)


@pytest.fixture(scope="module")
def listening(lab: Lab) -> Iterator[None]:
    """Let something listen on every node's control ports: silence is then the guard's doing."""
    for node in lab.nodes.values():
        for port in CONTROL_PORTS:
            node.listen(port)
    yield
    for node in lab.nodes.values():
        node.silence()
        node.listen(ECHO_PORT)


def _vnid(lab: Lab, network: str) -> int:
    return int(lab.api.get(f"/v1/networks/{network}")["vnid"])


def _datagram(source: Pod, mac: str, target: IPv4Address, port: int, payload: bytes) -> bytes:
    """A frame of `source`, with true addresses, to `mac`."""
    packet = udp_packet(str(source.address), str(target), (5555, port), payload)
    return ethernet(mac, source.mac, ETH_P_IP, packet)


def _inner(victim: Pod, liar: Pod, mark: bytes, macs: tuple[str, str] = (SHARED_SPACE_MAC, BY_NO_SERVICE_MAC)) -> bytes:
    """What would come out of a tunnel: a datagram to `victim` from `liar`."""
    packet = udp_packet(str(liar.address), str(victim.address), (5555, ECHO_PORT), mark)
    return ethernet(*macs, ETH_P_IP, packet)


def _tunnelled(lab: Lab, mark: bytes) -> list[tuple[int, bytes]]:
    """(port, payload) of tunnel datagrams to every pod, from its own tenant and as global, both encapsulations."""
    payloads = []
    for victim in lab.pods_by_name.values():
        friend = next(
            pod for pod in others(lab, victim) if pod.project == victim.project or victim.project == "default"
        )
        for vnid in (0, _vnid(lab, victim.project)):
            inner = _inner(victim, friend, mark)
            payloads += [(VXLAN_PORT, vxlan(vnid, inner)), (GENEVE_PORT, geneve(vnid, inner))]
    return payloads


def test_the_host_veth_leads_to_no_other_tenant(lab: Lab, sender: Pod, host_veth: str) -> None:
    mark = os.urandom(16)
    strangers = [pod for pod in lab.pods_by_name.values() if pod.project == "blue"]
    addresses = [*(pod.address for pod in strangers), *(node.gateway for node in lab.nodes.values())]
    with watching(strangers) as seen:
        frames = [_datagram(sender, host_veth, address, ECHO_PORT, mark) for address in addresses]
        send(sender.namespace, sender.interface, *frames)
        overtake(lab, sender)
    assert {name: marked(sniffer, mark) for name, sniffer in seen.items()} == {name: [] for name in seen}


@pytest.mark.parametrize("target", ["red/b", "red/c", "outside"])
def test_the_host_veth_makes_no_duplicates(lab: Lab, sender: Pod, host_veth: str, target: str) -> None:
    """The node's kernel sees the frame, and forwards nothing: only Open vSwitch does, once."""
    mark = os.urandom(16)
    receiver = lab.outside if target == "outside" else lab.pods_by_name[target]
    with watching([receiver]) as seen:
        send(sender.namespace, sender.interface, _datagram(sender, host_veth, receiver.address, ECHO_PORT, mark))
        overtake(lab, sender)
    requests = [frame for frame in marked(seen[receiver.name], mark) if frame.destination == str(receiver.address)]
    assert len(requests) == 1


def test_no_duplicate_answers(lab: Lab) -> None:
    """A ping by the real program, which tells of duplicates."""
    pod = lab.pods_by_name["red/a"]
    for target in (lab.pods_by_name["red/b"].address, lab.pods_by_name["red/c"].address, pod.node.gateway):
        said = pod.run(f"ping -c 3 -i 0.1 -W 2 {target}").stdout
        assert "3 received" in said
        assert "duplicates" not in said


def test_tunnel_packets_of_a_pod_reach_nobody(lab: Lab, sender: Pod, host_veth: str) -> None:
    mark = os.urandom(16)
    gateway_mac = mac_address(sender.node.namespace, "tun0")
    targets = [address for node in lab.nodes.values() for address in (node.address, node.gateway)]
    frames = [
        _datagram(sender, mac, target, port, payload)
        for mac in (gateway_mac, host_veth)
        for target in targets
        for port, payload in _tunnelled(lab, mark)
    ]
    with watching(others(lab, sender)) as seen:
        send(sender.namespace, sender.interface, *frames)
        overtake(lab, sender)
    assert {name: marked(sniffer, mark) for name, sniffer in seen.items()} == {name: [] for name in seen}


def test_the_same_tunnel_packets_of_a_node_arrive(lab: Lab) -> None:
    """What the tests around this one send is well-formed: from a known node's address it is delivered."""
    mark = os.urandom(16)
    node, victim, friend = lab.node("n2"), lab.pods_by_name["blue/a"], lab.pods_by_name["blue/b"]
    with watching([victim]) as seen:
        _send_to_tunnel(node, victim.node.address, vxlan(_vnid(lab, "blue"), _inner(victim, friend, mark)))
        assert seen[victim.name].caught(lambda frame: mark in frame.octets)


def test_tunnel_packets_in_other_macs_reach_nobody(lab: Lab) -> None:
    """Their low bits would be taken for a space and a service: dropped, and counted, though a node sends them."""
    mark = os.urandom(16)
    node, victim, friend = lab.node("n2"), lab.pods_by_name["blue/a"], lab.pods_by_name["blue/b"]
    before = _dropped_from_tunnels(victim.node)
    with watching([victim]) as seen:
        for macs in ((victim.mac, BY_NO_SERVICE_MAC), (SHARED_SPACE_MAC, friend.mac)):
            frame = _inner(victim, friend, mark, macs)
            _send_to_tunnel(node, victim.node.address, vxlan(_vnid(lab, "blue"), frame))
        overtake(lab, friend)
    assert marked(seen[victim.name], mark) == []
    assert eventually(lambda: _dropped_from_tunnels(victim.node) == before + 2)


def _dropped_from_tunnels(node: Node) -> int:
    """How many packets ended where the first table for tunnel packets does."""
    flows = node.ovs_ofctl("dump-flows", f"table={int(Table.TUNNEL_INGRESS)}").splitlines()
    (flow,) = (flow for flow in flows if "priority=0 " in flow)
    return int(flow.partition("n_packets=")[2].partition(",")[0])


def test_tunnel_packets_of_the_outside_reach_nobody(lab: Lab) -> None:
    mark = os.urandom(16)
    with watching(lab.pods_by_name.values()) as seen:
        for node in lab.nodes.values():
            for port, payload in _tunnelled(lab, mark):
                with lab.outside.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.sendto(payload, (str(node.address), port))
        overtake(lab, lab.pods_by_name["red/a"])
    assert {name: marked(sniffer, mark) for name, sniffer in seen.items()} == {name: [] for name in seen}


@pytest.mark.usefixtures("listening")
def test_control_ports_are_closed_to_pods(lab: Lab) -> None:
    targets = [address for node in lab.nodes.values() for address in (node.address, node.gateway)]
    targets.append(lab.description.controller)
    asked = [
        (pod.name, str(target), port, partial(pod.tcp, target, port))
        for pod in (lab.pods_by_name["red/a"], lab.pods_by_name["default/a"])
        for target in targets
        for port in CONTROL_PORTS
    ]
    verdicts = together([question for *_, question in asked])
    assert {what[:3]: verdict.verdict for what, verdict in zip(asked, verdicts, strict=True)} == {
        what[:3]: Verdict.SILENT for what in asked
    }


@pytest.mark.usefixtures("listening")
def test_control_ports_are_open_on_the_underlay(lab: Lab) -> None:
    """The same servers answer a node: it is the guard that keeps pods away."""
    for port in CONTROL_PORTS:
        assert lab.node("n2").tcp(lab.node("n1"), port).by == "n1"


@pytest.mark.parametrize("router", ["n1", "n2", "n3"])
def test_the_outside_cannot_route_to_a_pod(lab: Lab, router: str) -> None:
    """An outside host that takes a node for a router: on that node or another, no pod hears anything."""
    victims = [lab.pods_by_name[name] for name in ("red/a", "blue/b", "default/a")]
    routes = [f"{victim.address}/32 via {lab.node(router).address}" for victim in victims]
    questions = [partial(ask, pod) for pod in victims for ask in (lab.outside.ping, lab.outside.tcp, lab.outside.udp)]
    with watching(victims) as seen:
        lab.outside.namespace.ip([f"route add {route}" for route in routes])
        try:
            outcomes = together(questions)
        finally:
            lab.outside.namespace.ip([f"route del {route}" for route in routes])
        overtake(lab, victims[0])
    assert not any(outcome.arrived for outcome in outcomes), outcomes
    for victim in victims:
        heard = [frame for frame in seen[victim.name].frames if frame.source == str(lab.outside.address)]
        assert heard == [], victim


def _send_to_tunnel(node: Node, target: IPv4Address, payload: bytes) -> None:
    with node.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(payload, (str(target), VXLAN_PORT))
