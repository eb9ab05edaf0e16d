"""What an interface of a pod needs before it has an IPv6 address. Imported only for such a pod.

The pod's addresses and its default route are the controller's word: it takes no router's (accept_ra), and does not wait
for duplicates of addresses that nobody else is given (accept_dad; nothing would answer). A runtime may have switched
IPv6 off for all interfaces of a new namespace.
"""

from __future__ import annotations

from cni_shim.errors import UNDECODABLE, ShimError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni_shim.plugin import Log

LEAST_MTU = 1280  # bytes (RFC 8200, section 5): with less, the kernel takes IPv6 off the interface
SETTINGS = {"disable_ipv6": "0", "accept_ra": "0", "autoconf": "0", "accept_dad": "0"}


def check_mtu(name: str, mtu: int) -> None:
    """ShimError when an interface with `mtu` bytes cannot have an IPv6 address."""
    if mtu < LEAST_MTU:
        raise ShimError(
            UNDECODABLE,
            f"{name} would have an MTU of {mtu} bytes, and IPv6 needs {LEAST_MTU}",
            "give the node's uplink, or the pod's network, a larger MTU",
        )


def prepare(name: str, log: Log) -> None:
    """Write keys of net.ipv6.conf.NAME in the caller's network namespace, as well as it can."""
    for key, value in SETTINGS.items():
        try:
            with open(f"/proc/sys/net/ipv6/conf/{name}/{key}", "wb", buffering=0) as switch:
                switch.write(value.encode())
        except OSError as error:
            log(f"net.ipv6.conf.{name}.{key} stays as it is ({error})")
