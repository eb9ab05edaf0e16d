"""From a snapshot to each node's flows: sections, in full or only those a change touches; how two tables differ.

The full compile is the union of all sections and the oracle of the incremental one: after any sequence of changes
both give the same tables. Every flow key and every cookie on a node has one owner; where two sections want one, the
one that comes later in order of (feature, subject) is left out whole, and listed among the table's conflicts.

Sections that are the same on all nodes are made once and held once, in a table of their own that all nodes' tables lie
over. That is how a table is held and nothing else: a node on which a common section would yield to another, or another
to it, holds all it has by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

from immutables import Map

from topology import meters as metering
from topology.features import ALIKE, BY_ID, COMMON, FEATURES
from topology.features.section import SubjectKey
from topology.flow import DIGEST_MASK, SHARDS, Entry, FlowKey, Group, Meter, entries, owner_class, sentinel
from topology.groups import NO_GROUPS, GroupChanges, by_id, changes, restored
from topology.layered import Layered, LayeredSet, Persistent, Sums, over, plus, sums_over
from topology.meters import NO_METERS, MeterChanges
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

    sections: Persistent[SectionKey, tuple[Entry, ...]] = Map()
    # By flow key, by cookie, by group id, which no cookie can be, and by meter id as a number below 0.
    owners: Persistent[FlowKey | int, SectionKey] = Map()
    sums: Map[int, int] | Sums = Map()
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

    @property
    def size(self) -> int:
        """How many flows it has."""
        return sum(map(len, self.sections.values()))

    @property
    def common(self) -> FlowTable | None:
        """What it has in common with others and lies over; None if it holds everything by itself."""
        sections, owners, sums = self.sections, self.owners, self.sums
        if isinstance(sections, Layered) and isinstance(owners, Layered) and isinstance(sums, Sums):
            return FlowTable(sections.common, owners.common, sums.common)
        return None

    def over(self, common: FlowTable) -> FlowTable:
        """Return what it holds by itself over `common`, which has every section that is absent here."""
        sections, owners = over(self.sections, common.sections), over(self.owners, common.owners)
        return FlowTable(sections, owners, sums_over(self.sums, common.sums))


_NONE_READ: Final[Mapping[int, Meter]] = MappingProxyType({})
Tables: TypeAlias = Map[str, FlowTable]
Dirty: TypeAlias = dict[str, Set[SectionKey]]


class Delta(NamedTuple):
    """What one switch must be told: flows to add (an ADD replaces the flow of equal key) and cookies to delete.

    Sentinels are added only: that of a class without flows says 0, as a missing one does.
    """

    adds: tuple[Entry, ...]
    deletes: tuple[int, ...]
    groups: GroupChanges = NO_GROUPS
    meters: MeterChanges = NO_METERS

    def __bool__(self) -> bool:
        return bool(self.adds or self.deletes or self.groups or self.meters)


def shard_of(subject: SubjectKey) -> int:
    """Return the shard of a subject; subjects that stand once on a node share shard 0."""
    return crc32("\0".join(map(str, subject)).encode()) % SHARDS if subject else 0


def section(node: str, key: SectionKey, snapshot: Snapshot) -> tuple[Entry, ...]:
    """Return the flows of one section, a node's own or a common one, with their cookies."""
    common = COMMON.get(key.feature)
    subjects = () if common is None or node not in snapshot.nodes else common.common_subjects(snapshot)
    if common is None or key.subject not in {*map(tuple, subjects)}.difference(map(tuple, common.absent(node))):
        return _own_section(node, key, snapshot)
    return entries(key.feature, shard_of(key.subject), common.common_flows(key.subject, snapshot))


def _own_section(node: str, key: SectionKey, snapshot: Snapshot) -> tuple[Entry, ...]:
    flows = BY_ID[key.feature].flows(node, key.subject, snapshot)
    return entries(key.feature, shard_of(key.subject), flows)


