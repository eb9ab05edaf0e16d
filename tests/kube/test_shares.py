"""Shares: replicas that start, pause, die and come back share them fairly, and no write of two succeeds at once."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from kube.shares import Leases, SeenLease, share_names, share_of, steps

NAMES = share_names(8)
DURATION = 5.0
TICK = 1.0


@dataclass
class Api:
    """Leases as an API server keeps them: each write is on condition of the version."""

    version: int = 0
    replicas: dict[str, int] = field(default_factory=dict)
    shares: dict[str, tuple[str, int]] = field(default_factory=dict)
    taken: list[tuple[str, int]] = field(default_factory=list)

    def renew(self, name: str) -> None:
        self.version += 1
        self.replicas[name] = self.version

    def write(self, share: str, holder: str, expected: int) -> bool:
        if self.shares.get(share, ("", 0))[1] != expected:
            return False
        self.version += 1
        self.shares[share] = (holder, self.version)
        self.taken.append((share, self.version))
        return True


@dataclass
class Replica:
    """What one has seen, by its own clock, which runs at a rate of its own."""

    name: str
    rate: float
    awake: bool = True
    reaches: bool = True
    clock: float = 0.0
    seen: Leases = field(default_factory=lambda: Leases({}, {}))

    def pass_time(self, seconds: float) -> None:
        self.clock += seconds * self.rate

    def tick(self, api: Api) -> None:
        if not (self.awake and self.reaches):
            return
        api.renew(self.name)
        self.look(api)
        for step in steps(self.name, NAMES, self.seen, self.clock):
            api.write(step.share, self.name, step.version)

    def look(self, api: Api) -> None:
        replicas = {
            name: self._lease("", version, self.seen.replicas.get(name)) for name, version in api.replicas.items()
        }
        shares = {name: self._lease(*said, self.seen.shares.get(name)) for name, said in api.shares.items()}
        self.seen = Leases(replicas, shares)

    def _lease(self, holder: str, version: int, before: SeenLease | None) -> SeenLease:
        same = before is not None and before.version == version
        return SeenLease(holder, version, DURATION, before.changed if same and before else self.clock)


STEPS = st.lists(st.tuples(st.sampled_from(["tick", "pause", "wake", "cut", "mend"]), st.integers(0, 2)), max_size=120)


@given(STEPS, st.tuples(*[st.floats(0.9, 1.1)] * 3))
def test_every_share_is_held_by_one_that_lives_and_fairly(
    happened: list[tuple[str, int]], rates: tuple[float, float, float]
) -> None:
    api = Api()
    replicas = [Replica(f"r{number}", rate) for number, rate in enumerate(rates)]
    for verb, number in happened:
        replica = replicas[number]
        match verb:
            case "tick":
                for each in replicas:
                    each.pass_time(TICK)
                    each.tick(api)
            case "pause" | "wake":
                replica.awake = verb == "wake"
            case "cut" | "mend":
                replica.reaches = verb == "mend"
    living = [replica for replica in replicas if replica.awake and replica.reaches] or [replicas[0]]
    for replica in living:
        replica.awake = replica.reaches = True
    for _ in range(30):
        for replica in living:
            replica.pass_time(TICK)
            replica.tick(api)
    counts = {replica.name: 0 for replica in living}
    for name in NAMES:
        counts[api.shares[name][0]] += 1
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(api.taken) == len(set(api.taken))


def settle(api: Api, replicas: list[Replica], ticks: int) -> None:
    for _ in range(ticks):
        for replica in replicas:
            replica.pass_time(TICK)
            replica.tick(api)


def test_one_more_replica_moves_its_part_and_no_more() -> None:
    api, first = Api(), Replica("r0", 1.0)
    settle(api, [first], 3)
    before = dict(api.shares)
    second = Replica("r1", 1.0)
    settle(api, [first, second], 20)
    moved = [name for name in NAMES if api.shares[name] != before[name]]
    assert len(moved) == len(NAMES) // 2
    assert "decisions" not in moved
    settled = dict(api.shares)
    settle(api, [first, second], 20)
    assert api.shares == settled


def test_a_dead_ones_shares_are_taken_after_its_lease() -> None:
    api, one, two = Api(), Replica("r0", 1.0), Replica("r1", 1.0)
    settle(api, [one, two], 20)
    settle(api, [two], int(DURATION) + 1)
    assert all(holder == "r1" for holder, _ in api.shares.values())


def test_a_nodes_share_is_always_the_same() -> None:
    assert share_of("n1", 8) == share_of("n1", 8)
    assert {share_of(f"n{number}", 8) for number in range(8)} == set(NAMES) - {"decisions"}
