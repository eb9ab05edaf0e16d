"""What the controller needs from a store, whichever it is. No implementation here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from topology.history import Turn
from topology.model import Address
from topology.snapshot import Event, Snapshot


class StoreError(Exception):
    """A store that cannot be used: which one, what is wrong, and what to do about it. What it holds is unchanged."""

    def __init__(self, name: str, cause: str, remedy: str) -> None:
        super().__init__(f"{name}: {cause}; {remedy}")
        self.name, self.cause, self.remedy = name, cause, remedy


class Outdated(Exception):
    """What was to be kept was decided on what others have changed meanwhile; nothing of it was kept.

    `events` leads a snapshot to what is so now; then the same requests can be decided again.
    """

    def __init__(self, events: Callable[[Snapshot], tuple[Event, ...]]) -> None:
        super().__init__("what it was decided on has changed meanwhile")
        self.events = events


class Mark(NamedTuple):
    """That an object of a store which others watch was written, and is at this version: `vteps`, `n1`, 812. 0: gone."""

    plural: str
    name: str
    resource_version: int


class Record(NamedTuple):
    """An entry of the ledger's history: `at` is in seconds since 1970 (UTC)."""

    at: float
    turn: Turn


class Store(Protocol):
    """Keeps what was decided.

    Settings, nodes, networks and their address blocks, projects, connections, services, endpoints, ports, quarantined
    addresses, and the numbers last given. What follows from these (`Hosting`) is not kept.
    One caller at a time; it may be another thread each time.
    All calls raise StoreError when the store fails.
    """

    def load(self) -> tuple[Event, ...]:
        """Return the events that make what is kept out of `topology.snapshot.empty()`, when applied in order."""
        ...

    def commit(self, events: Iterable[Event], turns: Iterable[Turn] = ()) -> tuple[Mark, ...]:
        """Keep the events' outcome: all of them or, when it raises, none. On return they survive a crash.

        What became of addresses by them (`turns`) is added to the history, with the time of now. Returns what others
        who share the store will see. Raises Outdated, besides, where others write too.
        """
        ...

    def released(self, snapshot: Snapshot, events: Iterable[Event]) -> tuple[Event, ...]:
        """Return what can be so now that `events` have been kept: what others wrote, and what waited for these."""
        ...

    def history(self, space: int, address: Address, most: int) -> tuple[Record, ...]:
        """Return the newest entries, at most so many, of what became of an address, newest first. Old ones may be gone.

        Any thread may ask at any time.
        """
        ...

    def set_token(self, node: str, digest: str) -> None:
        """Keep the SHA-256 (hexadecimal) of a node's token, in place of an earlier one. It goes when the node goes.

        Raises KeyError when the node is not kept.
        """
        ...

    def node_of(self, digest: str) -> str | None:
        """Return the node whose token has this SHA-256 (hexadecimal), or None. Any thread may ask at any time."""
        ...

    def close(self) -> None:
        """Let go of the store, so that another controller can open it. Closing twice is fine."""
        ...