class _Sections:
    """The sections of one snapshot; those that are the same on all nodes are made once, and on some, once for these."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._common: dict[SectionKey, tuple[Entry, ...]] = {}
        self._alike: dict[tuple[SectionKey, str], tuple[Entry, ...]] = {}

    def own(self, node: str, key: SectionKey) -> tuple[Entry, ...]:
        """Return the flows of a section that `subjects` or `touched` name."""
        feature = ALIKE.get(key.feature) if node in self.snapshot.nodes else None
        word = None if feature is None else feature.alike(node, key.subject, self.snapshot)
        if word is None:
            return _own_section(node, key, self.snapshot)
        made = self._alike.get((key, word))
        if made is None:
            made = self._alike[key, word] = _own_section(node, key, self.snapshot)
        return made

    def common(self, key: SectionKey) -> tuple[Entry, ...]:
        """Return the flows of a section that `common_subjects` or `common_touched` name."""
        made = self._common.get(key)
        if made is None:
            flows = COMMON[key.feature].common_flows(key.subject, self.snapshot)
            made = self._common[key] = entries(key.feature, shard_of(key.subject), flows)
        return made

    def own_keys(self, node: str) -> set[SectionKey]:
        """Return the keys of a node's own sections."""
        return {key for feature in FEATURES for key in _keys(feature.ID, feature.subjects(node, self.snapshot))}

    def common_keys(self) -> set[SectionKey]:
        """Return the keys of the common sections."""
        return {key for feature in COMMON.values() for key in _keys(feature.ID, feature.common_subjects(self.snapshot))}


def _keys(feature: int, subjects: Iterable[SubjectKey]) -> Iterator[SectionKey]:
    return (SectionKey(int(feature), tuple(subject)) for subject in subjects)


def _absent(node: str) -> Iterator[SectionKey]:
    """Yield the keys of the common sections that a node is without."""
    for feature in COMMON.values():
        yield from _keys(feature.ID, feature.absent(node))


class _Common:
    """What is common to all nodes in one snapshot, and which of its sections were computed anew.

    `table` is None where two common sections want one flow: which of them yields is another matter on each node.
    """

    def __init__(self, sections: _Sections, before: FlowTable | None, dirty: frozenset[SectionKey]) -> None:
        """With `before`, what was common before a change that can alter the sections in `dirty`."""
        keys = sections.common_keys() if before is None else dirty
        fresh = {key: sections.common(key) for key in sorted(keys)}
        found = before if before is not None and not fresh else _replace(_Draft(before or FlowTable()), fresh)
        self.table = None if found.conflicts else found
        self.dirty = dirty
        made = () if before is None else fresh.values()
        self._made = tuple(identity for flows in made for entry in flows for identity in identities(entry))

    @cached_property
    def keys(self) -> frozenset[SectionKey]:
        """The keys of all of it."""
        return frozenset(() if self.table is None else self.table.sections)

    def under(self, table: FlowTable) -> FlowTable | None:
        """Return a table from before over what is common now; None where that alters more than what it lies over."""
        sections, owners = table.sections, table.owners
        if self.table is None or not isinstance(sections, Layered) or not isinstance(owners, Layered):
            return None
        if not self.dirty:
            return table if sections.common is self.table.sections else None
        if not self.dirty.isdisjoint(sections.absent) or any(identity in owners.own for identity in self._made):
            return None
        return table.over(self.table)


def compile_node(node: str, snapshot: Snapshot) -> FlowTable:
    """Return everything one node must hold."""
    sections = _Sections(snapshot)
    return _compile(node, sections, _Common(sections, None, frozenset()))


def _compile(node: str, sections: _Sections, common: _Common) -> FlowTable:
    """Return everything one node must hold, over what is common where nothing of that yields or is yielded to."""
    if common.table is not None and node in sections.snapshot.nodes:
        draft = _Draft(FlowTable().over(common.table))
        for key in _absent(node):
            draft.vacate(key, keep=())
        table = _replace(draft, {key: sections.own(node, key) for key in sorted(sections.own_keys(node))})
        if not any(conflict.owner in common.table.sections for conflict in table.conflicts):
            return table
    return _compile_alone(node, sections)


def _compile_alone(node: str, sections: _Sections) -> FlowTable:
    """Return everything one node must hold, all of it held by itself."""
    found = {key: sections.own(node, key) for key in sections.own_keys(node)}
    if node in sections.snapshot.nodes:
        found |= {key: sections.common(key) for key in sections.common_keys().difference(_absent(node))}
    return _replace(_Draft(FlowTable()), {key: found[key] for key in sorted(found)})


