"""The node of the slides' page "OpenShift Networking: OVS Flows": its flows as printed, and the same network in ours.

Added, because the page uses them without printing them: the way from table 0 to table 1, table 8, and a pod of VNID
0xa that may use the service.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from immutables import Map

from tests.topology.asking import report
from tests.topology.strategies import after
from topology import requests
from topology.compiler import FlowTable, SectionKey
from topology.fields import REG0, TUN_IPV4_DST, TUNNEL_ID
from topology.flow import DROP, Actions, Flow, Match, Op, copy, entries, load, match, output
from topology.matches import masked
from topology.model import SHARED_SPACE, Cluster, NamedPort, Service, ServiceKey, mac_of
from topology.packet import Ends, Packet, arp, arriving, icmp, transport, tunnelled
from topology.snapshot import Snapshot, empty
from topology.switch import Switch

HERE, THERE, STRANGER = IPv4Address("10.245.2.3"), IPv4Address("10.245.2.4"), IPv4Address("10.245.2.99")
GATEWAY, POD_D, POD_E, POD_A = (IPv4Address(f"10.1.0.{number}") for number in (1, 2, 3, 4))
REMOTE, OUTSIDE, SERVICE = IPv4Address("10.1.1.7"), IPv4Address("198.51.100.7"), IPv4Address("172.30.0.1")
MINE, OTHERS = (masked(IPv4Network(text)) for text in ("10.1.0.0/24", "10.1.1.0/24"))
CLUSTER, SERVICES = (masked(IPv4Network(text)) for text in ("10.1.0.0/16", "172.30.0.0/16"))
OFPORTS = {POD_D: 3, POD_E: 4, POD_A: 5}


def snapshot() -> Snapshot:
    """Return the network of the page: two nodes, a pod of VNID 0xd and one of 0xe, a service of VNID 0xa."""
    named = {POD_D: "d", POD_E: "e", POD_A: "a"}
    asked: list[requests.Request] = [
        requests.SetCluster(Cluster((IPv4Network("10.1.0.0/16"),), 24)),
        requests.CreateNode("here", HERE),
        requests.CreateNode("there", THERE),
    ]
    asked += [requests.CreateNetwork(name, int(name, 16), projects=(name,)) for name in named.values()]
    for address, name in named.items():
        key = report().key._replace(node="here", container=name)
        asked.append(report(name, key=key, project=name))
        asked.append(requests.PortSeen("here", f"v{name}", OFPORTS[address]))
    offer = Service(ServiceKey("a", "kubernetes"), SERVICE, (NamedPort("TCP", 443),))
    return after(empty(), *asked, requests.CreateService(offer))


# --- the page ------------------------------------------------------------------------------------


class Row(NamedTuple):
    """One printed row, and the packet that it is tried with."""

    text: str
    flow: Flow
    packet: str


def _row(text: str, packet: str, table: int, priority: int, terms: Match, *actions: Actions) -> Row:
    return Row(text, Flow(table, priority, terms, tuple(action for each in actions for action in each)), packet)


def _goto(table: int) -> Actions:
    return ((Op.GOTO, table),)


def _ip(**terms: int | tuple[int, int]) -> Match:
    return match(eth_type=0x800, **terms)


_TAGGED: Actions = (copy(TUNNEL_ID, REG0, 32),)
_TO_TUN: Actions = (output(2),)
# Rows without a printed priority have OpenFlow's default; "no match at all" comes last among them.
_USUAL, _LAST = 0x8000, 0x7FFF

ROWS = (
    _row("table=1, in_port=1 actions=goto_table:2", "tunnel-own-vnid", 1, _USUAL, match(in_port=1), _goto(2)),
    _row("table=1, in_port=2 actions=goto_table:5", "node-to-pod", 1, _USUAL, match(in_port=2), _goto(5)),
    _row("table=1, actions=goto_table:3", "pod-to-outside", 1, _LAST, (), _goto(3)),
    _row(
        "table=2, priority=100,ip,nw_dst=10.1.0.0/24 actions=move:NXM_NX_TUN_ID[0..31]->NXM_NX_REG0[],goto_table:6",
        "tunnel-other-vnid",
        *(2, 100, _ip(ipv4_dst=MINE), _TAGGED, _goto(6)),
    ),
    _row("table=2, tun_id=0 actions=goto_table:5", "tunnel-admin-to-outside", 2, 50, match(tunnel_id=0), _goto(5)),
    _row(
        "table=3, priority=100,ip,in_port=3,nw_src=10.1.0.2 actions=load:0xd->NXM_NX_REG0[],goto_table:4",
        "pod-to-gateway",
        *(3, 100, _ip(in_port=3, ipv4_src=int(POD_D)), (load(REG0, 0xD),), _goto(4)),
    ),
    _row(
        "table=3, priority=100,ip,in_port=4,nw_src=10.1.0.3 actions=load:0xe->NXM_NX_REG0[],goto_table:4",
        "pod-e-to-outside",
        *(3, 100, _ip(in_port=4, ipv4_src=int(POD_E)), (load(REG0, 0xE),), _goto(4)),
    ),
    _row(
        "table=4, priority=200,tcp,reg0=0xa,nw_dst=172.30.0.1,tp_dst=443 actions=output:2",
        "service-of-own-network",
        *(4, 200, _ip(reg0=0xA, ipv4_dst=int(SERVICE), ip_proto=6, tcp_dst=443), _TO_TUN),
    ),
    _row(
        "table=4, priority=100,ip,nw_dst=172.30.0.0/16 actions=drop",
        "service-of-other-network",
        *(4, 100, _ip(ipv4_dst=SERVICES), DROP),
    ),
    _row("table=4, priority=0 actions=goto_table:5", "pod-to-remote-pod", 4, 0, (), _goto(5)),
    _row(
        "table=5, priority=200,ip,nw_dst=10.1.0.1 actions=output:2",
        "pod-to-gateway",
        *(5, 200, _ip(ipv4_dst=int(GATEWAY)), _TO_TUN),
    ),
    _row(
        "table=5, priority=150,ip,nw_dst=10.1.0.0/24 actions=goto_table:6",
        "pod-to-pod-of-other-network",
        *(5, 150, _ip(ipv4_dst=MINE), _goto(6)),
    ),
    _row(
        "table=5, priority=100,ip,nw_dst=10.1.0.0/16 actions=goto_table:7",
        "pod-to-no-node",
        *(5, 100, _ip(ipv4_dst=CLUSTER), _goto(7)),
    ),
    _row("table=5, priority=0,ip actions=output:2", "pod-to-outside", 5, 0, _ip(), _TO_TUN),
    _row("table=6, priority=200,ip,reg0=0 actions=goto_table:8", "tunnel-admin-to-pod", 6, 200, _ip(reg0=0), _goto(8)),
    _row(
        "table=6, priority=100,ip,reg0=0xe,nw_dst=10.1.0.3 actions=output:4",
        "tunnel-vnid-e",
        *(6, 100, _ip(reg0=0xE, ipv4_dst=int(POD_E)), (output(4),)),
    ),
    _row(
        "table=6, priority=100,ip,reg0=0xd,nw_dst=10.1.0.2 actions=output:3",
        "tunnel-own-vnid",
        *(6, 100, _ip(reg0=0xD, ipv4_dst=int(POD_D)), (output(3),)),
    ),
    _row(
        "table=7, priority=100,ip,nw_dst=10.1.1.0/24 actions=move:NXM_NX_REG0[]->NXM_NX_TUN_ID[0..31],"
        "set_field:10.245.2.4->tun_dst,output:1",
        "pod-to-remote-pod",
        *(7, 100, _ip(ipv4_dst=OTHERS), (copy(REG0, TUNNEL_ID, 32), load(TUN_IPV4_DST, int(THERE)), output(1))),
    ),
)

ADDED = (
    Flow(0, _USUAL, (), _goto(1)),
    Flow(3, 100, _ip(in_port=5, ipv4_src=int(POD_A)), (load(REG0, 0xA), *_goto(4))),
    *(Flow(8, 100, _ip(ipv4_dst=int(address)), (output(port),)) for address, port in OFPORTS.items()),
)


def switch() -> Switch:
    """Return the page's flows as a switch."""
    section = entries(0, 0, (*(row.flow for row in ROWS), *ADDED))
    owner = SectionKey(0, ())
    return Switch.of(FlowTable(Map({owner: section}), Map({entry.flow.key: owner for entry in section})))


