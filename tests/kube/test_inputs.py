"""All that is watched together: nothing is told before everything is known, and what is missing is said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from kube.inputs import WATCHED, Inputs
from kube.objects import NAMESPACES, NODES, PODS
from kube.resources import CUSTOM_RESOURCES
from tests.kube.cluster import Cluster, install

pytestmark = pytest.mark.double


class _Stopped(BaseException):
    pass


class Threads:
    """Threads of reflectors, each ended at its next rest."""

    def __init__(self) -> None:
        self._all: list[Thread] = []

    def spawn(self, run: Callable[[], None]) -> Thread:
        self._all.append(Thread(run))
        return self._all[-1]

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.02))
        for thread in self._all:
            if thread.is_me() and thread.stopped.is_set():
                raise _Stopped

    def stop(self) -> None:
        for thread in self._all:
            thread.kill()


class Thread:
    def __init__(self, run: Callable[[], None]) -> None:
        self.stopped = threading.Event()
        self._run = run
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def is_me(self) -> bool:
        return threading.current_thread() is self._thread

    def kill(self) -> None:
        self.stopped.set()

    def _go(self) -> None:
        with suppress(_Stopped):
            self._run()


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads()
    yield made
    made.stop()


def begin(cluster: Cluster, threads: Threads) -> Inputs:
    inputs = Inputs(cluster.client, threads.sleep, lambda: None)
    inputs.start(threads.spawn)
    return inputs


def until(holds: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.01)


def test_nothing_is_told_before_all_is_known(breakable: Cluster, threads: Threads) -> None:
    inputs = begin(breakable, threads)
    until(lambda: len(inputs.waiting_for) == len(CUSTOM_RESOURCES), lambda: inputs.waiting_for)
    assert inputs.take(100) == []
    assert any(
        "networks.heddle.sdn: cannot list" in why and "apply the manifests" in why for why in inputs.waiting_for
    ), inputs.waiting_for
    install(breakable)
    until(lambda: not inputs.waiting_for, lambda: inputs.waiting_for)
    heard = inputs.take(100)
    assert {each.found.metadata.name for each in heard if each.plural == NAMESPACES.plural} >= {"default"}
    assert inputs.is_idle


def test_a_lacking_right_is_named_with_verb_and_kind(breakable: Cluster, threads: Threads) -> None:
    install(breakable)
    breakable.fault(refuse={"verb": "list", "plural": "pods", "status": 403, "reason": "Forbidden"})
    inputs = begin(breakable, threads)
    until(lambda: "let this ServiceAccount list pods" in "".join(inputs.waiting_for), lambda: inputs.waiting_for)
    until(lambda: len(inputs.waiting_for) == 1, lambda: inputs.waiting_for)
    breakable.fault(clear=True)
    until(lambda: not inputs.waiting_for, lambda: inputs.waiting_for)


def test_an_api_server_that_is_away_at_the_start_is_waited_for(breakable: Cluster, threads: Threads) -> None:
    install(breakable)
    breakable.fault(away=1.0)
    inputs = begin(breakable, threads)
    until(lambda: len(inputs.troubles) == len(WATCHED), lambda: inputs.troubles)
    until(lambda: not inputs.waiting_for, lambda: inputs.waiting_for)


def test_what_went_while_nobody_watched_is_told(breakable: Cluster, threads: Threads) -> None:
    install(breakable)
    breakable.client.create(NODES, {"metadata": {"name": "n1"}})
    inputs = begin(breakable, threads)
    until(lambda: not inputs.waiting_for, lambda: inputs.waiting_for)
    inputs.take(1000)
    threads.stop()
    breakable.fault(drop_watches=True)
    breakable.client.delete(NODES, "n1")
    inputs.restart()
    until(lambda: not inputs.waiting_for, lambda: inputs.waiting_for)
    assert [(each.found.metadata.name, each.gone) for each in inputs.take(1000) if each.plural == NODES.plural] == [
        ("n1", True)
    ]


def test_kinds_are_told_in_an_order_in_which_they_refer_to_each_other() -> None:
    order = [resource.plural for resource in WATCHED]
    assert order.index("networks") < order.index("projectnetworks") < order.index("addressslices")
    assert order.index("projectnetworks") < order.index(PODS.plural)
