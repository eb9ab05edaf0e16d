"""Which of several nodes holds an address that the outside sends to. A question of names only; no I/O, no state.

By rendezvous hashing: each node has a score for each address, and the highest of those that live has it. So a node
that goes gives up only what it held, and one that comes takes only what is its share.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from topology.model import Address


def holder(address: Address, nodes: Iterable[str]) -> str | None:
    """Return the one of `nodes` that holds an address; None without nodes."""
    return max(nodes, key=lambda node: score(address, node), default=None)


def spread(addresses: tuple[Address, ...], whose: str) -> Address:
    """Return the one of `addresses` that somebody has, by the same rule: most keep theirs when one comes or goes."""
    return max(addresses, key=lambda address: score(address, whose))


def score(address: Address, node: str) -> tuple[bytes, str]:
    """Return how much an address is a node's; no two nodes have the same."""
    return blake2b(f"{address} {node}".encode(), digest_size=8).digest(), node
