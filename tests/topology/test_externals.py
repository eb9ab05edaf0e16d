"""Hosts behind external VTEPs: who reaches them, who is reached by them, and what is refused at the door."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from tests.topology.asking import ip, nets, node, report
from tests.topology.strategies import after, answer, own_range
from topology import fields, requests
from topology.admission import admit
from topology.compiler import compile_all, update
from topology.fields import ETH_DST, ETH_SRC, IN_PORT, IPV4_DST, IPV4_SRC
from topology.model import (
    EVERYTHING,
    GENEVE_OFPORT,
    VXLAN_OFPORT,
    Cluster,
    Egress,
    Encapsulation,
    ExternalVtep,
    Port,
    PortKey,
    mac_of,
)
from topology.outcome import Delivered, Dropped, Handed, Outcome, Sent, Where
from topology.packet import Ends, Packet, arp, arriving, transport, tunnelled
from topology.requests import CreateExternalVtep, DeleteExternalVtep, JoinNetworks, Reason, Refused, Request
from topology.snapshot import Snapshot, apply_all, empty
from topology.trace import Fabric, Trace
from topology.verification import prove

VTEP, HOST, OTHER = ip("192.0.2.50"), ip("203.0.113.130"), ip("203.0.113.131")
F5 = ExternalVtep("f5", VTEP, "red", nets("203.0.113.128/26"))


def wish(**more: Any) -> CreateExternalVtep:
    return CreateExternalVtep(replace(F5, **more))


def world(*more: Request) -> Snapshot:
    """Two nodes; red/a on n1, red/b on n2, blue/c on n1, lime/d with a range of its own on n1."""
    asked: list[Request] = [node("n1", "192.0.2.11"), node("n2", "192.0.2.12")]
    asked += [requests.CreateNetwork(name, projects=(name,)) for name in ("red", "blue")]
    asked.append(requests.CreateNetwork("lime", projects=("lime",), subnets=own_range("10.0.0.0/24")))
    pods = (("a", "red", "n1", 3), ("b", "red", "n2", 3), ("c", "blue", "n1", 4), ("d", "lime", "n1", 5))
    for name, project, place, ofport in pods:
        asked.append(report(name, key=PortKey(place, name, "eth0"), project=project, pod=name))
        asked.append(requests.PortSeen(place, f"v{name}", ofport))
    return after(empty(), *asked, *more)


def fabric_of(snapshot: Snapshot) -> Fabric:
    tables = compile_all(snapshot)
    assert [proof.findings for proof in prove(snapshot, tables)] == [()] * len(snapshot.nodes)
    return Fabric(snapshot, tables)


def pod(snapshot: Snapshot, name: str) -> Port:
    return next(port for port in snapshot.ports.values() if port.pod == name)


def known_as(port: Port) -> IPv4Address:
    address = (port.cluster_addresses or port.addresses)[0]
    assert isinstance(address, IPv4Address)
    return address


def sent(fabric: Fabric, name: str, to: IPv4Address = HOST, protocol: str = "TCP", port: int = 443) -> Trace:
    source = pod(fabric.snapshot, name)
    packet = transport(protocol, Ends(source.addresses[0], to, source.mac), port)
    return fabric.carry(source.node, arriving(packet, source.ofport or 0))


def come(
    fabric: Fabric,
    to: str,
    source: IPv4Address = HOST,
    vnid: int = 10,
    vtep: IPv4Address = VTEP,
    by: int = VXLAN_OFPORT,
) -> Outcome:
    """What becomes of a packet to a pod that comes by the tunnel, with MACs as any host has them."""
    target = pod(fabric.snapshot, to)
    return arrives(fabric, target.node, transport("TCP", Ends(source, known_as(target)), 443), vnid, vtep, by).outcome


def arrives(
    fabric: Fabric, place: str, packet: Packet, vnid: int = 10, vtep: IPv4Address = VTEP, by: int = VXLAN_OFPORT
) -> Trace:
    outer = tunnelled(packet, vnid, vtep, fabric.snapshot.nodes[place].underlay)
    return fabric.carry(place, outer.set(IN_PORT, by))


def delivered(fabric: Fabric, name: str) -> Delivered:
    port = pod(fabric.snapshot, name)
    return Delivered(port.node, port.key)


@pytest.mark.parametrize(("encapsulation", "by"), [("vxlan", VXLAN_OFPORT), ("geneve", GENEVE_OFPORT)])
@pytest.mark.parametrize("mac", [None, 0x02_00_00_00_00_50])
def test_pods_of_its_network_reach_hosts_in_a_plain_packet(
    encapsulation: Encapsulation, by: int, mac: int | None
) -> None:
    """By its encapsulation, whatever the node's; with its VNID, and with MACs that mean nothing of ours."""
    fabric = fabric_of(world(wish(encapsulation=encapsulation, mac=mac)))
    for name, place in (("a", "n1"), ("b", "n2")):
        found = sent(fabric, name)
        assert found.outcome == Handed(place, "f5")
        assert found.packet.get(fields.TUNNEL_ID) == fabric.snapshot.networks["red"].vnid
        assert found.packet.get(fields.TUN_IPV4_DST) == int(VTEP)
        assert found.packet.get(IPV4_DST) == int(HOST)
        macs = (found.packet.get(ETH_SRC), found.packet.get(ETH_DST))
        assert macs == (mac_of(known_as(pod(fabric.snapshot, name))), mac or mac_of(HOST))
        assert come(fabric, name, by=by) == delivered(fabric, name)
        wrong = GENEVE_OFPORT if by == VXLAN_OFPORT else VXLAN_OFPORT
        assert isinstance(come(fabric, name, by=wrong), Dropped)


