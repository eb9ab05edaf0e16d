"""What many tables lie over is asked once: what of it holds on which nodes, and what each node has to be asked itself.

Nothing is taken for granted here that a node would be asked. What all nodes have in common is left out with a node only
where claims say for each flow on which nodes it holds; whatever they do not say, each node is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias, TypeVar

from immutables import Map

from topology.compiler import FlowTable, SectionKey
from topology.flow import Entry, Flow, FlowKey
from topology.layered import Layered, LayeredSet
from topology.model import ServiceKey
from topology.verification.claim import EVERYWHERE, UNSAID, About, Claim
from topology.verification.lazily import lazily
from topology.verification.registry import BY_PLACE, CLAIMS
from topology.verification.world import Focus, View, World

K = TypeVar("K")
FORMLESS: Final = (IndexError, KeyError, TypeError, ValueError)
Sections: TypeAlias = Map[SectionKey, tuple[Entry, ...]]
_OF_PEERS: Final = tuple(claim for claim in CLAIMS if claim.about is About.PEERS)
_OF_SERVICES: Final = tuple(claim for claim in CLAIMS if claim.about is About.SERVICES)


def _spread(world: World, flow: Flow) -> str | None:
    """Return the node besides which a flow holds everywhere, None if it holds nowhere, or UNSAID."""
    claim = BY_PLACE.get((flow.table, flow.priority))
    if claim is None:
        return None
    if claim.spread is None:
        return UNSAID
    try:
        return claim.spread(world, flow.match, flow.content)  # type: ignore[arg-type]
    except FORMLESS:
        return None


class _Asked:
    """Sections by who has to be asked about them: each node, or one by its name."""

    def __init__(self) -> None:
        self._each: list[SectionKey] = []
        self._one: dict[str, list[SectionKey]] = {}

    def add(self, section: SectionKey, spreads: Collection[str | None]) -> bool:
        """Take in a section by the spreads of its flows; return whether only some nodes have to be asked about it."""
        if None in spreads or UNSAID in spreads:
            self._each.append(section)
            return False
        for name in spreads:
            if name is not None and name != EVERYWHERE:
                self._one.setdefault(name, []).append(section)
        return True

    def on(self, node: str) -> set[SectionKey]:
        """Return the sections that a node has to be asked about."""
        return {*self._each, *self._one.get(node, ())}


# --- the whole -----------------------------------------------------------------------------------


class Tally(NamedTuple):
    """Of flows: how many stand in each (table, priority), the sums of their cookies by class, how many they are, and
    their groups and meters.
    """

    counts: Mapping[tuple[int, int], int]
    sums: Mapping[int, int]
    flows: int
    groups: int


_NOTHING: Final = Tally({}, {}, 0, 0)


class Rest(NamedTuple):
    """What has to be asked on one node still: its own sections and some common ones; what holds without that.

    `is_one` says that what is its own and what is common do not get in each other's way.
    """

    sections: Iterable[tuple[SectionKey, tuple[Entry, ...]]]
    settled: Tally
    is_one: bool


class Shared:
    """What was found out about sections that several tables lie over."""

    def __init__(self, world: World, sections: Sections) -> None:
        self._sections = sections
        self._asked = _Asked()
        settled = (
            (key, entries) for key, entries in sections.items() if self._asked.add(key, _spreads(world, entries))
        )
        self._settled = dict(settled)
        self._tally = _tally(self._settled.values())
        self._places = {entry.flow[:2] for entries in sections.values() for entry in entries}
        self._classes = {entry.cookie >> 48 for entries in sections.values() for entry in entries}

    def rest(self, node: str, table: FlowTable) -> Rest:
        """Return what has to be asked about a table that lies over these sections, on its node."""
        sections, owners = table.sections, table.owners
        if not isinstance(sections, Layered) or not isinstance(owners, Layered) or not _is_layered(sections):
            return Rest(sections.items(), _NOTHING, is_one=False)
        asked = self._asked.on(node)
        apart = _tally(self._settled.get(key, ()) for key in {*sections.absent, *asked})
        again = [(key, self._sections[key]) for key in asked if key not in sections.absent]
        is_one = all(key in owners.common for key in owners.absent) and not self._meets(sections.own, owners)
        return Rest((*sections.own.items(), *again), _less(self._tally, apart), is_one)

    def _meets(self, own: Sections, owners: Layered[FlowKey | int, SectionKey]) -> bool:
        """Whether a key, cookie or group of a node's own flows is that of a common one."""
        common, absent = owners.common, owners.absent
        for entries in own.values():
            of_class = entries if entries and entries[0].cookie >> 48 in self._classes else ()
            keys = (entry.flow.key for entry in entries if entry.flow[:2] in self._places)
            cookies = (entry.cookie for entry in of_class)
            groups = (number for entry in entries for number in entry.flow.numbers)
            if any(each in common and each not in absent for each in (*keys, *cookies, *groups)):
                return True
        return False


