"""Bare bridges beside br0, on the same Open vSwitch, with pods of their own: what packets cost without Heddle's flows.

A learning switch (NORMAL), and the least pipeline with conntrack: one look at it, one output. Links, tunnels, the way
out by the node's kernel and sizes are those of a laboratory's pods, so that only the flows differ. Both nodes' bridges
of a kind are one network; its pods are `client` and `near` on the first node, `far` on the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cni_shim.node.firewall import POD_LINK_GROUP
from lab import links
from lab.errors import LabError
from lab.namespaces import Namespace, ip_batch
from lab.node import Node
from lab.pod import TCP_RECEIVE
from lab.state import State

MTU: Final = 1450  # of a pod, on the laboratory's underlay
_TUNNEL, _WAY_OUT = 1, 2  # ports
_HOSTS: Final[Mapping[str, int]] = {"client": 10, "near": 11, "far": 12}  # last number of the address, and port
_FAR: Final = "far"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of bridge: its name there, the first numbers of its addresses, its tunnel's key.

    `lookups`: how often conntrack is asked, each time in another zone; None: the bridge learns and asks nobody.
    """

    title: str
    bridge: str
    prefix: str
    key: int
    lookups: int | None = None

    def address(self, host: str) -> str:
        """The address of a pod."""
        return f"{self.prefix}.{_HOSTS[host]}"

    def flows(self, near: bool) -> Iterator[str]:
        """The flows of a bridge, as ovs-ofctl takes them: of the first node (near), or of the second."""
        if self.lookups is None:
            yield "priority=0,actions=NORMAL"
            return
        yield "table=0,priority=100,arp,actions=NORMAL"
        for number in range(self.lookups):
            yield f"table={number},priority=50,ip,actions=ct(table={number + 1},zone={number + 1})"
        commits = "".join(f"ct(commit,zone={number + 1})," for number in range(self.lookups))
        for terms, port in self._ways(near):
            start = f"table={self.lookups},{terms}"
            yield f"{start},ct_state=+trk+new,actions={commits}output:{port}"
            yield f"{start},ct_state=+trk-new,actions=output:{port}"

    def _ways(self, near: bool) -> Iterator[tuple[str, int]]:
        for host, number in _HOSTS.items():
            port = number if (host != _FAR) is near else _TUNNEL
            yield f"priority=100,ip,nw_dst={self.address(host)}", port
        yield "priority=10,ip", _WAY_OUT


NORMAL: Final = Kind("NORMAL", "bn", "10.77.0", 7001)
LEAST: Final = Kind("one conntrack", "bl", "10.78.0", 7002, lookups=1)
TWICE: Final = Kind("two conntracks", "bt", "10.79.0", 7003, lookups=2)


class BareBridges:
    """The bridges of one kind on two nodes, and their pods' namespaces by name."""

    def __init__(self, state: State, kind: Kind, nodes: tuple[Node, Node]) -> None:
        self.kind = kind
        first, second = nodes
        for place, (node, other) in enumerate(((first, second), (second, first)), 1):
            self._bridge(node, other, place)
        self.pods = {host: self._pod(state, host, second if host == _FAR else first) for host in _HOSTS}
        for node in nodes:
            for flow in kind.flows(near=node is first):
                node.ovs.ofctl("add-flow", flow, bridge=kind.bridge)

    def _bridge(self, node: Node, other: Node, place: int) -> None:
        bridge, out = self.kind.bridge, f"{self.kind.bridge}out"
        tunnel = {"remote_ip": other.address, "local_ip": node.address, "key": self.kind.key, "dst_port": 4789}
        options = [f"options:{name}={value}" for name, value in tunnel.items()]
        commands = ["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "fail_mode=secure"]
        commands += _port(bridge, f"{bridge}vx", _TUNNEL, "type=vxlan", *options)
        commands += _port(bridge, out, _WAY_OUT, "type=internal", f"mtu_request={MTU}")
        node.ovs.vsctl(*commands)
        node.namespace.ip([f"address add {self.kind.prefix}.{place}/24 dev {out}", f"link set {out} up"])
        rule = f'oifname != "{out}" ip saddr {self.kind.prefix}.0/24 masquerade'
        chain = f"chain out {{\ntype nat hook postrouting priority srcnat\n{rule}\n}}"
        done = node.namespace.run(["nft", "-f", "-"], text_in=f"table inet {bridge} {{\n{chain}\n}}\n")
        if done.returncode:
            raise LabError(f"nft: {done.stderr.strip()}")

    def _pod(self, state: State, host: str, node: Node) -> Namespace:
        bridge, link = self.kind.bridge, f"{self.kind.bridge}{host}"
        (pod,) = state.namespaces([link])
        ends = f"type veth peer name eth0 netns {pod.name} mtu {MTU}"
        ip_batch([f"link add name {link} netns {node.namespace.name} mtu {MTU} group {POD_LINK_GROUP} {ends}"])
        gateway = f"{self.kind.prefix}.{2 if host == _FAR else 1}"
        wanted = [f"address add {self.kind.address(host)}/24 dev eth0", "link set eth0 up"]
        pod.ip([*wanted, f"route add default via {gateway}"])
        pod.sysctl({"ipv4/tcp_rmem": TCP_RECEIVE})
        links.checksum_in_software(pod, "eth0")
        links.up(node.namespace, link)
        node.ovs.vsctl(*_port(bridge, link, _HOSTS[host])[1:])
        return pod


def _port(bridge: str, name: str, number: int, *more: str) -> list[str]:
    interface = ["--", "set", "interface", name, f"ofport_request={number}", *more]
    return ["--", "add-port", bridge, name, *interface]
