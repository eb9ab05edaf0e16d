"""The proof itself: of all tables (`prove`), or of one change (`check`). Claims say what must hold; here it is asked.

Every flow must hold by the claim of its stage, and every match that a stage owes must be there. As keys are unique in
a table and what holds is exactly what is owed, counting tells whether anything is missing; only then it is looked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from topology.compiler import FlowTable, SectionKey, Tables
from topology.flow import DIGEST_MASK, Entry, Flow, FlowKey
from topology.snapshot import Change, Snapshot
from topology.verification.circling import circles
from topology.verification.claim import About, Claim, Kind
from topology.verification.concern import concerned
from topology.verification.finding import Finding
from topology.verification.registry import BY_PLACE, CLAIMS
from topology.verification.shared import FORMLESS, Difference, Differences, Known, Rest
from topology.verification.world import Focus, View, World

_WHOLE: Final = Focus(whole=True)
_EMPTY: Final = FlowTable()


class NodeProof(NamedTuple):
    """What was proven of one node: how many flows stand in each (table, priority), and what is wrong."""

    node: str
    counts: Mapping[tuple[int, int], int]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the network: the model before and after, the tables, and the sections that were computed anew."""

    changes: Collection[Change]
    before: Snapshot
    after: Snapshot
    old: Tables
    new: Tables
    dirty: Mapping[str, Collection[SectionKey]]


def holds(view: View, flow: Flow) -> bool:
    """Whether a flow is one that the model asks for on the node."""
    claim = BY_PLACE.get((flow.table, flow.priority))
    try:
        return claim is not None and claim.holds(view, flow.match, flow.content)  # type: ignore[arg-type]
    except FORMLESS:
        return False


# --- the whole -----------------------------------------------------------------------------------


def prove(snapshot: Snapshot, tables: Tables) -> tuple[NodeProof, ...]:
    """Return the proof of every node."""
    return tuple(proofs(snapshot, tables))


def proofs(snapshot: Snapshot, tables: Tables) -> Iterator[NodeProof]:
    """Yield the proof of one node after the other: whoever has something else to do can do it in between."""
    world = World(snapshot)
    known = Known(world)
    for name in snapshot.nodes:
        table = tables.get(name, _EMPTY)
        yield _prove_node(View(world, snapshot.nodes[name], _WHOLE), table, known.rest(name, table))


def _prove_node(view: View, table: FlowTable, rest: Rest) -> NodeProof:
    findings: list[Finding] = []
    asked = {place: [claim.holds, rest.settled.counts.get(place, 0)] for place, claim in BY_PLACE.items()}
    sums = {**rest.settled.sums}
    flows, groups = rest.settled.flows, rest.settled.groups
    for section, entries in rest.sections:
        owner = entries[0][0] >> 48 if entries else 0
        total = 0
        flows += len(entries)
        for cookie, flow in entries:
            number, priority, match, actions, held, limits = flow
            total += cookie
            groups += len(held) + len(limits)
            try:
                record = asked[number, priority]
                if record[0](view, match, actions + held + limits) and cookie >> 48 == owner:  # type: ignore[operator]
                    record[1] += 1  # type: ignore[operator]
                    continue
            except FORMLESS:
                pass
            findings.append(_wrong(view.node, flow, section))
        sums[owner] = sums.get(owner, 0) + total
    findings.extend(_sums(view.node, table, sums))
    counts: dict[tuple[int, int], int] = {place: record[1] for place, record in asked.items()}  # type: ignore[misc]
    # The index has each key, cookie and group once; with fewer of them than flows, some flow stands there twice.
    twice = not rest.is_one or len(table.owners) != 2 * flows + groups
    findings.extend(_twice(view.node, table) if twice else ())
    short = [claim for place, claim in BY_PLACE.items() if twice or claim.count(view) != counts[place]]
    if short:
        findings.extend(_missing(view, table, short, {finding.key for finding in findings}))
    return NodeProof(view.node, {place: many for place, many in counts.items() if many}, tuple(findings))


