"""Hypothesis strategies: requests, snapshots that came about by them, and packets that somebody could send there.

Names and numbers are few, so that objects meet: two tenants on one node, one address asked for twice. Every snapshot
is made by `admit` and `apply` alone, as the controller makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from hypothesis import strategies as st

from topology import fields, requests
from topology.admission import admit
from topology.fields import BY_NAME, TRANSPORT
from topology.model import (
    DEFAULT_NETWORK,
    TUN_OFPORT,
    Address,
    Cluster,
    Node,
    Port,
    PortKey,
    Service,
    ServiceKey,
    ServicePort,
    mac_of,
)
from topology.packet import Ends, Packet, arp, arriving, icmp, transport, tunnelled
from topology.requests import Refused, Request
from topology.snapshot import Event, Snapshot, apply_all, empty
from topology.specification import FromNode, FromPort, FromTunnel, Ingress

NODES = ("n1", "n2", "n3")
NETWORKS = ("red", "blue", "green")
PROJECTS = ("red", "red-test", "blue", "green")
CONTAINERS = ("c1", "c2", "c3")
SERVICES = ("web", "dns")
UNDERLAYS = tuple(IPv4Address(f"192.0.2.{number}") for number in (11, 12, 13, 14))
SERVICE_ADDRESSES = tuple(IPv4Address(f"172.30.0.{number}") for number in (1, 10))
SERVICE_PORTS = (ServicePort("TCP", 443), ServicePort("UDP", 53), ServicePort("SCTP", 53))
CONTROLLER = IPv4Address("192.0.2.1")
CLUSTER = Cluster(control_plane=(CONTROLLER,))
SMALL_CLUSTER = Cluster((IPv4Network("10.128.0.0/27"),), 29, control_plane=(CONTROLLER,))  # 4 nodes with 5 pods each

nodes = st.sampled_from(NODES)
networks = st.sampled_from((*NETWORKS, DEFAULT_NETWORK))
projects = st.sampled_from((*PROJECTS, DEFAULT_NETWORK))
interfaces = st.sampled_from(tuple(f"v{container}" for container in CONTAINERS))
port_keys = st.builds(PortKey, nodes, st.sampled_from(CONTAINERS), st.just("eth0"))
service_keys = st.builds(ServiceKey, projects, st.sampled_from(SERVICES))
ofports = st.integers(3, 8)


def one_in(many: int) -> st.SearchStrategy[bool]:
    """Draw True once in `many` times; it is not what shrinking prefers."""
    return st.integers(0, many - 1).map(lambda number: number == many // 2)


def granted(snapshot: Snapshot, request: Request) -> tuple[Event, ...]:
    """Return the events of a request, none when it is refused."""
    try:
        return admit(snapshot, request)
    except Refused:
        return ()


def after(snapshot: Snapshot, *asked: Request) -> Snapshot:
    """Return the snapshot after requests, those that are refused left out."""
    for request in asked:
        snapshot, _ = apply_all(snapshot, granted(snapshot, request))
    return snapshot


@st.composite
def reports(draw: st.DrawFn) -> requests.ReportPort:
    """Draw a report of a pod whose interface's name follows from the container's."""
    key = draw(port_keys)
    return requests.ReportPort(
        key, draw(st.sampled_from((*PROJECTS, *PROJECTS, DEFAULT_NETWORK))), f"pod-{key.container}", f"v{key.container}"
    )


def services() -> st.SearchStrategy[requests.CreateService]:
    """Draw a service."""
    offers = st.lists(st.sampled_from(SERVICE_PORTS), min_size=1, max_size=2, unique=True).map(tuple)
    return st.builds(
        requests.CreateService, st.builds(Service, service_keys, st.sampled_from(SERVICE_ADDRESSES), offers)
    )


def any_request() -> st.SearchStrategy[Request]:
    """Draw any request; what happens to ports is drawn most often."""
    about_ports = (
        reports(),
        st.builds(requests.PortSeen, nodes, interfaces, ofports),
        st.builds(requests.PortVanished, nodes, interfaces),
        st.builds(requests.ForgetPort, port_keys),
        st.builds(
            requests.SwitchPorts,
            nodes,
            st.lists(st.tuples(interfaces, ofports), max_size=3, unique_by=(lambda p: p[0], lambda p: p[1])).map(tuple),
        ),
        st.just(RELEASE_ALL),
    )
    about_others = (
        st.builds(
            requests.CreateNode,
            nodes,
            st.sampled_from(UNDERLAYS),
            dpid=st.none() | st.integers(1, 3),
            subnets=st.just(()) | st.just((IPv4Network("10.128.2.0/23"),)),
        ),
        st.builds(requests.DeleteNode, nodes, st.booleans()),
        st.builds(
            requests.CreateNetwork,
            networks,
            st.none() | st.integers(10, 12),
            st.booleans(),
            st.lists(projects, max_size=2).map(tuple),
        ),
        st.builds(requests.DeleteNetwork, networks),
        st.builds(requests.SetGlobal, networks, st.booleans()),
        st.builds(requests.CreateProject, projects, networks),
        st.builds(requests.DeleteProject, projects),
        st.builds(requests.JoinNetworks, networks, networks),
        st.builds(requests.IsolateNetworks, networks, st.none() | networks),
        services(),
        st.builds(requests.DeleteService, service_keys),
        st.builds(requests.SetCluster, st.sampled_from((CLUSTER, Cluster(), SMALL_CLUSTER))),
    )
    return st.one_of(*about_ports, *about_others)


# More than the snapshots here ever give out.
RELEASE_ALL = requests.ReleaseAddresses(
    tuple((0, subnet + number) for subnet in map(IPv4Address, ("10.128.0.0", "10.128.2.0")) for number in range(2, 9))
)


@st.composite
def snapshots(draw: st.DrawFn, nodes: int = 3) -> Snapshot:
    """Draw a network of `nodes` nodes with three tenants, some pods, connections, global networks and services."""
    asked: list[Request] = [requests.SetCluster(CLUSTER)]
    asked += [requests.CreateNode(name, address) for name, address in zip(NODES[:nodes], UNDERLAYS, strict=False)]
    asked += [
        requests.CreateNetwork("red", projects=("red", "red-test")),
        requests.CreateNetwork("blue", projects=("blue",)),
        requests.CreateNetwork("green", is_global=draw(st.booleans()), projects=("green",)),
    ]
    if draw(st.booleans()):
        asked.append(requests.JoinNetworks("red", draw(st.sampled_from(("blue", "green")))))
    asked += draw(st.lists(services(), max_size=3))
    asked += draw(st.lists(reports(), min_size=4, max_size=9))
    snapshot = after(empty(), *asked)
    for number, key in enumerate(sorted(snapshot.ports)):
        if not draw(one_in(6)):  # most ports are on their switch already
            interface = snapshot.ports[key].host_interface
            snapshot = after(snapshot, requests.PortSeen(key.node, interface, 3 + number))
    return after(snapshot, *draw(st.lists(any_request(), max_size=4)))


# --- packets -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sending:
    """A packet, and where it comes in."""

    ingress: Ingress
    packet: Packet

    @property
    def node(self) -> str:
        """The node it comes in at."""
        return self.ingress.node

    def at_switch(self, snapshot: Snapshot) -> Packet:
        """Return the packet as the switch of its node gets it."""
        match self.ingress:
            case FromPort(ofport=ofport):
                return arriving(self.packet, ofport)
            case FromNode():
                return arriving(self.packet, TUN_OFPORT)
            case FromTunnel(node=node, vtep=vtep, vnid=vnid):
                return tunnelled(self.packet, vnid, vtep, snapshot.nodes[node].underlay)


def addresses(snapshot: Snapshot) -> st.SearchStrategy[Address]:
    """Draw an address that means something in the network, mostly a pod's, or nearly means something."""
    pods = {address for port in snapshot.ports.values() for address in port.addresses}
    known: set[Address] = {
        *(gateway for node in snapshot.nodes.values() for gateway in node.gateways),
        *(node.underlay for node in snapshot.nodes.values()),
        *(service.address for service in snapshot.services.values()),
        CONTROLLER,
    }
    odd = ("10.128.0.0", "10.128.1.255", "10.131.255.254", "172.30.9.9", "192.0.2.99", "198.51.100.7", "10.127.0.1")
    nobody = tuple(IPv4Address(text) for text in (*odd, "224.0.0.251", "255.255.255.255", "0.0.0.0", "127.0.0.1"))
    kinds = (sorted(pods or known), sorted(known), nobody)
    return st.sampled_from((0, 0, 0, 0, 1, 1, 2)).flatmap(lambda kind: st.sampled_from(kinds[kind]))


