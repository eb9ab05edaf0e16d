"""What should happen to a packet, said of the network itself: who may send what, and who may talk to whom.

Knows nothing of flows, tables and registers, and uses none of the indexes that features use; tests hold the compiled
flows against it. When this file and the flows disagree, one of them is wrong: find out which.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, TypeAlias

from topology import fields
from topology.graph import may_talk
from topology.model import DEFAULT_NETWORK, Address, Node, Port, Prefix
from topology.outcome import Delivered, Dropped, Outcome, Sent, Where
from topology.packet import Packet
from topology.snapshot import Snapshot


class FromPort(NamedTuple):
    """A packet comes in by a port of a pod, or by one that nobody knows."""

    node: str
    ofport: int


class FromNode(NamedTuple):
    """The node's kernel sends a packet by tun0; `is_answer`: to a connection that a pod began through this tun0."""

    node: str
    is_answer: bool = False


class FromTunnel(NamedTuple):
    """A VXLAN packet arrives, from an address that says it is a VTEP."""

    node: str
    vtep: Address
    vnid: int


Ingress: TypeAlias = FromPort | FromNode | FromTunnel


@dataclass(frozen=True, slots=True)
class _Sender:
    """Who is believed to have sent a packet: a network (None: the VNID is unknown), a pod if on this node."""

    network: str | None
    port: Port | None = None
    is_node: bool = False


def may(snapshot: Snapshot, packet: Packet, ingress: Ingress) -> Outcome:
    """Return what should become of a packet; a drop names the node where it ends."""
    node = snapshot.nodes[ingress.node]
    match ingress:
        case FromPort(ofport=ofport):
            port = next((p for p in snapshot.ports.values() if (p.node, p.ofport) == (node.name, ofport)), None)
            return Dropped(node.name) if port is None else _from_pod(snapshot, node, port, packet)
        case FromNode(is_answer=is_answer):
            return _from_node(snapshot, node, packet, is_answer=is_answer)
        case FromTunnel(vtep=vtep, vnid=vnid):
            return _from_tunnel(snapshot, node, packet, vtep, vnid)


def _from_pod(snapshot: Snapshot, node: Node, port: Port, packet: Packet) -> Outcome:
    """A pod may use its own MAC and addresses only."""
    if packet.get(fields.ETH_SRC) != port.mac:
        return Dropped(node.name)
    if packet.get(fields.ETH_TYPE) == fields.ETH_ARP:
        honest = packet.get(fields.ARP_SHA) == port.mac and _sender_address(packet) in port.addresses
        return Delivered(node.name, port.key) if honest and _is_answered(snapshot, packet) else Dropped(node.name)
    source, destination = _addresses(packet)
    if source is None or destination is None or source not in port.addresses:
        return Dropped(node.name)
    if _within(destination, snapshot.cluster.service_cidrs):
        return _to_service(snapshot, node, port, packet, destination)
    return _route(snapshot, node, _Sender(port.network, port), packet, destination)


def _from_node(snapshot: Snapshot, node: Node, packet: Packet, *, is_answer: bool) -> Outcome:
    """The node speaks for itself, to all pods; for others only if it carries answers to pods of its own."""
    own = (node.underlay, *node.gateways)
    if packet.get(fields.ETH_TYPE) == fields.ETH_ARP:
        answered = _sender_address(packet) in own and _is_answered(snapshot, packet)
        return Sent(node.name, Where.NODE) if answered else Dropped(node.name)
    source, destination = _addresses(packet)
    if destination is None or not _within(destination, snapshot.cluster.cluster_cidrs):
        return Dropped(node.name)
    sender = _Sender(DEFAULT_NETWORK, is_node=True)
    if source in own:
        return _route(snapshot, node, sender, packet, destination)
    if is_answer and _within(destination, node.subnets):
        return _arrive(snapshot, node, sender, packet, destination)
    return Dropped(node.name)


def _from_tunnel(snapshot: Snapshot, node: Node, packet: Packet, vtep: Address, vnid: int) -> Outcome:
    """Other nodes are believed, in what concerns this node's subnets."""
    _, destination = _addresses(packet)
    known = any(peer.underlay == vtep for peer in snapshot.nodes.values() if peer.name != node.name)
    if not known or destination is None or not _within(destination, node.subnets):
        return Dropped(node.name)
    network = next((network.name for network in snapshot.networks.values() if network.vnid == vnid), None)
    return _arrive(snapshot, node, _Sender(network), packet, destination)


