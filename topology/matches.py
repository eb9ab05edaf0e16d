"""Matches that several features write: towards a prefix or an address, of whichever family. No stages, no actions."""

from __future__ import annotations

from topology.fields import CT_STATE, ETH_TYPE, Family, Field, family
from topology.flow import Match, match_fields
from topology.model import Address, Prefix
from topology.pipeline import SPACE


def masked(cidr: Prefix) -> tuple[int, int]:
    """Return a prefix as (value, mask), in host order."""
    return int(cidr.network_address), int(cidr.netmask)


def to_prefix(cidr: Prefix, *more: tuple[Field, int | tuple[int, int]]) -> Match:
    """Match packets of the prefix's family whose destination is in it, and `more` (field, value) terms."""
    kind = family(cidr.version)
    return match_fields((ETH_TYPE, kind.eth_type), (kind.destination, masked(cidr)), *more)


def from_prefix(cidr: Prefix, *more: tuple[Field, int | tuple[int, int]]) -> Match:
    """Match packets of the prefix's family whose source is in it, and `more` (field, value) terms."""
    kind = family(cidr.version)
    return match_fields((ETH_TYPE, kind.eth_type), (kind.source, masked(cidr)), *more)


def to_address(address: Address, *more: tuple[Field, int | tuple[int, int]]) -> Match:
    """Match packets to one address, and `more` (field, value) terms."""
    kind = family(address.version)
    return match_fields((ETH_TYPE, kind.eth_type), (kind.destination, int(address)), *more)


def from_address(address: Address, *more: tuple[Field, int | tuple[int, int]]) -> Match:
    """Match packets from one address, and `more` (field, value) terms."""
    kind = family(address.version)
    return match_fields((ETH_TYPE, kind.eth_type), (kind.source, int(address)), *more)


def in_state(kind: Family, bits: int) -> Match:
    """Match packets of a family in whose ct_state all of `bits` are set."""
    return match_fields((ETH_TYPE, kind.eth_type), (CT_STATE, (bits, bits)))


def in_space(space: int) -> tuple[Field, int]:
    """Return the term that ties a look-up by address to its address space."""
    return SPACE, space