def test_others_reach_them_and_are_reached_as_connections_say() -> None:
    apart = fabric_of(world(wish()))
    for name in ("c", "d"):
        assert isinstance(sent(apart, name).outcome, Dropped)
        assert isinstance(come(apart, name), Dropped)
    joined = fabric_of(world(wish(), JoinNetworks("red", "blue"), JoinNetworks("red", "lime")))
    for name in ("c", "d"):
        found = sent(joined, name)
        assert found.outcome == Handed("n1", "f5")
        assert found.packet.get(fields.TUNNEL_ID) == 10
        assert found.packet.get(IPV4_SRC) == int(known_as(pod(joined.snapshot, name)))
        assert come(joined, name) == delivered(joined, name)


def test_a_global_networks_pods_reach_them_and_a_global_networks_hosts_reach_all() -> None:
    fabric = fabric_of(world(wish(), requests.SetGlobal("blue", True)))
    assert sent(fabric, "c").outcome == Handed("n1", "f5")
    everywhere = fabric_of(world(wish(network="default")))
    for name in "abcd":
        assert isinstance(sent(everywhere, name).outcome, Handed)
        assert come(everywhere, name, vnid=0) == delivered(everywhere, name)


def test_what_pods_began_over_a_one_way_connection_is_answered() -> None:
    fabric = fabric_of(world(wish(), JoinNetworks("red", "blue", None, EVERYTHING)))
    there = sent(fabric, "c")
    assert there.outcome == Handed("n1", "f5")
    outer = tunnelled(answer(arriving(there.packet, 0)), 10, VTEP, fabric.snapshot.nodes["n1"].underlay)
    assert fabric.carry("n1", outer, there.trackers).outcome == delivered(fabric, "c")
    assert isinstance(fabric.carry("n1", outer).outcome, Dropped)


