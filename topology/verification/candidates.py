"""Packets that may meet a flow, of every kind in turn: pods, tunnels, the node, services, and whoever lies.

They are made of what the flow names (ports, networks, addresses, services) and of what is near. Whether one fares wrong
is for `witness` to find out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from itertools import islice, product, zip_longest
from typing import Final, NamedTuple

from topology import fields
from topology.fields import BY_NAME, IPV4_DST, IPV4_SRC, TRANSPORT
from topology.flow import Op
from topology.model import ICMP_OFPORT, NODE_PORTS, Address, Node, Port, PortKey, Service
from topology.packet import (
    DHCPV6_CLIENT,
    ICMP_UNREACHABLE,
    ICMPV6_UNREACHABLE,
    ND_TYPES,
    Ends,
    Packet,
    arp,
    icmp,
    solicitation,
    transport,
)
from topology.pipeline import (
    ANSWERING_MAC,
    ARRIVING_MAC,
    BY_SERVICE,
    DESTINATION_VNID,
    ICMP_MAC,
    LEAVING_MAC,
    OUTPUT_PORT,
    SOURCE_VNID,
    SPACE,
)
from topology.reach import known_as
from topology.snapshot import Snapshot
from topology.specification import FromNode, FromPort, FromTunnel, Ingress
from topology.verification.finding import Finding

_FEW: Final = 4  # pods of one kind that are tried
_STRANGER: Final = IPv4Address("198.51.100.7")
_STRANGER_6: Final = IPv6Address("2001:db8::7")
_SOURCE_PORTS: Final = (40000, 43217, 51234, 61999)
_NOBODYS_MAC: Final = 0x0200_0000_0001
_NOBODYS_VNID: Final = (1 << 24) - 2
_PROTOCOLS: Final = {number: name for name, (number, _, _) in TRANSPORT.items()}
_SWAPPED: Final = tuple((f"{of}_src", f"{of}_dst") for of in ("ipv4", "ipv6", "tcp", "udp", "sctp"))


class Candidate(NamedTuple):
    """A packet, and where it comes in."""

    ingress: Ingress
    packet: Packet


@dataclass(slots=True)
class _Hints:
    """What a flow names."""

    ofports: set[int] = field(default_factory=set)
    vnids: set[int] = field(default_factory=set)
    destinations: set[int] = field(default_factory=set)
    sources: set[int] = field(default_factory=set)
    vteps: set[int] = field(default_factory=set)
    transports: set[tuple[str, int, int]] = field(default_factory=set)  # protocol, source port, destination port


def candidates(finding: Finding, snapshot: Snapshot) -> Iterator[Candidate]:
    """Yield packets that may meet the flow, of every kind in turn."""
    hints = _hints(finding)
    pods = _pods(finding.node, hints, snapshot)
    node = snapshot.nodes[finding.node]
    kinds = (
        _of_pods(pods, hints, snapshot),
        _to_services(node, pods, hints, snapshot),
        _of_tunnels(node, pods, hints, snapshot),
        _of_node(node, pods, hints),
        _of_liars(node, pods, hints, snapshot),
        _of_icmp0(node, pods, hints, snapshot),
    )
    for row in zip_longest(*kinds):
        yield from (candidate for candidate in row if candidate is not None)


def _hints(finding: Finding) -> _Hints:
    assert finding.key is not None
    hints = _Hints()
    terms = [(name, value) for name, value, _ in finding.key[2]]
    for action in finding.actions or ():
        if action[0] == Op.SET and isinstance(action[1], int) and isinstance(action[2], int):
            terms.append((fields.Field(action[1]), action[2]))
    wanted = {
        fields.IN_PORT: hints.ofports,
        OUTPUT_PORT: hints.ofports,
        SOURCE_VNID: hints.vnids,
        DESTINATION_VNID: hints.vnids,
        SPACE: hints.vnids,
        BY_SERVICE: hints.vnids,
        fields.CT_MARK: hints.vnids,
        IPV4_DST: hints.destinations,
        fields.ARP_TPA: hints.destinations,
        fields.IPV6_DST: hints.destinations,
        fields.ND_TARGET: hints.destinations,
        IPV4_SRC: hints.sources,
        fields.ARP_SPA: hints.sources,
        fields.IPV6_SRC: hints.sources,
        fields.TUN_IPV4_SRC: hints.vteps,
        fields.TUN_IPV4_DST: hints.vteps,
    }
    for name, value in terms:
        if name in wanted:
            wanted[name].add(value)
    _transports(dict(terms), hints)
    return hints


def _transports(terms: dict[fields.Field, int], hints: _Hints) -> None:
    protocol = _PROTOCOLS.get(terms.get(fields.IP_PROTO, 0))
    if protocol is not None:
        _, source, destination = TRANSPORT[protocol]
        hints.transports.add((protocol, terms.get(source, 40000), terms.get(destination, 443)))


def _pods(node: str, hints: _Hints, snapshot: Snapshot) -> list[Port]:
    """Return pods that the flow may be about: named by number, of its networks, and some others here and elsewhere."""
    names = [snapshot.network_by_vnid[vnid] for vnid in sorted(hints.vnids) if vnid in snapshot.network_by_vnid]
    keys = [snapshot.port_by_ofport.get((node, ofport)) for ofport in sorted(hints.ofports)]
    near = [key for name in names for key in islice(_of_network(name, node, snapshot), _FEW)]
    here = islice(snapshot.ports_on.get(node, {}), _FEW)
    others = (key for other in islice(snapshot.nodes, _FEW) for key in islice(snapshot.ports_on.get(other, {}), _FEW))
    found = dict.fromkeys(key for key in (*keys, *near, *here, *others) if key is not None)
    ports = (snapshot.ports[key] for key in found)
    return [port for port in ports if port.ofport is not None]


def _of_network(name: str, node: str, snapshot: Snapshot) -> Iterator[PortKey]:
    for host in (node, *snapshot.hosts.get(name, {})):
        for key in snapshot.ports_on.get(host, {}):
            if snapshot.ports[key].network == name:
                yield key


def _of_pods(pods: list[Port], hints: _Hints, snapshot: Snapshot) -> Iterator[Candidate]:
    named = [_as_address(value + more) for value in sorted(hints.destinations) for more in (0, 2)]
    for sender in pods:
        targets = [address for pod in pods if pod is not sender for address in known_as(pod, sender, snapshot)]
        places = [own for node in islice(snapshot.nodes.values(), _FEW) for own in (*node.gateways, node.underlay)]
        others = (*named, *targets[:_FEW], _STRANGER, _STRANGER_6, *places, *targets, *sender.cluster_addresses)
        for target in dict.fromkeys(others):
            own = _own(sender, target)
            if own is not None and target not in sender.addresses:  # what a pod sends to itself does not leave it
                for packet in _packets(Ends(own, target, sender.mac), hints):
                    yield Candidate(FromPort(sender.node, sender.ofport or 0), packet)


def _packets(ends: Ends, hints: _Hints) -> Iterator[Packet]:
    for protocol, source, destination in sorted(hints.transports):
        yield transport(protocol, ends, destination, source)
    yield transport("TCP", ends, 443)
    yield transport("UDP", ends, 4789)
    yield icmp(ends)
    yield failure(transport("UDP", Ends(ends.destination, ends.source, None, ends.source_mac), 4789))
    if ends.source.version == 4:
        yield arp(ends)
        return
    asks = solicitation(ends)
    yield asks
    yield from (solicitation(ends, ends.destination).update(icmpv6_type=kind) for kind in ND_TYPES)
    yield transport("UDP", ends, DHCPV6_CLIENT, 547)


def _own(sender: Port, target: Address) -> Address | None:
    """The address by which a pod sends to another of its family."""
    return next((address for address in sender.addresses if address.version == target.version), None)


def _as_address(value: int) -> Address:
    return IPv4Address(value) if value < 1 << 32 else IPv6Address(min(value, (1 << 128) - 1))


def _to_services(node: Node, pods: list[Port], hints: _Hints, snapshot: Snapshot) -> Iterator[Candidate]:
    """Whoever may use a service, and whoever may not: pods, and the node itself.

    Pods ask from several ports: which endpoint is chosen follows from them.
    """
    for service in _services(hints, snapshot):
        for port in service.ports:
            for sender, number in product(pods, _SOURCE_PORTS):
                by = _own(sender, service.address)
                if by is None:
                    continue
                ends = Ends(by, service.address, sender.mac)
                yield Candidate(
                    FromPort(sender.node, sender.ofport or 0), transport(port.protocol, ends, port.port, number)
                )
            version = service.address.version
            for own in (each for each in (*node.gateways, node.underlay) if each.version == version):
                asks = transport(port.protocol, Ends(own, service.address, node.mac), port.port)
                yield Candidate(FromNode(node.name), asks)
                asks = transport(port.protocol, Ends(own, NODE_PORTS[version][1], node.mac), port.node_port)
                yield Candidate(FromNode(node.name), asks)


def _services(hints: _Hints, snapshot: Snapshot) -> list[Service]:
    """Return services that the flow may be about: by address, of its networks, and some others."""
    addresses = map(_as_address, sorted(hints.destinations))
    named = [snapshot.service_by_address[each] for each in addresses if each in snapshot.service_by_address]
    networks = [snapshot.network_by_vnid[vnid] for vnid in sorted(hints.vnids) if vnid in snapshot.network_by_vnid]
    projects = (project for name in networks for project in snapshot.projects_of.get(name, {}))
    near = (key for project in projects for key in islice(snapshot.services_of.get(project, {}), _FEW))
    keys = dict.fromkeys((*named, *near, *islice(snapshot.services, _FEW)))
    return [snapshot.services[key] for key in keys]


def _of_tunnels(node: Node, pods: list[Port], hints: _Hints, snapshot: Snapshot) -> Iterator[Candidate]:
    peers = [peer.underlay for peer in snapshot.nodes.values() if peer.name != node.name][:_FEW]
    vteps: list[Address] = [*peers[:1], *map(_as_address, sorted(hints.vteps)), _STRANGER, *peers[1:]]
    vnids = (*sorted(hints.vnids), *(snapshot.networks[pod.network].vnid for pod in pods), _NOBODYS_VNID)
    for pod in pods:
        places = [(pod.space, pod.addresses[0]), *((0, address) for address in pod.cluster_addresses)]
        for space, address in places if pod.node == node.name else ():
            for vtep in dict.fromkeys(vteps):
                for vnid in dict.fromkeys(vnids):
                    packet = transport("TCP", Ends(_stranger(address), address), 443)
                    yield Candidate(FromTunnel(node.name, vtep, vnid, space), packet)


def _of_node(node: Node, pods: list[Port], hints: _Hints) -> Iterator[Candidate]:
    sources = (*node.gateways, node.underlay, _STRANGER, _STRANGER_6, *map(_as_address, sorted(hints.sources)))
    for pod in pods:
        for source in dict.fromkeys(sources):
            for target in pod.cluster_addresses or pod.addresses:
                if target.version == source.version:
                    ends = Ends(source, target, node.mac)
                    yield Candidate(FromNode(node.name), transport("TCP", ends, 443))
                    yield Candidate(FromNode(node.name), arp(ends) if source.version == 4 else solicitation(ends))


def _of_liars(node: Node, pods: list[Port], hints: _Hints, snapshot: Snapshot) -> Iterator[Candidate]:
    """Pods that say they are somebody else, and ports that are nobody's."""
    here = [pod for pod in pods if pod.node == node.name]
    ofports = (*(pod.ofport or 0 for pod in here), *sorted(hints.ofports - {0, 1, 2}))
    for pod in here:
        for target in [address for other in pods if other is not pod for address in known_as(other, pod, snapshot)]:
            for ofport in dict.fromkeys(ofports):
                alike = (_own(other, target) for other in pods)
                for source in dict.fromkeys((*(each for each in alike if each is not None), _stranger(target))):
                    for mac in (pod.mac, _NOBODYS_MAC):
                        ends = Ends(source, target, mac)
                        asks = arp(ends) if source.version == 4 else solicitation(ends)
                        yield Candidate(FromPort(node.name, ofport), transport("TCP", ends, 443))
                        yield Candidate(FromPort(node.name, ofport), asks)