def compile_all(snapshot: Snapshot) -> Tables:
    """Return what every node must hold: the oracle of `update`."""
    return Map(dict(compile_each(snapshot)))


def compile_each(snapshot: Snapshot) -> Iterator[tuple[str, FlowTable]]:
    """Yield what every node must hold, node after node: with many, others may want to do something in between."""
    sections = _Sections(snapshot)
    common = _Common(sections, None, frozenset())
    for node in snapshot.nodes:
        yield node, _compile(node, sections, common)


def touched(
    changes: Iterable[Change], before: Snapshot, after: Snapshot
) -> tuple[dict[str, set[SectionKey]], frozenset[SectionKey]]:
    """Return the sections that the changes from one snapshot to the next can alter: nodes' own, and common ones."""
    own: dict[str, set[SectionKey]] = {}
    common: set[SectionKey] = set()
    for change in changes:
        for snapshot in (before, after):
            for feature in FEATURES:
                for node, subject in feature.touched(change, snapshot):
                    own.setdefault(node, set()).add(SectionKey(int(feature.ID), tuple(subject)))
            for each in COMMON.values():
                for subject in each.common_touched(change, snapshot):
                    common.add(SectionKey(int(each.ID), tuple(subject)))
    return own, frozenset(common)


def update(tables: Tables, changes: Collection[Change], before: Snapshot, after: Snapshot) -> tuple[Tables, Dirty]:
    """Return the tables after the changes, and the sections that were computed anew, by node.

    Nodes that exist no more have no table; a node with conflicts is compiled in full, for which of two
    sections yields is decided by their order and not by which came first. So is one with faults, which may be gone.
    """
    own, alike = touched(changes, before, after)
    nodes = [*after.nodes] if alike else [node for node in own if node in after.nodes]
    dirty: Dirty = {}
    draft = tables.mutate()
    if nodes:
        sections = _Sections(after)
        common = _Common(sections, _common_of(tables), alike)
        for node in nodes:
            old = tables.get(node, FlowTable())
            draft[node], dirty[node] = _follow(node, old, own.get(node, set()), sections, common)
    for change in changes:
        node = change.before.name if isinstance(change.before, Node) else ""
        if node in draft and node not in after.nodes:
            del draft[node]
    return draft.finish(), dirty


def _common_of(tables: Tables) -> FlowTable | None:
    """Return what tables have in common; None if each holds everything by itself."""
    return next((common for table in tables.values() if (common := table.common) is not None), None)


def _follow(
    node: str, old: FlowTable, keys: Set[SectionKey], sections: _Sections, common: _Common
) -> tuple[FlowTable, Set[SectionKey]]:
    """Return a node's table after a change that can alter its own sections `keys`, and where it may differ."""
    new = None if old.conflicts or old.faults else common.under(old)
    if new is not None and keys:
        new = _replace(_Draft(new), {key: sections.own(node, key) for key in sorted(keys)})
    if new is not None and not new.conflicts:
        return new, LayeredSet(keys, common.dirty) if common.dirty else keys
    new = _compile(node, sections, common)
    return new, _differing(old, new, keys, common)


def _differing(old: FlowTable, new: FlowTable, keys: Set[SectionKey], common: _Common) -> Set[SectionKey]:
    """Return the sections in which a table compiled in full may differ from the one before, `keys` included."""
    was, now = old.sections, new.sections
    if isinstance(was, Layered) and isinstance(now, Layered):
        return LayeredSet({*keys, *was.own, *now.own, *was.absent, *now.absent}, common.dirty)
    if isinstance(now, Layered) and not was:
        return LayeredSet({*keys, *now.own}, common.keys)
    return {*keys, *was, *now}


def leave_out(table: FlowTable, faults: tuple[Fault, ...]) -> FlowTable:
    """Return a table without the sections at fault: what they are for fails closed, and everything else stays."""
    draft = _Draft(table)
    for fault in faults:
        if fault.left_out is not None:
            draft.vacate(fault.left_out, keep=())
    return replace(draft.finish(), conflicts=table.conflicts, faults=faults)


def _replace(draft: _Draft, fresh: Mapping[SectionKey, tuple[Entry, ...]]) -> FlowTable:
    """Return a table in which sections hold what is `fresh`, in that order."""
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
    meters = metering.changes(metering.by_id(gone), metering.by_id(adds))
    return Delta((*adds, *sentinels), deletes, changes(by_id(gone), by_id(adds)), meters)