# --- packets -------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """A packet in words and as the switch gets it; the reason, if the two verdicts differ."""

    words: str
    packet: Packet
    reason: str = ""


def _pod(source: IPv4Address, destination: IPv4Address, protocol: str = "TCP", port: int = 80) -> Packet:
    return arriving(transport(protocol, Ends(source, destination), port), OFPORTS[source])


def _node(source: IPv4Address, destination: IPv4Address) -> Packet:
    return arriving(transport("TCP", Ends(source, destination, mac_of(GATEWAY)), 80), 2)


def _tunnel(vnid: int, destination: IPv4Address, vtep: IPv4Address = THERE, source: IPv4Address = REMOTE) -> Packet:
    return tunnelled(transport("TCP", Ends(source, destination), 80), vnid, vtep, HERE, SHARED_SPACE)


TRIALS = {
    "tunnel-own-vnid": Trial("from the other node, VNID 0xd, to 10.1.0.2", _tunnel(0xD, POD_D)),
    "node-to-pod": Trial("from the node's own 10.1.0.1 to 10.1.0.2", _node(GATEWAY, POD_D)),
    "pod-to-outside": Trial("from 10.1.0.2 to 198.51.100.7", _pod(POD_D, OUTSIDE)),
    "tunnel-other-vnid": Trial("from the other node, VNID 0xe, to 10.1.0.2", _tunnel(0xE, POD_D)),
    "tunnel-admin-to-outside": Trial(
        "from the other node, VNID 0, to 198.51.100.7",
        _tunnel(0, OUTSIDE),
        "A node sends by the tunnel only what is for the other node's subnet, so this one is from no pod of ours; "
        "nobody uses a node as a way out by claiming VNID 0.",
    ),
    "pod-to-gateway": Trial("from 10.1.0.2 to 10.1.0.1, TCP port 80", _pod(POD_D, GATEWAY)),
    "pod-e-to-outside": Trial("from 10.1.0.3 to 198.51.100.7", _pod(POD_E, OUTSIDE)),
    "service-of-own-network": Trial(
        "from 10.1.0.4 (VNID 0xa) to 172.30.0.1, TCP port 443", _pod(POD_A, SERVICE, "TCP", 443)
    ),
    "service-of-other-network": Trial(
        "from 10.1.0.2 (VNID 0xd) to 172.30.0.1, TCP port 443", _pod(POD_D, SERVICE, "TCP", 443)
    ),
    "pod-to-remote-pod": Trial("from 10.1.0.2 to 10.1.1.7", _pod(POD_D, REMOTE)),
    "pod-to-pod-of-other-network": Trial("from 10.1.0.2 to 10.1.0.3", _pod(POD_D, POD_E)),
    "pod-to-no-node": Trial("from 10.1.0.2 to 10.1.9.9, which is no node's", _pod(POD_D, IPv4Address("10.1.9.9"))),
    "tunnel-admin-to-pod": Trial("from the other node, VNID 0, to 10.1.0.2", _tunnel(0, POD_D)),
    "tunnel-vnid-e": Trial("from the other node, VNID 0xe, to 10.1.0.3", _tunnel(0xE, POD_E)),
}

