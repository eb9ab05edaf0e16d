"""List and watch: whatever happens to connections and history, the sink ends up with what the API server has."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kube.errors import ApiError, NotFound
from kube.objects import Custom, Metadata, Namespace
from kube.reflector import Reflector
from tests.kube.cluster import CONFIG_MAPS, NAMESPACES, Cluster

SECONDS = 20.0


class Collected:
    """A sink that keeps names and versions, and what was said."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], str] = {}
        self.is_complete = False
        self.lists = 0
        self.troubles: list[str] = []
        self.wrong: list[str] = []
        self._kept: set[tuple[str, str]] = set()

    def begin(self) -> None:
        self.lists += 1
        self._kept = set()

    def put(self, found: Any) -> None:
        key = (found.metadata.namespace, found.metadata.name)
        self.found[key] = found.metadata.resource_version
        self._kept.add(key)

    def remove(self, found: Any) -> None:
        self.found.pop((found.metadata.namespace, found.metadata.name), None)

    def complete(self, resource_version: str) -> None:
        assert int(resource_version)
        self.found = {key: version for key, version in self.found.items() if key in self._kept}
        self.is_complete = True

    def unreadable(self, found: Metadata, why: str) -> None:
        self.wrong.append(f"{found.name}: {why}")

    def trouble(self, why: str) -> None:
        if why:
            self.troubles.append(why)


class _Stopped(BaseException):
    pass


class Running:
    """A reflector in a thread of its own."""

    def __init__(self, cluster: Cluster, resource: Any = CONFIG_MAPS, shape: Any = Custom) -> None:
        self.sink = Collected()
        self._stopped = threading.Event()
        reflector = Reflector(cluster.client, resource, shape, self.sink, self._sleep)
        self._thread = threading.Thread(target=self._run, args=(reflector,), daemon=True)
        self._thread.start()

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(min(seconds, 0.05)):
            raise _Stopped

    def _run(self, reflector: Any) -> None:
        with suppress(_Stopped):
            reflector.run()

    def stop(self) -> None:
        self._stopped.set()

    def until(self, is_so: Callable[[Collected], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not is_so(self.sink):
            assert time.monotonic() < deadline, (self.sink.found, self.sink.troubles, self.sink.wrong)
            time.sleep(0.01)


def in_namespace(cluster: Cluster, space: str) -> dict[tuple[str, str], str]:
    sink = Collected()
    Reflector(cluster.client, CONFIG_MAPS, Custom, sink, time.sleep)._list()
    return {key: version for key, version in sink.found.items() if key[0] == space}


def test_it_lists_then_follows(cluster: Cluster) -> None:
    space = cluster.namespace()
    cluster.client.create(CONFIG_MAPS, {"metadata": {"name": "before"}}, space)
    running = Running(cluster)
    running.until(lambda sink: (space, "before") in sink.found)
    cluster.client.create(CONFIG_MAPS, {"metadata": {"name": "after"}}, space)
    running.until(lambda sink: (space, "after") in sink.found)
    cluster.client.delete(CONFIG_MAPS, "before", space)
    running.until(lambda sink: (space, "before") not in sink.found)
    assert running.sink.lists == 1
    running.stop()


STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 5)),
    st.tuples(st.just("delete"), st.integers(0, 5)),
    st.tuples(st.sampled_from(["drop_watches", "compact", "refuse-list", "refuse-watch"]), st.just(0)),
)


@pytest.mark.double
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=25))
def test_the_sink_ends_with_what_there_is(api_server: Cluster, steps: list[tuple[str, int]]) -> None:
    space = api_server.namespace()
    running = Running(api_server)
    try:
        for verb, number in steps:
            _do(api_server, space, verb, number)
        api_server.fault(clear=True)
        wanted = in_namespace(api_server, space)
        running.until(lambda sink: {key: at for key, at in sink.found.items() if key[0] == space} == wanted)
    finally:
        running.stop()
        api_server.fault(clear=True)
        api_server.clean()


def _do(cluster: Cluster, space: str, verb: str, number: int) -> None:
    name = f"c{number}"
    match verb:
        case "put":
            try:
                cluster.client.patch(CONFIG_MAPS, name, {"data": {"at": str(time.monotonic_ns())}}, space)
            except NotFound:
                cluster.client.create(CONFIG_MAPS, {"metadata": {"name": name}}, space)
        case "delete":
            with suppress(ApiError):
                cluster.client.delete(CONFIG_MAPS, name, space)
        case "refuse-list" | "refuse-watch":
            cluster.fault(refuse={"verb": verb[7:], "plural": "configmaps", "status": 500, "times": 2})
        case _:
            cluster.fault(**{verb: True})


def test_a_forgotten_history_is_listed_anew(breakable: Cluster) -> None:
    space = breakable.namespace()
    running = Running(breakable)
    running.until(lambda sink: sink.is_complete)
    breakable.fault(refuse={"verb": "watch", "plural": "configmaps", "status": 503}, drop_watches=True)
    breakable.client.create(CONFIG_MAPS, {"metadata": {"name": "one"}}, space)
    breakable.fault(compact=True)
    breakable.fault(clear=True)
    running.until(lambda sink: (space, "one") in sink.found)
    assert running.sink.lists == 2
    running.stop()


def test_a_bookmark_carries_a_quiet_watch_past_what_is_forgotten(breakable: Cluster) -> None:
    breakable.client.create(NAMESPACES, {"metadata": {"name": "quiet"}})
    running = Running(breakable, NAMESPACES, Namespace)
    running.until(lambda sink: sink.is_complete)
    for number in range(3):
        breakable.client.create(CONFIG_MAPS, {"metadata": {"name": f"c{number}"}}, "quiet")
    time.sleep(2.6)  # a bookmark comes every 2 s
    breakable.fault(compact=True)
    breakable.fault(drop_watches=True)
    breakable.client.create(NAMESPACES, {"metadata": {"name": "late"}})
    running.until(lambda sink: ("", "late") in sink.found)
    assert running.sink.lists == 1
    running.stop()


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(breakable: Cluster) -> None:
    space = breakable.namespace()
    running = Running(breakable)
    body = {"metadata": {"name": "wrong", "labels": {"a": 1}}}
    breakable.client.create(CONFIG_MAPS, body, space)
    breakable.client.create(CONFIG_MAPS, {"metadata": {"name": "right"}}, space)
    running.until(lambda sink: (space, "right") in sink.found)
    assert any("labels" in said for said in running.sink.wrong)
    running.stop()


def test_an_api_server_that_is_away_is_waited_for(breakable: Cluster) -> None:
    breakable.fault(away=1.0)
    running = Running(breakable)
    running.until(lambda sink: sink.is_complete)
    assert any("does not answer" in trouble for trouble in running.sink.troubles)
    running.stop()
