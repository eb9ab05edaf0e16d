"""What of a batch is stored, and when: decisions before anything else happens, switches' port numbers at leisure.

A port's number is the switch's to tell, and it tells it anew whenever it connects. It is kept all the same, as a hint:
after a restart the flows of all ports are there before the switches are, and what a switch tells is no news. A hint
that is lost or out of date costs a compile, so none is worth waiting for the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from store.base import Mark, Store
from topology.history import turns
from topology.model import Membership, Port, PortKey
from topology.snapshot import Change, Event, Put, Snapshot

HINT_SECONDS: Final = 1.0  # that a number may wait for company


class Keeper:
    """Writes to a store. `later(seconds, action)` lets an action run in the owner's thread, after that time.

    Without `later`, numbers are not kept: replicas that share a store learn them all by themselves.
    """

    def __init__(self, store: Store, later: Callable[[float, Callable[[], None]], object] | None) -> None:
        self._store = store
        self._later = later
        self._hints: dict[PortKey, Put] = {}

    def keep(self, events: Collection[Event], changes: Collection[Change]) -> tuple[Mark, ...]:
        """Store a batch; on return its decisions survive a crash. Raises StoreError with nothing stored, or Outdated.

        Returns what others who share the store will see of it.
        """
        # Of memberships nothing is kept: nodes tell them again.
        events = tuple(event for event in events if not isinstance(event.value, Membership))
        changes = tuple(change for change in changes if not isinstance(change.subject, Membership))
        if all(map(_is_number_only, changes)):
            self._remember(changes)
            return ()
        spoken_of = {event.value.key for event in events if isinstance(event.value, Port)}
        hints = tuple(put for key, put in self._hints.items() if key not in spoken_of)
        marks = self._store.commit((*hints, *events), turns(changes))
        self._hints.clear()
        return marks

    def released(self, snapshot: Snapshot, events: Collection[Event]) -> tuple[Event, ...]:
        """Return what can be so now that events have been kept, and waited for that."""
        return self._store.released(snapshot, events)

    def _remember(self, changes: Collection[Change]) -> None:
        if self._later is None:
            return
        if changes and not self._hints:
            self._later(HINT_SECONDS, self._write_hints)
        self._hints.update({port.key: Put(port) for _, port in changes if isinstance(port, Port)})

    def _write_hints(self) -> None:
        if self._hints:
            self._store.commit(tuple(self._hints.values()))
            self._hints.clear()


def _is_number_only(change: Change) -> bool:
    before, after = change
    return isinstance(before, Port) and isinstance(after, Port) and replace(before, ofport=after.ofport) == after
