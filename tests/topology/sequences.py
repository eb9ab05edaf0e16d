"""Sequences of states of a network, the events between them, and the expanders that multiply a sequence.

Legal because what a switch must hold depends on the present state, never on how it came about.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from topology.compiler import Tables, compile_all, update
from topology.snapshot import Event, Put, Remove, Snapshot, apply_all

States = Sequence[Snapshot]


def events_between(old: Snapshot, new: Snapshot) -> tuple[Event, ...]:
    """Return events that lead from one state to another, dependants first when they go and last when they come."""
    tables = ("networks", "projects", "nodes", "connections", "services", "quarantined", "ports")
    gone = [Remove(value) for name in reversed(tables) for value in _missing(getattr(old, name), getattr(new, name))]
    made = [Put(value) for name in tables for value in _missing(getattr(new, name), getattr(old, name))]
    changed = [
        Put(value)
        for name in tables
        for key, value in sorted(getattr(new, name).items())
        if key in getattr(old, name) and getattr(old, name)[key] != value
    ]
    settings = (Put(new.cluster),) if new.cluster != old.cluster else ()
    return (*gone, *settings, *changed, *made)


def _missing(one: Any, other: Any) -> Iterable[Any]:
    return [value for key, value in sorted(one.items()) if key not in other]


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
