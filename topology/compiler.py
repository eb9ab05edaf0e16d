"""From a snapshot to each node's flows: sections, in full or only those a change touches; how two tables differ.

The full compile is the union of all sections and the oracle of the incremental one: after any sequence of changes
both give the same tables. Every flow key and every cookie on a node has one owner; where two sections want one, the
one that comes later in order of (feature, subject) is left out whole, and listed among the table's conflicts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias
from zlib import crc32

from immutables import Map

from topology.features import BY_ID, COMMON, FEATURES
from topology.features.section import SubjectKey
from topology.flow import DIGEST_MASK, SHARDS, Entry, FlowKey, entries, owner_class, sentinel
from topology.model import Node
from topology.snapshot import Change, Snapshot


class SectionKey(NamedTuple):
    """A section within one node's table; keys of one feature can be ordered."""

    feature: int
    subject: SubjectKey


class Conflict(NamedTuple):
    """A section that was left out because another owns what it wants."""

    left_out: SectionKey
    owner: SectionKey
    key: FlowKey


class Fault(NamedTuple):
    """What the verifier found wrong on a node; the section at fault, if there is one, was left out."""

    left_out: SectionKey | None
    said: str


@dataclass(frozen=True, slots=True)
class FlowTable:
    """What one switch must hold. `sums` has the sum of the cookies' digests per feature and shard (owner class)."""

    sections: Map[SectionKey, tuple[Entry, ...]] = Map()
    owners: Map[FlowKey | int, SectionKey] = Map()  # by flow key, and by cookie
    sums: Map[int, int] = Map()
    conflicts: tuple[Conflict, ...] = ()
    faults: tuple[Fault, ...] = ()

    def entries(self) -> Iterator[Entry]:
        """Return all flows, sentinels left out."""
        for section in self.sections.values():
            yield from section

    def sentinels(self) -> Iterator[Entry]:
        """Return the sentinel of every feature and shard that has flows."""
        for owner, total in self.sums.items():
            yield sentinel(owner, total)


Tables: TypeAlias = Map[str, FlowTable]
Dirty: TypeAlias = dict[str, set[SectionKey]]


class Delta(NamedTuple):
    """What one switch must be told: flows to add (an ADD replaces the flow of equal key) and cookies to delete.

    Sentinels are added only: that of a class without flows says 0, as a missing one does.
    """

    adds: tuple[Entry, ...]
    deletes: tuple[int, ...]

    def __bool__(self) -> bool:
        return bool(self.adds or self.deletes)


def shard_of(subject: SubjectKey) -> int:
    """Return the shard of a subject; subjects that stand once on a node share shard 0."""
    return crc32("\0".join(map(str, subject)).encode()) % SHARDS if subject else 0


def section(node: str, key: SectionKey, snapshot: Snapshot) -> tuple[Entry, ...]:
    """Return the flows of one section, with their cookies."""
    flows = BY_ID[key.feature].flows(node, key.subject, snapshot)
    return entries(key.feature, shard_of(key.subject), flows)