def _twice(node: str, table: FlowTable) -> Iterator[Finding]:
    """What a switch has once only: flows by their keys, groups and meters by their ids."""
    keys: set[FlowKey] = set()
    ids: set[int] = set()
    for section, entries in table.sections.items():
        for entry in entries:
            key, own = entry.flow.key, entry.flow.numbers
            if key in keys:
                yield _same_key(node, entry, section)
            if ids.intersection(own) or len(set(own)) < len(own):
                yield _same_group(node, entry, section)
            keys.add(key)
            ids.update(own)


def _same_key(node: str, entry: Entry, section: SectionKey) -> Finding:
    said = "stands there twice: a switch keeps one of the two"
    return Finding(Kind.UNEXPLAINED, node, said, entry.flow.key, entry.flow.actions, section)


def _same_group(node: str, entry: Entry, section: SectionKey) -> Finding:
    said = "has a group or meter whose id another has: a switch keeps one of the two"
    return Finding(Kind.LEAK, node, said, entry.flow.key, entry.flow.actions, section)


def _missing(view: View, table: FlowTable, claims: Iterable[Claim], told: Collection[object]) -> Iterator[Finding]:
    present = {entry.flow.key for entry in table.entries()}
    for claim in claims:
        for match in claim.owed(view):
            key = (int(claim.stage.table), claim.stage.priority, match)
            if key not in present and key not in told:
                yield Finding(Kind.BLACK_HOLE, view.node, f"is missing ({claim.stage.purpose})", key)


def _sums(node: str, table: FlowTable, sums: Mapping[int, int]) -> Iterator[Finding]:
    """What sentinels will say of the flows must be so, or a switch that lost some is believed to have them."""
    for owner in {*sums, *table.sums}:
        if sums.get(owner, 0) & DIGEST_MASK != table.sums.get(owner, 0):
            said = f"the sum of the cookies of class {owner:#06x} is not that of its flows"
            yield Finding(Kind.UNEXPLAINED, node, said)


# --- a change ------------------------------------------------------------------------------------


def check(step: Step) -> tuple[Finding, ...]:
    """Return what a change makes wrong, given that nothing was wrong before. It costs what the change costs."""
    concern = concerned(step.changes, step.before, step.after)
    before, after = World(step.before), World(step.after)
    known, differences = Known(after), Differences(before, after)
    findings: list[Finding] = []
    for node in {*concern, *step.dirty}:
        this = step.after.nodes.get(node)
        if this is None:
            continue
        old, table, dirty = step.old.get(node, _EMPTY), step.new.get(node, _EMPTY), step.dirty.get(node, ())
        # Where something was wrong before, nothing may be taken for granted.
        focus = _WHOLE if old.faults else concern.get(node) or Focus()
        view = View(after, this, focus)
        difference = differences.of(old, table, dirty)
        if focus.whole:
            findings.extend(_prove_node(view, table, known.rest(node, table)).findings)
        elif node in concern:
            was = step.before.nodes.get(node)
            past = None if was is None else View(before, was, focus)
            findings.extend(_owed(*_narrowed(view, past, table, difference), table, dirty))
        if old.sections or not focus.whole:
            asked = dirty if difference is None else difference.sections(node, old, table, dirty)
            findings.extend(_sections(view, old, table, asked))
            findings.extend(_doubled(node, old, table, asked, dirty))
    return tuple(dict.fromkeys(findings))


def _narrowed(
    view: View, was: View | None, table: FlowTable, difference: Difference | None
) -> tuple[View, View | None]:
    """Leave out of the focus the peers and services of which is known that all nodes have what they owe for them."""
    if difference is None or was is None or not (view.focus.nodes or view.focus.services):
        return view, was
    focus = difference.focus(view, was, table)
    return View(view.world, view.this, focus), View(was.world, was.this, focus)


