"""The underlay: a Linux bridge in a namespace of its own, and the hosts' links to it. Nothing about what hosts run."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address

from lab import links
from lab.description import INTERNET, Topology
from lab.namespaces import Namespace, ip_batch
from lab.state import State

UPLINK = "eth0"
"""What every host calls its link to the underlay."""

BRIDGE = "underlay"


class Underlay:
    """The realised underlay of a description: its namespace, and those of the hosts on it by name."""

    def __init__(self, state: State, description: Topology) -> None:
        """Make namespaces for underlay, controller, outside and nodes, and link them.

        The hosts are addressed, their default gateway is the outside host, which has `INTERNET` too.
        """
        addresses = {"controller": description.controller, "outside": description.outside}
        addresses |= {node.name: node.underlay for node in description.nodes} | dict(description.others)
        self.namespace, *hosts = state.namespaces(["underlay", *addresses])
        self.hosts: Mapping[str, Namespace] = dict(zip(addresses, hosts, strict=True))
        self._wire(description.mtu)
        for name, address in addresses.items():
            self._address(self.hosts[name], description, address)
        self.hosts["outside"].ip([f"address add {INTERNET} dev lo"])
        for name, address in addresses.items() if description.has_six else ():
            self._address_6(self.hosts[name], description, address)

    def _address_6(self, host: Namespace, description: Topology, address: IPv4Address) -> None:
        commands = [f"address add {description.interface_6(address)} dev {UPLINK} nodad"]
        if address != description.outside:
            commands.append(f"route add default via {description.interface_6(description.outside).ip}")
        host.ip(commands)

    def _wire(self, mtu: int) -> None:
        """Make the bridge and one veth pair for each host, straight into the namespaces they are for."""
        self.namespace.ip([f"link add name {BRIDGE} mtu {mtu} type bridge stp_state 0", f"link set {BRIDGE} up"])
        inside = self.namespace.name
        ip_batch(
            f"link add name {host} netns {inside} mtu {mtu} type veth"
            f" peer name {UPLINK} netns {namespace.name} mtu {mtu}"
            for host, namespace in self.hosts.items()
        )
        self.namespace.ip(f"link set {host} master {BRIDGE} up" for host in self.hosts)

    def _address(self, host: Namespace, description: Topology, address: IPv4Address) -> None:
        commands = [f"address add {description.interface(address)} dev {UPLINK}", f"link set {UPLINK} up"]
        if address != description.outside:
            commands.append(f"route add default via {description.outside}")
        host.ip(commands)
        links.checksum_in_software(host, UPLINK)
