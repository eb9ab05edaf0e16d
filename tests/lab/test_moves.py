"""A project's pods go to another network under traffic: no ping lost, no packet to anybody who may not have it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import permutations
from threading import Thread

import pytest

from lab.api import ProblemError
from lab.frames import ETH_P_IP, Sniffer
from lab.hosts import Host, Target
from lab.laboratory import Lab
from lab.pod import Pod
from lab.services import Load, Service
from store.sqlite import SqliteStore
from tests.lab.slow import SlowAnswers
from tests.lab.watching import eventually, in_sync, watching
from topology.admission import admit
from topology.requests import AdvanceMove, MoveProject
from topology.snapshot import apply_all, empty

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

PLACEMENT = {
    "shop/a": "n1",
    "shop/b": "n2",
    "shop/c": "n3",
    "shop/d": "n1",
    "red/a": "n1",
    "red/b": "n2",
    "blue/a": "n2",
    "blue/b": "n3",
    "green/a": "n3",
    "green/b": "n1",
}
HOME = {"red": "red", "blue": "blue", "green": "green"}


@pytest.fixture(scope="module")
def moving(unique_name: Callable[[], str]) -> Iterator[Lab]:
    """Return a laboratory with the networks red, blue and green; the project shop is on red, or wherever it is left."""
    with Lab(unique_name(), nodes=3) as lab:
        lab.network("red", projects=["red", "shop"])
        lab.network("blue")
        lab.network("green")
        lab.pods(PLACEMENT)
        yield lab


def shops(lab: Lab) -> list[Pod]:
    return [pod for pod in lab.pods_by_name.values() if pod.project == "shop"]


def every_pair(lab: Lab) -> list[tuple[Host, Target]]:
    return list(permutations(lab.pods_by_name.values(), 2))


def trespasses(lab: Lab, seen: Mapping[str, Sniffer], open_to_shop: set[str]) -> list[tuple[str, str]]:
    """Pairs of pods of which the second got a packet that it may not have while shop is on one of these networks."""
    by_address = {str(pod.address): pod for pod in lab.pods_by_name.values()}
    found = set()
    for pod in lab.pods_by_name.values():
        for frame in seen[pod.name].frames:
            sender = by_address.get(frame.source)
            if frame.kind != ETH_P_IP or sender is None or sender.project == pod.project:
                continue
            projects = {sender.project, pod.project}
            if "shop" not in projects or not (projects - {"shop"}) <= open_to_shop:
                found.add((sender.name, pod.name))
    return sorted(found)


def check(lab: Lab, lost: Mapping[str, object]) -> None:
    """Nothing was lost among pods of one project, whichever network that is on."""
    within = {f"{a.name} -> {b.name}" for a, b in permutations(lab.pods_by_name.values(), 2) if a.project == b.project}
    assert within.isdisjoint(lost), sorted(within & set(lost))


def reaches(lab: Lab, network: str) -> None:
    """The shop's pods reach their network's pods, and no other network's."""
    shop = lab.pods_by_name["shop/a"]
    for name in ("red", "blue", "green"):
        assert bool(shop.ping(lab.pods_by_name[f"{name}/a"], patience=0.5 if name != network else 2.0)) is (
            name == network
        )


def test_there_and_back_under_ping(moving: Lab) -> None:
    with watching(moving.pods_by_name.values()) as seen, moving.pings(every_pair(moving), interval=0.03) as pings:
        for network in ("blue", "red", "blue", "red"):
            moving.move("shop", network)
            time.sleep(0.1)
    check(moving, pings.lost)
    assert trespasses(moving, seen, {"red", "blue"}) == []
    reaches(moving, "red")
    networks = moving.api.get("/v1/networks?transit=true")["networks"]
    assert [one["name"] for one in networks] == ["blue", "default", "green", "red"]
    assert moving.api.get("/v1/connections?transit=true")["connections"] == []


def test_what_both_networks_allow_goes_on(moving: Lab) -> None:
    """Between two pods that move, and with one whose network both networks may talk with: nothing is lost."""
    moving.join("red", "green")
    moving.join("blue", "green")
    a, b = moving.pods_by_name["shop/a"], moving.pods_by_name["shop/b"]
    green = moving.pods_by_name["green/a"]
    try:
        with moving.pings([(a, green), (green, b), (b, green), (a, b)], interval=0.01) as pings:
            moving.move("shop", "blue")
            moving.move("shop", "red")
        assert pings.lost == {}
    finally:
        moving.isolate("red", "green")
        moving.isolate("blue", "green")


