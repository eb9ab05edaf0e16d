"""Random joins, isolations and moves, and who might talk when: the judge of a record of traffic.

The judge knows networks, projects and joined pairs as they were asked for, and no flow. A change comes into force
somewhere between the moment it was asked for and the moment it was answered: the state before holds until the one, the
state after from the other on, and in between either.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

from bench.traffic import Sent, Traffic
from lab.laboratory import Lab

LONGEST_WAY = 0.25  # seconds that a datagram may be under way: it is lost only if it was allowed all that time
_KINDS = ("join", "isolate", "move")


class State(NamedTuple):
    """Which network each project is on, and which networks are joined."""

    home: Mapping[str, str]
    joined: frozenset[frozenset[str]]

    def allows(self, source: str, target: str) -> bool:
        """Whether pods of one project may send to pods of another."""
        ends = frozenset((self.home[source], self.home[target]))
        return len(ends) == 1 or ends in self.joined


class Change(NamedTuple):
    """A change: which kind, when it was asked for and answered (seconds, monotonic), and the state after it."""

    kind: str
    asked: float
    answered: float
    after: State


@dataclass
class Upheaval:
    """Changes of one laboratory's networks, one after the other, drawn by `seed`."""

    lab: Lab
    state: State
    seed: int
    changes: list[Change] = field(default_factory=list)

    def run(self, count: int, say: Callable[[str], None]) -> None:
        """Make that many changes. LateError when one is not in force everywhere in time."""
        chance = random.Random(self.seed)
        pairs = [frozenset(pair) for pair in combinations(sorted(set(self.state.home.values())), 2)]
        for number in range(count):
            if number and number % 100 == 0:
                say(f"{number} changes made")
            self._one(chance, pairs)
            time.sleep(chance.uniform(0, 0.03))

    def _one(self, chance: random.Random, pairs: Sequence[frozenset[str]]) -> None:
        apart = [pair for pair in pairs if pair not in self.state.joined]
        kinds = [kind for kind, fits in zip(_KINDS, (apart, self.state.joined, True), strict=True) if fits]
        kind = chance.choice(kinds)
        if kind == "join":
            pair = chance.choice(apart)
            one, other = sorted(pair)
            self._make(kind, State(self.state.home, self.state.joined | {pair}), lambda: self.lab.join(one, other))
        elif kind == "isolate":
            gone = chance.choice(sorted(self.state.joined, key=sorted))
            after = State(self.state.home, self.state.joined - {gone})
            self._make(kind, after, lambda: self.lab.isolate(*sorted(gone)))
        else:
            project = chance.choice(sorted(self.state.home))
            networks = sorted({name for pair in pairs for name in pair} - {self.state.home[project]})
            target = chance.choice(networks)
            after = State({**self.state.home, project: target}, self.state.joined)
            self._make(kind, after, lambda: self.lab.move(project, target))

    def _make(self, kind: str, after: State, change: Callable[[], None]) -> None:
        asked = time.monotonic()
        change()
        self.changes.append(Change(kind, asked, time.monotonic(), after))
        self.state = after


class Judgement(NamedTuple):
    """What became of the traffic; `leaks` and `losses` name each datagram that should not have fared as it did."""

    sent: int
    delivered: int
    certain: int  # datagrams that had to be delivered
    forbidden: int  # datagrams that nobody might have
    strays: tuple[str, ...]  # came to another pod than they were for, or twice
    leaks: tuple[str, ...]
    losses: tuple[str, ...]


def judge(traffic: Traffic, first: State, changes: Sequence[Change]) -> Judgement:
    """Hold a record of traffic against the states in force from the sending to the arrival of each datagram."""
    times = _Times(first, changes)
    projects = [pod.project for pod in traffic.pods]
    came: dict[int, float] = {}
    strays = []
    for arrival in traffic.arrivals:
        if arrival.number in came or arrival.pod != traffic.sent[arrival.number].target:
            strays.append(f"{_named(traffic, arrival.number)}: at {traffic.pods[arrival.pod].name}")
        came.setdefault(arrival.number, arrival.at)
    leaks, losses, verdicts = [], [], Counter[bool | None]()
    for number, sent in enumerate(traffic.sent):
        verdict = times.verdict(sent, came.get(number), projects)
        verdicts[verdict] += 1
        if verdict is True and number not in came:
            losses.append(_named(traffic, number))
        if verdict is False and number in came:
            leaks.append(_named(traffic, number))
    return Judgement(
        len(traffic.sent), len(came), verdicts[True], verdicts[False], tuple(strays), tuple(leaks), tuple(losses)
    )


class _Times:
    """Which states may have been in force at some time of an interval."""

    def __init__(self, first: State, changes: Sequence[Change]) -> None:
        self._states = [first, *(change.after for change in changes)]
        self._asked = [change.asked for change in changes]
        self._answered = [change.answered for change in changes]

    def verdict(self, sent: Sent, arrived: float | None, projects: Sequence[str]) -> bool | None:
        """Whether a datagram had to be delivered (True), must not be (False), or might be."""
        until = sent.at + LONGEST_WAY if arrived is None else arrived
        first = bisect_left(self._answered, sent.at)
        last = bisect_right(self._asked, until)
        source, target = projects[sent.source], projects[sent.target]
        allowed = {state.allows(source, target) for state in self._states[first : last + 1]}
        return allowed.pop() if len(allowed) == 1 else None


def _named(traffic: Traffic, number: int) -> str:
    sent = traffic.sent[number]
    source, target = traffic.pods[sent.source].name, traffic.pods[sent.target].name
    return f"datagram {number}, {source} -> {target}, sent at {sent.at:.3f}"
