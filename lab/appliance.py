"""An appliance on the underlay: a VTEP that is none of Heddle's nodes, and hosts on a bridge behind it.

It is a plain kernel VXLAN device in a bridge, as any vendor's would be: it learns behind which VTEP a MAC
address is, floods what it does not know to all nodes, and knows nothing of Heddle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from lab import links
from lab.echo import EchoServers
from lab.errors import LabError
from lab.hosts import Host
from lab.laboratory import Lab
from lab.namespaces import Namespace
from lab.underlay import BRIDGE, UPLINK
from topology.model import format_mac, mac_of

DEVICE = "tunnel0"
_MTU = 1450  # of a host behind it: what is left of 1500 bytes


@dataclass(frozen=True)
class Appliance:
    """The running appliance: its own namespace on the underlay, and the hosts behind it by their names."""

    namespace: Namespace
    address: IPv4Address
    hosts: dict[str, Host]


@contextmanager
def appliance(
    lab: Lab, name: str, address: IPv4Address, vnid: int, hosts: dict[str, IPv4Interface]
) -> Iterator[Appliance]:
    """Return an appliance at `address` that speaks VXLAN with one VNID; all of it goes when the context ends.

    `hosts` have these addresses and the MAC addresses that are derived from them, and a route to pods by ARP.
    Raises LabError when the kernel has no such device.
    """
    state, echo = lab.state, EchoServers()
    spaces = state.namespaces([name, *(f"{name}-{each}" for each in hosts)])
    own, inside = spaces[0], dict(zip(hosts, spaces[1:], strict=True))
    peers = [str(node.underlay) for node in lab.description.nodes]
    try:
        _wire(lab, own, name, address)
        _bridge(own, vnid, address, peers)
        first = next(iter(lab.nodes))
        pods = lab.api.get(f"/v1/nodes/{first}/configuration")["cluster_cidrs"]
        made = {}
        for number, (each, interface) in enumerate(hosts.items()):
            _attach(own, inside[each], f"h{number}", interface, pods)
            made[each] = Host(f"{name}/{each}", inside[each], interface.ip, echo)
        yield Appliance(own, address, made)
    finally:
        echo.close()
        lab.underlay.namespace.run(["ip", "link", "delete", name])
        for namespace in spaces:
            state.forget(namespace)


def _wire(lab: Lab, own: Namespace, name: str, address: IPv4Address) -> None:
    under, mtu = lab.underlay.namespace, lab.description.mtu
    under.ip(
        [
            f"link add name {name} mtu {mtu} type veth peer name {UPLINK} netns {own.name} mtu {mtu}",
            f"link set {name} master {BRIDGE} up",
        ]
    )
    own.ip([f"address add {lab.description.interface(address)} dev {UPLINK}", f"link set {UPLINK} up"])
    links.checksum_in_software(own, UPLINK)


def _bridge(own: Namespace, vnid: int, address: IPv4Address, peers: Iterable[str]) -> None:
    device = f"type vxlan id {vnid} local {address} dstport 4789"
    own.ip(
        [
            f"link add name {DEVICE} mtu {_MTU} {device}",
            "link add name inside type bridge stp_state 0",
            f"link set {DEVICE} master inside up",
            "link set inside up",
        ]
    )
    for peer in peers:
        done = own.run(["bridge", "fdb", "append", "00:00:00:00:00:00", "dev", DEVICE, "dst", peer])
        if done.returncode:
            raise LabError(f"bridge: {done.stderr.strip()}")


def _attach(own: Namespace, host: Namespace, link: str, interface: IPv4Interface, pods: Iterable[str]) -> None:
    mac = format_mac(mac_of(interface.ip))
    own.ip(
        [
            f"link add name {link} mtu {_MTU} type veth peer name eth0 address {mac} netns {host.name} mtu {_MTU}",
            f"link set {link} master inside up",
        ]
    )
    commands = [f"address add {interface} dev eth0", "link set eth0 up"]
    host.ip([*commands, *(f"route add {cidr} dev eth0" for cidr in pods)])
    links.checksum_in_software(host, "eth0")