def test_answers_over_one_way_connections_arrive(moving: Lab) -> None:
    """What pods began before they changed networks is known to the tracker there: each question is a connection."""
    pods = moving.pods_by_name
    for network in ("red", "blue"):
        moving.join(network, "green", one_way=True)
    try:
        with SlowAnswers(pods["shop/a"], pods["green/a"], delay=0.06) as questions:
            for network in ("blue", "red", "blue", "red"):
                moving.move("shop", network)
                time.sleep(0.1)
        assert questions.asked > 20
        assert questions.lost == []
        assert not pods["green/a"].ping(pods["shop/b"], patience=0.5)
    finally:
        for network in ("red", "blue"):
            moving.isolate(network, "green")


def test_a_service_that_moves_is_there_for_who_may_use_services_only(moving: Lab) -> None:
    """Of the network before, and of the one after: no connection fails, whichever stage it falls into."""
    pods = moving.pods_by_name
    service = Service(moving.api, "shop", "web", "172.30.0.10").make([pods["shop/a"], pods["shop/b"]])
    for network in ("red", "blue"):
        moving.join("green", network, one_way=True, services_only=True)
    try:
        with Load(pods["green/a"], service, per_second=100) as load:
            for network in ("blue", "red", "blue", "red"):
                moving.move("shop", network)
        assert len(load.outcomes) > 50
        assert load.failed == []
        assert not pods["green/a"].ping(pods["shop/b"], patience=0.5)
    finally:
        for network in ("red", "blue"):
            moving.isolate("green", network)
        service.remove()


def test_a_connection_is_narrowed_under_way(moving: Lab) -> None:
    """Answers to what was asked while everything was allowed still arrive when only one side may begin."""
    pods = moving.pods_by_name
    moving.join("red", "green")
    try:
        with SlowAnswers(pods["red/a"], pods["green/a"], delay=0.06) as questions:
            for one_way in (True, False, True):
                time.sleep(0.2)
                moving.join("red", "green", one_way=one_way)
            time.sleep(0.2)
        assert questions.asked > 20
        assert questions.lost == []
        assert not pods["green/a"].ping(pods["red/b"], patience=0.5)
    finally:
        moving.isolate("red", "green")


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.12, 0.2, 0.3])
def test_the_controller_is_killed_meanwhile(moving: Lab, delay: float) -> None:
    """kill -9 after so many seconds, wherever the move is then: it is led to its end after the restart."""
    there = moving.api.get("/v1/projects/shop")["network"]
    target = "blue" if there == "red" else "red"
    with watching(moving.pods_by_name.values()) as seen, moving.pings(every_pair(moving), interval=0.03) as pings:
        asking = Thread(target=ask_quietly, args=(moving, target))
        asking.start()
        eventually(lambda: moving.api.get("/v1/projects/shop")["moving"] is not None or not asking.is_alive())
        time.sleep(delay)
        moving.controller.kill()
        asking.join()
        moving.controller.start()
        assert eventually(lambda: arrived(moving, target), patience=30)
    check(moving, pings.lost)
    assert trespasses(moving, seen, {"red", "blue"}) == []
    reaches(moving, target)


@pytest.mark.parametrize("stages", [0, 1, 2, 4])
def test_a_restart_finds_a_stage_that_no_switch_was_told_of(moving: Lab, stages: int) -> None:
    """As if it was killed right after it had stored a stage: the hardest moment in each stage."""
    there = moving.api.get("/v1/projects/shop")["network"]
    target = "blue" if there == "red" else "red"
    with watching(moving.pods_by_name.values()) as seen, moving.pings(every_pair(moving), interval=0.03) as pings:
        moving.controller.kill()
        advance(moving, target)
        for _ in range(stages):
            moving.controller.start()
            assert eventually(lambda: in_sync(moving), patience=30)
            moving.controller.kill()
            advance(moving, target)
        moving.controller.start()
        assert eventually(lambda: arrived(moving, target), patience=40)
    check(moving, pings.lost)
    assert trespasses(moving, seen, {"red", "blue"}) == []
    reaches(moving, target)


def ask_quietly(lab: Lab, target: str) -> None:
    with suppress(ProblemError, OSError):
        lab.api.patch("/v1/projects/shop", {"network": target})


def advance(lab: Lab, target: str) -> None:
    """Store the next stage of the shop's move, while no controller runs; nothing when it is done."""
    store = SqliteStore(lab.controller.directory / "heddle.sqlite")
    try:
        snapshot, _ = apply_all(empty(), store.load())
        move = snapshot.moves.get("shop")
        request = MoveProject("shop", target) if move is None else AdvanceMove("shop", move.transit, move.stage)
        store.commit(admit(snapshot, request))
    finally:
        store.close()


def arrived(lab: Lab, target: str) -> bool:
    shop = lab.api.get("/v1/projects/shop")
    return shop["network"] == target and shop["moving"] is None and in_sync(lab)
