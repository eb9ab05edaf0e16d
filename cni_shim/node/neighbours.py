"""MAC addresses of the tunnels' other ends, told to a userspace OVS before it needs them.

OVS asks for them itself only when a packet waits, and loses that packet; its table ages and goes with a restart. The
kernel resolves better: it is made to ask, and what it learnt is set in OVS. A kernel data path needs none of this.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

from cni_shim.errors import ShimError
from cni_shim.node.bridges import EXTERNAL_BRIDGE
from cni_shim.node.system import ip_json
from cni_shim.node.uplink import next_hop
from cni_shim.node.vswitchd import Vswitchd

RESOLVE_TIMEOUT = 2.0  # seconds that peers have to answer ARP in one pass; who is late is asked again in the next
DISCARD_PORT = 9  # RFC 863
_POLL = 0.05


def ensure(peers: Iterable[str], vswitchd: Vswitchd) -> tuple[str, ...]:
    """Set the tunnel neighbours for `peers` in OVS; the addresses that nobody answered for."""
    hops = {hop[0] for hop in map(next_hop, peers) if hop is not None and hop[1] == EXTERNAL_BRIDGE}
    missing = set(hops)
    deadline = time.monotonic() + RESOLVE_TIMEOUT
    _ask(missing)
    while missing:
        for address, mac in _known().items():
            if address in missing:
                vswitchd.set_tunnel_neighbour(EXTERNAL_BRIDGE, address, mac)
                missing.discard(address)
        if not missing or time.monotonic() > deadline:
            break
        time.sleep(_POLL)
    return tuple(sorted(missing))


def _ask(addresses: Iterable[str]) -> None:
    """Make the kernel resolve `addresses`: a datagram for nobody does it, also when an old answer needs proof."""
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(b"", (address, DISCARD_PORT))
            except OSError:
                continue  # unreachable now: it is asked again in the next pass


def _known() -> dict[str, str]:
    """What the kernel has resolved on br-ex: MAC address by IP address."""
    try:
        found = ip_json("neighbour", "show", "dev", EXTERNAL_BRIDGE)
    except ShimError:
        return {}
    bad = {"FAILED", "INCOMPLETE", "NOARP"}
    return {item["dst"]: item["lladdr"] for item in found if "lladdr" in item and not bad & set(item.get("state", ()))}