# Beyond the printed rows: where the page is known to be less strict, or silent.
MORE_TRIALS = {
    "stranger-admin": Trial(
        "from 10.245.2.99, which is no node, by VXLAN, VNID 0, to 10.1.0.2",
        _tunnel(0, POD_D, STRANGER),
        "Tunnel packets are believed from known nodes only.",
    ),
    "stranger-tenant": Trial(
        "from 10.245.2.99, which is no node, by VXLAN, VNID 0xd, to 10.1.0.2",
        _tunnel(0xD, POD_D, STRANGER),
        "Tunnel packets are believed from known nodes only.",
    ),
    "routed-by-node": Trial(
        "from 198.51.100.7, routed to tun0 by the node, to 10.1.0.2",
        _node(OUTSIDE, POD_D),
        "From tun0 come the node's own packets and answers to connections that pods began; an outside host that "
        "routes a pod's address through a node reaches nothing.",
    ),
    "spoofed-mac": Trial(
        "from port 3 with 10.1.0.2 but another MAC, to 198.51.100.7",
        arriving(transport("TCP", Ends(POD_D, OUTSIDE, 0x020000000001), 80), 3),
        "Anti-spoofing is on MAC and address.",
    ),
    "spoofed-address": Trial(
        "from port 3 with 10.1.0.3, to 198.51.100.7", arriving(transport("TCP", Ends(POD_E, OUTSIDE), 80), 3)
    ),
    "vxlan-to-node": Trial(
        "from 10.1.0.2 to 10.245.2.4, UDP port 4789",
        _pod(POD_D, THERE, "UDP", 4789),
        "A pod's VXLAN packet would arrive at the other node with this node's address, and be believed.",
    ),
    "control-port": Trial(
        "from 10.1.0.2 to 10.1.0.1, TCP port 6653",
        _pod(POD_D, GATEWAY, "TCP", 6653),
        "Pods reach no OpenFlow, OVSDB or REST port of a node.",
    ),
    "multicast": Trial(
        "from 10.1.0.2 to 224.0.0.251, UDP port 5353",
        _pod(POD_D, IPv4Address("224.0.0.251"), "UDP", 5353),
        "Multicast does not leave by the node; it is for nobody there.",
    ),
    "ping": Trial(
        "ping from the other node, VNID 0xd, to 10.1.0.2",
        tunnelled(icmp(Ends(REMOTE, POD_D)), 0xD, THERE, HERE, SHARED_SPACE),
    ),
    "arp": Trial(
        "ARP request of 10.1.0.2 for 10.1.0.3",
        arriving(arp(Ends(POD_D, POD_E)), 3),
        "ARP is answered by a flow; the printed rows leave it to nobody.",
    ),
    "unknown-port": Trial(
        "from port 9, which no pod has, to 10.1.0.2", arriving(transport("TCP", Ends(POD_E, POD_D), 80), 9)
    ),
}


# --- verdicts ------------------------------------------------------------------------------------


def verdict(on: Switch, packet: Packet) -> str:
    """Return in words what a switch does with a packet."""
    sent = on.process(packet).outputs
    return " and ".join(_way(each.port, each.packet) for each in sent) or "dropped"


def _way(port: int, packet: Packet) -> str:
    if port == 1:
        vtep = IPv4Address(packet.get(TUN_IPV4_DST) or 0)
        return f"by vxlan0 to {vtep}, VNID {packet.get(TUNNEL_ID):#x}"
    return "by tun0" if port == 2 else f"by port {port}"
