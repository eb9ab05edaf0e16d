"""tun0, the node's door to its pods and to services: addresses, routes (in `routes`), and forwarding in the kernel.

And icmp0 and igmp0, which only have to be up.

One pass of `ensure` leaves what is right alone. Which addresses these are, the configuration says.
"""

from __future__ import annotations

from pathlib import Path

from cni_shim.errors import IO_FAILURE, ShimError
from cni_shim.node import routes
from cni_shim.node.bridges import ICMP_PORT, IGMP_PORT, TUN_PORT
from cni_shim.node.configuration import Configuration
from cni_shim.node.system import addresses, family_flag, ip, links

_FORWARDING = {"-4": "net/ipv4/ip_forward", "-6": "net/ipv6/conf/all/forwarding"}


def ensure(configuration: Configuration) -> list[str]:
    """Give tun0 its addresses and routes; what was changed, in words."""
    changed = [*_ensure_up(ICMP_PORT), *_ensure_up(IGMP_PORT), *_ensure_up(TUN_PORT), *_ensure_addresses(configuration)]
    changed += routes.ensure(configuration)
    for family in sorted({family_flag(gateway) for gateway in configuration.gateways}):
        changed += _forward(family)
    return changed


def _ensure_up(name: str) -> list[str]:
    if "UP" in links()[name]["flags"]:
        return []
    ip("link", "set", name, "up")
    return [f"{name} up"]


def _ensure_addresses(configuration: Configuration) -> list[str]:
    changed = []
    link = links()[TUN_PORT]
    present = addresses(link, "global")
    for address in present:
        if address not in configuration.gateways:
            ip("address", "del", address, "dev", TUN_PORT)
            changed.append(f"{address} taken from {TUN_PORT}")
    for address in configuration.gateways:
        if address not in present:
            extra = ["nodad"] if ":" in address else []
            ip("address", "add", address, "dev", TUN_PORT, *extra)
            changed.append(f"{address} on {TUN_PORT}")
    return changed


def _forward(family: str) -> list[str]:
    switch = Path("/proc/sys") / _FORWARDING[family]
    if switch.read_text().strip() == "1":
        return []
    try:
        switch.write_text("1\n")
    except OSError as error:
        name = str(_FORWARDING[family]).replace("/", ".")
        raise ShimError(
            IO_FAILURE, f"cannot set {name}", f"{error}; set it from outside, e.g. sysctls: in docker-compose.yml"
        ) from None
    return [f"{switch.name} on"]
