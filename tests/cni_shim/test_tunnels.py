"""Whether tunnels carry packets, told from probes: what is lost, held down, relapses; frames that are no answers."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from cni_shim.errors import ShimError
from cni_shim.node import configuration, tunnels
from cni_shim.node.tunnels import HOLD, INTERVAL, LONGEST_HOLD, LOST, MOST_A_SECOND, PATIENCE, Tunnels, frame, read
from tests.cni_shim.fake_controller import configuration as from_controller

OWN, PEER, OTHER = "192.0.2.11", "192.0.2.12", "192.0.2.13"
NONCE = b"n" * 8


class World:
    """A node's tunnels on a clock; each peer answers or not."""

    def __init__(self, *peers: str) -> None:
        random.seed(7)
        self.now = 100.0
        self.tunnels = Tunnels(OWN, NONCE)
        self.tunnels.heed(peers, self.now)
        self.answering = set(peers)
        self.sent: list[float] = []
        self.news: list[tuple[float, frozenset[str]]] = []

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            frames, changed = self.tunnels.due(self.now)
            self.sent += [self.now] * len(frames)
            for each in frames:
                answer = tunnels.TELLS + each[2:]
                if ".".join(map(str, each[2:6])) in self.answering:
                    changed |= self.tunnels.take(answer, self.now)
            if changed:
                self.news.append((self.now, self.tunnels.down()))
            self.now += min(0.01 + self.tunnels.next_due(self.now), 0.5)

    def downs(self) -> list[float]:
        return [when for when, down in self.news if PEER in down]


def test_a_tunnel_is_down_after_a_few_probes_and_up_after_a_while() -> None:
    world = World(PEER, OTHER)
    world.run(10)
    assert world.tunnels.down() == world.tunnels.unknown() == frozenset()
    cut = world.now
    world.answering.remove(PEER)
    world.run(10)
    assert world.tunnels.down() == {PEER}
    assert (LOST - 1) * INTERVAL * 0.9 < world.downs()[0] - cut < (LOST + 1.5) * INTERVAL
    mended = world.now
    world.answering.add(PEER)
    world.run(10)
    assert world.tunnels.down() == frozenset()
    assert HOLD <= world.news[-1][0] - mended < HOLD + 3 * INTERVAL


def test_a_single_loss_is_none() -> None:
    world = World(PEER)
    world.run(5)
    for _ in range(20):
        world.answering.clear()
        world.run(INTERVAL)
        world.answering.add(PEER)
        world.run(1)
    assert world.downs() == []


def test_what_flaps_is_held_down_for_longer_each_time_and_trusted_again_later() -> None:
    world = World(PEER)
    world.run(2)
    held = []
    for _ in range(9):
        world.answering.clear()
        world.run(2)
        assert world.tunnels.down() == {PEER}
        world.answering.add(PEER)
        mended = world.now
        while world.tunnels.down():
            world.run(0.5)
        held.append(world.now - mended)
    assert all(later > earlier - INTERVAL * 2 for earlier, later in pairwise(held))
    assert held[1] > 1.5 * held[0]
    assert held[0] < HOLD + 1
    assert held[-1] == pytest.approx(LONGEST_HOLD, abs=2)
    assert all(later < 2.2 * earlier + 1 for earlier, later in pairwise(held))
    world.run(tunnels.CALM * LONGEST_HOLD + 1)
    world.answering.clear()
    world.run(2)
    world.answering.add(PEER)
    world.run(HOLD + 1)
    assert world.tunnels.down() == frozenset()


def test_what_loses_a_packet_meanwhile_is_not_up() -> None:
    world = World(PEER)
    world.run(2)
    world.answering.clear()
    world.run(2)
    for _ in range(10):
        world.answering.add(PEER)
        world.run(HOLD * 0.7)
        world.answering.clear()
        world.run(0.4)
    assert world.tunnels.down() == {PEER}
    assert len(world.downs()) == 1


def test_what_never_answered_is_unknown_for_a_while() -> None:
    world = World(PEER)
    world.answering.clear()
    world.run(PATIENCE - 1)
    assert (world.tunnels.down(), world.tunnels.unknown()) == (frozenset(), {PEER})
    world.run(3)
    assert (world.tunnels.down(), world.tunnels.unknown()) == ({PEER}, frozenset())


def test_of_who_is_gone_nothing_is_said() -> None:
    world = World(PEER, OTHER)
    world.run(2)
    world.answering.clear()
    world.run(2)
    assert world.tunnels.heed([OTHER], world.now)
    assert world.tunnels.down() == {OTHER}
    assert not world.tunnels.heed([OTHER], world.now)
    assert not world.tunnels.take(tunnels.TELLS + frame(OWN, PEER, NONCE, 9)[2:], world.now)


def test_with_many_nodes_probes_are_no_more_a_second() -> None:
    world = World(*(f"10.0.{number // 250}.{number % 250 + 1}" for number in range(1000)))
    world.run(12)
    per_second = [sum(start <= when < start + 1 for when in world.sent) for start in range(104, 110)]
    assert max(per_second) < 1.3 * MOST_A_SECOND
    lost = "10.0.0.5"
    world.answering.remove(lost)
    cut = world.now
    world.run(8)
    when = next(when for when, down in world.news if lost in down)
    assert when - cut < 1000 / MOST_A_SECOND * 1.1 + LOST * INTERVAL * 1.2


@pytest.mark.parametrize(
    "received",
    [
        b"",
        frame(OWN, PEER, NONCE, 1),  # the question
        tunnels.TELLS + frame(OWN, PEER, b"m" * 8, 1)[2:],  # of an earlier process
        tunnels.TELLS + frame(OWN, PEER, NONCE, 1)[2:20],
        tunnels.TELLS + frame(OWN, PEER, NONCE, 1)[2:12] + b"\x08\x00" + frame(OWN, PEER, NONCE, 1)[14:],
    ],
)
def test_other_frames_are_no_answers(received: bytes) -> None:
    assert read(received, NONCE) is None


def test_an_answer_counts_once_and_only_to_a_question() -> None:
    world = World(PEER)
    frames, _ = world.tunnels.due(200.0)
    answer = tunnels.TELLS + frames[0][2:]
    assert read(answer, NONCE) == (PEER, 1)
    assert world.tunnels.take(answer, 200.0)
    assert not world.tunnels.take(answer, 200.0)
    assert not world.tunnels.take(tunnels.TELLS + frame(OWN, PEER, NONCE, 2)[2:], 200.0)


def test_frames_are_as_the_flows_want_them() -> None:
    made = frame(OWN, PEER, NONCE, 1)
    assert made[:6] == bytes((0x0A, 0x5D, 192, 0, 2, 12))
    assert made[12:14] == b"\x88\xb5"
    assert len(made) == 60


@pytest.mark.parametrize(
    "wrong", ["n2", [{"node": "n2"}], [{"node": "n2", "address": "fd00::1"}], [{"node": 2, "address": "192.0.2.12"}]]
)
def test_tunnels_of_the_configuration_are_checked(wrong: object) -> None:
    with pytest.raises(ShimError, match="tunnels"):
        configuration.parse(from_controller(tunnels=wrong), "n1")


def test_an_older_controller_asks_for_no_probes() -> None:
    given = [{"node": "n2", "address": "192.0.2.12", "more": 1}]
    assert configuration.parse(from_controller(tunnels=given), "n1").tunnels == (
        configuration.Tunnel("n2", "192.0.2.12"),
    )
    content = from_controller()
    content.pop("tunnels", None)
    assert configuration.parse(content, "n1").tunnels == ()
