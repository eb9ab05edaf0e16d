"""Networks with one range joined with translation, by real packets: each knows the other's pods by other addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from lab.api import ProblemError
from lab.laboratory import Lab
from lab.matrix import Party, explore
from lab.pod import Pod
from lab.probes import Verdict, together
from lab.transfers import transfer
from tests.lab.watching import eventually, in_sync

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

RANGE = "10.0.0.0/24"
PLACES = {"a": "n1", "b": "n2"}
WEB = 80
BIG = 8_000_000  # octets


@pytest.fixture(scope="module")
def alike(unique_name: Callable[[], str]) -> Iterator[Lab]:
    """Return a laboratory in which red, blue and lime have one range, lime two, and pods a and b on two nodes."""
    with Lab(unique_name(), nodes=2) as lab:
        for name in ("red", "blue"):
            lab.network(name, subnets=[RANGE])
        lab.network("lime", subnets=["10.0.0.0/30", "10.0.1.0/24"])
        for name, node in PLACES.items():
            lab.pods({f"{network}/{name}": node for network in ("red", "blue", "lime")})
        for pod in lab.pods_by_name.values():
            pod.listen(WEB)
        yield lab


@contextmanager
def translated(lab: Lab, first: str, second: str, one_way: bool = False, ports: tuple[str, ...] = ()) -> Iterator[None]:
    """Two networks are joined with translation meanwhile."""
    lab.join_translated(first, second, one_way=one_way, ports=ports)
    lab.settle()
    try:
        yield
    finally:
        lab.isolate(first, second)


def pods(lab: Lab, *networks: str) -> list[Pod]:
    return [pod for pod in lab.pods_by_name.values() if pod.network in networks]


def pairs(lab: Lab, first: str, second: str) -> list[tuple[Pod, Pod]]:
    return [(one, other) for one in pods(lab, first) for other in pods(lab, second)]


def asked(lab: Lab, source: Pod, target: Pod, port: int = 7, patience: float = 3.0) -> tuple[str, str] | Verdict:
    """Who answered, and by which address it knows the asker; or else what came of it."""
    outcome = source.tcp(lab.known_as(target, source), port, patience)
    return (outcome.by, outcome.seen_as) if outcome else outcome.verdict


def test_without_translation_it_is_refused_and_said_what_works(alike: Lab) -> None:
    with pytest.raises(ProblemError) as refused:
        alike.join("red", "blue")
    assert refused.value.status == 409
    assert RANGE in refused.value.problem["detail"]
    assert "--translate" in refused.value.problem["remedy"]


def test_equal_addresses_talk_both_ways(alike: Lab) -> None:
    """Each sees the other by the address that it would dial: on one node, and across."""
    red, blue = (alike.pods_by_name[f"{name}/a"] for name in ("red", "blue"))
    assert red.address == blue.address
    with translated(alike, "red", "blue"):
        ways = [*pairs(alike, "red", "blue"), *pairs(alike, "blue", "red")]
        answers = together([partial(asked, alike, one, other) for one, other in ways])
        assert answers == [(other.name, alike.known_as(one, other)) for one, other in ways]
        assert all(one.ping(alike.known_as(other, one)) and one.udp(alike.known_as(other, one)) for one, other in ways)
        parties = [Party.of(pod) for pod in pods(alike, "red", "blue")]
        assert explore(parties, parties, [frozenset(("red", "blue"))]).wrong == []  # by cluster addresses too
    assert not red.tcp(alike.known_as(blue, red), patience=0.7).arrived


def test_a_big_transfer_arrives_both_ways(alike: Lab) -> None:
    with translated(alike, "red", "blue"):
        for one, other in (("red/a", "blue/b"), ("blue/a", "red/b"), ("red/b", "blue/b")):
            source, target = alike.pods_by_name[one], alike.pods_by_name[other]
            arrived = transfer(source.namespace, target.namespace, alike.known_as(target, source), BIG)
            assert arrived == (BIG, alike.known_as(source, target), True)


def test_several_subnets_each_have_a_prefix(alike: Lab) -> None:
    with translated(alike, "lime", "red"):
        ways = [*pairs(alike, "lime", "red"), *pairs(alike, "red", "lime")]
        answers = together([partial(asked, alike, one, other) for one, other in ways])
        assert answers == [(other.name, alike.known_as(one, other)) for one, other in ways]
        assert len({alike.known_as(pod, alike.pods_by_name["red/a"]) for pod in pods(alike, "lime")}) == 2


def test_a_chain_is_not_transitive_and_each_connection_has_its_own_prefixes(alike: Lab) -> None:
    with translated(alike, "red", "blue"), translated(alike, "red", "lime"):
        for first, second in (("red", "blue"), ("red", "lime"), ("blue", "red"), ("lime", "red")):
            answers = together([partial(asked, alike, *way) for way in pairs(alike, first, second)])
            assert answers == [(other.name, alike.known_as(one, other)) for one, other in pairs(alike, first, second)]
        red = alike.pods_by_name["red/a"]
        strangers = [alike.known_as(other, red) for other in pods(alike, "lime")]
        blues = [partial(one.tcp, address, 7, 0.7) for one in pods(alike, "blue") for address in strangers]
        assert [outcome.arrived for outcome in together(blues)] == [False] * len(blues)


@pytest.mark.parametrize(("first", "second"), [("red", "blue"), ("blue", "red")])
def test_one_way_lets_replies_pass_and_nothing_else(alike: Lab, first: str, second: str) -> None:
    with translated(alike, first, second, one_way=True):
        there, back = pairs(alike, first, second), pairs(alike, second, first)
        answers = together([partial(asked, alike, one, other) for one, other in there])
        assert answers == [(other.name, alike.known_as(one, other)) for one, other in there]
        assert all(one.udp(alike.known_as(other, one)) for one, other in there)
        silent = together([partial(asked, alike, one, other, patience=0.7) for one, other in back])
        assert silent == [Verdict.SILENT] * len(back)


def test_one_port_only(alike: Lab) -> None:
    with translated(alike, "red", "blue", one_way=True, ports=(f"{WEB}/tcp",)):
        for one, other in pairs(alike, "red", "blue"):
            assert asked(alike, one, other, WEB) == (other.name, alike.known_as(one, other))
            assert asked(alike, one, other, patience=0.7) is Verdict.SILENT


def test_translation_stays_when_the_scope_changes_and_when_the_controller_restarts(alike: Lab) -> None:
    red, blue = (alike.pods_by_name[f"{name}/a"] for name in ("red", "blue"))
    with translated(alike, "red", "blue"):
        known = alike.known_as(blue, red)
        alike.join("red", "blue", one_way=True)
        alike.controller.restart()
        assert eventually(lambda: in_sync(alike))
        assert alike.known_as(blue, red) == known
        assert red.tcp(known).by == blue.name
