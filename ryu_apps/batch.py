"""A batch of requests on its way: what it makes of the network and of the flows. Nothing is stored or sent here."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from eventlet.event import Event as GreenEvent

from rest.control import Published
from ryu_apps.gate import updated
from store.base import Mark
from topology.compiler import FlowTable, SectionKey, Tables
from topology.requests import Refused, Request
from topology.snapshot import Change, Event, Snapshot, apply_all


class Submission(NamedTuple):
    """A request on its way, and where its result is awaited."""

    request: Request
    reply: GreenEvent


@dataclass(slots=True)
class Batch:
    """A batch being worked out: nothing of it is visible before it is stored."""

    snapshot: Snapshot
    events: list[Event] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    accepted: list[Submission] = field(default_factory=list)
    marks: tuple[Mark, ...] = ()
    # Answered with the others: if the batch fails, its requests are tried one by one, these among them.
    refused: list[tuple[Submission, Refused]] = field(default_factory=list)

    def apply(self, events: tuple[Event, ...]) -> None:
        """Let events happen after those that it has."""
        self.snapshot, changes = apply_all(self.snapshot, events)
        self.events.extend(events)
        self.changes.extend(changes)


class Outcome(NamedTuple):
    """A batch worked out."""

    tables: Tables
    changed: dict[str, Set[SectionKey]]  # nodes whose flows differ, and the sections computed anew


def worked_out(batch: Batch, published: Published, *, decided_here: bool = True) -> Outcome:
    """Return the flows after a batch. Refused where they would not be sound and that was `decided_here`."""
    requests = (submission.request for submission in batch.accepted) if decided_here else None
    tables, dirty = updated(published, batch.changes, batch.snapshot, requests)
    changed = {
        node: keys
        for node, keys in dirty.items()
        if node in published.tables and _differ(published.tables[node], tables[node], keys)
    }
    return Outcome(tables, changed)


def _differ(old: FlowTable, new: FlowTable, keys: Iterable[SectionKey]) -> bool:
    return any(old.sections.get(key) != new.sections.get(key) for key in keys)
