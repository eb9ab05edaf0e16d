"""The judge of traffic under changes: what it calls lost and leaked, and what may be either way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from bench.traffic import Arrival, Sent
from bench.upheaval import LINGER, LONGEST_WAY, Change, Judgement, State, Upheaval, judge

APART = State({"red": "red", "blue": "blue"}, frozenset())
JOINED = State(APART.home, frozenset({frozenset(("red", "blue"))}))
TOGETHER = State({"red": "red", "blue": "red"}, frozenset())


@dataclass
class Pod:
    """As much of a pod as the judge needs."""

    name: str
    project: str


@dataclass
class Record:
    """What was sent and what came, as `Traffic` has it."""

    sent: list[Sent] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    pods: tuple[Pod, ...] = (Pod("red/a", "red"), Pod("red/b", "red"), Pod("blue/a", "blue"))


def judged(sent: Sent, arrived: float | None, *changes: Change, first: State = APART) -> Judgement:
    record: Any = Record([sent], [] if arrived is None else [Arrival(arrived, 0, sent.target)])
    return judge(record, first, changes)


@pytest.mark.parametrize("state", [APART, JOINED, TOGETHER])
def test_who_may(state: State) -> None:
    assert state.allows("red", "red")
    assert state.allows("red", "blue") is state.allows("blue", "red") is (state is not APART)


def test_within_a_network_everything_must_arrive() -> None:
    assert judged(Sent(1.0, 0, 1), 1.01)[:4] == (1, 1, 1, 0)
    lost = judged(Sent(1.0, 0, 1), None)
    assert len(lost.losses) == 1
    assert "red/a -> red/b" in lost.losses[0]


def test_between_networks_nothing_may() -> None:
    assert judged(Sent(1.0, 0, 2), None)[:4] == (1, 0, 0, 1)
    assert len(judged(Sent(1.0, 0, 2), 1.01).leaks) == 1


@pytest.mark.parametrize(
    ("sent", "arrived", "leaks", "losses"),
    [
        (1.0, 1.9, 1, 0),  # came before the join was asked for
        (1.0, 2.1, 0, 0),  # came when it may have been in force
        (1.0, None, 0, 0),
        (2.0 - LONGEST_WAY / 2, None, 0, 0),  # may have been under way then
        (2.5, 2.6, 0, 0),
        (2.5, None, 0, 0),
        (3.0 + LINGER / 2, None, 0, 0),  # the datapath may have gone by its cache
        (3.1, None, 0, 1),  # sent when it was in force
        (3.1, 3.2, 0, 0),
    ],
)
def test_around_a_join(sent: float, arrived: float | None, leaks: int, losses: int) -> None:
    found = judged(Sent(sent, 0, 2), arrived, Change("join", 2.0, 3.0, JOINED))
    assert (len(found.leaks), len(found.losses)) == (leaks, losses)


def test_the_cache_s_lag_is_told() -> None:
    joined = Change("join", 2.0, 3.0, JOINED)
    parted = Change("isolate", 5.0, 6.0, APART)
    for sent, arrived in ((3.01, None), (6.01, 6.02)):
        assert judged(Sent(sent, 0, 2), arrived, joined, parted).lagging == (pytest.approx(0.01),)
    for sent, arrived in ((3.01, 3.02), (6.01, None), (2.5, None), (5.9, 6.01)):
        assert judged(Sent(sent, 0, 2), arrived, joined, parted).lagging == ()


def test_what_both_states_allow_must_arrive_during_the_change() -> None:
    joined = Change("join", 1.0, 1.1, JOINED)
    moved = Change("move", 2.0, 3.0, State(TOGETHER.home, JOINED.joined))
    assert len(judged(Sent(2.5, 0, 2), None, joined, moved).losses) == 1
    assert len(judged(Sent(2.5, 0, 2), None, moved).losses) == 0


def test_another_pod_and_twice() -> None:
    record: Any = Record([Sent(1.0, 0, 1)], [Arrival(1.1, 0, 1), Arrival(1.2, 0, 1)])
    assert len(judge(record, APART, ()).strays) == 1
    record = Record([Sent(1.0, 0, 1)], [Arrival(1.1, 0, 2)])
    assert "at blue/a" in judge(record, APART, ()).strays[0]


class _Laboratory:
    """Takes note of changes."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def join(self, *names: str) -> None:
        self.told.append(("join", *names))

    def isolate(self, *names: str) -> None:
        self.told.append(("isolate", *names))

    def move(self, *names: str) -> None:
        self.told.append(("move", *names))


def test_changes_are_those_that_were_asked_for() -> None:
    lab: Any = _Laboratory()
    upheaval = Upheaval(lab, State({name: name for name in ("red", "blue", "green")}, frozenset()), 1)
    upheaval.run(30, lambda _: None)
    state = State({name: name for name in ("red", "blue", "green")}, frozenset())
    home, joined = dict(state.home), set(state.joined)
    for change, (kind, one, other) in zip(upheaval.changes, lab.told, strict=True):
        assert change.kind == kind
        if kind == "move":
            assert home[one] != other
            home[one] = other
        elif kind == "join":
            joined.add(frozenset((one, other)))
        else:
            joined.remove(frozenset((one, other)))
        assert change.after == State(home, frozenset(joined))
    assert {change.kind for change in upheaval.changes} == {"join", "isolate", "move"}
