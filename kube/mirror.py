"""What our objects in the API say, and the events by which a snapshot comes to say the same.

Each kind of object is watched by itself, so objects come in any order: one that names what is not there yet waits for
it, one that is named still stays until it is not, and one that claims what another has waits too, and says why
(`refusals`). Whatever the order, the same objects lead to the same snapshot.

What this replica has written itself comes back by the watch, late, and maybe after it wrote the next version: what is
older than what was seen or written last is passed over. Resource versions are compared as numbers (KEP-5504).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from kube.references import Reference, conflict, missing, possible, present, reference, still_named
from topology.model import Port, Subject
from topology.snapshot import Event, Put, Remove, Snapshot, apply


class Name(NamedTuple):
    """What identifies an object of the API: the plural of its kind, and its name (namespace/name, if it has one)."""

    plural: str
    name: str


class Version(NamedTuple):
    """An object as it was at a resource version: the objects of the network that it stands for; none when deleted."""

    name: Name
    resource_version: int
    values: tuple[Subject, ...]
    deleted: bool = False


class Mirror:
    """Knows what every object says. It is used by one thread: the one that owns the snapshot."""

    def __init__(self) -> None:
        self._versions: dict[Name, Version] = {}
        self._said: dict[Reference, tuple[Name, Subject]] = {}
        self._waiting: dict[Reference, Reference | None] = {}  # for what; None: until another has let go
        self._awaited: dict[Reference, dict[Reference, None]] = {}
        self._contending: dict[Reference, None] = {}  # of those that wait, the ones for which another has to let go
        self._leaving: dict[Reference, Subject] = {}
        self.refusals: dict[Name, str] = {}

    def version(self, name: Name) -> Version | None:
        """Return an object as it was seen or written last."""
        return self._versions.get(name)

    def names(self, plural: str) -> Iterable[str]:
        """Return the names of the objects of a kind that are there."""
        return [name.name for name, version in self._versions.items() if name.plural == plural and not version.deleted]

    def observe(self, snapshot: Snapshot, versions: Iterable[Version]) -> tuple[Event, ...]:
        """Take in what was seen; return the events that a snapshot lacks."""
        touched: dict[Reference, None] = {}
        for version in versions:
            if not self._is_old(version):
                touched.update(dict.fromkeys(self._take_in(version)))
                if version.deleted:  # nothing older can come any more
                    del self._versions[version.name]
        return self._events(snapshot, touched)

    def wrote(self, versions: Iterable[Version]) -> None:
        """Take in what this replica has written; the snapshot says so already."""
        for version in versions:
            for each in self._take_in(version):
                self._rest(each)
                self._leaving.pop(each, None)

    def settle(self, snapshot: Snapshot, happened: Iterable[Event]) -> tuple[Event, ...]:
        """Return the events that can happen now, after `happened`, by which this replica has changed the snapshot."""
        return self._events(snapshot, dict.fromkeys(self._released(happened)))

    def _is_old(self, version: Version) -> bool:
        known = self._versions.get(version.name)
        return known is not None and version.resource_version <= known.resource_version

    def _take_in(self, version: Version) -> list[Reference]:
        """Remember a version; return the objects of the network that it is about, or was."""
        before = self._versions.get(version.name)
        self._versions[version.name] = version
        if not version.values:
            self.refusals.pop(version.name, None)
        now = {reference(value): value for value in version.values}
        gone = {} if before is None else {reference(value): value for value in before.values}
        changed = [each for each, value in now.items() if gone.get(each) != value]
        for each, value in now.items():
            self._said[each] = (version.name, value)
        for each, value in gone.items():
            if each not in now and self._said.get(each, (None,))[0] == version.name:
                del self._said[each]
                self._leaving[each] = value
                changed.append(each)
        return changed

    def _events(self, snapshot: Snapshot, touched: Mapping[Reference, None]) -> tuple[Event, ...]:
        """Return what can happen, and what can then: each event may be what others have waited for."""
        events: list[Event] = []
        work: Iterable[Reference] = touched
        while work:
            happened: list[Event] = []
            for each in (*work, *self._leaving):
                event = self._event(snapshot, each)
                if event is not None:
                    snapshot, changes = apply(snapshot, event)
                    happened.extend((event,) if changes else ())
            events.extend(happened)
            work = self._released(happened)
        return tuple(events)

    def _released(self, happened: Iterable[Event]) -> list[Reference]:
        """Return what may have waited for events: what names the object, or claimed the same."""
        found: dict[Reference, None] = {}
        for event in happened:
            found.update(self._awaited.get(reference(event.value), {}))
            found.update(self._contending)
            found.update(dict.fromkeys(self._leaving))
        return list(found)

    def _event(self, snapshot: Snapshot, each: Reference) -> Event | None:
        """Return what has to happen about one object, if it can happen now."""
        said = self._said.get(each)
        if said is None:
            self._rest(each)
            return self._removal(snapshot, each)
        self._leaving.pop(each, None)
        name, value = said
        lacking = missing(snapshot, value)
        fault = None if lacking is not None else conflict(snapshot, value)
        if lacking is not None or fault is not None:
            self._wait(each, lacking)
            self.refusals[name] = (
                fault or f'{lacking.kind if lacking else ""} "{lacking.key if lacking else ""}" is missing'
            )
            return None
        self._rest(each)
        self.refusals.pop(name, None)
        value, left_out = possible(snapshot, value)
        if left_out is not None:
            self.refusals[name] = left_out
        return Put(_with_number(snapshot, value))

    def _removal(self, snapshot: Snapshot, each: Reference) -> Event | None:
        value = self._leaving.get(each)
        there = None if value is None else present(snapshot, value)
        if there is not None and still_named(snapshot, there):
            return None
        self._leaving.pop(each, None)
        return None if there is None else Remove(there)

    def _wait(self, each: Reference, awaited: Reference | None) -> None:
        self._rest(each)
        self._waiting[each] = awaited
        if awaited is None:
            self._contending[each] = None
        else:
            self._awaited.setdefault(awaited, {})[each] = None

    def _rest(self, each: Reference) -> None:
        awaited = self._waiting.pop(each, None)
        self._contending.pop(each, None)
        if awaited is not None:
            waiters = self._awaited.get(awaited, {})
            waiters.pop(each, None)
            if not waiters:
                self._awaited.pop(awaited, None)


def _with_number(snapshot: Snapshot, value: Subject) -> Subject:
    """Return a port with the number that this replica's connection to the switch told; what is kept is only a hint."""
    if not isinstance(value, Port):
        return value
    known = snapshot.ports.get(value.key)
    if known is not None:
        return replace(value, ofport=known.ofport)
    taken = value.ofport is not None and (value.node, value.ofport) in snapshot.port_by_ofport
    return replace(value, ofport=None) if taken else value