def unlike(table: FlowTable, sums: Mapping[int, int]) -> frozenset[int]:
    """Return the owner classes in which a switch whose sentinels say `sums` differs from `table`."""
    owners = {*table.sums, *sums}
    return frozenset(owner for owner in owners if table.sums.get(owner, 0) != sums.get(owner, 0))


def reconcile(
    table: FlowTable,
    installed: Set[int],
    owners: Set[int] | None = None,
    groups: Mapping[int, Group] | None = None,
    meters: Mapping[int, Meter] = _NONE_READ,
) -> Delta:
    """Return what brings a switch to `table`, given the cookies `installed` on it, sentinels' left out.

    Only classes in `owners` are looked at (None: all), and `installed` holds the cookies of those. A flow that is
    both unknown and in the way of one of ours goes by the ADD; its deletion by cookie then finds nothing.
    `groups` are those that were read there, by id; None where they were not: then a group is as the flow it is for.
    `meters` are those that were read there; whatever classes are looked at, these are all.
    """
    wanted = {entry.cookie: entry for entry in table.entries() if owners is None or owner_class(entry.cookie) in owners}
    adds = tuple(entry for cookie, entry in wanted.items() if cookie not in installed)
    deletes = tuple(sorted(cookie for cookie in installed if cookie not in wanted))
    scope = {*table.sums} | {owner_class(cookie) for cookie in installed} if owners is None else owners
    sentinels = (sentinel(owner, table.sums.get(owner, 0)) for owner in sorted(scope))
    limits = metering.changes(meters, metering.by_id(table.entries()))
    if groups is None:
        return Delta((*adds, *sentinels), deletes, changes({}, by_id(adds)), limits)
    return Delta((*adds, *sentinels), deletes, restored(by_id(table.entries()), groups), limits)


class _Draft:
    """A table being changed: persistent maps under mutation, for the length of one compile."""

    def __init__(self, table: FlowTable) -> None:
        self._sections = table.sections.mutate()
        self._owners = table.owners.mutate()
        self._sums = table.sums
        self._growth: dict[int, int] = {}
        self._conflicts: list[Conflict] = []

    def vacate(self, key: SectionKey, keep: tuple[Entry, ...]) -> None:
        """Give up what a section holds, unless it stays exactly as it is."""
        held = self._sections.get(key, ())
        if not held or held == keep:
            return
        for entry in held:
            for identity in identities(entry):
                del self._owners[identity]
            self._add(entry.cookie, -1)
        del self._sections[key]

    def replace(self, key: SectionKey, fresh: tuple[Entry, ...]) -> None:
        """Let a section hold `fresh`, or nothing when another section owns a key or a cookie of it."""
        if self._sections.get(key, ()) == fresh:
            return
        self.vacate(key, fresh)
        for position, entry in enumerate(fresh):
            for identity in identities(entry):
                owner = self._owners.get(identity)
                if owner is not None:
                    self._conflicts.append(Conflict(key, owner, entry.flow.key))
                    self._withdraw(fresh[:position])
                    return
            for identity in identities(entry):
                self._owners[identity] = key
        for entry in fresh:
            self._add(entry.cookie, 1)
        if fresh:
            self._sections[key] = fresh

    def finish(self) -> FlowTable:
        """Return the table as it is now."""
        sums = plus(self._sums, self._growth)
        return FlowTable(self._sections.finish(), self._owners.finish(), sums, tuple(self._conflicts))

    def _withdraw(self, taken: tuple[Entry, ...]) -> None:
        for entry in taken:
            for identity in identities(entry):
                del self._owners[identity]

    def _add(self, cookie: int, sign: int) -> None:
        # Every stored sum is of at least one flow; an empty class has none. Digests are not 0 mod 2**48 in sum
        # often enough to matter, and a sentinel that is missing only costs one read of that class.
        owner = owner_class(cookie)
        self._growth[owner] = self._growth.get(owner, 0) + sign * (cookie & DIGEST_MASK)


def identities(entry: Entry) -> tuple[FlowKey | int, ...]:
    """Return what nobody else may have on a switch: the flow's key, its cookie, the ids of its groups and meters."""
    return (entry.flow.key, entry.cookie, *entry.flow.numbers)
