"""Addresses, VNIDs and address spaces: what everything else in the model is numbered by."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Prefix: TypeAlias = IPv4Network | IPv6Network

GLOBAL_VNID: Final = 0
FIRST_VNID: Final = 10  # 1-9 are reserved
LAST_VNID: Final = (1 << 24) - 1  # a VXLAN network identifier has 24 bits (RFC 7348, section 5)
SHARED_SPACE: Final = 0  # the address space of all networks without a CIDR of their own
DEFAULT_NETWORK: Final = "default"  # built in, VNID 0, global
DEFAULT_PROVIDER: Final = "heddle"
# From where a pod or a node is met that reaches itself by a service, by IP version: an address that is nobody's (RFC
# 3927; RFC 4193, for from an IPv6 link-local one Linux forwards nothing).
HAIRPIN: Final[dict[int, Address]] = {4: IPv4Address("169.254.42.1"), 6: IPv6Address("fd68:6564:646c:6500::1")}
# They stand for "this node" where its kernel hands over what others sent to its node ports, each client to one of them:
# so clients stay apart.
NODE_PORTS: Final[dict[int, Prefix]] = {
    4: IPv4Network("169.254.43.0/24"),
    6: IPv6Network("fd68:6564:646c:6501::/120"),
}
NAME_LABEL: Final = "kubernetes.io/metadata.name"  # every namespace has it, with its name


def in_order(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """Return addresses in order, each once; IPv4 first."""
    return tuple(sorted(set(addresses), key=lambda address: (address.version, address)))


def prefixes_in_order(prefixes: Iterable[Prefix]) -> tuple[Prefix, ...]:
    """Return prefixes in order, each once; IPv4 first."""
    return tuple(sorted(set(prefixes), key=lambda prefix: (prefix.version, prefix)))


def mac_of(address: Address) -> int:
    """Return the MAC address (48 bits, host order) derived from an address: 0a:58 and 32 bits of it.

    Of IPv4 all; of IPv6 those 16 that tell subnets of one site apart (RFC 4291, 2.5.4), and the last 16.
    """
    value = int(address)
    low = value if address.version == 4 else (value >> 64 & 0xFFFF) << 16 | value & 0xFFFF
    return 0x0A58_0000_0000 | low


def link_local_of(mac: int) -> Address:
    """Return the IPv6 link-local address that a host with this MAC address makes itself (RFC 4291, appendix A)."""
    high, low = mac >> 24 ^ 0x02_0000, mac & 0xFF_FFFF
    return IPv6Address(0xFE80 << 112 | high << 40 | 0xFFFE << 24 | low)


def format_mac(mac: int) -> str:
    """Return a MAC address in the usual colon notation."""
    return ":".join(f"{byte:02x}" for byte in mac.to_bytes(6, "big"))