@pytest.mark.parametrize(
    "wrong",
    [
        {"vnid": 11},
        {"vnid": 0},
        {"vnid": 4711},
        {"vnid": 1},
        {"source": ip("203.0.113.192")},
        {"source": ip("203.0.113.127")},
        {"source": ip("10.128.2.2")},
        {"source": ip("192.0.2.11")},
        {"vtep": ip("192.0.2.51")},
        {"vtep": ip("192.0.2.12")},  # a node: in MACs of nodes only
    ],
)
def test_what_is_not_of_its_hosts_is_dropped(wrong: dict[str, Any]) -> None:
    fabric = fabric_of(world(wish()))
    assert come(fabric, "a") == delivered(fabric, "a")
    assert isinstance(come(fabric, "a", **wrong), Dropped)


def test_it_gets_to_no_other_node_no_service_and_nobody_outside() -> None:
    """It goes to the pods of the node that it came to, whatever the marks in its MACs."""
    snapshot = world(wish(), CreateExternalVtep(ExternalVtep("lb", ip("192.0.2.51"), "red", nets("198.51.100.0/25"))))
    fabric = fabric_of(after(snapshot, requests.CreateEgress(Egress("e", "red", (ip("203.0.113.66"),)))))
    b = known_as(pod(fabric.snapshot, "b"))
    outside = (b, ip("172.30.0.1"), ip("8.8.8.8"), ip("198.51.100.9"), ip("192.0.2.12"), ip("203.0.113.66"), OTHER)
    for to in outside:
        for source_mac in (mac_of(HOST), 0x0A5A_0000_000B, 0x0A5B_CB00_7142):
            for destination_mac in (mac_of(to), 0x0A59_0000_000C):
                packet = transport("TCP", Ends(HOST, to, source_mac, destination_mac), 443)
                assert isinstance(arrives(fabric, "n1", packet).outcome, Dropped)
    for source_mac in (0x0A5A_0000_000B, 0x0A5B_CB00_7142):
        packet = transport("TCP", Ends(HOST, known_as(pod(fabric.snapshot, "a")), source_mac, 0x0A59_0000_000C), 443)
        assert arrives(fabric, "n1", packet).outcome == delivered(fabric, "a")


def test_arp_of_its_hosts_is_answered_where_the_pod_is() -> None:
    """By that node alone: so a VTEP that learns, learns where to send."""
    fabric = fabric_of(world(wish()))
    asks = arp(Ends(HOST, known_as(pod(fabric.snapshot, "a"))))
    found = arrives(fabric, "n1", asks)
    assert found.outcome == Handed("n1", "f5")
    told = (found.packet.get(fields.ARP_OP), found.packet.get(fields.ARP_SHA), found.packet.get(ETH_DST))
    assert told == (2, mac_of(known_as(pod(fabric.snapshot, "a"))), mac_of(HOST))
    assert isinstance(arrives(fabric, "n2", asks).outcome, Dropped)
    assert isinstance(arrives(fabric, "n1", asks, vnid=11).outcome, Dropped)
    assert isinstance(arrives(fabric, "n1", asks.update(arp_spa=int(ip("203.0.113.192")))).outcome, Dropped)


def test_nobody_speaks_for_it_in_another_way() -> None:
    """No pod sends to its VTEP by itself, and nobody comes from outside by an address behind it."""
    fabric = fabric_of(world(wish()))
    assert isinstance(sent(fabric, "a", VTEP, "UDP", 4789).outcome, Dropped)
    assert isinstance(sent(fabric, "a", VTEP, "UDP", 6081).outcome, Dropped)
    assert sent(fabric, "a", VTEP).outcome == Sent("n1", Where.OUTSIDE)
    assert isinstance(come_by_tun0(fabric), Dropped)


def come_by_tun0(fabric: Fabric) -> Outcome:
    packet = transport("TCP", Ends(HOST, known_as(pod(fabric.snapshot, "a"))), 443)
    return fabric.carry("n1", arriving(packet, 2)).outcome


def test_a_pod_that_leaves_by_an_address_still_reaches_it_by_the_tunnel() -> None:
    leaves = requests.CreateEgress(Egress("e", "red", (ip("203.0.113.66"),), None, ("n2",)))
    fabric = fabric_of(world(wish(), leaves))
    assert sent(fabric, "a").outcome == Handed("n1", "f5")
    assert sent(fabric, "a", ip("198.51.100.7")).outcome == Sent("n2", Where.OUTSIDE, ip("203.0.113.66"))


