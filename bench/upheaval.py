"""Random joins, isolations and moves, and who might talk when: the judge of a record of traffic.

The judge knows networks, projects and joined pairs as they were asked for, and no flow. A change comes into force
somewhere between the moment it was asked for and the moment it was answered: the state before holds until the one, the
state after from the other on, and in between either. The answer comes when the switches have committed; Open vSwitch
then has new flow tables, and looks through what its datapath has cached of the old ones a moment later (LINGER).
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

LINGER = 0.05  # seconds after the commit reply in which Open vSwitch's datapath may go by what it had cached
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
    """What became of the traffic; `leaks` and `losses` name each datagram that should not have fared as it did.

    `lagging`: how long after a change was answered datagrams still fared by the state before it (seconds each).
    """

    sent: int
    delivered: int
    certain: int  # datagrams that had to be delivered
    forbidden: int  # datagrams that nobody might have
    strays: tuple[str, ...]  # came to another pod than they were for, or twice
    leaks: tuple[str, ...]
    losses: tuple[str, ...]
    lagging: tuple[float, ...]


def judge(traffic: Traffic, first: State, changes: Sequence[Change]) -> Judgement:
    """Hold a record of traffic against the states in force from the sending to the arrival of each datagram."""
    times = _Times(first, changes, [pod.project for pod in traffic.pods])
    came: dict[int, float] = {}
    strays = []
    for arrival in traffic.arrivals:
        if arrival.number in came or arrival.pod != traffic.sent[arrival.number].target:
            strays.append(f"{_named(traffic, arrival.number)}: at {traffic.pods[arrival.pod].name}")
        came.setdefault(arrival.number, arrival.at)
    wrong: dict[bool, list[str]] = {True: [], False: []}  # by whether the datagram had to be delivered
    verdicts = Counter[bool | None]()
    lagging = []
    for number, sent in enumerate(traffic.sent):
        verdict = times.verdict(sent, came.get(number))
        verdicts[verdict] += 1
        if verdict is not None and verdict is not (number in came):
            wrong[verdict].append(_named(traffic, number))
        elif verdict is None:
            lagging += times.lag(sent, came.get(number))
    return Judgement(
        sent=len(traffic.sent),
        delivered=len(came),
        certain=verdicts[True],
        forbidden=verdicts[False],
        strays=tuple(strays),
        leaks=tuple(wrong[False]),
        losses=tuple(wrong[True]),
        lagging=tuple(lagging),
    )


class _Times:
    """Which states may have been in force at some time of an interval."""

    def __init__(self, first: State, changes: Sequence[Change], projects: Sequence[str]) -> None:
        self._states = [first, *(change.after for change in changes)]
        self._asked = [change.asked for change in changes]
        self._answered = [change.answered for change in changes]
        self._projects = projects

    def verdict(self, sent: Sent, arrived: float | None, linger: float = LINGER) -> bool | None:
        """Whether a datagram had to be delivered (True), must not be (False), or might be."""
        until = sent.at + LONGEST_WAY if arrived is None else arrived
        first = bisect_left(self._answered, sent.at - linger)
        last = bisect_right(self._asked, until)
        allowed = {self._allows(position, sent) for position in range(first, last + 1)}
        return allowed.pop() if len(allowed) == 1 else None

    def lag(self, sent: Sent, arrived: float | None) -> list[float]:
        """How long after its end a state decided over a datagram, if none that was in force by the answers did."""
        fate = arrived is not None
        if self.verdict(sent, arrived, linger=0.0) is not (not fate):
            return []
        ended = bisect_left(self._answered, sent.at) - 1
        while self._allows(ended, sent) is not fate:
            ended -= 1
        return [sent.at - self._answered[ended]]

    def _allows(self, position: int, sent: Sent) -> bool:
        return self._states[position].allows(self._projects[sent.source], self._projects[sent.target])


def _named(traffic: Traffic, number: int) -> str:
    sent = traffic.sent[number]
    source, target = traffic.pods[sent.source].name, traffic.pods[sent.target].name
    return f"datagram {number}, {source} -> {target}, sent at {sent.at:.3f}"
