"""Addresses that this node answers for on the underlay and that no interface of it has: what is sent there goes to br0.

For each a route over tun0, in a protocol number of our own by which they are known again, and a proxy entry in the
neighbour table (arp(7)), by which the kernel answers ARP while the route leads elsewhere than to who asks. A new one
is announced, so that neighbours which know another node there turn to this one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cni_shim.errors import ShimError
from cni_shim.node.announce import announce
from cni_shim.node.bridges import TUN_PORT
from cni_shim.node.configuration import Configuration
from cni_shim.node.system import family_flag, ip, ip_json

PROTOCOL = "104"  # of our routes; iproute2 and routing daemons use none above 42 and below 186
_FAMILIES = ("-4", "-6")


def ensure(configuration: Configuration, interface: str) -> list[str]:
    """Hold what the configuration says, on the underlay's `interface`; what was changed, in words."""
    hops = {family_flag(hop): hop for hop in configuration.hairpin}
    wanted = {address: hops[family_flag(address)] for address in configuration.held if family_flag(address) in hops}
    present = _present()
    changed = [change for address in present if address not in wanted for change in _let_go(address)]
    if wanted:
        _answer_at_once(interface)
    for address, hop in wanted.items():
        if _is_taken(address, interface, present.get(address)):
            continue
        # The route comes first: by it the kernel knows that it may answer.
        ip(family_flag(address), "route", "replace", address, *_way(hop))
        ip(family_flag(address), "neighbour", "replace", "proxy", address, "dev", interface)
        tell((address,), interface)
        changed.append(f"{address} held")
    return changed


def release() -> list[str]:
    """Hold nothing any more; what was changed, in words."""
    return [change for address in _present() for change in _let_go(address)]


def tell(addresses: Iterable[str], interface: str) -> None:
    """Announce that addresses are here; what cannot be announced is learnt when somebody asks."""
    for address in addresses:
        with suppress(OSError):
            announce(address, interface)


def _way(hop: str) -> tuple[str, ...]:
    """How a route leads to br0: by the next hop that services have, whose MAC address the kernel is told."""
    return ("via", hop, "dev", TUN_PORT, "onlink", "proto", PROTOCOL)


def _present() -> dict[str, str]:
    """The addresses that have a route of ours, each with its next hop."""
    found = {}
    for family in _FAMILIES:
        for route in ip_json(family, "route", "show", "proto", PROTOCOL):
            found[str(ipaddress.ip_network(route["dst"])[0])] = str(route.get("gateway", ""))
    return found


def _is_taken(address: str, interface: str, hop: str | None) -> bool:
    return hop is not None and interface in _proxies(address)


def _proxies(address: str) -> list[str]:
    """The interfaces on which the kernel answers for an address."""
    entries = ip_json(family_flag(address), "neighbour", "show", "proxy")
    return [str(entry["dev"]) for entry in entries if entry.get("dst") == address]


def _let_go(address: str) -> list[str]:
    """The route goes last: as long as it is there, a later pass knows that something of ours may be left."""
    for interface in _proxies(address):
        ip(family_flag(address), "neighbour", "del", "proxy", address, "dev", interface)
    with suppress(ShimError):  # it goes with tun0
        ip(family_flag(address), "route", "del", address, "proto", PROTOCOL)
    return [f"{address} let go"]


def _answer_at_once(interface: str) -> None:
    """Without this, the kernel waits up to 0.8 s before it answers in proxy. It concerns proxy entries alone."""
    delay = Path(f"/proc/sys/net/ipv4/neigh/{interface}/proxy_delay")
    with suppress(OSError):
        if delay.read_text().strip() != "0":
            delay.write_text("0\n")