def _of_icmp0(node: Node, pods: list[Port], hints: _Hints, snapshot: Snapshot) -> Iterator[Candidate]:
    """What is no error and comes by icmp0, with the marks that errors have there: nobody may get it."""
    vnids = (*sorted(hints.vnids), *(snapshot.networks[pod.network].vnid for pod in pods))
    for pod in pods:
        places = [(pod.space, pod.addresses[0]), *((0, address) for address in pod.cluster_addresses)]
        for space, address in places if pod.node == node.name else ():
            for vnid in dict.fromkeys(vnids):
                for way in (LEAVING_MAC, ARRIVING_MAC, ANSWERING_MAC):
                    ends = Ends(_stranger(address), address, way << 40 | space << 16, ICMP_MAC << 40 | vnid << 16)
                    yield Candidate(FromPort(node.name, ICMP_OFPORT), transport("TCP", ends, 443))
                    yield Candidate(FromPort(node.name, ICMP_OFPORT), icmp(ends))


# --- what is sent back ---------------------------------------------------------------------------


def answer(packet: Packet) -> Packet:
    """Return what the other side answers: ends and ports swapped, an echo answered."""
    for one, other in _SWAPPED:
        first, second = packet.get(BY_NAME[one]), packet.get(BY_NAME[other])
        if first is not None and second is not None:
            packet = packet.update(**{one: second, other: first})
    if packet.get(BY_NAME["icmpv4_type"]) == 8:
        packet = packet.update(icmpv4_type=0)
    if packet.get(fields.ICMPV6_TYPE) == 128:
        packet = packet.update(icmpv6_type=129)
    return packet


def failure(packet: Packet) -> Packet:
    """Return the ICMP error (port unreachable) of the other side about a packet that it got."""
    mac = packet.get(fields.ETH_DST)
    if packet.get(fields.IPV6_SRC) is not None:
        there, back = (IPv6Address(packet.get(name) or 0) for name in (fields.IPV6_DST, fields.IPV6_SRC))
        return icmp(Ends(there, back, mac), ICMPV6_UNREACHABLE, 4, packet)
    receiver, sender = (IPv4Address(packet.get(name) or 0) for name in (IPV4_DST, IPV4_SRC))
    return icmp(Ends(receiver, sender, mac), ICMP_UNREACHABLE, 3, packet)


def _stranger(target: Address) -> Address:
    return _STRANGER if target.version == 4 else _STRANGER_6
