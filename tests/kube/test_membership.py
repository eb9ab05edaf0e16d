"""Replicas over one store of leases, whatever happens between any two calls: pauses, crashes, partitions, lost answers.

Time passes at another rate for each. What is asserted in the end holds within a stated time of the last disturbance.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kube import leases
from kube.errors import Conflict, NotFound, Unreachable
from kube.leases import Membership, Replica
from kube.shares import DECISIONS, share_names

SHARES = share_names(8)
DURATION = 5.0
INTERVAL = DURATION / 5
SLOWEST = 0.9
# A dead one is noticed when its lease is over by the clock of the slowest, at the next tick of that.
TAKEN_WITHIN = DURATION / SLOWEST + 2 * INTERVAL
# Then shares change hands one at a tick and replica.
SETTLED_WITHIN = TAKEN_WITHIN + (len(SHARES) + 1) * INTERVAL


class Api:
    """Keeps leases as an API server does: one version for all, every write on condition of the version it is for."""

    def __init__(self) -> None:
        self.version = 0
        self.leases: dict[str, dict[str, Any]] = {}
        self.taken: list[tuple[str, int]] = []  # writes of shares that went well, by the version they replaced

    def get(self, name: str) -> bytes:
        return msgspec.json.encode(self._find(name))

    def list(self) -> bytes:
        return msgspec.json.encode({"items": list(self.leases.values())})

    def create(self, body: dict[str, Any], name: str) -> bytes:
        if name in self.leases:
            raise Conflict(name, "exists", "")
        return self._write(name, body, 0)

    def replace(self, name: str, body: dict[str, Any]) -> bytes:
        version = self._find(name)["metadata"]["resourceVersion"]
        if body["metadata"]["resourceVersion"] != version:
            raise Conflict(name, "has changed", "")
        return self._write(name, body, int(version))

    def delete(self, name: str, version: str = "") -> bytes:
        if version and self._find(name)["metadata"]["resourceVersion"] != version:
            raise Conflict(name, "has changed", "")
        self._find(name)
        del self.leases[name]
        return b"{}"

    def holder(self, share: str) -> str:
        found = self.leases.get(f"heddle-share-{share}")
        return "" if found is None else found["spec"]["holderIdentity"]

    def _find(self, name: str) -> dict[str, Any]:
        if name not in self.leases:
            raise NotFound(name, "is not there", "")
        return self.leases[name]

    def _write(self, name: str, body: dict[str, Any], replaced: int) -> bytes:
        self.version += 1
        written = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.leases[name] = written
        if name.startswith("heddle-share-"):
            self.taken.append((name, replaced))
        return msgspec.json.encode(written)


class Member:
    """A replica with its clock, and what happens at its calls."""

    def __init__(self, api: Api, name: str, rate: float) -> None:
        self.api = api
        self.rate = rate
        self.clock = 1000.0
        self.looked = float("-inf")  # when it last saw all leases
        self.reaches = True
        self.faults: list[Callable[[], bool]] = []  # by call: returns whether the answer is lost
        self.membership = Membership(
            self,  # type: ignore[arg-type]  # as far as it is used
            Replica(name, f"http://{name}", f"tcp:{name}"),
            SHARES,
            "space",
            DURATION,
        )

    @property
    def name(self) -> str:
        return self.membership.me.name

    @property
    def trouble(self) -> str:
        with self._time():
            return self.membership.trouble

    def tick(self) -> None:
        with self._time():
            with suppress(Unreachable):
                self.membership.tick()
            self.faults.clear()

    def leave(self) -> dict[str, str]:
        with self._time():
            return self.membership.leave()

    def get(self, _: Any, name: str, __: str) -> bytes:
        return self._call(lambda: self.api.get(name))

    def list(self, *_: Any) -> bytes:
        found = self._call(self.api.list)
        self.looked = self.clock
        return found

    def create(self, _: Any, body: dict[str, Any], __: str, name: str) -> bytes:
        return self._call(lambda: self.api.create(body, name))

    def replace(self, _: Any, name: str, body: dict[str, Any], __: str) -> bytes:
        return self._call(lambda: self.api.replace(name, body))

    def delete(self, _: Any, name: str, __: str, version: str = "") -> bytes:
        return self._call(lambda: self.api.delete(name, version))

    def _call(self, call: Callable[[], bytes]) -> bytes:
        lost = self.faults.pop(0)() if self.faults else False
        if not self.reaches:
            raise Unreachable("api", "no answer", "")
        answer = call()
        if lost:
            raise Unreachable("api", "the answer was lost", "")
        return answer

    def _time(self) -> Any:
        return patch.object(leases, "clock", lambda: self.clock)


class Members(RuleBasedStateMachine):
    """Three replicas at most; one that crashed comes back under another name, as processes do."""

    def __init__(self) -> None:
        super().__init__()
        self.api = Api()
        self.born = 0
        self.members = [self._new(rate) for rate in (SLOWEST, 1.0, 1.1)]

    def _new(self, rate: float) -> Member:
        self.born += 1
        return Member(self.api, f"r{self.born}", rate)

    @rule(number=st.integers(0, 2))
    def tick(self, number: int) -> None:
        self.members[number].tick()

    @rule(number=st.integers(0, 2), other=st.integers(0, 2), call=st.integers(0, 5), seconds=st.floats(0, 8))
    def tick_with_another_in_the_middle(self, number: int, other: int, call: int, seconds: float) -> None:
        """It may be stopped between two calls for as long as it takes others to replace it."""

        def meanwhile() -> bool:
            self._pass(seconds)
            self.who_has_not_looked_for_long_decides_nothing()
            if other != number:
                self.members[other].tick()
                self._pass(INTERVAL)
                self.members[other].tick()
            return False

        self.members[number].faults = [*[lambda: False] * call, meanwhile]
        self.members[number].tick()

    @rule(number=st.integers(0, 2), call=st.integers(0, 5))
    def tick_with_an_answer_lost(self, number: int, call: int) -> None:
        self.members[number].faults = [*[lambda: False] * call, lambda: True]
        self.members[number].tick()

    @rule(number=st.integers(0, 2), reaches=st.booleans())
    def cut_or_mend(self, number: int, reaches: bool) -> None:
        self.members[number].reaches = reaches

    @rule(number=st.integers(0, 2))
    def crash_and_come_back(self, number: int) -> None:
        self.members[number] = self._new(self.members[number].rate)

    @rule(number=st.integers(0, 2))
    def leave(self, number: int) -> None:
        self.members[number].leave()
        self.members[number] = self._new(self.members[number].rate)

    @rule(seconds=st.floats(0.1, 3))
    def pass_time(self, seconds: float) -> None:
        self._pass(seconds)

    @precondition(lambda self: self.api.leases)
    @rule(data=st.data())
    def somebody_removes_a_lease(self, data: st.DataObject) -> None:
        del self.api.leases[data.draw(st.sampled_from(sorted(self.api.leases)))]

    @invariant()
    def no_version_is_replaced_twice(self) -> None:
        replaced = [each for each in self.api.taken if each[1]]
        assert len(replaced) == len(set(replaced))

    @invariant()
    def no_two_lead_with_one_generation(self) -> None:
        led = [each for member in self.members for each in member.membership.view.mine.items()]
        assert len(led) == len(set(led))

    @invariant()
    def who_has_not_looked_for_long_decides_nothing(self) -> None:
        for member in self.members:
            if member.clock - member.looked > DURATION:
                assert member.trouble

    def teardown(self) -> None:
        survivors = [member for member in self.members if member.reaches] or self.members[:1]
        for member in survivors:
            member.reaches = True
        living = {member.name for member in survivors}
        self._settle(survivors, TAKEN_WITHIN)
        assert {self.api.holder(share) for share in SHARES} <= living
        self._settle(survivors, SETTLED_WITHIN - TAKEN_WITHIN)
        counts = [sum(self.api.holder(share) == name for share in SHARES) for name in living]
        assert max(counts) - min(counts) <= 1
        self._settle(survivors, INTERVAL)  # all see what was written last
        assert len({str(sorted(member.membership.view.holders.items())) for member in survivors}) == 1
        assert not any(member.trouble for member in survivors)
        settled = len(self.api.taken)
        self._settle(survivors, 4 * DURATION)
        assert len(self.api.taken) == settled, "shares go to and fro"

    def _settle(self, survivors: list[Member], seconds: float) -> None:
        for _ in range(int(seconds / INTERVAL) + 1):
            self._pass(INTERVAL)
            for member in survivors:
                member.tick()

    def _pass(self, seconds: float) -> None:
        for member in self.members:
            member.clock += seconds * member.rate


TestMembers = Members.TestCase


@pytest.mark.parametrize("present", [1, 2, 3, 4])
def test_one_more_takes_its_fair_part_and_no_more(present: int) -> None:
    api = Api()
    members = [Member(api, f"r{number}", 1.0) for number in range(present)]
    run(members, 20)
    before = {share: api.holder(share) for share in SHARES}
    members.append(Member(api, "new", 1.0))
    run(members, 20)
    after = {share: api.holder(share) for share in SHARES}
    moved = [share for share in SHARES if before[share] != after[share]]
    assert {after[share] for share in moved} == {"new"}
    assert len(moved) == len(SHARES) // (present + 1)
    assert DECISIONS not in moved


def test_who_leaves_lets_go_of_all_but_what_fails() -> None:
    """Another has touched one of the leases, and one answer is lost: the others are free at once."""
    api = Api()
    (member,) = members = [Member(api, "r1", 1.0)]
    run(members, 20)
    first, second, *others = member.membership.view.mine
    touched = api.leases[f"heddle-share-{first}"]
    api.replace(f"heddle-share-{first}", touched)
    member.faults = [lambda: False, lambda: True]
    assert member.leave() == {
        f"heddle-share-{first}": "heddle-share-" + first + ": has changed; ",
        f"heddle-share-{second}": "api: the answer was lost; ",
    }
    assert {share for share in SHARES if api.holder(share)} == {first}
    assert len(others) == len(SHARES) - 2
    assert "heddle-replica-r1" not in api.leases


def test_who_leaves_does_not_wait_longer_than_others_would() -> None:
    api = Api()
    (member,) = members = [Member(api, "r1", 1.0)]
    run(members, 20)

    def slow() -> bool:
        member.clock += DURATION / 2
        return False

    member.reaches = False
    member.faults = [slow] * 20
    kept = member.leave()
    assert len(kept) == len(SHARES) + 1
    assert len(member.faults) == 18, "two calls have taken as long as the leases last"
    assert kept["heddle-replica-r1"] == "it is over"


def run(members: list[Member], ticks: int) -> None:
    for _ in range(ticks):
        for member in members:
            member.clock += INTERVAL
        for member in members:
            member.tick()