class Known:
    """What was found out about the common parts of tables in one world: most often they have one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._found: dict[int, tuple[Sections, Shared]] = {}

    def rest(self, node: str, table: FlowTable) -> Rest:
        """Return what has to be asked about a table, on its node."""
        sections = table.sections
        if not isinstance(sections, Layered):
            return Rest(sections.items(), _NOTHING, is_one=True)
        found = self._found.get(id(sections.common))
        if found is None:
            found = self._found[id(sections.common)] = (sections.common, Shared(self._world, sections.common))
        return found[1].rest(node, table)


def _spreads(world: World, entries: tuple[Entry, ...]) -> Collection[str | None]:
    """Return the spreads of a section's flows; one whose cookies are of several classes holds nowhere."""
    spreads = {_spread(world, entry.flow) for entry in entries}
    return spreads if len({entry.cookie >> 48 for entry in entries}) == 1 else {None}


def _tally(sections: Iterable[tuple[Entry, ...]]) -> Tally:
    counts: dict[tuple[int, int], int] = {}
    sums: dict[int, int] = {}
    flows = groups = 0
    for entries in sections:
        flows += len(entries)
        for cookie, flow in entries:
            place, owner = flow[:2], cookie >> 48
            counts[place] = counts.get(place, 0) + 1
            sums[owner] = sums.get(owner, 0) + cookie
            groups += len(flow.groups) + len(flow.meters)
    return Tally(counts, sums, flows, groups)


def _less(all_: Tally, some: Tally) -> Tally:
    counts = {**all_.counts, **{place: all_.counts[place] - many for place, many in some.counts.items()}}
    sums = {**all_.sums, **{owner: all_.sums[owner] - total for owner, total in some.sums.items()}}
    return Tally(counts, sums, all_.flows - some.flows, all_.groups - some.groups)


def _is_layered(sections: Layered[SectionKey, tuple[Entry, ...]]) -> bool:
    """Whether each key stands there once, and what is absent can be subtracted."""
    own, common, absent = sections.own, sections.common, sections.absent
    return all(key in common for key in absent) and not any(key in common and key not in absent for key in own)


# --- a change ------------------------------------------------------------------------------------


