"""A pod: a namespace that a container runtime made and the CNI plugin wired."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from types import MappingProxyType
from typing import Any

from lab.description import PodName
from lab.echo import EchoServers
from lab.errors import LabError
from lab.hosts import Address, Host
from lab.namespaces import Namespace
from lab.node import Node
from lab.runtime import Attachment
from lab.state import State

INTERFACE = "eth0"
TCP_RECEIVE = "4096 65536 131072"
"""net.ipv4.tcp_rmem of a pod, bytes: a larger window overruns the userspace datapath's AF_PACKET queue
(net.core.rmem_default, the whole machine's), and TCP crawls."""


@dataclass(frozen=True)
class Interface:
    """One interface of a pod: what ADD said, and what is there. `host_interface`: the other end, "" of a tap."""

    name: str
    mac: str
    address: Address
    cluster_address: Address
    host_interface: str
    addresses: tuple[Address, ...] = ()
    """All of them: one of each family; `address` is the first."""


class Pod(Host):
    """A pod that is there. Made by `create`; `result` is what ADD printed.

    `address` is the one on its interface, and what pods of its network know it by. `cluster_address` is what everybody
    else knows it by: another one, if its network has a range of its own. A pod on several networks has an interface
    for each: `interfaces` by their names, the primary one first; `mac`, the addresses and `network` are that one's.
    """

    network = ""
    """The network that its project was on when it was made."""

    networks: Mapping[str, str] = MappingProxyType({})
    """Of a pod on several: those of its interfaces when it was made, the primary one first."""

    def __init__(
        self, node: Node, attachment: Attachment, namespace: Namespace, result: dict[str, Any], echo: EchoServers
    ) -> None:
        self.node = node
        self.attachment = attachment
        self.result = result
        self.interface = attachment.interface
        self.interfaces = {one.name: one for one in described(namespace, attachment, result)}
        primary = self.interfaces[attachment.interface]
        self.mac, self.cluster_address = primary.mac, primary.cluster_address
        super().__init__(str(attachment.pod), namespace, primary.address, echo)

    @property
    def addresses(self) -> dict[str, Address]:
        """The addresses on its interfaces, by these' names."""
        return {name: one.address for name, one in self.interfaces.items()}

    def address_of(self, version: int) -> Address:
        """Its own address of an IP version, on its primary interface; LabError when it has none."""
        found = [one for one in self.interfaces[self.interface].addresses if one.version == version]
        if not found:
            raise LabError(f"{self.name} has no IPv{version} address")
        return found[0]

    def known_to(self, source: Host) -> Address:
        """The tenant address for pods of the same network, the cluster address for everybody else.

        Of pods on several networks: the address on the first of the source's networks that this one is on too.
        """
        if isinstance(source, Pod):
            for theirs in source.networks.values() or (source.network,):
                if theirs == self.network:
                    return self.address
                for name, network in self.networks.items():
                    if network == theirs:
                        return self.interfaces[name].address
        return self.cluster_address

    @property
    def host_interface(self) -> str:
        """The name of its link's other end, in the node's namespace."""
        return self.interfaces[self.interface].host_interface

    @property
    def project(self) -> str:
        """The project it belongs to, a Kubernetes namespace."""
        return self.attachment.pod.project

    def check(self) -> None:
        """CHECK; CniError when the plugin finds something wrong."""
        self.node.runtime.check(self.attachment, self.result)

    def detach(self) -> None:
        """DEL, as often as wanted; the namespace stays."""
        self.node.runtime.delete(self.attachment, self.result)


def create(state: State, name: PodName, node: Node, echo: EchoServers, uid: str = "") -> Pod:
    """Make the pod's namespace and execute ADD in it on `node`. CniError or LabError with nothing left behind.

    `uid`: that of its object, where there is one.
    """
    (namespace,) = state.namespaces([f"{name.project}-{name.pod}"])
    attachment = Attachment(secrets.token_hex(32), namespace.path, name, INTERFACE, uid)
    try:
        namespace.sysctl({"ipv4/tcp_rmem": TCP_RECEIVE})
        result = node.runtime.add(attachment)
        try:
            return Pod(node, attachment, namespace, result, echo)
        except BaseException:
            node.runtime.delete(attachment, result)
            raise
    except BaseException:
        echo.silence(namespace)
        state.forget(namespace)
        raise


def described(namespace: Namespace, attachment: Attachment, result: dict[str, Any]) -> list[Interface]:
    """The pod's interfaces, that which the runtime asked for first; LabError when it has others than ADD said, or
    one is not as ADD said."""
    ends = result.get("interfaces", [])
    inside = [number for number, one in enumerate(ends) if one.get("sandbox") == str(attachment.netns)]
    names = [ends[number]["name"] for number in inside]
    taps = _links(namespace, "tun")
    there = {link["ifname"]: link for link in (*_links(namespace, "veth"), *taps)}
    if names[:1] != [attachment.interface] or len({*names}) != len(names):
        raise LabError(f"ADD of {attachment.pod}: the result does not begin with {attachment.interface}: {result}")
    if there.keys() != {*names}:
        raise LabError(f"ADD of {attachment.pod}: said {names}, but in the pod are {[*there]}")
    hosts = [str(one["name"]) for one in ends if not one.get("sandbox")]
    hosts += [""] * len(taps)
    if len(hosts) != len(names):
        raise LabError(f"ADD of {attachment.pod}: said {names}, but on the node {hosts}")
    told = {
        number: [ip["address"] for ip in result.get("ips", []) if ip.get("interface") == number] for number in inside
    }
    return [
        _interface(attachment, there[name], (ends[number]["mac"], told[number]), host)
        for number, name, host in zip(inside, names, hosts, strict=True)
    ]


def _links(namespace: Namespace, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(namespace.run(["ip", "-json", "address", "show", "type", kind]).stdout)
    return [link for link in found if link]


def _interface(attachment: Attachment, link: dict[str, Any], said: tuple[str, list[str]], host: str) -> Interface:
    """`link`: as ip(8) tells it; `said`: MAC address and addresses in the result."""
    mac, addresses = said
    told = sorted(map(ip_interface, addresses), key=lambda one: one.version)
    there = (f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["scope"] == "global")
    found = sorted(map(ip_interface, there), key=lambda one: one.version)
    fits = bool(told) and len(found) == len(told) and all(map(_fits, found, told))
    if not fits or link["address"] != mac or "UP" not in link["flags"]:
        raise LabError(f"ADD of {attachment.pod}: said {mac} {addresses}, but the interface is {link}")
    return Interface(link["ifname"], mac, found[0].ip, told[0].ip, host, tuple(one.ip for one in found))


def _fits(found: IPv4Interface | IPv6Interface, told: IPv4Interface | IPv6Interface) -> bool:
    """A cluster address is told as a single one, and is another one than that in the pod."""
    is_cluster_address = told.network.prefixlen == told.max_prefixlen
    return found.ip != told.ip if is_cluster_address else found == told
