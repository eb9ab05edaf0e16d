"""What all nodes have in common is held once, and is compiled and proven as if each node had it by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map

from tests.topology import seeded
from tests.topology.asking import node, report
from tests.topology.faults import FAULTS, table_of
from tests.topology.sequences import events_between, follow
from tests.topology.strategies import CLUSTER, NODES, UNDERLAYS, ZONES, after, any_request, granted, snapshots
from tests.topology.test_verification import numbers_of
from topology import requests
from topology.compiler import (
    Conflict,
    Dirty,
    FlowTable,
    SectionKey,
    Tables,
    compile_all,
    compile_node,
    section,
    update,
)
from topology.features import COMMON, FEATURES, guard, networks, tunnels
from topology.features.section import SubjectKey
from topology.flow import DIGEST_MASK, Entry, Flow, FlowKey, cookie
from topology.layered import Layered, LayeredSet, Sums, over
from topology.model import Cluster, Node
from topology.requests import Request
from topology.snapshot import Put, Remove, Snapshot, apply_all, empty
from topology.verification import Finding, NodeProof, Step, check, prove
from topology.verification.claim import EVERYWHERE, UNSAID, About
from topology.verification.endpoints import has_hints
from topology.verification.registry import BY_PLACE, CLAIMS
from topology.verification.world import Focus, View, World

Sections = dict[SectionKey, tuple[Entry, ...]]


def many(count: int) -> Snapshot:
    return after(empty(), *(node(f"n{number}", f"192.0.2.{number}") for number in range(1, count + 1)))


def alone(table: FlowTable) -> FlowTable:
    """Return the same table with everything held by itself."""
    sums = Map(dict(table.sums))
    return FlowTable(Map(dict(table.sections)), Map(dict(table.owners)), sums, table.conflicts, table.faults)


def common_of(tables: Tables) -> FlowTable:
    common = next(table.common for table in tables.values())
    assert common is not None
    return common


# --- it is held once -----------------------------------------------------------------------------


def test_tables_lie_over_one_common_part() -> None:
    tables = compile_all(many(4))
    parts = [(table.sections, table.owners, table.sums) for table in tables.values()]
    assert all(isinstance(part, Layered | Sums) for each in parts for part in each)
    assert all(len({id(part.common) for part in same}) == 1 for same in zip(*parts, strict=True))
    tunnel = SectionKey(int(tunnels.ID), ("n2",))
    flows = [table.sections.get(tunnel) for name, table in tables.items() if name != "n2"]
    assert flows[0]
    assert all(each is flows[0] for each in flows)
    assert tunnel not in tables["n2"].sections
    assert all(entry.cookie not in tables["n2"].owners for entry in flows[0])


def test_what_a_node_holds_by_itself_does_not_grow_with_the_others() -> None:
    few, more = (compile_all(many(count))["n1"] for count in (3, 30))
    assert len(more.sections) == len(few.sections) + 27 * 3  # a tunnel, a relay and a guarded address each
    for one, other in ((few.sections, more.sections), (few.owners, more.owners)):
        assert isinstance(one, Layered)
        assert isinstance(other, Layered)
        assert {*one.own} == {*other.own}
        assert one.absent == other.absent


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[SubjectKey]:
    """Return the subjects of common sections that are made from now on."""
    subjects: list[SubjectKey] = []
    for feature in COMMON.values():

        def recorded(subject: SubjectKey, snapshot: Snapshot, original: Any = feature.common_flows) -> Iterable[Flow]:
            subjects.append(subject)
            flows: Iterable[Flow] = original(subject, snapshot)
            return flows

        monkeypatch.setattr(feature, "common_flows", recorded)
    return subjects


def test_a_node_that_comes_is_made_once_for_all_others(made: list[SubjectKey]) -> None:
    before = many(9)
    tables = compile_all(before)
    made.clear()
    snapshot, changes = apply_all(before, granted(before, node("new", "192.0.2.99")))
    new, dirty = update(tables, changes, before, snapshot)
    assert sorted(made) == [("address", "192.0.2.99"), ("new",), ("new",)]  # as a peer, and as a relay
    others = [dirty[name] for name in before.nodes]
    assert all(isinstance(keys, LayeredSet) and not keys.own for keys in others)
    assert len({id(keys.common) for keys in others if isinstance(keys, LayeredSet)}) == 1
    assert {*dirty["new"]} >= {*new["new"].sections}
    assert len({id(table.sections.common) for table in new.values() if isinstance(table.sections, Layered)}) == 1


def test_a_pod_that_comes_makes_nothing_common(made: list[SubjectKey]) -> None:
    before = many(3)
    tables = compile_all(before)
    made.clear()
    snapshot, changes = apply_all(before, granted(before, report(project="default")))
    new, dirty = update(tables, changes, before, snapshot)
    assert made == []
    assert {*dirty} == {"n1"}
    assert common_of(new).sections is common_of(tables).sections
    assert new["n2"] is tables["n2"]


# --- it is compiled as if each node had it by itself ---------------------------------------------


def by_itself(name: str, snapshot: Snapshot) -> FlowTable:
    """Return a node's table by the rule alone: sections in order, one that wants what another has left out whole."""
    keys = {SectionKey(int(f.ID), tuple(subject)) for f in FEATURES for subject in f.subjects(name, snapshot)}
    if name in snapshot.nodes:
        for feature in COMMON.values():
            subjects = {*map(tuple, feature.common_subjects(snapshot))} - {*map(tuple, feature.absent(name))}
            keys |= {SectionKey(int(feature.ID), subject) for subject in subjects}
    found: Sections = {}
    owners: dict[FlowKey | int, SectionKey] = {}
    conflicts = []
    for key in sorted(keys):
        entries = section(name, key, snapshot)
        mine: dict[FlowKey | int, SectionKey] = {}
        for entry in entries:
            for identity in (entry.flow.key, entry.cookie, *entry.flow.numbers):
                owner = {**owners, **mine}.get(identity)
                if owner is not None:
                    conflicts.append(Conflict(key, owner, entry.flow.key))
                    break
                mine[identity] = key
            else:
                continue
            break
        else:
            owners |= mine
            found |= {key: entries} if entries else {}
    return replace(table_of(Map(found)), conflicts=tuple(conflicts))