class Difference:
    """What a change of what nodes have in common makes necessary to ask on one of them: sections, peers and services.

    Of the common sections that it altered, those that need not hold there, or may have been needed; of the peers and
    services that it concerns, those whose flows need not be there, or not as they should be.
    """

    def __init__(self, before: World, after: World, was: Sections, now: FlowTable, dirty: Set[SectionKey]) -> None:
        self._before, self._after = before, after
        self._was, self._now, self._dirty = was, now, dirty
        self._there: dict[str | ServiceKey, bool] = {}
        self._by_key: dict[FlowKey | int, set[str | ServiceKey]] = {}
        self._sound: dict[SectionKey, bool] = {}

    @lazily
    def _asked(self) -> _Asked:
        asked = _Asked()
        for key in self._dirty:
            asked.add(key, self._spreads(key))
        return asked

    @lazily
    def _made(self) -> dict[FlowKey | int, SectionKey]:
        """The common flows that were made anew, by key."""
        return {entry.flow.key: section for section in self._dirty for entry in self._now.sections.get(section, ())}

    def _spreads(self, key: SectionKey) -> set[str | None]:
        """Return where a section's flows hold; of those that are gone, whether they are needed no more."""
        fresh, past = self._now.sections.get(key, ()), self._was.get(key, ())
        spreads = {_spread(self._after, entry.flow) for entry in fresh}
        for entry in past if past != fresh else ():
            owner = self._now.owners.get(entry.flow.key)
            needed = owner is None and _spread(self._after, entry.flow) is not None
            if needed or owner not in (None, key):
                spreads.add(UNSAID)
        return spreads

    def sections(
        self, node: str, old: FlowTable, new: FlowTable, dirty: Collection[SectionKey]
    ) -> Collection[SectionKey]:
        """Return the sections in `dirty` that have to be asked about on a node."""
        if not isinstance(dirty, LayeredSet):
            return dirty
        asked = {*dirty.own, *self._asked.on(node)}
        for sections in (old.sections, new.sections):
            if isinstance(sections, Layered):
                asked.update(key for key in sections.absent if key in self._dirty)
                asked.update(_both(sections.own, self._dirty))
        if isinstance(new.owners, Layered):  # what is common now must not be there as a node's own besides
            asked.update(self._made[key] for key in _both(new.owners.own, self._made))
        return asked

    def focus(self, view: View, was: View, table: FlowTable) -> Focus:
        """Return the focus of a node without the peers and services for which it is known to have what it owes."""
        focus, owners = view.focus, table.owners
        if not isinstance(owners, Layered):
            return focus
        nodes = {name for name in focus.nodes if name == view.node or not self._is_there(name, view, was)}
        services = {key for key in focus.services if self._is_local(key) or not self._is_there(key, view, was)}
        for key in owners.absent:
            again = self._by_key.get(key, set())
            nodes.update(each for each in focus.nodes if each in again)
            services.update(each for each in focus.services if each in again)
        return replace(focus, nodes=nodes, services=services)

    def _is_local(self, key: ServiceKey) -> bool:
        """Whether nodes owe each something else for a service, now or before."""
        found = ((world, world.snapshot.services.get(key)) for world in (self._before, self._after))
        return any(of is not None and (of.external_local or world.balances.differ(of)) for world, of in found)

    def _is_there(self, part: str | ServiceKey, view: View, was: View) -> bool:
        """Whether all that other nodes owe for a peer or a service is common to them, as it is what they owed before.

        What they owe no more for a service was common, and is not: what is any node's own had no place for it.
        """
        found = self._there.get(part)
        if found is None:
            claims = _OF_SERVICES if isinstance(part, ServiceKey) else _OF_PEERS
            if any(claim.spread is None for claim in claims):
                found = False
            else:
                now, past = (_keys(claims, part, each) for each in (view, was))
                for key in now:
                    self._by_key.setdefault(key, set()).add(part)
                gone = past - now
                if isinstance(part, ServiceKey):
                    gone = {key for key in gone if key in self._now.owners}
                found = not gone and all(map(self._stands, now))
            self._there[part] = found
        return found

    def _stands(self, key: FlowKey) -> bool:
        """Whether a common flow is there, and is asked about or known to be as it should be by now."""
        section = self._now.owners.get(key)
        return section is not None and (section in self._dirty or self._is_sound(section))

    def _is_sound(self, section: SectionKey) -> bool:
        found = self._sound.get(section)
        if found is None:
            spreads = {_spread(self._after, entry.flow) for entry in self._now.sections.get(section, ())}
            found = self._sound[section] = None not in spreads and UNSAID not in spreads
        return found


def _keys(claims: Iterable[Claim], part: str | ServiceKey, view: View) -> set[FlowKey]:
    """Return the keys of what is owed for a peer or a service."""
    focus = Focus(services={part}) if isinstance(part, ServiceKey) else Focus(nodes={part})
    asked = View(view.world, view.this, focus)
    return {(int(claim.stage.table), claim.stage.priority, match) for claim in claims for match in claim.owed(asked)}


class Differences:
    """What changed between two worlds in what tables lie over: most often all lay over one, and lie over one."""

    def __init__(self, before: World, after: World) -> None:
        self._before, self._after = before, after
        self._found: dict[tuple[int, ...], tuple[object, Difference]] = {}

    def of(self, old: FlowTable, new: FlowTable, dirty: Collection[SectionKey]) -> Difference | None:
        """Return the difference between a node's tables in what they lie over; None where they do not."""
        if not isinstance(dirty, LayeredSet):
            return None
        now = new.common
        was = old.sections.common if isinstance(old.sections, Layered) else old.sections
        if now is None or (was and not isinstance(old.sections, Layered)):
            return None
        parts = (was, now.sections, now.owners, dirty.common)
        place = tuple(map(id, parts))
        if place not in self._found:
            # The parts are held as well: what is gone could have its number taken by another.
            self._found[place] = (parts, Difference(self._before, self._after, was, now, dirty.common))
        return self._found[place][1]


def _both(some: Collection[K], others: Collection[K]) -> Iterator[K]:
    """Yield what is in both, for the price of the smaller one."""
    small, large = (some, others) if len(some) < len(others) else (others, some)
    return (key for key in small if key in large)
