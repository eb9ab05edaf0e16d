"""Before a connection is narrowed so that answers are left to the tracker, the tracker is told what is under way."""

from __future__ import annotations

import pytest

from tests.topology.asking import node
from topology import requests
from topology.admission import admit
from topology.compiler import compile_all
from topology.model import EVERYTHING, Connection, ConnectionKey, PortKey, Scope, ServicePort
from topology.requests import JoinNetworks, Reason, Refused, TrackConnection
from topology.snapshot import Put, Snapshot, apply_all, empty

KEY = ConnectionKey("blue", "red")
WEB = Scope(ports=(ServicePort("TCP", 80),))


def step(snapshot: Snapshot, *asked: requests.Request) -> Snapshot:
    for request in asked:
        snapshot, _ = apply_all(snapshot, admit(snapshot, request))
    return snapshot


@pytest.fixture
def joined() -> Snapshot:
    """Return red and blue, joined symmetrically."""
    networks = [requests.CreateNetwork(name, projects=(name,)) for name in ("red", "blue")]
    return step(empty(), node("n1", "192.0.2.11"), *networks, JoinNetworks("red", "blue"))


def test_tracking_comes_first_and_goes_with_the_narrowing(joined: Snapshot) -> None:
    tracked = step(joined, TrackConnection(JoinNetworks("red", "blue", EVERYTHING, None)))
    assert tracked.connections[KEY] == Connection(KEY, is_tracked=True)
    assert tracked.networks["red"].zone is not None
    assert admit(tracked, TrackConnection(JoinNetworks("red", "blue", EVERYTHING, None))) == ()
    narrowed = step(tracked, JoinNetworks("red", "blue", EVERYTHING, None))
    assert narrowed.connections[KEY] == Connection(KEY, None, EVERYTHING)
    assert narrowed.networks["red"].zone == tracked.networks["red"].zone
    wide = step(tracked, JoinNetworks("red", "blue"))
    assert wide.connections == joined.connections


@pytest.mark.parametrize(
    "request_",
    [
        TrackConnection(JoinNetworks("red", "blue")),  # as it is
        # Of services there are no answers to be told.
        TrackConnection(JoinNetworks("red", "blue", Scope(services_only=True), Scope(services_only=True))),
        TrackConnection(JoinNetworks("red", "default", EVERYTHING, None)),
    ],
)
def test_where_no_answers_are_left_to_the_tracker_nothing_happens(joined: Snapshot, request_: TrackConnection) -> None:
    assert admit(joined, request_) == ()
    assert admit(step(joined, requests.SetGlobal("red", True)), request_) == ()


def test_not_what_is_tracked_already_nor_what_is_not_joined(joined: Snapshot) -> None:
    one_way = step(joined, JoinNetworks("red", "blue", EVERYTHING, None))
    assert admit(one_way, TrackConnection(JoinNetworks("red", "blue", WEB, None))) == ()
    apart = step(joined, requests.IsolateNetworks("red", "blue"))
    assert admit(apart, TrackConnection(JoinNetworks("red", "blue", EVERYTHING, None))) == ()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (TrackConnection(JoinNetworks("red", "nope", EVERYTHING, None)), Reason.UNKNOWN),
        (TrackConnection(JoinNetworks("red", "red", EVERYTHING, None)), Reason.INVALID),
        (TrackConnection(JoinNetworks("red", "blue", None, None)), Reason.INVALID),
        (TrackConnection(JoinNetworks("red", "blue", Scope(True, WEB.ports), None)), Reason.INVALID),
    ],
)
def test_it_is_refused_where_the_narrowing_would_be(
    joined: Snapshot, request_: TrackConnection, reason: Reason
) -> None:
    with pytest.raises(Refused) as caught:
        admit(joined, request_)
    assert caught.value.reason is reason


def test_only_tracking_is_added(joined: Snapshot) -> None:
    """Verdicts stay: the pair flows of the wide connection are still there, and no other."""
    with_pod = step(joined, requests.ReportPort(_port(), "red", "a", "vc1"), requests.PortSeen("n1", "vc1", 3))
    tracked = step(with_pod, TrackConnection(JoinNetworks("red", "blue", EVERYTHING, None)))
    before, after = (set(compile_all(state)["n1"].sections) for state in (with_pod, tracked))
    assert before < after
    assert {key.subject for key in after - before} == {("red",)}
    assert apply_all(tracked, (Put(Connection(KEY)),))[0].connections == with_pod.connections


def _port() -> PortKey:
    return PortKey("n1", "c1", "eth0")
