"""How indexes are kept: persistent maps in, persistent maps out. Nothing about any one kind of object."""

from __future__ import annotations

from typing import Any

from immutables import Map

from topology.model import Address
from topology.snapshot.events import Event, Put
from topology.snapshot.value import BLOCK_BITS, BLOCK_SIZE, Block


def include(index: Map[Any, Map[Any, None]], key: Any, member: Any) -> Map[Any, Map[Any, None]]:
    """Add a member to the set under a key."""
    return index.set(key, index.get(key, Map()).set(member, None))


def exclude(index: Map[Any, Map[Any, None]], key: Any, member: Any) -> Map[Any, Map[Any, None]]:
    """Take a member out of the set under a key; a set without members is left out."""
    members = index.get(key, Map())
    if member not in members:
        return index
    rest = members.delete(member)
    return index.set(key, rest) if rest else index.delete(key)


def swap(index: Map[Any, Any], old: Any, new: Any, value: Any) -> Map[Any, Any]:
    """Move one entry: drop key `old` (None: there was none), set key `new` (None: there is none) to `value`."""
    if old is not None and old != new:
        index = release(index, old, value)
    return index if new is None else index.set(new, value)


def release(index: Map[Any, Any], key: Any, member: Any) -> Map[Any, Any]:
    """Drop an entry that still points to `member`; somebody else's entry stays."""
    return index.delete(key) if key in index and index[key] == member else index


def count(index: Map[Any, int], key: Any, step: int) -> Map[Any, int]:
    """Add `step` to the number under a key; zero is left out."""
    return table(index, key, index.get(key, 0) + step or None)


def table(objects: Map[Any, Any], key: Any, after: Any) -> Map[Any, Any]:
    """Let an object be `after` under its key; None: it exists no more."""
    return objects.set(key, after) if after is not None else objects.delete(key)


def before_after(objects: Map[Any, Any], key: Any, event: Event) -> tuple[Any, Any]:
    """Return an object as it was and as the event says it is; None where it did not or does not exist."""
    return objects.get(key), event.value if isinstance(event, Put) else None


def mark(taken: Map[Block, int], place: tuple[int, Address], is_taken: bool) -> Map[Block, int]:
    """Note in the bit map whether an address of a space is held or in quarantine."""
    space, address = place
    block = Block(space, address.version, int(address) >> BLOCK_BITS)
    bit = 1 << (int(address) & (BLOCK_SIZE - 1))
    before = taken.get(block, 0)
    after = before | bit if is_taken else before & ~bit
    return table(taken, block, after or None) if after != before else taken
