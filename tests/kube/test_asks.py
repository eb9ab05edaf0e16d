"""What objects ask for: nothing, where it is so already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kube.asks import Ask, requests_for
from kube.resources import BINDINGS, CONNECTIONS
from topology.admission import admit
from topology.requests import CreateBinding, CreateNetwork, IsolateNetworks, JoinNetworks, Request, TrackConnection
from topology.snapshot import Snapshot, apply_all, empty


def after(snapshot: Snapshot, *requests: Request) -> Snapshot:
    for request in requests:
        snapshot = apply_all(snapshot, admit(snapshot, request))[0]
    return snapshot


@pytest.fixture
def two() -> Snapshot:
    return after(empty(), CreateNetwork("blue", projects=("blue",)), CreateNetwork("red", projects=("red",)))


def connection(leaving: bool = False, **spec: Any) -> Ask:
    return Ask(CONNECTIONS.plural, "blue.red", {"networks": ["blue", "red"], **spec}, leaving)


def binding(leaving: bool = False, **spec: Any) -> Ask:
    selector = {"projects": {"match_labels": {"team": "a"}}, "secondary": [{"network": "red"}]}
    return Ask(BINDINGS.plural, "extra", {**selector, **spec}, leaving)


def kinds(requests: tuple[Request, ...]) -> list[type]:
    return [type(request) for request in requests]


def test_a_connection_is_joined_once(two: Snapshot) -> None:
    """Asked for again while somebody isolates the two, it would come back."""
    wanted = requests_for(two, connection())
    assert kinds(wanted) == [TrackConnection, JoinNetworks]
    joined = after(two, *wanted)
    assert requests_for(joined, connection()) == ()
    assert kinds(requests_for(joined, connection(backward=None))) == [TrackConnection, JoinNetworks]
    assert kinds(requests_for(joined, connection(leaving=True))) == [IsolateNetworks]
    assert requests_for(two, connection(leaving=True)) == ()


def test_a_binding_is_made_once(two: Snapshot) -> None:
    wanted = requests_for(two, binding())
    assert kinds(wanted) == [CreateBinding]
    bound = after(two, *wanted)
    assert requests_for(bound, binding()) == ()
    assert kinds(requests_for(bound, binding(optional=["blue"]))) == [CreateBinding]


@pytest.mark.parametrize("ask", [connection, binding])
def test_nothing_is_asked_for_by_what_is_not_there_and_leaves(two: Snapshot, ask: Callable[..., Ask]) -> None:
    assert requests_for(two, ask(leaving=True)) == ()