def test_changes_reach_every_node() -> None:
    """It comes, is replaced, and goes; a node comes: as if everything were computed anew."""
    snapshot = world()
    tables = compile_all(snapshot)
    steps: list[Request] = [
        wish(),
        wish(mac=0x02_00_00_00_00_01, encapsulation="geneve"),
        node("n3", "192.0.2.13"),
        wish(network="blue", subnets=nets("198.51.100.0/25", "203.0.113.128/27")),
        requests.DeleteNode("n3"),
        DeleteExternalVtep("f5"),
    ]
    for request in steps:
        before = snapshot
        events = admit(before, request)
        assert events
        snapshot, changes = apply_all(before, events)
        tables, _ = update(tables, changes, before, snapshot)
        assert tables == compile_all(snapshot)
    assert snapshot.externals == snapshot.externals_of == snapshot.external_by_address == type(snapshot.externals)()


# --- at the door ---------------------------------------------------------------------------------

RANGES = requests.CreateNetwork("tall", projects=("tall",), subnets=own_range("198.18.0.0/24"))


@pytest.mark.parametrize(
    ("more", "vnid", "reason", "words"),
    [
        ({"subnets": nets("10.128.2.0/24")}, None, Reason.TAKEN, "overlaps 10.128.0.0/14"),
        ({"subnets": nets("172.30.5.0/24")}, None, Reason.TAKEN, "overlaps 172.30.0.0/16"),
        ({"subnets": nets("100.64.5.0/24")}, None, Reason.TAKEN, "overlaps 100.64.0.0/10"),
        ({"subnets": nets("192.0.2.0/28")}, None, Reason.TAKEN, 'underlay address 192.0.2.11 of node "n1"'),
        ({"subnets": nets("192.0.2.48/28")}, None, Reason.TAKEN, "the VTEP itself"),
        ({"subnets": nets("203.0.113.64/27")}, None, Reason.TAKEN, 'overlaps 203.0.113.64/26 of external VTEP "lb"'),
        ({"subnets": nets("192.0.2.60/30")}, None, Reason.TAKEN, 'overlaps 192.0.2.60/32 of external VTEP "lb"'),
        ({"subnets": nets("198.51.100.0/28")}, None, Reason.TAKEN, 'address 198.51.100.5 of egress "e"'),
        ({"network": "tall", "subnets": nets("198.18.0.128/25")}, None, Reason.TAKEN, "198.18.0.0/24"),
        ({"subnets": nets("203.0.113.128/26", "203.0.113.160/27")}, None, Reason.INVALID, "overlap"),
        ({"subnets": ()}, None, Reason.INVALID, "it has 0 subnets"),
        ({"subnets": nets("2001:db8::/64")}, None, Reason.INVALID, "IPv6"),
        ({"subnets": nets("169.254.7.0/24")}, None, Reason.INVALID, "no host can have"),
        ({"address": ip("192.0.2.11")}, None, Reason.TAKEN, 'belongs to node "n1"'),
        ({"address": ip("192.0.2.60")}, None, Reason.TAKEN, 'belongs to external VTEP "lb"'),
        ({"address": ip("198.51.100.5")}, None, Reason.TAKEN, 'belongs to egress "e"'),
        ({"address": ip("10.128.0.9")}, None, Reason.INVALID, "belongs to pods and services"),
        ({"address": ip("224.0.0.9")}, None, Reason.INVALID, "no address of a machine"),
        ({"address": ip("203.0.113.70")}, None, Reason.TAKEN, 'is itself behind external VTEP "lb"'),
        ({"network": "mauve"}, None, Reason.UNKNOWN, 'network "mauve"'),
        ({"network": ""}, 4711, Reason.UNKNOWN, "VNID 4711 is no network's"),
        ({"network": "red"}, 10, Reason.INVALID, "not exactly one"),
        ({"network": ""}, None, Reason.INVALID, "not exactly one"),
        ({"mac": 0x01_00_5E_00_00_01}, None, Reason.INVALID, "no MAC address of one interface"),
        ({"mac": 0}, None, Reason.INVALID, "no MAC address of one interface"),
        ({"encapsulation": "gre"}, None, Reason.INVALID, "is unknown"),
        ({"name": "F5"}, None, Reason.INVALID, "the name"),
    ],
)
def test_what_cannot_be_is_refused(more: dict[str, Any], vnid: int | None, reason: Reason, words: str) -> None:
    lb = CreateExternalVtep(ExternalVtep("lb", ip("192.0.2.60"), "red", nets("203.0.113.64/26")))
    snapshot = world(RANGES, lb, requests.CreateEgress(Egress("e", "blue", (ip("198.51.100.5"),))))
    assert "lb" in snapshot.externals
    assert "e" in snapshot.egresses
    with pytest.raises(Refused) as refused:
        admit(snapshot, CreateExternalVtep(replace(F5, **more), vnid))
    assert refused.value.reason is reason
    assert words in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (node("n3", "192.0.2.50"), 'belongs to external VTEP "f5"'),
        (node("n3", "203.0.113.130"), 'is behind external VTEP "f5"'),
        (requests.CreateEgress(Egress("e", "blue", (HOST,))), 'is behind external VTEP "f5"'),
        (requests.CreateEgress(Egress("e", "blue", (VTEP,))), 'belongs to external VTEP "f5"'),
        (requests.SetCluster(Cluster(service_cidrs=nets("203.0.113.0/24"))), 'external VTEP "f5"'),
        (requests.SetCluster(Cluster(external_cidrs=nets("203.0.113.128/28"))), 'external VTEP "f5"'),
        (requests.SetCluster(Cluster(control_plane=(VTEP,))), 'external VTEP "f5"'),
        (requests.DeleteNetwork("red"), "named by"),
        (DeleteExternalVtep("f6"), "does not exist"),
    ],
)
def test_nothing_else_gets_its_addresses_or_ends_its_network(request_: Request, words: str) -> None:
    snapshot = world(wish())
    with pytest.raises(Refused) as refused:
        admit(snapshot, request_)
    assert words in str(refused.value)


