"""The verifier: no alarm on what the compiler makes of sound changes, none missed of what changes who reaches whom."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology import seeded
from tests.topology.faults import FAULTS, Fault, Numbers, inject
from tests.topology.probes import Walk, attached, probes, walk
from tests.topology.states import states
from tests.topology.strategies import Sending, any_request, granted, snapshots
from topology.compiler import Tables, compile_all, update
from topology.pipeline import stages
from topology.requests import Request
from topology.snapshot import Snapshot, apply_all
from topology.trace import Fabric
from topology.verification import Finding, Step, check, prove
from topology.verification.registry import BY_PLACE, CLAIMS


def findings(snapshot: Snapshot, tables: Tables) -> list[Finding]:
    return [finding for proof in prove(snapshot, tables) for finding in proof.findings]


def test_every_stage_has_a_claim() -> None:
    claimed = [claim.stage for claim in CLAIMS]
    assert sorted(claimed) == sorted(stages())
    assert len(BY_PLACE) == len(claimed)


@pytest.mark.parametrize("name", sorted(states()))
def test_named_states_are_proven(name: str) -> None:
    snapshot = states()[name]
    tables = compile_all(snapshot)
    assert findings(snapshot, tables) == []
    counted = Counter(flow.flow[:2] for table in tables.values() for flow in table.entries())
    total: Counter[tuple[int, int]] = Counter()
    for proof in prove(snapshot, tables):
        total.update(proof.counts)
    assert total == counted


@given(snapshots(), st.lists(any_request(), min_size=5, max_size=25))
@settings(max_examples=60)
def test_sound_changes_raise_no_alarm(start: Snapshot, asked: list[Request]) -> None:
    """The whole is proven after every change that is granted, and so is each change by itself."""
    snapshot, tables = start, compile_all(start)
    assert findings(snapshot, tables) == []
    for request in asked:
        before, old = snapshot, tables
        snapshot, changes = apply_all(before, granted(before, request))
        tables, dirty = update(old, changes, before, snapshot)
        assert check(Step(changes, before, snapshot, old, tables, dirty)) == ()
        assert findings(snapshot, tables) == []


# --- faults --------------------------------------------------------------------------------------

SEEDS = tuple(range(40))
LEAST_FAULTS = 15  # in every network, so that there are 600 in all
LEAST_CHANGES = 8  # of who reaches whom among these


def numbers_of(snapshot: Snapshot) -> Numbers:
    return Numbers(
        tuple(sorted(network.vnid for network in snapshot.networks.values())),
        tuple(sorted({port.ofport for port in attached(snapshot) if port.ofport is not None} | {1, 2})),
        tuple(sorted(int(node.underlay) for node in snapshot.nodes.values())),
    )


def changes_reach(fault: Fault, snapshot: Snapshot, walks: dict[Sending, Walk]) -> bool:
    """Whether any packet fares otherwise: those that came by the flow's tables are walked again."""
    fabric = Fabric(snapshot, fault.tables)
    return any(
        walk(fabric, probe).fared != before.fared for probe, before in walks.items() if before.places & fault.places
    )


def alarms(fault: Fault, snapshot: Snapshot, tables: Tables) -> tuple[list[Finding], tuple[Finding, ...]]:
    """Return what the whole proof says of a fault, and the check of the section that it is in."""
    step = Step((), snapshot, snapshot, tables, fault.tables, {fault.node: {fault.section}})
    return findings(snapshot, fault.tables), check(step)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_fault_is_caught(seed: int) -> None:
    """Those that change who reaches whom, and the others: a flow that nothing asks for is one too many in any case."""
    chance = Random(seed)
    snapshot = seeded.network(chance)
    tables = compile_all(snapshot)
    fabric = Fabric(snapshot, tables)
    walks = {probe: walk(fabric, probe) for probe in probes(snapshot)}
    tried, changing = Counter[str](), Counter[str]()
    for kind in FAULTS:
        fault = inject(tables, numbers_of(snapshot), kind, chance)
        if fault is None:
            continue
        tried[kind] += 1
        whole, of_section = alarms(fault, snapshot, tables)
        assert whole, fault
        assert of_section, fault
        changing[kind] += changes_reach(fault, snapshot, walks)
        assert all(finding.node == fault.node for finding in (*whole, *of_section)), fault
    assert tried.total() >= LEAST_FAULTS
    assert changing.total() >= LEAST_CHANGES
