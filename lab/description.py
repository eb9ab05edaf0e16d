"""What a laboratory shall look like: frozen values, checked when they are made. Nothing here starts anything."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from lab.errors import LabError

UNDERLAY = IPv4Network("192.0.2.0/24")
"""The underlay's addresses: TEST-NET-1 of RFC 5737, which no real network uses."""

UNDERLAY_6 = IPv6Network("2001:db8:64::/64")
"""The underlay's addresses of IPv6, where hosts have them: of the range for documentation of RFC 3849."""

INTERNET = IPv4Interface("198.51.100.1/32")
"""An address of the outside host that is beyond the underlay: TEST-NET-2 of RFC 5737."""

EXTERNAL = IPv4Network("203.0.113.0/24")
"""External addresses that services may have: TEST-NET-3 of RFC 5737. Who asks routes them to a node."""

POOL = IPv4Network("203.0.113.224/28")
"""The part of them that services get which ask for a load balancer; the outside host has it on its link."""

FIRST_NODE = 11
LARGEST_MTU = 65_535
SMALLEST_MTU = 626
"""An IPv4 host takes 576 bytes (RFC 791); VXLAN over IPv4 costs 50 (RFC 7348)."""

LAB_NAME = re.compile(r"[a-z][a-z0-9]{0,14}")
"""No dash: the namespaces of lab `a` can then never be mistaken for those of a lab `a-b`."""

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
RESERVED = frozenset({"controller", "outside", "underlay"})


def checked_name(name: str, kind: str = "name", pattern: re.Pattern[str] = DNS_LABEL) -> str:
    """Return `name`; raise LabError when it does not fit `pattern` wholly. `kind` is for the message."""
    if not pattern.fullmatch(name):
        raise LabError(f"{kind} {name!r} is not allowed: it must match {pattern.pattern}")
    return name


@dataclass(frozen=True)
class NodeSpec:
    """One node to be: its name and the address it has on the underlay."""

    name: str
    underlay: IPv4Address

    def __post_init__(self) -> None:
        if checked_name(self.name, "node") in RESERVED:
            raise LabError(f"a node cannot be called {self.name!r}: that name is taken by the laboratory itself")


@dataclass(frozen=True)
class Topology:
    """A laboratory to be: nodes, controller and outside host on one underlay.

    Addresses lie within `subnet`; `mtu` is the underlay's, in bytes. Raises LabError for a description that
    contradicts itself.
    """

    nodes: tuple[NodeSpec, ...]
    mtu: int = 1500
    subnet: IPv4Network = UNDERLAY
    controller: IPv4Address = field(default=UNDERLAY[1])
    outside: IPv4Address = field(default=UNDERLAY[200])
    others: tuple[tuple[str, IPv4Address], ...] = ()  # more hosts on the underlay, by name
    cluster_cidrs: tuple[str, ...] = ()  # none: as the controller has them unless told
    service_cidrs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not SMALLEST_MTU <= self.mtu <= LARGEST_MTU:
            raise LabError(f"an underlay MTU of {self.mtu} is out of range {SMALLEST_MTU}..{LARGEST_MTU}")
        others = (address for _, address in self.others)
        addresses = [self.controller, self.outside, *others, *(node.underlay for node in self.nodes)]
        for address in addresses:
            if address not in self.subnet or addresses.count(address) > 1:
                raise LabError(f"underlay address {address} is used twice or lies outside of {self.subnet}")
        names = [node.name for node in self.nodes]
        if len(set(names)) != len(names):
            raise LabError(f"two nodes have the same name: {', '.join(names)}")

    @classmethod
    def of(
        cls, nodes: int, mtu: int = 1500, cluster_cidrs: tuple[str, ...] = (), service_cidrs: tuple[str, ...] = ()
    ) -> Topology:
        """`nodes` nodes called n1, n2, … at 192.0.2.11, .12, …; `mtu` in bytes; ranges of pods and services."""
        most = 200 - FIRST_NODE
        if not 0 <= nodes <= most:
            raise LabError(f"a laboratory has 0 to {most} nodes, not {nodes}")
        specs = (NodeSpec(f"n{i + 1}", UNDERLAY[FIRST_NODE + i]) for i in range(nodes))
        return cls(tuple(specs), mtu, cluster_cidrs=cluster_cidrs, service_cidrs=service_cidrs)

    @property
    def has_six(self) -> bool:
        """Whether pods have addresses of IPv6, and so hosts too."""
        return any(":" in cidr for cidr in self.cluster_cidrs)

    @property
    def flags(self) -> tuple[str, ...]:
        """What the controller has to be told of it."""
        pods, services = ",".join(self.cluster_cidrs), ",".join(self.service_cidrs)
        given = (("cluster", pods), ("service", services))
        return tuple(f"--heddle-{name}-cidr={cidrs}" for name, cidrs in given if cidrs)

    def interface_6(self, address: IPv4Address) -> IPv6Interface:
        """The address of IPv6 that a host has besides `address`."""
        return IPv6Interface(f"{UNDERLAY_6[int(address) - int(self.subnet[0])]}/{UNDERLAY_6.prefixlen}")

    def interface(self, address: IPv4Address) -> IPv4Interface:
        """`address` with the underlay's prefix length."""
        return IPv4Interface(f"{address}/{self.subnet.prefixlen}")


@dataclass(frozen=True)
class PodName:
    """`project/pod`, as Kubernetes names a pod by its namespace and its name."""

    project: str
    pod: str

    def __post_init__(self) -> None:
        checked_name(self.project, "project")
        checked_name(self.pod, "pod")

    @classmethod
    def parse(cls, text: str) -> PodName:
        """Read `project/pod`; raise LabError when the text is something else."""
        project, slash, pod = text.partition("/")
        if not slash:
            raise LabError(f"{text!r} does not name a pod: write project/pod")
        return cls(project, pod)

    def __str__(self) -> str:
        return f"{self.project}/{self.pod}"
