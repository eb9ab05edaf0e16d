"""A pod: a namespace that a container runtime made and the CNI plugin wired."""

from __future__ import annotations

import json
import secrets
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from lab.description import PodName
from lab.echo import EchoServers
from lab.errors import LabError
from lab.hosts import Host
from lab.namespaces import Namespace
from lab.node import Node
from lab.runtime import Attachment
from lab.state import State

INTERFACE = "eth0"
TCP_RECEIVE = "4096 65536 131072"
"""net.ipv4.tcp_rmem of a pod, bytes: a larger window overruns the userspace datapath's AF_PACKET queue
(net.core.rmem_default, the whole machine's), and TCP crawls."""


class Pod(Host):
    """A pod that is there. Made by `create`; `result` is what ADD printed.

    `address` is the one on its interface, and what pods of its network know it by. `cluster_address` is what everybody
    else knows it by: another one, if its network has a range of its own.
    """

    network = ""
    """The network that its project was on when it was made."""

    def __init__(
        self, node: Node, attachment: Attachment, namespace: Namespace, result: dict[str, Any], echo: EchoServers
    ) -> None:
        self.node = node
        self.attachment = attachment
        self.result = result
        self.interface = attachment.interface
        self.mac, address, self.cluster_address = _checked(namespace, attachment, result)
        super().__init__(str(attachment.pod), namespace, address, echo)

    def known_to(self, source: Host) -> IPv4Address:
        """The tenant address for pods of the same network, the cluster address for everybody else."""
        same = isinstance(source, Pod) and source.network == self.network
        return self.address if same else self.cluster_address

    @property
    def host_interface(self) -> str:
        """The name of its link's other end, in the node's namespace."""
        return next(str(one["name"]) for one in self.result["interfaces"] if not one.get("sandbox"))

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


def create(state: State, name: PodName, node: Node, echo: EchoServers) -> Pod:
    """Make the pod's namespace and execute ADD in it on `node`. CniError or LabError with nothing left behind."""
    (namespace,) = state.namespaces([f"{name.project}-{name.pod}"])
    attachment = Attachment(secrets.token_hex(32), namespace.path, name, INTERFACE)
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


def _checked(
    namespace: Namespace, attachment: Attachment, result: dict[str, Any]
) -> tuple[str, IPv4Address, IPv4Address]:
    """The pod's MAC address, its interface's address and what the result says; LabError if these do not fit."""
    sandboxed = [one for one in result.get("interfaces", []) if one.get("sandbox") == str(attachment.netns)]
    if [one["name"] for one in sandboxed] != [attachment.interface] or not result.get("ips"):
        raise LabError(f"ADD of {attachment.pod}: the result does not tell the pod's interface and address: {result}")
    mac, told = sandboxed[0]["mac"], IPv4Interface(result["ips"][0]["address"])
    (link,) = json.loads(namespace.run(["ip", "-json", "address", "show", attachment.interface]).stdout)
    found = [
        IPv4Interface(f"{one['local']}/{one['prefixlen']}") for one in link["addr_info"] if one["family"] == "inet"
    ]
    is_cluster_address = told.network.prefixlen == told.max_prefixlen
    fits = len(found) == 1 and (found[0].ip != told.ip if is_cluster_address else found[0] == told)
    if link["address"] != mac or not fits or "UP" not in link["flags"]:
        raise LabError(f"ADD of {attachment.pod}: said {mac} {told}, but the interface is {link}")
    return mac, found[0].ip, told.ip
