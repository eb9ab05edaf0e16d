"""The cluster's settings, and its machines: nodes and the tunnels between them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final, NamedTuple

from topology.model.addressing import Address, Prefix, mac_of

VXLAN_OFPORT: Final = 1
TUN_OFPORT: Final = 2
ICMP_OFPORT: Final = 65000  # icmp0; beyond the numbers that a switch gives to pods by itself


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
    node_ports: PortRange | None = _NODE_PORTS  # of every node, led to services; None: by somebody else


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
