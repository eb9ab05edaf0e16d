"""Limits of pods: which flows and meters they are, and that a change of them is a change of few."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.topology.states import states
from tests.topology.strategies import after
from topology import requests
from topology.admission import admit
from topology.compiler import compile_all, diff, reconcile, update
from topology.flow import Entry, Meter
from topology.meters import NO_METERS, MeterChanges, by_id, changes
from topology.model import Pod, PodKey, PortKey
from topology.pipeline import FeatureId
from topology.requests import Refused, Request
from topology.snapshot import Snapshot, apply_all

METERS = st.dictionaries(st.integers(1, 9), st.integers(1, 3), max_size=6).map(
    lambda found: {number: Meter(number, rate, 1100) for number, rate in found.items()}
)


def limited(ingress: int | None = None, egress: int | None = None, pod: str = "a") -> requests.SetPod:
    return requests.SetPod(Pod(PodKey("red", pod), (), (), ingress, egress))


def meters(snapshot: Snapshot, node: str = "n1") -> list[Meter]:
    return sorted(by_id(compile_all(snapshot)[node].entries()).values())


def told(snapshot: Snapshot, *asked: Request) -> tuple[list[Entry], MeterChanges]:
    """Return what n1's switch is told of flows, sentinels left out, and of meters, by the incremental way."""
    tables = compile_all(snapshot)
    later, made = snapshot, []
    for request in asked:
        later, more = apply_all(later, admit(later, request))
        made += more
    new, dirty = update(tables, made, snapshot, later)
    assert new == compile_all(later)
    assert dirty.keys() <= {"n1"}
    delta = diff(tables["n1"], new["n1"], dirty.get("n1"))
    return [entry for entry in delta.adds if entry.cookie >> 56 != FeatureId.SENTINEL], delta.meters


@given(METERS, METERS)
def test_changes_lead_from_one_to_the_other(old: dict[int, Meter], new: dict[int, Meter]) -> None:
    made, changed, gone = changes(old, new)
    assert not {meter.meter_id for meter in made} & old.keys()
    assert {meter.meter_id for meter in changed} <= old.keys()
    after_all = {**old, **{meter.meter_id: meter for meter in (*made, *changed)}}
    assert {number: meter for number, meter in after_all.items() if number not in gone} == new
    assert changes(old, old) == NO_METERS
    assert not NO_METERS


@pytest.mark.parametrize(
    ("bits", "rate", "burst"),
    [
        (1000, 1, 1100),
        (1999, 1, 1100),
        (4_400_000, 4400, 1100),
        (10**9, 10**6, 250_000),
        (10**15, 2**32 - 1, 2**30 - 1),
    ],
)
def test_rates_are_in_whole_kilobits_and_a_large_segment_always_fits(bits: int, rate: int, burst: int) -> None:
    assert meters(after(states()["a pod"], limited(egress=bits))) == [Meter(6, rate, burst)]


def test_a_limit_that_comes_changes_and_goes_is_two_flows_of_one_node() -> None:
    start = states()["pods of two networks"]
    adds, first = told(start, limited(10**7, 10**6))
    assert [entry.flow.meters[0].meter_id for entry in adds] == [6, 7]
    assert first == MeterChanges(made=(Meter(6, 1000, 1100), Meter(7, 10_000, 2500)))
    faster = after(start, limited(10**7, 10**6))
    adds, then = told(faster, limited(2 * 10**7))
    assert len(adds) == 1
    assert then == MeterChanges(changed=(Meter(7, 20_000, 5000),), gone=(6,))
    assert told(faster, requests.DeletePod(PodKey("red", "a"))) == ([], MeterChanges(gone=(6, 7)))


def test_what_is_said_before_the_pod_comes_counts_when_it_has_its_number() -> None:
    start = after(states()["two networks"], limited(10**7))
    assert meters(start) == []
    reported = after(start, requests.ReportPort(PortKey("n1", "a", "eth0"), "red", "a", "va"))
    assert meters(reported) == []
    assert meters(after(reported, requests.PortSeen("n1", "va", 9))) == [Meter(19, 10_000, 2500)]


def test_each_port_of_a_pod_has_its_own_meters() -> None:
    start = states()["a pod on two networks, one by a static address and MAC"]
    assert [meter.meter_id for meter in meters(after(start, limited(10**6, 10**6)))] == [6, 7, 8, 9]


def test_labels_that_change_are_no_change_of_limits() -> None:
    start = after(states()["a pod"], limited(10**6))
    labelled = requests.SetPod(Pod(PodKey("red", "a"), (("role", "db"),), (), 10**6))
    assert told(start, labelled) == ([], NO_METERS)


def test_a_switch_is_brought_to_its_meters_from_whatever_it_has() -> None:
    table = compile_all(after(states()["a pod"], limited(10**7, 10**6)))["n1"]
    there = {6: Meter(6, 5, 5), 99: Meter(99, 0, 0)}
    found = reconcile(table, {entry.cookie for entry in table.entries()}, None, {}, there)
    assert found.meters == MeterChanges((Meter(7, 10_000, 2500),), (Meter(6, 1000, 1100),), (99,))


@pytest.mark.parametrize("bits", [-1, 0, 999, 10**15 + 1])
def test_what_can_be_no_limit_is_refused(bits: int) -> None:
    for request in (limited(bits), limited(None, bits)):
        with pytest.raises(Refused, match=r"pod red/a: a bandwidth of .* bits a second; limit it to between"):
            admit(states()["a pod"], request)
