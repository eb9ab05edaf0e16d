"""Multicast: which ports listen to which groups, and what an address of a group may be.

IPv4 only. A group of IPv6 would be an `IPv6Address` in the same places.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Final, NamedTuple

from topology.model.addressing import Address
from topology.model.ports import PortKey

GROUPS: Final = IPv4Network("224.0.0.0/4")  # RFC 1112, section 4
# Never forwarded, whatever its TTL (RFC 5771, section 4): local network control.
LOCAL_GROUPS: Final = IPv4Network("224.0.0.0/24")
# What one tenant may ask of switches: groups of a port, and of a network; ports that get what one pod sends to a group.
MOST_PORT_GROUPS: Final = 64
MOST_NETWORK_GROUPS: Final = 256
MOST_AUDIENCE: Final = 512


class Membership(NamedTuple):
    """The groups that a port has joined, in order; its node has heard so. Never stored: nodes tell it again."""

    port: PortKey
    groups: tuple[IPv4Address, ...]


def is_group(address: Address) -> bool:
    """Whether an address is of a group to which a port may listen."""
    return address.version == 4 and address in GROUPS and address not in LOCAL_GROUPS