def _to_service(snapshot: Snapshot, node: Node, port: Port, packet: Packet, destination: Address) -> Outcome:
    """A service is there for whoever may talk to its network."""
    for service in snapshot.services.values():
        offered = any(_is_to(packet, wanted.protocol, wanted.port) for wanted in service.ports)
        if service.address == destination and offered:
            network = snapshot.projects[service.key.project].network
            return Sent(node.name, Where.SERVICE) if may_talk(snapshot, port.network, network) else Dropped(node.name)
    return Dropped(node.name)


def _route(snapshot: Snapshot, node: Node, sender: _Sender, packet: Packet, destination: Address) -> Outcome:
    """By destination: nobody, a node or controller, a pod on some node, outside."""
    if destination.is_multicast or destination == IPv4Address("255.255.255.255"):
        return Dropped(node.name)
    underlays = [peer.underlay for peer in snapshot.nodes.values()]
    if destination in (*underlays, *snapshot.cluster.control_plane):
        where = Where.NODE if destination == node.underlay else Where.OUTSIDE
        return Dropped(node.name) if _is_guarded(snapshot, packet) else Sent(node.name, where)
    if not _within(destination, snapshot.cluster.cluster_cidrs):
        return Sent(node.name, Where.OUTSIDE)
    for place in snapshot.nodes.values():
        if _within(destination, place.subnets):
            here = place.name == node.name
            return _arrive(snapshot, place, sender if here else _Sender(sender.network), packet, destination)
    return Dropped(node.name)


def _arrive(snapshot: Snapshot, node: Node, sender: _Sender, packet: Packet, destination: Address) -> Outcome:
    """On the destination's node: the node itself, or a pod that the sender may talk to; nothing returns by its port."""
    if destination in node.gateways:
        barred = _is_guarded(snapshot, packet) or sender.is_node
        return Dropped(node.name) if barred else Sent(node.name, Where.NODE)
    for port in snapshot.ports.values():
        if port.node == node.name and port.ofport is not None and destination in port.addresses:
            allowed = port != sender.port and _may_reach(snapshot, sender.network, port.network)
            return Delivered(node.name, port.key) if allowed else Dropped(node.name)
    return Dropped(node.name)


def _may_reach(snapshot: Snapshot, source: str | None, destination: str) -> bool:
    return snapshot.networks[destination].is_global if source is None else may_talk(snapshot, source, destination)


def _is_guarded(snapshot: Snapshot, packet: Packet) -> bool:
    cluster = snapshot.cluster
    tcp = any(_is_to(packet, "TCP", port) for port in cluster.guarded_tcp_ports)
    return tcp or any(_is_to(packet, "UDP", port) for port in cluster.guarded_udp_ports)


def _is_to(packet: Packet, protocol: str, port: int) -> bool:
    number, _, destination = fields.TRANSPORT[protocol]
    return packet.get(fields.IP_PROTO) == number and packet.get(destination) == port


def _is_answered(snapshot: Snapshot, packet: Packet) -> bool:
    """ARP requests for any address that a pod or gateway could have."""
    target = IPv4Address(packet.get(fields.ARP_TPA) or 0)
    return packet.get(fields.ARP_OP) == 1 and _within(target, snapshot.cluster.cluster_cidrs)


def _sender_address(packet: Packet) -> Address:
    return IPv4Address(packet.get(fields.ARP_SPA) or 0)


def _addresses(packet: Packet) -> tuple[Address | None, Address | None]:
    """Return source and destination of an IP packet."""
    for kind, make in ((fields.IPV4, IPv4Address), (fields.IPV6, IPv6Address)):
        source, destination = packet.get(kind.source), packet.get(kind.destination)
        if source is not None and destination is not None:
            return make(source), make(destination)
    return None, None


def _within(address: Address, cidrs: tuple[Prefix, ...]) -> bool:
    return any(address.version == cidr.version and address in cidr for cidr in cidrs)
