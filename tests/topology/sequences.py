"""Sequences of states of a network, the events between them, and the expanders that multiply a sequence.

Legal because what a switch must hold depends on the present state, never on how it came about.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from topology.compiler import Tables, compile_all, update
from topology.model import Watermark
from topology.snapshot import Event, Put, Remove, Snapshot, apply_all

States = Sequence[Snapshot]

# What a snapshot holds, dependants behind what they depend on.
TABLES = (
    *("networks", "projects", "moves", "bindings", "pods", "nodes", "blocks", "connections", "services"),
    *("slices", "outages", "egresses", "mirrors", "quarantined", "watermarks", "ports"),
)


def events_between(old: Snapshot, new: Snapshot) -> tuple[Event, ...]:
    """Return events that lead from one state to another, dependants first when they go and last when they come."""
    pairs = [(_objects(old, name), _objects(new, name)) for name in TABLES]
    gone = [Remove(value) for before, after in reversed(pairs) for value in _missing(before, after)]
    made = [Put(value) for before, after in pairs for value in _missing(after, before)]
    changed = [
        Put(value)
        for before, after in pairs
        for key, value in sorted(after.items(), key=lambda item: _order(item[0]))
        if key in before and before[key] != value
    ]
    settings = (Put(new.cluster),) if new.cluster != old.cluster else ()
    return (*gone, *settings, *changed, *made)


def _objects(snapshot: Snapshot, name: str) -> Mapping[Any, Any]:
    if name == "watermarks":
        return {pool: Watermark(pool, last) for pool, last in snapshot.watermarks.items()}
    objects: Mapping[Any, Any] = getattr(snapshot, name)
    return objects


def _missing(one: Any, other: Any) -> Iterable[Any]:
    return [value for key, value in sorted(one.items(), key=lambda item: _order(item[0])) if key not in other]


def _order(key: Any) -> Any:
    """Addresses of both families have an order, too."""
    match key:
        case IPv4Address() | IPv6Address():
            return key.version, int(key)
        case tuple():
            return tuple(map(_order, key))
    return key


def as_they_are(states: States) -> States:
    return states


def reversed_order(states: States) -> States:
    return [*states, *reversed(states)]


def duplicated(states: States) -> States:
    return [state for state in states for _ in range(2)]


def squashed(states: States) -> States:
    return [states[0], states[-1]]


EXPANDERS: tuple[Callable[[States], States], ...] = (as_they_are, reversed_order, duplicated, squashed)


def follow(before: Snapshot, tables: Tables, events: tuple[Event, ...]) -> tuple[Snapshot, Tables]:
    """Return snapshot and tables after events, the tables by the incremental way."""
    after, changes = apply_all(before, events)
    tables, _ = update(tables, changes, before, after)
    return after, tables


def expected(snapshot: Snapshot) -> Tables:
    """Return the oracle: everything computed anew."""
    return compile_all(snapshot)
