"""Routes into tun0: the cluster's addresses are on-link there, services' are behind the hairpin address.

So is what stands for this node, where it hands over what came to its node ports.

Nobody answers ARP for a service's address: br0 sends the packet on to an endpoint's. So services have a next hop, whose
MAC address the kernel is told and never asks for. It is the address from which br0 sends the node what it begins to
itself, so that answers go back by tun0 as well.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cni_shim.node.bridges import TUN_PORT
from cni_shim.node.configuration import Configuration, mac_of
from cni_shim.node.system import family_flag, ip, ip_json


@dataclass(frozen=True)
class Route:
    """To `destination` over tun0, by the node's address `source`; `hop`: the next hop, "" for on-link."""

    destination: str
    source: str
    hop: str = ""

    def words(self) -> list[str]:
        """As `ip route replace` takes it."""
        via = ["via", self.hop] if self.hop else []
        return [self.destination, *via, "dev", TUN_PORT, *(["onlink"] if self.hop else []), "src", self.source]

    def is_this(self, found: dict[str, Any]) -> bool:
        """Whether a route to the same destination over tun0, as `ip -json` tells it, is this one."""
        is_onlink = "onlink" in found.get("flags", ())
        return (found.get("prefsrc"), found.get("gateway", ""), is_onlink) == (self.source, self.hop, bool(self.hop))


def ensure(configuration: Configuration) -> list[str]:
    """Make the routes, and what the kernel needs for them; what was changed, in words."""
    changed = []
    for address in configuration.hairpin:
        changed += _ensure_neighbour(address)
    for route in wanted(configuration):
        changed += _ensure(route)
    return changed


def wanted(configuration: Configuration) -> Iterator[Route]:
    """The routes over tun0, the one to a next hop before those by it; none of a family in which this node has no pods.

    Without a hairpin address (an older controller's configuration) services are on-link: a proxy's matter.
    """
    sources = {family_flag(gateway): gateway.partition("/")[0] for gateway in reversed(configuration.gateways)}
    hops = {family_flag(address): address for address in configuration.hairpin}
    onlink = [*map(_alone, configuration.hairpin), *configuration.cluster_cidrs]
    node_ports = configuration.node_ports.prefixes if configuration.node_ports else ()
    behind = [(cidr, hops.get(family_flag(cidr), "")) for cidr in (*configuration.service_cidrs, *node_ports)]
    for destination, hop in [*((prefix, "") for prefix in onlink), *behind]:
        source = sources.get(family_flag(destination))
        if source is not None:
            yield Route(destination, source, hop)


def _alone(address: str) -> str:
    return str(ipaddress.ip_network(address))


def _ensure(route: Route) -> list[str]:
    family = family_flag(route.destination)
    if any(map(route.is_this, ip_json(family, "route", "show", route.destination, "dev", TUN_PORT))):
        return []
    ip(family, "route", "replace", *route.words())
    return [f"route {route.destination} over {TUN_PORT}"]


def _ensure_neighbour(address: str) -> list[str]:
    """Tell the kernel a MAC address for `address`. Any would do, for br0 looks at none of what comes by tun0."""
    mac = mac_of(address)
    found = ip_json("neighbour", "show", "to", address, "dev", TUN_PORT)
    if any(item.get("lladdr") == mac and "PERMANENT" in item.get("state", ()) for item in found):
        return []
    ip("neighbour", "replace", address, "lladdr", mac, "dev", TUN_PORT, "nud", "permanent")
    return [f"MAC address of {address} on {TUN_PORT}"]
