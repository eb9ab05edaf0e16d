"""A small network with something of every feature in it, compiled."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from topology.compiler import FlowTable, compile_node
from topology.model import (
    Address,
    Cluster,
    Connection,
    Endpoint,
    EndpointSlice,
    ExternalVtep,
    Mirror,
    NamedPort,
    Network,
    Node,
    PodKey,
    Port,
    PortKey,
    Project,
    Service,
    ServiceKey,
    SliceKey,
    mac_of,
)
from topology.snapshot import Put, Snapshot, apply_all, empty

CLUSTER = Cluster(
    cluster_cidrs=(IPv4Network("10.128.0.0/14"), IPv6Network("fd00:10::/48")),
    service_cidrs=(IPv4Network("172.30.0.0/16"), IPv6Network("fd00:20::/108")),
    control_plane=(IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")),
)


def node(number: int) -> Node:
    """Return a node of a dual-stack cluster."""
    subnets = (IPv4Network((0x0A800000 + 512 * number, 23)), IPv6Network(((0xFD00_0010 << 96) + (number << 64), 64)))
    return Node(f"n{number}", number, IPv4Address("192.0.2.10") + number, subnets)


def port(on: Node, host: int, project: str, ofport: int | None) -> Port:
    """Return a pod's port."""
    addresses = tuple(subnet[host] for subnet in on.subnets)
    key = PortKey(on.name, f"c{host}", "eth0")
    return Port(key, project, f"p{host}", project, f"v{on.name}{host}", mac_of(addresses[0]), addresses, ofport=ofport)


def _slice(project: str, service: str, first: Address, *ports: NamedPort) -> EndpointSlice:
    """Return three endpoints of a service, at addresses in a row."""
    return EndpointSlice(SliceKey(project, service), service, ports, tuple(Endpoint(first + each) for each in range(3)))


def small_network(pods: int = 6) -> Snapshot:
    """Return three nodes, three tenants of which two are connected, services and pods."""
    nodes = [node(number) for number in (1, 2, 3)]
    tenants = ("red", "blue", "green")
    events = [
        Put(CLUSTER),
        *(Put(each) for each in nodes),
        *(Put(Network(name, 10 + number)) for number, name in enumerate(tenants)),
        *(Put(Project(name, name)) for name in tenants),
        Put(Connection.between("red", "blue")),
        Put(
            Service(
                ServiceKey("red", "web"),
                IPv4Address("172.30.0.9"),
                (NamedPort("TCP", 80, "web"), NamedPort("UDP", 53, "dns"), NamedPort("SCTP", 7, "echo")),
            )
        ),
        Put(Service(ServiceKey("blue", "web"), IPv6Address("fd00:20::9"), (NamedPort("TCP", 80),), affinity=60)),
        Put(Service(ServiceKey("blue", "old"), IPv4Address("172.30.0.10"), (NamedPort("TCP", 80),), affinity=10800)),
        Put(
            _slice("red", "web", IPv4Address("10.128.2.2"), NamedPort("TCP", 8080, "web"), NamedPort("SCTP", 7, "echo"))
        ),
        Put(_slice("blue", "web", IPv6Address("fd00:10:0:2::2"), NamedPort("TCP", 8080))),
        Put(_slice("blue", "old", IPv4Address("10.128.2.2"), NamedPort("TCP", 8080))),
        Put(
            ExternalVtep(
                "x", IPv4Address("192.0.2.50"), "blue", (IPv4Network("198.18.0.0/24"),), "geneve", 0x0200_0000_0050
            )
        ),
        *(Put(Mirror(f"m{number}", number, PodKey("red", f"p{3 * number - 1}"), "blue")) for number in (1, 2)),
        *(
            Put(port(nodes[number % 3], 2 + number // 3, tenants[number // 3 % 3], 3 + number // 3))
            for number in range(pods * 3)
        ),
    ]
    return apply_all(empty(), tuple(events))[0]


def small_table(pods: int = 6) -> FlowTable:
    """Return what the first node of it must hold."""
    return compile_node("n1", small_network(pods))