def _sections(view: View, old: FlowTable, new: FlowTable, dirty: Iterable[SectionKey]) -> Iterator[Finding]:
    """Every flow of a section computed anew must hold; what is gone from one must not be owed any more."""
    owners = new.owners
    for section in dirty:
        fresh = new.sections.get(section, ())
        for entry in fresh:
            if not holds(view, entry[1]):
                yield _wrong(view.node, entry[1], section)
        yield from _shared(view.node, new, section, fresh)
        past = old.sections.get(section, ())
        if past is not fresh and past != fresh:
            for entry in past:
                key = entry.flow.key
                if key not in owners and holds(view, entry.flow):
                    yield Finding(Kind.BLACK_HOLE, view.node, "is gone, and is still needed", key, None, section)


def _doubled(
    node: str, old: FlowTable, new: FlowTable, asked: Iterable[SectionKey], dirty: Collection[SectionKey]
) -> Iterator[Finding]:
    """A flow that passed from one section to another stands there twice if the first was not computed anew."""
    for section in asked:
        for entry in new.sections.get(section, ()):
            had = old.owners.get(entry.flow.key)
            if had is not None and had != section and had not in dirty and had in new.sections:
                yield _same_key(node, entry, section)


def _shared(node: str, table: FlowTable, section: SectionKey, entries: Iterable[Entry]) -> Iterator[Finding]:
    """A section's groups and meters have ids that are nobody else's, and no two of them one."""
    ids: set[int] = set()
    for entry in entries:
        for number in entry.flow.numbers:
            if number in ids or table.owners.get(number) != section:
                yield _same_group(node, entry, section)
            ids.add(number)


def _owed(view: View, was: View | None, table: FlowTable, dirty: Collection[SectionKey]) -> Iterator[Finding]:
    """What the concerned objects owe now must be there; what they owed before and no more must not."""
    owners = table.owners
    kept: set[SectionKey] = set()
    for claim in _claims(view.focus):
        table_number, priority = int(claim.stage.table), claim.stage.priority
        now = set(claim.owed(view))
        for match in now:
            key = (table_number, priority, match)
            section = owners.get(key)
            if section is None:
                yield Finding(Kind.BLACK_HOLE, view.node, f"is missing ({claim.stage.purpose})", key)
            else:
                kept.add(section)
        for match in () if was is None else claim.owed(was):
            if match not in now:
                section = owners.get((table_number, priority, match))
                if section is not None:
                    kept.add(section)
    yield from _kept(view, table, kept.difference(dirty))


def _kept(view: View, table: FlowTable, sections: Iterable[SectionKey]) -> Iterator[Finding]:
    """What a change concerns and nobody computed anew must be as it should be by now: its matches may be the same."""
    for section in sections:
        for entry in table.sections.get(section, ()):
            if not holds(view, entry.flow):
                yield _wrong(view.node, entry.flow, section)


_BY_ABOUT: Final[dict[About, tuple[Claim, ...]]] = {
    about: tuple(claim for claim in CLAIMS if claim.about is about) for about in About
}


def _claims(focus: Focus) -> tuple[Claim, ...]:
    """Return the claims that owe anything for a focus."""
    if focus.whole:
        return CLAIMS
    parts = (
        (focus.ports, About.PORTS),
        (focus.networks, About.NETWORKS),
        (focus.reached, About.REACHED),
        (focus.connections, About.CONNECTIONS),
        (focus.blocks, About.BLOCKS),
        (focus.services, About.SERVICES),
        (focus.egresses, About.EGRESSES),
        (focus.nodes, About.PEERS),
        (focus.mirrors, About.MIRRORS),
        (focus.groups, About.GROUPS),
    )
    return tuple(claim for part, about in parts if part for claim in _BY_ABOUT[about])


# --- findings ------------------------------------------------------------------------------------


def _wrong(node: str, flow: Flow, section: SectionKey) -> Finding:
    claim = BY_PLACE.get((flow.table, flow.priority))
    if claim is None:
        said, kind = "stands where the pipeline has no stage", Kind.UNEXPLAINED
    else:
        said, kind = f"is not one that the network asks for ({claim.stage.purpose})", claim.kind
    if circles(flow):
        kind = Kind.LOOP
    elif not flow.actions and kind is not Kind.UNEXPLAINED:
        kind = Kind.BLACK_HOLE
    return Finding(kind, node, said, flow.key, flow.actions, section)
