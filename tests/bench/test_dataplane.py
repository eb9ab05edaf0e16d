"""Row 11: what runs of traffic amount to, and the row itself with real packets."""

from __future__ import annotations

import os

import pytest

from bench import loads
from bench.crowds import Looked, Reach
from bench.datapath import Masks, Passed
from bench.figures import Distribution
from bench.loads import DATAGRAMS, REQUESTS, STREAM, Moved
from bench.rows import dataplane
from bench.setting import Setting
from bench.ways import GENEVE, TAP, Course, Ran, Way
from lab.namespaces import Namespace
from lab.state import ROOT

POD, SERVICE, PEER, OTHER, AGAIN = (
    Way(title, Namespace("ns", "state"), f"192.0.2.{number}")
    for number, title in enumerate(("pod", "service", "NORMAL", "one conntrack", "NORMAL again"))
)
COURSE = Course("same node", (POD, SERVICE), (PEER, OTHER))


def ran(units: float, packets: int = 1000, cpu_ms: float = 8.0, far: int = 0) -> Ran:
    """A run in which so many units arrived within half a second."""
    passes = (Passed(packets, 2.0, 1.5), Passed(far, 3.0, 1.0))
    return Ran(Moved(units, 0.5), {"ovs-vswitchd n1": cpu_ms, "ovs-vswitchd n2": 0.0}, 2.0, passes)


def test_a_rate_ratio_is_that_of_neighbours_in_time() -> None:
    """The machine was twice as fast in the second round, and three times in the third."""
    ours, theirs = [ran(9), ran(18), ran(27)], [ran(10), ran(20), ran(30)]
    results = {POD: ours, SERVICE: theirs, PEER: theirs, OTHER: ours}
    found = {one.what: one for one in dataplane._ratios(REQUESTS, COURSE, results)}
    assert len(found) == 4
    pod = found["request and answer, same node: pod / NORMAL"]
    assert (pod.value, pod.met) == (pytest.approx(0.9), False)
    assert found["request and answer, same node: service / one conntrack"].met


def test_what_is_there_besides_has_no_goal_and_steady_traffic_tells_cpu() -> None:
    results = {way: [ran(10, cpu_ms=8.0 + number)] for number, way in enumerate((POD, SERVICE, PEER, OTHER, AGAIN))}
    for load in (STREAM, DATAGRAMS):
        found = {one.what: one for one in dataplane._ratios(load, COURSE, results)}
        assert len(found) == 10
        assert found[f"{load.name}, same node: NORMAL again / NORMAL"].met is None
        assert found[f"{load.name}, same node: pod / NORMAL, CPU a packet"].value == pytest.approx(0.8)


def test_taps_and_geneve_are_beside_veths_and_vxlan() -> None:
    others = tuple(Way(title, Namespace("ns", "state"), "192.0.2.9") for title in (TAP, GENEVE))
    results = {way: [ran(10)] for way in (POD, SERVICE, PEER, OTHER)} | {way: [ran(12)] for way in others}
    found = {one.what: one for one in dataplane._ratios(REQUESTS, COURSE._replace(others=others), results)}
    assert len(found) == 6
    for title in (TAP, GENEVE):
        beside = found[f"request and answer, same node: {title} / pod"]
        assert (beside.value, beside.met) == (pytest.approx(1.2), None)


def test_a_run_tells_cpu_for_each_packet_that_was_taken_in() -> None:
    assert ran(10).cpu_us == 8.0
    made = dataplane._contender(DATAGRAMS, COURSE, POD, [ran(10), ran(40)])
    assert made.seconds == Distribution((0.05, 0.0125))
    assert made.cpu_ms == {"ovs-vswitchd n1": 16 / 50, "ovs-vswitchd n2": 0.0}
    assert made.facts["1,000/s"] == "50 (20 to 80)"
    assert made.facts["passes"] == "2.00"
    over_both = dataplane._contender(DATAGRAMS, COURSE, POD, [ran(10, far=990)])
    assert over_both.facts["passes"] == "2.00 + 3.00"


def test_masks_are_compared_with_none_and_with_few() -> None:
    def looked(*masks: int) -> dict[Reach, Looked]:
        return {
            reach: Looked((Masks(n, n, 9), Masks(1, 1, 1)), (0.001,)) for reach, n in zip(Reach, masks, strict=True)
        }

    found = dataplane._mask_ratios({0: looked(9, 9, 9), 10: looked(9, 17, 17), 1000: looked(9, 17, 35)})
    assert [(one.what, one.value, one.met) for one in found] == [
        ("masks, pods asked: 1,000 services / 0", 1.0, True),
        ("masks, services too: 1,000 services / 10", 1.0, True),
        ("masks, the widest too: 1,000 services / 10", 2.0, False),
    ]


@pytest.mark.netns
@pytest.mark.ovs
@pytest.mark.slow
def test_the_row_runs_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "_EXCHANGED", 0.05)
    monkeypatch.setattr(dataplane, "LOADS", (REQUESTS,))
    monkeypatch.setattr(dataplane, "_COUNTS", (0, 2, 6, 0))
    monkeypatch.setattr(dataplane, "_LAB", f"td{os.getpid()}")
    name = f"tds{os.getpid()}"
    said: list[str] = []
    row = dataplane.run(Setting(True, said.append, name))
    titles = [one.name.rpartition(": ")[2] for one in row.contenders]
    assert titles[:6] == ["pod", "service", "NORMAL", "one conntrack", "tap", "NORMAL again"]
    passes = {title: float(one.facts["passes"]) for title, one in zip(titles[:6], row.contenders[:6], strict=True)}
    assert passes["NORMAL"] == pytest.approx(1, abs=0.1)
    assert passes["one conntrack"] == pytest.approx(2, abs=0.1)
    assert passes["pod"] == pytest.approx(2, abs=0.1)
    assert passes["tap"] == pytest.approx(2, abs=0.1)
    assert passes["service"] == pytest.approx(2.5, abs=0.1)
    *_, pods, services, _ = row.ratios
    assert (pods.what, pods.met) == ("masks, pods asked: 6 services / 0", True)
    assert (services.what, services.met) == ("masks, services too: 6 services / 2", True)
    assert not (ROOT / name).exists()