@st.composite
def packets(draw: st.DrawFn, snapshot: Snapshot, source: Address, mac: int) -> Packet:
    """Draw a packet from an address and a MAC; sometimes it says that it is from another."""
    if draw(one_in(15)):
        source = draw(addresses(snapshot))
    if draw(one_in(15)):
        mac = draw(st.sampled_from((mac_of(source), mac_of(draw(addresses(snapshot))), 0x020000000001)))
    if len(snapshot.services) and draw(one_in(6)):
        service = snapshot.services[draw(st.sampled_from(sorted(snapshot.services)))]
        offer = draw(st.sampled_from(service.ports))
        return transport(offer.protocol, Ends(source, service.address, mac), offer.port)
    ends = Ends(source, draw(addresses(snapshot)), mac)
    kind = draw(
        st.sampled_from(("TCP", "TCP", "TCP", "UDP", "UDP", "UDP", "SCTP", "ICMP", "ICMP", "ICMP", "ARP", "IPv6"))
    )
    if kind == "ICMP":
        return icmp(ends, draw(st.sampled_from((None, 0, 3, 11))))
    if kind == "ARP":
        request = arp(ends, draw(st.sampled_from((1, 1, 1, 2))))
        return request.update(arp_sha=0x020000000001) if draw(one_in(5)) else request
    if kind == "IPv6":
        outer = Ends(IPv6Address("fd00::2"), IPv6Address("fd00::3"), mac)
        return transport("UDP", outer, 53)
    return transport(kind, ends, draw(st.sampled_from((443, 53, 80, 8080, 4789, 5000, 22))))