class _Sections:
    """The sections of one snapshot; those that are the same on all nodes are made once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._common: dict[SectionKey, tuple[Entry, ...] | None] = {}

    def of(self, node: str, key: SectionKey) -> tuple[Entry, ...]:
        """Return the flows of a section that `subjects` or `touched` name."""
        common = COMMON.get(key.feature)
        if common is None:
            return section(node, key, self.snapshot)
        if key not in self._common:
            flows = common(key.subject, self.snapshot)
            made = None if flows is None else entries(key.feature, shard_of(key.subject), flows)
            self._common[key] = made
        found = self._common[key]
        return section(node, key, self.snapshot) if found is None else found


def compile_node(node: str, snapshot: Snapshot) -> FlowTable:
    """Return everything one node must hold."""
    return _compile(node, _Sections(snapshot))


def _compile(node: str, sections: _Sections) -> FlowTable:
    draft = _Draft(FlowTable())
    for feature in FEATURES:
        subjects = feature.subjects(node, sections.snapshot)
        keys = {SectionKey(int(feature.ID), tuple(subject)) for subject in subjects}
        for key in sorted(keys):
            draft.replace(key, sections.of(node, key))
    return draft.finish()


def compile_all(snapshot: Snapshot) -> Tables:
    """Return what every node must hold: the oracle of `update`."""
    sections = _Sections(snapshot)
    return Map({node: _compile(node, sections) for node in snapshot.nodes})


def touched(changes: Iterable[Change], before: Snapshot, after: Snapshot) -> Dirty:
    """Return the sections, by node, that the changes from one snapshot to the next can alter."""
    dirty: Dirty = {}
    for change in changes:
        for feature in FEATURES:
            for snapshot in (before, after):
                for node, subject in feature.touched(change, snapshot):
                    dirty.setdefault(node, set()).add(SectionKey(int(feature.ID), tuple(subject)))
    return dirty


def update(tables: Tables, changes: Collection[Change], before: Snapshot, after: Snapshot) -> tuple[Tables, Dirty]:
    """Return the tables after the changes, and the sections that were computed anew, by node.

    Nodes that exist no more have no table; a node with conflicts is compiled in full, for which of two
    sections yields is decided by their order and not by which came first. So is one with faults, which may be gone.
    """
    dirty = touched(changes, before, after)
    sections = _Sections(after)
    for node, keys in dirty.items():
        if node not in after.nodes:
            continue
        old = tables.get(node, FlowTable())
        new = _recompute(node, old, keys, sections)
        if new.conflicts or old.conflicts or old.faults:
            new = _compile(node, sections)
            keys |= {*old.sections, *new.sections}
        tables = tables.set(node, new)
    for change in changes:
        node = change.before.name if isinstance(change.before, Node) else ""
        if node in tables and node not in after.nodes:
            tables = tables.delete(node)
    return tables, {node: keys for node, keys in dirty.items() if node in after.nodes}


def leave_out(table: FlowTable, faults: tuple[Fault, ...]) -> FlowTable:
    """Return a table without the sections at fault: what they are for fails closed, and everything else stays."""
    draft = _Draft(table)
    for fault in faults:
        if fault.left_out is not None:
            draft.vacate(fault.left_out, keep=())
    return replace(draft.finish(), conflicts=table.conflicts, faults=faults)


def _recompute(node: str, table: FlowTable, keys: Iterable[SectionKey], sections: _Sections) -> FlowTable:
    draft = _Draft(table)
    fresh = {key: sections.of(node, key) for key in sorted(keys)}
    # What goes makes room first: a key may pass from one subject to another in one change.
    for key, new in fresh.items():
        draft.vacate(key, keep=new)
    for key, new in fresh.items():
        draft.replace(key, new)
    return draft.finish()


def diff(old: FlowTable, new: FlowTable, dirty: Iterable[SectionKey] | None = None) -> Delta:
    """Return what turns `old` into `new`, sentinels included; only sections in `dirty` can differ (None: any can)."""
    keys = {*old.sections, *new.sections} if dirty is None else set(dirty)
    adds: list[Entry] = []
    gone: list[Entry] = []
    for key in sorted(keys):
        before, after = old.sections.get(key, ()), new.sections.get(key, ())
        if before == after:
            continue
        known = {entry.cookie for entry in before}
        kept = {entry.cookie for entry in after}
        adds.extend(entry for entry in after if entry.cookie not in known)
        gone.extend(entry for entry in before if entry.cookie not in kept)
    # An ADD replaces the flow of equal key, cookie and all; deleting that cookie would find nothing.
    deletes = tuple(entry.cookie for entry in gone if entry.flow.key not in new.owners)
    owners = {owner_class(entry.cookie) for entry in (*adds, *gone)}
    sentinels = (sentinel(owner, new.sums.get(owner, 0)) for owner in sorted(owners))
    return Delta((*adds, *sentinels), deletes)


def unlike(table: FlowTable, sums: Mapping[int, int]) -> frozenset[int]:
    """Return the owner classes in which a switch whose sentinels say `sums` differs from `table`."""
    owners = {*table.sums, *sums}
    return frozenset(owner for owner in owners if table.sums.get(owner, 0) != sums.get(owner, 0))


def reconcile(table: FlowTable, installed: Set[int], owners: Set[int] | None = None) -> Delta:
    """Return what brings a switch to `table`, given the cookies `installed` on it, sentinels' left out.

    Only classes in `owners` are looked at (None: all), and `installed` holds the cookies of those. A flow that is
    both unknown and in the way of one of ours goes by the ADD; its deletion by cookie then finds nothing.
    """
    wanted = {entry.cookie: entry for entry in table.entries() if owners is None or owner_class(entry.cookie) in owners}
    adds = tuple(entry for cookie, entry in wanted.items() if cookie not in installed)
    deletes = tuple(sorted(cookie for cookie in installed if cookie not in wanted))
    scope = {*table.sums} | {owner_class(cookie) for cookie in installed} if owners is None else owners
    sentinels = (sentinel(owner, table.sums.get(owner, 0)) for owner in sorted(scope))
    return Delta((*adds, *sentinels), deletes)


class _Draft:
    """A table being changed: persistent maps under mutation, for the length of one compile."""

    def __init__(self, table: FlowTable) -> None:
        self._sections = table.sections.mutate()
        self._owners = table.owners.mutate()
        self._sums = table.sums.mutate()
        self._conflicts: list[Conflict] = []

    def vacate(self, key: SectionKey, keep: tuple[Entry, ...]) -> None:
        """Give up what a section holds, unless it stays exactly as it is."""
        held = self._sections.get(key, ())
        if not held or held == keep:
            return
        for entry in held:
            del self._owners[entry.flow.key]
            del self._owners[entry.cookie]
            self._add(entry.cookie, -1)
        del self._sections[key]

    def replace(self, key: SectionKey, fresh: tuple[Entry, ...]) -> None:
        """Let a section hold `fresh`, or nothing when another section owns a key or a cookie of it."""
        if self._sections.get(key, ()) == fresh:
            return
        self.vacate(key, fresh)
        for position, entry in enumerate(fresh):
            for identity in (entry.flow.key, entry.cookie):
                owner = self._owners.get(identity)
                if owner is not None:
                    self._conflicts.append(Conflict(key, owner, entry.flow.key))
                    self._withdraw(fresh[:position])
                    return
            self._owners[entry.flow.key] = key
            self._owners[entry.cookie] = key
        for entry in fresh:
            self._add(entry.cookie, 1)
        if fresh:
            self._sections[key] = fresh

    def finish(self) -> FlowTable:
        """Return the table as it is now."""
        return FlowTable(self._sections.finish(), self._owners.finish(), self._sums.finish(), tuple(self._conflicts))

    def _withdraw(self, taken: tuple[Entry, ...]) -> None:
        for entry in taken:
            del self._owners[entry.flow.key]
            del self._owners[entry.cookie]

    def _add(self, cookie: int, sign: int) -> None:
        owner = owner_class(cookie)
        # Every stored sum is of at least one flow; an empty class has none. Digests are not 0 mod 2**48 in sum
        # often enough to matter, and a sentinel that is missing only costs one read of that class.
        total = (self._sums.get(owner, 0) + sign * (cookie & DIGEST_MASK)) & DIGEST_MASK
        if total:
            self._sums[owner] = total
        else:
            self._sums.pop(owner, None)
