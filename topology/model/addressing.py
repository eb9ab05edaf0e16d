"""Addresses, VNIDs and address spaces: what everything else in the model is numbered by."""

from __future__ import annotations

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
NAME_LABEL: Final = "kubernetes.io/metadata.name"  # every namespace has it, with its name


def mac_of(address: Address) -> int:
    """Return the MAC address (48 bits, host order) derived from an address: 0a:58 and its last 32 bits."""
    return 0x0A58_0000_0000 | (int(address) & 0xFFFF_FFFF)


def format_mac(mac: int) -> str:
    """Return a MAC address in the usual colon notation."""
    return ":".join(f"{byte:02x}" for byte in mac.to_bytes(6, "big"))