@st.composite
def nearby(draw: st.DrawFn, snapshot: Snapshot, node: Node, packet: Packet) -> Packet:
    """Draw the same packet, mostly to one of the node's own pods."""
    near = [address for _, address in snapshot.holder if address in node.subnets[0]]
    if not near or packet.get(fields.IPV4_DST) is None or draw(one_in(3)):
        return packet
    return packet.set(fields.IPV4_DST, int(draw(st.sampled_from(sorted(near)))))


WAYS = (*("port",) * 5, *("node",) * 2, *("tunnel",) * 2, "stray")


@st.composite
def sendings(draw: st.DrawFn, snapshot: Snapshot, ways: tuple[str, ...] = WAYS) -> Sending:
    """Draw a packet and where it comes in: mostly honest ones, from pods, the nodes themselves, and tunnels."""
    node: Node = snapshot.nodes[draw(st.sampled_from(sorted(snapshot.nodes)))]
    way = draw(st.sampled_from(ways))
    attached = [port for port in snapshot.ports.values() if port.ofport is not None]
    if way == "port" and attached:
        port: Port = draw(st.sampled_from(sorted(attached, key=lambda port: port.key)))
        assert port.ofport is not None
        packet = draw(packets(snapshot, port.addresses[0], port.mac))
        return Sending(FromPort(port.node, port.ofport), packet)
    if way == "node":
        stranger = IPv4Address("198.51.100.7")
        source = draw(st.sampled_from((*node.gateways, *node.gateways, node.underlay, stranger, stranger)))
        return Sending(FromNode(node.name), draw(nearby(snapshot, node, draw(packets(snapshot, source, node.mac)))))
    packet = draw(packets(snapshot, draw(addresses(snapshot)), node.mac))
    if way == "tunnel":
        vteps = [*(peer.underlay for peer in snapshot.nodes.values()), IPv4Address("192.0.2.99")]
        vnid = draw(st.sampled_from((0, 10, 11, 12, 13, 4711)))
        ingress = FromTunnel(node.name, draw(st.sampled_from(sorted(vteps))), vnid)
        return Sending(ingress, draw(nearby(snapshot, node, packet)))
    return Sending(FromPort(node.name, draw(ofports)), packet)


def answer(packet: Packet) -> Packet:
    """Return what the other side answers to a TCP, UDP, SCTP or ICMP query over IPv4."""
    swapped = {"eth_src": "eth_dst", "ipv4_src": "ipv4_dst"}
    swapped |= {f"{protocol.lower()}_src": f"{protocol.lower()}_dst" for protocol in TRANSPORT}
    values: dict[str, int] = {}
    for one, other in swapped.items():
        first, second = packet.get(BY_NAME[one]), packet.get(BY_NAME[other])
        if first is not None and second is not None:
            values |= {one: second, other: first}
    kind = packet.get(BY_NAME["icmpv4_type"])
    if kind is not None:
        values["icmpv4_type"] = {8: 0, 0: 8}.get(kind, kind)
    return packet.update(**values)
