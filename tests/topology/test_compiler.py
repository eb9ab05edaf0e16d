"""The incremental result equals the full one after any sequence, and deltas bring a switch exactly there."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology.sequences import EXPANDERS, States, events_between, follow
from tests.topology.strategies import after, any_request, granted, snapshots
from topology.compiler import (
    Delta,
    FlowTable,
    SectionKey,
    Tables,
    compile_all,
    diff,
    reconcile,
    section,
    unlike,
    update,
)
from topology.flow import DIGEST_MASK, Entry, FlowKey, owner_class, sentinel
from topology.pipeline import Table
from topology.requests import Request
from topology.snapshot import Snapshot, apply_all, empty

Installed = dict[FlowKey, Entry]


def installed(table: FlowTable) -> Installed:
    """Return what a switch holds that holds exactly a table; sentinels of 0 are as good as none."""
    flows = (*table.entries(), *table.sentinels())
    return {entry.flow.key: entry for entry in flows}


def after_delta(flows: Installed, delta: Delta, *, deletes_first: bool) -> Installed:
    """Return what a switch holds after a delta: an ADD replaces what has its key, a deletion goes by exact cookie."""
    state = dict(flows)
    for step in ("delete", "add") if deletes_first else ("add", "delete"):
        if step == "delete":
            state = {key: entry for key, entry in state.items() if entry.cookie not in delta.deletes}
        else:
            state.update({entry.flow.key: entry for entry in delta.adds})
    zeros = {sentinel(owner_class_of_sentinel(entry), 0) for entry in state.values() if is_sentinel(entry)}
    return {key: entry for key, entry in state.items() if entry not in zeros}


def is_sentinel(entry: Entry) -> bool:
    return entry.flow.table == Table.SENTINELS


def owner_class_of_sentinel(entry: Entry) -> int:
    return entry.flow.match[0][1]


def check_table(table: FlowTable) -> None:
    """What holds of every table, however it came about."""
    assert table.conflicts == ()
    sums: dict[int, int] = {}
    owners: dict[FlowKey | int, SectionKey] = {}
    for key, flows in table.sections.items():
        assert flows, key
        for entry in flows:
            for identity in (entry.flow.key, entry.cookie, *entry.flow.numbers):
                assert identity not in owners
                owners[identity] = key
            owner = owner_class(entry.cookie)
            sums[owner] = (sums.get(owner, 0) + entry.cookie) & DIGEST_MASK
    assert owners == dict(table.owners)
    assert {owner: total for owner, total in sums.items() if total} == dict(table.sums)


def check_followed(tables: Tables, snapshot: Snapshot) -> None:
    assert tables == compile_all(snapshot)
    for table in tables.values():
        check_table(table)


@given(snapshots(), st.lists(any_request(), min_size=5, max_size=25))
@settings(max_examples=80)
def test_update_equals_recompute_and_deltas_lead_there(start: Snapshot, asked: list[Request]) -> None:
    snapshot, tables = start, compile_all(start)
    switches = {node: installed(table) for node, table in tables.items()}
    for request in asked:
        before, old = snapshot, tables
        snapshot, changes = apply_all(before, granted(before, request))
        tables, dirty = update(old, changes, before, snapshot)
        check_followed(tables, snapshot)
        switches = {node: held for node, held in switches.items() if node in tables}
        for node, table in tables.items():
            delta = diff(old.get(node, FlowTable()), table, dirty.get(node, ()))
            full = diff(old.get(node, FlowTable()), table)
            assert set(delta.adds) == set(full.adds)
            assert set(delta.deletes) == set(full.deletes)
            held = switches.get(node, {})
            one, other = (after_delta(held, delta, deletes_first=first) for first in (True, False))
            assert one == other == installed(table)
            assert not diff(table, table)
            switches[node] = one


@pytest.mark.parametrize("expand", EXPANDERS, ids=lambda expand: expand.__name__)
@given(st.lists(st.lists(any_request(), min_size=1, max_size=6), min_size=1, max_size=4), snapshots())
@settings(max_examples=40)
def test_states_in_any_order_give_the_tables_of_the_last_one(
    expand: Callable[[States], States], steps: list[list[Request]], start: Snapshot
) -> None:
    states = [empty(), start]
    for asked in steps:
        states.append(after(states[-1], *asked))
    path = expand(states)
    snapshot, tables = path[0], compile_all(path[0])
    for state in path[1:]:
        snapshot, tables = follow(snapshot, tables, events_between(snapshot, state))
    assert tables == compile_all(path[-1])


@given(snapshots() | st.just(empty()), snapshots() | st.just(empty()), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_events_in_any_order_give_the_tables_of_the_whole(old: Snapshot, new: Snapshot, chance: Random) -> None:
    """Also orders that pass through worlds in which objects name others that do not exist."""
    events = list(events_between(old, new))
    chance.shuffle(events)
    snapshot, tables = old, compile_all(old)
    for event in events:
        snapshot, tables = follow(snapshot, tables, (event,))
        assert tables == compile_all(snapshot)


@given(snapshots(), snapshots())
@settings(max_examples=40)
def test_a_switch_with_another_networks_flows_is_reconciled(old: Snapshot, new: Snapshot) -> None:
    before, wanted = compile_all(old), compile_all(new)
    for node, table in wanted.items():
        other = before.get(node, FlowTable())
        held = installed(other)
        classes = unlike(table, other.sums)
        delta = reconcile(table, {entry.cookie for entry in held.values() if not is_sentinel(entry)})
        scoped = {e.cookie for e in held.values() if not is_sentinel(e) and owner_class(e.cookie) in classes}
        short = reconcile(table, scoped, classes)
        assert after_delta(held, delta, deletes_first=True) == installed(table)
        assert after_delta(held, short, deletes_first=True) == installed(table)
        assert not unlike(table, table.sums)


@settings(max_examples=40, deadline=None)
@given(snapshots())
def test_what_is_made_once_for_all_nodes_is_what_each_would_have(snapshot: Snapshot) -> None:
    for node, table in compile_all(snapshot).items():
        for key, flows in table.sections.items():
            assert flows == section(node, key, snapshot)
