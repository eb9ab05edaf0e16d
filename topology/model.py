"""What exists, in the field's words: nodes, tunnels, networks, projects, connections, ports, services.

Values only: frozen, hashable, checked when made as far as one value can be checked by itself. What concerns
several of them (a name taken, subnets that overlap) is in `admission`; look-ups are in `snapshot`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, NamedTuple, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Prefix: TypeAlias = IPv4Network | IPv6Network

GLOBAL_VNID: Final = 0
FIRST_VNID: Final = 10  # 1-9 are reserved
LAST_VNID: Final = (1 << 24) - 1  # a VXLAN network identifier has 24 bits (RFC 7348, section 5)
SHARED_SPACE: Final = 0  # the address space of all networks without a CIDR of their own
DEFAULT_NETWORK: Final = "default"  # built in, VNID 0, global

VXLAN_OFPORT: Final = 1
TUN_OFPORT: Final = 2


@dataclass(frozen=True, slots=True)
class Cluster:
    """Settings that hold for the whole cluster."""

    cluster_cidrs: tuple[Prefix, ...] = (IPv4Network("10.128.0.0/14"),)
    node_prefix: int = 23  # prefix length of a node's subnet
    service_cidrs: tuple[Prefix, ...] = (IPv4Network("172.30.0.0/16"),)
    control_plane: tuple[Address, ...] = ()  # where nodes reach controllers; pods reach no guarded port there
    guarded_tcp_ports: tuple[int, ...] = (6640, 6653, 8080)  # OVSDB, OpenFlow, REST
    guarded_udp_ports: tuple[int, ...] = (4789, 6081)  # VXLAN (RFC 7348), Geneve (RFC 8926)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine with an OVS bridge: `underlay` is its VTEP's address; its pods are in `subnets`, one per family."""

    name: str
    dpid: int
    underlay: Address
    subnets: tuple[Prefix, ...]

    def gateway(self, subnet: Prefix) -> Address:
        """Return the address of the node's tun0 in one of its subnets: the first one."""
        return subnet[1]

    @property
    def gateways(self) -> tuple[Address, ...]:
        """The addresses of tun0, one per subnet."""
        return tuple(subnet[1] for subnet in self.subnets)

    @property
    def mac(self) -> int:
        """The MAC address of tun0, derived from its first gateway address."""
        return mac_of(self.gateways[0])


class Tunnel(NamedTuple):
    """A VXLAN path between two nodes, in both directions; the names are in order."""

    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Network:
    """A tenant's network. It keeps its VNID for life; being global is an attribute of it."""

    name: str
    vnid: int
    is_global: bool = False
    space: int = SHARED_SPACE


@dataclass(frozen=True, slots=True)
class Project:
    """A Kubernetes namespace, and the network that its pods are on."""

    name: str
    network: str


class Connection(NamedTuple):
    """Two networks that may talk to each other; the names are in order. Not transitive."""

    first: str
    second: str

    @classmethod
    def between(cls, a: str, b: str) -> Connection:
        """Return the connection of two networks, whichever is named first."""
        return cls(*sorted((a, b)))


class PortKey(NamedTuple):
    """What identifies an attachment for the runtime: container and interface, on a node."""

    node: str
    container: str
    interface: str


@dataclass(frozen=True, slots=True)
class Port:
    """A pod's attachment to a network. `ofport` is None until the switch has reported the port `host_interface`."""

    key: PortKey
    project: str
    pod: str
    network: str
    host_interface: str
    mac: int
    addresses: tuple[Address, ...]
    space: int = SHARED_SPACE
    ofport: int | None = None
    pod_uid: str = ""

    @property
    def node(self) -> str:
        """Name of the node it is on."""
        return self.key.node


class ServiceKey(NamedTuple):
    """What identifies a service."""

    project: str
    name: str


class ServicePort(NamedTuple):
    """One port of a service: protocol is TCP, UDP or SCTP."""

    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Service:
    """A service address of a project; who may use it is decided by the project's network."""

    key: ServiceKey
    address: Address
    ports: tuple[ServicePort, ...]


class Quarantine(NamedTuple):
    """An address that nobody holds any more and nobody may get yet: switches may still name it."""

    space: int
    address: Address
    node: str


@dataclass(frozen=True, slots=True)
class Hosting:
    """That a node has at least one port of a network. Derived from ports, never stored."""

    node: str
    network: str


Subject: TypeAlias = Cluster | Node | Network | Project | Connection | Port | Service | Quarantine | Hosting


def mac_of(address: Address) -> int:
    """Return the MAC address (48 bits, host order) derived from an address: 0a:58 and its last 32 bits."""
    return 0x0A58_0000_0000 | (int(address) & 0xFFFF_FFFF)


def format_mac(mac: int) -> str:
    """Return a MAC address in the usual colon notation."""
    return ":".join(f"{byte:02x}" for byte in mac.to_bytes(6, "big"))