def check_tables(tables: Tables, snapshot: Snapshot) -> None:
    assert {*tables} == {*snapshot.nodes}
    for name, table in tables.items():
        assert table == by_itself(name, snapshot)
        assert compile_node(name, snapshot) == table


@settings(max_examples=40)
@given(snapshots(), st.lists(any_request(), max_size=8))
def test_tables_are_as_if_each_was_by_itself(start: Snapshot, asked: list[Request]) -> None:
    snapshot, tables = start, compile_all(start)
    check_tables(tables, snapshot)
    for request in asked:
        snapshot, tables = follow(snapshot, tables, granted(snapshot, request))
        check_tables(tables, snapshot)
    assert compile_node("nobody", snapshot) == FlowTable()


def any_nodes(chance: Random) -> list[Put | Remove]:
    """Return events about nodes that need not go together: two may have one underlay, or one subnet."""
    events: list[Put | Remove] = []
    for _ in range(8):
        number = chance.randrange(4)
        subnets = many(4).nodes[f"n{chance.randrange(1, 5)}"].subnets
        one = Node(f"n{number + 1}", number + 1, chance.choice(UNDERLAYS), subnets)
        settings = Cluster(control_plane=tuple(chance.sample(UNDERLAYS, chance.randrange(3))))
        events.append(chance.choice((Put(one), Put(one), Put(one), Remove(one), Put(settings))))
    return events


