"""Whether a change is in force everywhere: all replicas are asked at once, and who takes over for a dead one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import eventlet
import pytest
from eventlet.event import Event as GreenEvent
from immutables import Map

from rest.control import Published, Replica, Replicas, Submitted
from ryu_apps.cluster.acknowledging import Acknowledging
from ryu_apps.cluster.living import NODES, while_living
from ryu_apps.publication import Publication
from store.base import Mark
from tests.ryu_apps.openflow_network import small_network

ONE, TWO, THREE = (Replica(name, f"http://{name}", "") for name in ("one", "two", "three"))
MARKS = (Mark("networks", "red", 7),)
LONG = 60.0  # seconds that no test waits

Answer = Callable[[frozenset[str]], tuple[str, ...] | None]


class Site:
    """Replica one of three; n1 is its own, n2 is two's, n3 three's. `answers` says what others answer, and how."""

    def __init__(self) -> None:
        snapshot = small_network()
        replicas = Replicas("one", (ONE, TWO, THREE), "one", Map({"n1": "one", "n2": "two", "n3": "three"}))
        self.publication = Publication(Published(1, snapshot, replicas=replicas))
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, frozenset[str]]] = []
        self.behind_here: set[str] = set()
        self.asked_here: list[frozenset[str]] = []

    def late(self, *nodes: str, timeout: float = LONG) -> tuple[str, ...]:
        acknowledging = Acknowledging(self.publication, self._behind, self._ask)
        with eventlet.Timeout(20):
            return acknowledging.late(Submitted(5, frozenset(nodes), MARKS), timeout)

    def become(self, living: tuple[Replica, ...], **masters: str) -> None:
        """Let replicas die, and others take over."""
        now = self.publication.current
        replicas = replace(now.replicas, living=living, masters=Map(masters))
        self.publication.publish(replace(now, replicas=replicas), {NODES})

    def _behind(self, submitted: Submitted, timeout: float) -> tuple[str, ...]:
        assert submitted.revision == 5
        self.asked_here.append(submitted.nodes)
        return tuple(submitted.nodes & self.behind_here)

    def _ask(
        self, replica: Replica, marks: tuple[Mark, ...], nodes: frozenset[str], timeout: float
    ) -> tuple[str, ...] | None:
        assert marks == MARKS
        self.asked.append((replica.name, nodes))
        return self.answers.get(replica.name, lambda _: ())(nodes)


@pytest.fixture
def site() -> Site:
    return Site()


def test_everybody_is_asked_about_their_own(site: Site) -> None:
    assert site.late("n1", "n2") == ()
    assert sorted(site.asked) == [("three", frozenset()), ("two", frozenset({"n2"}))]
    assert site.asked_here == [frozenset({"n1"})]


def test_what_is_late_anywhere_is_late(site: Site) -> None:
    site.behind_here = {"n1"}
    site.answers["two"] = lambda nodes: tuple(nodes)
    assert site.late("n1", "n2", "n3") == ("n1", "n2")


def test_what_the_change_does_not_touch_is_not_late(site: Site) -> None:
    """A switch that is behind for another reason."""
    site.answers["two"] = lambda _: ("n2", "n9")
    assert site.late("n1") == ()


def test_one_that_does_not_answer_and_lives_leaves_its_nodes_late(site: Site) -> None:
    site.answers["two"] = lambda _: None
    assert site.late("n1", "n2", "n3") == ("n2",)


def test_all_are_asked_at_the_same_time(site: Site) -> None:
    both: list[GreenEvent] = [GreenEvent(), GreenEvent()]

    def meet(mine: int) -> Answer:
        def answer(_: frozenset[str]) -> tuple[str, ...]:
            both[mine].send()
            both[1 - mine].wait()
            return ()

        return answer

    site.answers = {"two": meet(0), "three": meet(1)}
    assert site.late("n2", "n3") == ()


def test_who_dies_while_it_is_asked_is_not_waited_for(site: Site) -> None:
    """Its node is another's then, which is asked."""

    def dies(_: frozenset[str]) -> tuple[str, ...] | None:
        eventlet.spawn_n(site.become, (ONE, THREE), n1="one", n2="three", n3="three")
        GreenEvent().wait()  # for ever
        return None

    site.answers["two"] = dies
    assert site.late("n1", "n2", "n3") == ()
    assert ("three", frozenset({"n2"})) in site.asked


def test_one_that_dies_before_another_takes_over_is_waited_out(site: Site) -> None:
    def dies(_: frozenset[str]) -> tuple[str, ...] | None:
        eventlet.spawn_n(site.become, (ONE, THREE), n1="one", n3="three")
        eventlet.spawn_after(0.05, site.become, (ONE, THREE), n1="one", n2="one", n3="three")
        return None

    site.answers["two"] = dies
    assert site.late("n2") == ()
    assert site.asked_here[-1] == frozenset({"n2"})


def test_a_node_that_changes_hands_in_order_is_asked_about_again(site: Site) -> None:
    def hands_over(nodes: frozenset[str]) -> tuple[str, ...]:
        site.become((ONE, TWO, THREE), n1="one", n2="three", n3="three")
        return tuple(nodes)

    site.answers["two"] = hands_over
    assert site.late("n2") == ()
    assert ("three", frozenset({"n2"})) in site.asked


def test_when_nobody_takes_over_in_time_it_is_late(site: Site) -> None:
    site.become((ONE, THREE), n1="one", n3="three")
    assert site.late("n1", "n2", timeout=0.1) == ("n2",)


def test_nodes_that_are_not_there_any_more_are_not_late(site: Site) -> None:
    assert site.late("n1", "n77") == ()


def test_what_fails_while_asking_is_no_answer(site: Site) -> None:
    def fails(_: frozenset[str]) -> tuple[str, ...]:
        raise ConnectionError

    site.answers["two"] = fails
    assert site.late("n2") == ("n2",)


def test_a_call_ends_with_whom_it_is_to(site: Site) -> None:
    ended = []

    def never() -> None:
        eventlet.spawn_n(site.become, (ONE, THREE))
        try:
            GreenEvent().wait()
        finally:
            ended.append(True)

    with eventlet.Timeout(20), pytest.raises(ConnectionError, match="no sign of life"):
        while_living(site.publication, "two", never)
    eventlet.sleep(0)
    assert ended == [True]
    assert while_living(site.publication, "three", lambda: 7) == 7

    def refuses() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        while_living(site.publication, "three", refuses)
