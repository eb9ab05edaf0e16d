"""Who holds the addresses that are to be held: kept as nodes come and go, are lost and found, and claims are made.

A keeper of objects that have such addresses calls `claim` and `disclaim`; the rest follows from the nodes there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from topology.holding import holder, score
from topology.model import Address, Held, Outage, in_order
from topology.snapshot.events import Change, Event
from topology.snapshot.index import before_after, table
from topology.snapshot.value import Claim, Snapshot


def keep_outage(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Outage)
    node = event.value.node
    before, after = before_after(snapshot.outages, node, event)
    if before == after:
        return snapshot, ()
    state = replace(snapshot, outages=table(snapshot.outages, node, after))
    state, moved = reassigned(state, node)
    return state, (Change(before, after), *moved)


def claim(snapshot: Snapshot, address: Address, wanted: Claim) -> tuple[Snapshot, tuple[Change, ...]]:
    """Let an address be held; whoever claimed it before has it no more."""
    state = replace(snapshot, claims=snapshot.claims.set(address, wanted))
    return _give(state, {address: holder(address, _living(state, wanted))})


def disclaim(snapshot: Snapshot, address: Address, whose: str) -> tuple[Snapshot, tuple[Change, ...]]:
    """Let an address be held no more, if it is claimed for `whose`; another's claim stays."""
    present = snapshot.claims.get(address)
    if present is None or present.whose != whose:
        return snapshot, ()
    return _give(replace(snapshot, claims=snapshot.claims.delete(address)), {address: None})


def reassigned(snapshot: Snapshot, node: str) -> tuple[Snapshot, tuple[Change, ...]]:
    """Let each address be where it belongs, after a node has come or gone, or was lost or found."""
    found = {
        address: holder(address, _living(snapshot, wanted))
        for address, wanted in snapshot.claims.items()
        if _is_concerned(snapshot, address, wanted, node)
    }
    return _give(snapshot, found)


def held_by(node: str, snapshot: Snapshot) -> tuple[Address, ...]:
    """Return the addresses that a node holds, in order."""
    return in_order(address for address, holder_of in snapshot.held.items() if holder_of == node)


def _is_concerned(snapshot: Snapshot, address: Address, wanted: Claim, node: str) -> bool:
    """Whether a node holds an address, or might from now on: asked of all, so that not all candidates are weighed."""
    present = snapshot.held.get(address)
    if present is None or present == node:
        return True
    return (not wanted.nodes or node in wanted.nodes) and score(address, node) > score(address, present)


def _living(snapshot: Snapshot, wanted: Claim) -> Iterator[str]:
    names: Iterable[str] = wanted.nodes or snapshot.nodes
    return (name for name in names if name in snapshot.nodes and name not in snapshot.outages)


def _give(snapshot: Snapshot, holders: dict[Address, str | None]) -> tuple[Snapshot, tuple[Change, ...]]:
    held, changes = snapshot.held, []
    for address, after in holders.items():
        before = held.get(address)
        if before != after:
            held = table(held, address, after)
            changes.append(Change(_held(address, before), _held(address, after)))
    return (replace(snapshot, held=held) if changes else snapshot), tuple(changes)


def _held(address: Address, node: str | None) -> Held | None:
    return None if node is None else Held(address, node)
