"""The cluster's settings, and its machines: nodes and the tunnels between them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final, Literal, NamedTuple, TypeAlias

from topology.model.addressing import Address, Prefix, mac_of

Encapsulation: TypeAlias = Literal["vxlan", "geneve"]  # RFC 7348, RFC 8926

VXLAN_OFPORT: Final = 1
TUN_OFPORT: Final = 2
ICMP_OFPORT: Final = 65000  # icmp0; beyond the numbers that a switch gives to pods by itself
GENEVE_OFPORT: Final = 65001  # so is geneve0, for bridges have it that had pods before
TUNNEL_OFPORTS: Final[dict[Encapsulation, int]] = {"vxlan": VXLAN_OFPORT, "geneve": GENEVE_OFPORT}


class PortRange(NamedTuple):
    """Transport ports from the first to the last."""

    first: int
    last: int


_NODE_PORTS: Final = PortRange(30000, 32767)  # as Kubernetes has them, unless told otherwise


@dataclass(frozen=True, slots=True)
class Cluster:
    """Settings that hold for the whole cluster."""

    cluster_cidrs: tuple[Prefix, ...] = (IPv4Network("10.128.0.0/14"),)
    node_prefix: int = 23  # prefix length of a node's subnet
    service_cidrs: tuple[Prefix, ...] = (IPv4Network("172.30.0.0/16"),)
    control_plane: tuple[Address, ...] = ()  # where nodes reach controllers; pods reach no guarded port there
    guarded_tcp_ports: tuple[int, ...] = (6640, 6653, 8080)  # OVSDB, OpenFlow, REST
    guarded_udp_ports: tuple[int, ...] = (4789, 6081)  # VXLAN (RFC 7348), Geneve (RFC 8926)
    own_networks: bool = False  # a project for which no network is named gets one of its own, else the flat default
    translation_cidrs: tuple[Prefix, ...] = (IPv4Network("100.64.0.0/10"),)  # shared address space (RFC 6598)
    external_cidrs: tuple[Prefix, ...] = ()  # where external addresses of services may be
    load_balancer_pool: tuple[Prefix, ...] = ()  # addresses that nodes answer for, for services that ask for one
    node_ports: PortRange | None = _NODE_PORTS  # of every node, led to services; None: by somebody else
    encapsulation: Encapsulation = "vxlan"  # that nodes send by which have none of their own


@dataclass(frozen=True, slots=True)
class Node:
    """A machine with an OVS bridge: `underlay` is its VTEP's address; its pods are in `subnets`, one per family."""

    name: str
    dpid: int
    underlay: Address
    subnets: tuple[Prefix, ...]
    encapsulation: Encapsulation | None = None  # that it sends by; None: the cluster's. It receives by any.

    def gateway(self, subnet: Prefix) -> Address:
        """Return the address of the node's tun0 in one of its subnets: the first one."""
        return subnet[1]

    def tunnel_ofport(self, cluster: Cluster) -> int:
        """Return the tunnel port that the node sends by."""
        return TUNNEL_OFPORTS[self.encapsulation or cluster.encapsulation]

    @property
    def gateways(self) -> tuple[Address, ...]:
        """The addresses of tun0, one per subnet."""
        return tuple(subnet[1] for subnet in self.subnets)

    @property
    def mac(self) -> int:
        """The MAC address of tun0, derived from its gateway address of IPv4, or of IPv6 if it has none."""
        return mac_of(next((each for each in self.gateways if each.version == 4), self.gateways[0]))


class Outage(NamedTuple):
    """That a node is lost: its switch gives no sign of life, or none has come yet. It holds no address meanwhile."""

    node: str


class Held(NamedTuple):
    """The derived fact that a node holds an address: what is sent there from outside comes to it."""

    address: Address
    node: str


class Tunnel(NamedTuple):
    """A path by VXLAN or Geneve between two nodes, in both directions; the names are in order."""

    first: str
    second: str