@pytest.mark.parametrize("seed", range(60))
def test_nodes_that_want_the_same_flows_yield_as_ever(seed: int) -> None:
    chance = Random(seed)
    snapshot = seeded.network(chance)
    tables = compile_all(snapshot)
    conflicts = 0
    for event in any_nodes(chance):
        if isinstance(event, Remove):
            event = Remove(snapshot.nodes.get(event.value.name, event.value))  # type: ignore[union-attr]
        snapshot, tables = follow(snapshot, tables, (event,))
        check_tables(tables, snapshot)
        assert tables == compile_all(snapshot)
        conflicts += any(table.conflicts for table in tables.values())
    # Back to where all is in order, what is common is common again.
    snapshot, tables = follow(snapshot, tables, events_between(snapshot, many(3)))
    assert tables == compile_all(snapshot)
    if all(table.common is not None for table in compile_all(snapshot).values()):
        assert len({id(table.common and table.common.sections) for table in tables.values()}) == 1


@pytest.mark.parametrize("yields", ["own", "common"])
def test_a_common_section_and_one_of_a_node_want_one_flow(monkeypatch: pytest.MonkeyPatch, yields: str) -> None:
    """The later one yields, as if both were of the node: it is left out there, and nowhere else."""
    guarded = tuple(guard.common_flows(("address", "192.0.2.3"), many(3)))
    feature: Any = networks if yields == "own" else FEATURES[1]
    original = feature.flows

    def greedy(name: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
        yield from original(name, subject, snapshot)
        if name == "n1":
            yield from guarded

    monkeypatch.setattr(feature, "flows", greedy)
    before = after(many(2), requests.SetGlobal("default", True))
    assert compile_all(before)["n1"].common is not None
    snapshot, tables = follow(before, compile_all(before), granted(before, node("n3", "192.0.2.3")))
    check_tables(tables, snapshot)
    assert tables == compile_all(snapshot)
    (conflict,) = tables["n1"].conflicts
    assert (conflict.left_out.feature == int(guard.ID)) == (yields == "common")
    assert tables["n1"].common is None
    assert tables["n2"].common is not None
    back, tables = follow(snapshot, tables, granted(snapshot, requests.DeleteNode("n3")))
    check_tables(tables, back)
    assert tables["n1"].common is not None


def test_sections_of_one_node_that_want_one_flow_leave_alone_what_is_common(monkeypatch: pytest.MonkeyPatch) -> None:
    original = networks.flows

    def as_default(name: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
        yield from original(name, ("default",), snapshot)

    monkeypatch.setattr(networks, "flows", as_default)
    asked = (requests.CreateNetwork("red"), requests.SetGlobal("red", True), requests.SetGlobal("default", True))
    snapshot = after(many(3), *asked)
    tables = compile_all(snapshot)
    check_tables(tables, snapshot)
    assert all(table.conflicts and table.common is not None for table in tables.values())


# --- it is proven as if each node had it by itself -----------------------------------------------


def lay(table: FlowTable, common: FlowTable, *other: SectionKey) -> FlowTable:
    """Return a node's table over another common part, whatever that holds; `other` are absent, or not, by mistake."""
    sections = table.sections
    assert isinstance(sections, Layered)
    assert isinstance(common.sections, Map)
    absent = (sections.absent ^ {*other}) & {*common.sections}
    own = table_of(sections.own)
    gone = table_of(Map({key: common.sections[key] for key in absent}))
    owners = replace(over(own.owners, common.owners), absent=frozenset(gone.owners))
    sums = {o: own.sums.get(o, 0) - gone.sums.get(o, 0) & DIGEST_MASK for o in {*own.sums, *gone.sums}}
    assert isinstance(common.sums, Map)
    of_all = Sums(Map({owner: total for owner, total in sums.items() if total}), common.sums)
    return replace(
        table, sections=Layered(sections.own, common.sections, frozenset(absent)), owners=owners, sums=of_all
    )


def told(proofs: Iterable[NodeProof]) -> dict[str, tuple[Any, set[Finding]]]:
    return {proof.node: (proof.counts, {*proof.findings}) for proof in proofs}


_TRIES = 3  # of kinds of faults, of which many are for few flows


def faulty(
    common: FlowTable, snapshot: Snapshot, chance: Random, among: Iterable[SectionKey] | None = None
) -> tuple[SectionKey, FlowTable] | None:
    """Return a section, one of those named, and a common part in which it has a fault.

    None when there is no section, or the flow picked can have none of a few faults.
    """
    keys = sorted(key for key in (common.sections if among is None else among) if key in common.sections)
    if not keys:
        return None
    key = chance.choice(keys)
    entries = common.sections[key]
    entry = chance.choice(entries)
    kinds, numbers = chance.sample(sorted(FAULTS), _TRIES), numbers_of(snapshot)
    flows = next((made for kind in kinds if (made := FAULTS[kind](entry.flow, numbers, chance)) is not None), None)
    if flows is None:
        return None
    rest = [each for each in entries if each is not entry]
    put = [Entry(cookie(entry.cookie >> 56, entry.cookie >> 48 & 0xFF, flow), flow) for flow in flows]
    if rest and chance.random() < 0.1:
        put = [Entry(entry.cookie ^ 1 << 48, entry.flow)]  # the flow is right, and by its cookie of another class
    sections = common.sections.set(key, (*rest, *put)) if rest or put else common.sections.delete(key)
    assert isinstance(sections, Map)
    return key, table_of(sections)


def has_twice(tables: Tables) -> bool:
    """Whether two flows have one key: which of them is told of depends on which is looked at first."""
    flows = ([entry.flow.key for entry in table.entries()] for table in tables.values())
    return any(len({*keys}) < len(keys) for keys in flows)


@pytest.mark.parametrize("seed", range(30))
def test_a_fault_in_what_is_common_is_found_as_on_each_node(seed: int) -> None:
    chance = Random(seed)
    snapshot = seeded.network(chance)
    tables = compile_all(snapshot)
    assert told(prove(snapshot, tables)) == told(prove(snapshot, Map({n: alone(t) for n, t in tables.items()})))
    found = 0
    for _ in range(100):
        fault = faulty(common_of(tables), snapshot, chance)
        if fault is None:
            continue
        worse: Tables = Map({name: lay(table, fault[1]) for name, table in tables.items()})
        each: Tables = Map({name: alone(table) for name, table in worse.items()})
        one, other = told(prove(snapshot, worse)), told(prove(snapshot, each))
        wrong = {name for name, (_, findings) in one.items() if findings}
        assert wrong == {name for name, (_, findings) in other.items() if findings}
        assert wrong
        assert has_twice(each) or one == other
        found += 1
    assert found >= 10


@pytest.mark.parametrize("seed", range(10))
def test_a_common_section_that_is_absent_by_mistake_is_found_and_one_that_is_not(seed: int) -> None:
    chance = Random(seed)
    snapshot = seeded.network(chance)
    tables = compile_all(snapshot)
    common = common_of(tables)
    for name in snapshot.nodes:
        for key in (SectionKey(int(tunnels.ID), (name,)), *chance.sample(sorted(common.sections), 5)):
            worse = tables.set(name, lay(tables[name], common, key))
            proofs = told(prove(snapshot, worse))
            assert proofs == told(prove(snapshot, Map({n: alone(t) for n, t in worse.items()})))
            assert [node for node, (_, findings) in proofs.items() if findings] == [name]
            for dirty in (LayeredSet(frozenset(), frozenset({key})), LayeredSet(frozenset({key}), frozenset())):
                step = Step((), snapshot, snapshot, tables, worse, dict.fromkeys(snapshot.nodes, dirty))
                found = {*check(step)}
                assert found == {*check(as_of_each(step))}
                assert {finding.node for finding in found} == {name}


def test_a_flow_of_a_node_in_the_way_of_a_common_one_is_found() -> None:
    """No number tells of it: all flows are asked for, and the index has each part's keys once."""
    snapshot = many(3)
    tables = compile_all(snapshot)
    table, common = tables["n1"], common_of(tables)
    assert isinstance(table.sections, Layered)
    key = SectionKey(int(guard.ID), ("address", "192.0.2.2"))
    twin = table_of(table.sections.own.set(SectionKey(int(guard.ID), ("twin",)), common.sections[key]))
    twice = replace(table, sections=over(twin.sections, common.sections), owners=over(twin.owners, common.owners))
    (proof,) = (each for each in prove(snapshot, tables.set("n1", twice)) if each.findings)
    assert proof.node == "n1"
    assert any("twice" in finding.said for finding in proof.findings)


def node_request(chance: Random) -> Request:
    name = chance.choice(NODES)
    made: tuple[Request, ...] = (
        requests.CreateNode(name, chance.choice(UNDERLAYS)),
        requests.DeleteNode(name, True),
        requests.SetCluster(replace(CLUSTER, control_plane=tuple(chance.sample(UNDERLAYS, 2)))),
        requests.SetCluster(CLUSTER),
        requests.SetNode(name, chance.choice((None, "vxlan", "geneve"))),
        requests.SetZone(name, chance.choice((*ZONES, ""))),
        seeded.request(chance),
        seeded.about_services(chance),
    )
    return chance.choices(made, (5, 4, 1, 1, 2, 2, 3, 4))[0]


def as_of_each(step: Step) -> Step:
    """Return the same step with all tables held by themselves, and the sections that were computed anew as sets."""
    old, new = (Map({name: alone(table) for name, table in each.items()}) for each in (step.old, step.new))
    return replace(step, old=old, new=new, dirty={name: {*keys} for name, keys in step.dirty.items()})


def forgotten(step: Step, chance: Random) -> Step | None:
    """Return a step in which one common section is as it was before, as if no feature had named it."""
    shared = [keys for keys in step.dirty.values() if isinstance(keys, LayeredSet)]
    if not shared or not step.old:
        return None
    was, now = common_of(step.old), common_of(step.new)
    differ = sorted(key for key in shared[0].common if was.sections.get(key) != now.sections.get(key))
    if not differ:
        return None
    key = chance.choice(differ)
    past = was.sections.get(key)
    sections = now.sections.set(key, past) if past else now.sections.delete(key)
    assert isinstance(sections, Map)
    return with_common(step, table_of(sections), without=key)


def emptied(step: Step, chance: Random) -> Step | None:
    """Return a step in which one common section that was computed anew, and was there before, is not there."""
    shared = [keys.common for keys in step.dirty.values() if isinstance(keys, LayeredSet)]
    if not shared or not step.old:
        return None
    was, now = common_of(step.old).sections, common_of(step.new).sections
    keys = sorted(key for key in frozenset.intersection(*shared) if key in was and key in now)
    if not keys:
        return None
    sections = now.delete(chance.choice(keys))
    assert isinstance(sections, Map)
    return with_common(step, table_of(sections))


def with_common(step: Step, common: FlowTable, without: SectionKey | None = None) -> Step:
    """Return a step that leads to tables over another common part; `without` was not computed anew."""
    new: Tables = Map({name: lay(table, common) for name, table in step.new.items()})
    parts: dict[int, frozenset[SectionKey]] = {}
    dirty: Dirty = {}
    for name, keys in step.dirty.items():
        if isinstance(keys, LayeredSet):
            part = parts.setdefault(id(keys.common), frozenset(keys.common - {without}))
            dirty[name] = LayeredSet(keys.own - {without}, part)
        else:
            dirty[name] = keys - {without}
    return replace(step, new=new, dirty=dirty)


@pytest.mark.parametrize("seed", range(30))
def test_a_change_of_what_is_common_is_checked_as_on_each_node(seed: int) -> None:
    """As it is, with a section that was forgotten, and with a fault in what was computed anew."""
    chance = Random(seed)
    snapshot = seeded.network(chance)
    tables = compile_all(snapshot)
    lost = wrong = 0
    for _ in range(80):
        before, old = snapshot, tables
        snapshot, changes = apply_all(before, granted(before, node_request(chance)))
        tables, dirty = update(old, changes, before, snapshot)
        step = Step(changes, before, snapshot, old, tables, dirty)
        assert check(step) == check(as_of_each(step)) == ()
        if not tables or not changes:
            continue
        worse = forgotten(step, chance)
        if worse is not None:
            found = {*check(worse)}
            assert found == {*check(as_of_each(worse))}
            assert {f.node for f in found} == {p.node for p in prove(snapshot, worse.new) if p.findings}
            lost += bool(found)
        worse = emptied(step, chance)
        if worse is not None:
            found = {*check(worse)}
            assert found == {*check(as_of_each(worse))}
            assert {f.node for f in found} == {p.node for p in prove(snapshot, worse.new) if p.findings}
        fault = faulty(common_of(tables), snapshot, chance, {key for keys in dirty.values() for key in keys})
        if fault is not None:
            worse = with_common(step, fault[1])
            one, other = {*check(worse)}, {*check(as_of_each(worse))}
            assert {f.node for f in one} == {f.node for f in other}
            assert has_twice(worse.new) or one == other
            wrong += bool(one)
    assert lost
    assert wrong


@settings(max_examples=40)
@given(snapshots(), st.randoms(use_true_random=False))
def test_where_a_flow_holds_is_told_for_all_nodes_at_once(snapshot: Snapshot, chance: Random) -> None:
    world = World(snapshot)
    views = [View(world, each, Focus(whole=True)) for each in snapshot.nodes.values()]
    flows = [entry.flow for table in compile_all(snapshot).values() for entry in table.entries()]
    makes = [FAULTS[chance.choice(sorted(FAULTS))](flow, numbers_of(snapshot), chance) or () for flow in flows]
    for flow in (*flows, *(flow for made in makes for flow in made)):
        claim = BY_PLACE.get(flow[:2])
        if claim is None or claim.spread is None:
            continue
        try:
            spread = claim.spread(world, flow.match, flow.content)
            holds = {view.node for view in views if claim.holds(view, flow.match, flow.content)}
        except (IndexError, KeyError, TypeError, ValueError):
            continue
        if spread == UNSAID:
            continue
        assert spread is None or spread == EVERYWHERE or spread in snapshot.nodes
        assert holds == (set() if spread is None else {*snapshot.nodes} - {spread})


@settings(max_examples=40)
@given(snapshots())
def test_what_is_owed_for_a_service_is_the_same_on_all_nodes(snapshot: Snapshot) -> None:
    """But for one with endpoints of the client's node or zone, about which each node is asked."""
    world = World(snapshot)
    for claim in CLAIMS:
        if claim.about is About.SERVICES:
            assert claim.spread is not None
            for key, service in snapshot.services.items():
                views = [View(world, each, Focus(services={key})) for each in snapshot.nodes.values()]
                owed = {frozenset(claim.owed(view)) for view in views}
                is_common = not (service.internal_local or service.external_local or has_hints(key, snapshot))
                assert len(owed) <= 1 or not is_common
                assert all(claim.count(view) == len([*claim.owed(view)]) for view in views)


@settings(max_examples=20)
@given(snapshots())
def test_what_is_owed_for_a_peer_is_the_same_on_all_others(snapshot: Snapshot) -> None:
    world = World(snapshot)
    for claim in CLAIMS:
        if claim.about is About.PEERS:
            assert claim.spread is not None
            for name in snapshot.nodes:
                focus = Focus(nodes={name})
                others = [View(world, each, focus) for each in snapshot.nodes.values() if each.name != name]
                assert len({frozenset(claim.owed(view)) for view in others}) <= 1