def test_a_network_is_named_by_its_vnid_and_drained_when_it_is_let_go() -> None:
    empty_red = after(world(), *(requests.ForgetPort(pod(world(), name).key) for name in "ab"))
    snapshot = after(empty_red, CreateExternalVtep(replace(F5, network=""), 10))
    assert snapshot.externals["f5"].network == "red"
    assert admit(snapshot, CreateExternalVtep(replace(F5, network=""), 10)) == ()
    with pytest.raises(Refused, match='named by external VTEP "f5"'):
        admit(snapshot, requests.DeleteNetwork("red"))
    draining = after(snapshot, requests.DeleteNetwork("red", drain=True))
    assert draining.networks["red"].terminating
    with pytest.raises(Refused, match="takes in nobody new"):
        admit(draining, CreateExternalVtep(ExternalVtep("g", ip("192.0.2.61"), "red", nets("198.51.100.0/25"))))
    assert "red" not in after(draining, DeleteExternalVtep("f5")).networks


def test_ranges_of_networks_that_are_joined_keep_clear_of_it() -> None:
    snapshot = world(RANGES, requests.CreateNetwork("wide", projects=("wide",), subnets=own_range("198.19.0.0/24")))
    snapshot = after(snapshot, wish(network="wide", subnets=nets("198.18.0.0/25")))
    assert "f5" in snapshot.externals
    with pytest.raises(Refused, match='which is behind external VTEP "f5"'):
        admit(snapshot, JoinNetworks("tall", "wide"))
