"""Leases in the API: who lives, who has what, and that one that cannot renew knows it."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from kube import leases
from kube.client import Client
from kube.errors import NotFound, Unreachable
from kube.leases import Membership, Replica
from kube.objects import LEASES
from kube.shares import share_names
from tests.kube.cluster import NAMESPACES, Cluster

SHARES = share_names(2)


def member(cluster: Cluster, space: str, name: str, duration: float = 1.0) -> Membership:
    return Membership(cluster.client, Replica(name, f"http://{name}:8080", f"tcp:{name}:6653"), SHARES, space, duration)


def ticks(*members: Membership, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for each in members:
            each.tick()
        time.sleep(0.05)


def test_one_has_all_and_two_share(cluster: Cluster) -> None:
    space = cluster.namespace()
    one, two = member(cluster, space, "one"), member(cluster, space, "two")
    one.tick()
    one.tick()
    assert set(one.view.mine) == set(SHARES)
    ticks(one, two, seconds=0.6)
    assert sorted([*one.view.mine, *two.view.mine]) == sorted(SHARES)
    assert len(one.view.mine) == 2
    assert one.view.holders == two.view.holders
    assert [replica.api for replica in two.view.replicas] == ["http://one:8080", "http://two:8080"]
    assert one.view.holders["decisions"] == "one"


def test_who_leaves_need_not_be_waited_for(cluster: Cluster) -> None:
    space = cluster.namespace()
    one, two = member(cluster, space, "one", 30.0), member(cluster, space, "two", 30.0)
    ticks(one, two, seconds=0.3)
    one.leave()
    ticks(two, seconds=0.2)
    assert set(two.view.mine) == set(SHARES)


def test_who_dies_is_replaced_with_a_newer_generation(cluster: Cluster) -> None:
    space = cluster.namespace()
    one, two = member(cluster, space, "one"), member(cluster, space, "two")
    one.tick()
    one.tick()
    before = dict(one.view.mine)
    ticks(two, seconds=2.4)
    assert set(two.view.mine) == set(SHARES)
    assert all(two.view.mine[share] > before[share] for share in SHARES)
    one.tick()
    assert all(generation > before[share] for share, generation in one.view.mine.items())


def test_a_lease_that_was_deleted_and_made_anew_has_a_newer_generation(cluster: Cluster) -> None:
    space = cluster.namespace()
    one = member(cluster, space, "one")
    one.tick()
    one.tick()
    before = dict(one.view.mine)
    cluster.client.delete(LEASES, "heddle-share-decisions", space)
    cluster.client.delete(LEASES, "heddle-replica-one", space)
    one.tick()
    one.tick()
    assert one.view.mine["decisions"] > before["decisions"]


@pytest.mark.double
def test_who_cannot_renew_decides_nothing_and_keeps_what_it_has(breakable: Cluster) -> None:
    space = f"t-{uuid.uuid4().hex[:8]}"
    breakable.client.create(NAMESPACES, {"metadata": {"name": space}})
    one = member(breakable, space, "one")
    assert "not asked yet" in one.trouble
    one.tick()
    one.tick()
    assert one.trouble == ""
    breakable.fault(away=30)
    until = time.monotonic() + 0.9
    while time.monotonic() < until:
        with pytest.raises(Unreachable):
            one.tick()
        time.sleep(0.1)
    assert "has not confirmed" in one.trouble
    assert set(one.view.mine) == set(SHARES)


def test_a_missing_namespace_is_told(cluster: Cluster) -> None:
    with pytest.raises(NotFound, match=r'leases.coordination.k8s.io "nowhere/heddle-replica-one": cannot create'):
        member(cluster, "nowhere", "one").tick()


class Spied:
    """A client that lets something happen before each list."""

    def __init__(self, client: Client, before_list: Callable[[], object]) -> None:
        self._client = client
        self._before_list = before_list

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def list(self, *arguments: Any) -> bytes:
        self._before_list()
        return self._client.list(*arguments)


def test_one_that_was_stopped_decides_nothing_before_it_has_looked_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own lease renewed tells nothing about its shares: another may have taken them meanwhile."""
    now = [100.0]
    monkeypatch.setattr(leases, "clock", lambda: now[0])
    space = cluster.namespace()
    troubles: list[str] = []
    one, two = member(cluster, space, "one"), member(cluster, space, "two")
    one._client = Spied(cluster.client, lambda: troubles.append(one.trouble))  # type: ignore[assignment]
    one.tick()
    one.tick()
    assert one.trouble == ""
    troubles.clear()
    two.tick()  # it sees the other's lease for the first time
    now[0] += 60
    two.tick()
    assert set(two.view.mine) == set(SHARES)
    assert set(one.view.mine) == set(SHARES), "this is what it still believes"
    assert one.trouble
    one.tick()
    (trouble,) = troubles
    assert "has not confirmed" in trouble
    assert one.trouble == ""
    assert set(one.view.mine) != set(SHARES)


def test_a_lease_says_since_when_and_how_often_it_changed_hands(cluster: Cluster) -> None:
    space = cluster.namespace()
    one, two = member(cluster, space, "one", 30.0), member(cluster, space, "two", 30.0)
    one.tick()
    one.tick()
    first = lease(cluster, space, "heddle-share-decisions")
    assert (first["holderIdentity"], first["leaseTransitions"]) == ("one", 0)
    assert first["acquireTime"] == first["renewTime"]
    one.leave()
    two.tick()
    second = lease(cluster, space, "heddle-share-decisions")
    assert (second["holderIdentity"], second["leaseTransitions"]) == ("two", 1)
    assert second["acquireTime"] > first["acquireTime"]
    two.tick()
    own = lease(cluster, space, "heddle-replica-two")
    assert own["renewTime"] > own["acquireTime"]


def lease(cluster: Cluster, space: str, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(cluster.client.get(LEASES, name, space))["spec"]
    return spec


class Ended(Exception):
    """The test has seen enough of what runs for ever."""


@pytest.mark.double  # a real one takes no such lease
def test_a_lease_that_cannot_be_read_is_told_until_it_is_gone(cluster: Cluster) -> None:
    space = cluster.namespace()
    odd = {"name": "heddle-share-odd", "labels": {leases.LABEL: "share"}}
    cluster.client.create(LEASES, {"metadata": odd, "spec": {"leaseTransitions": "many"}}, space)
    one = member(cluster, space, "one")
    troubles: list[str] = []

    def sleep(_: float) -> None:
        troubles.append(one.trouble)
        if len(troubles) == 2:
            cluster.client.delete(LEASES, "heddle-share-odd", space)
        elif len(troubles) == 3:
            raise Ended

    with pytest.raises(Ended):
        one.run(sleep, lambda _: None)
    first, second, third = troubles
    assert 'leases.coordination.k8s.io "heddle-share-odd": it cannot be read' in first
    assert "$.spec.leaseTransitions" in first
    assert "heddle-share-odd" in second
    assert third == ""


@pytest.mark.parametrize("answer", [b"gone", b'{"metadata": {"resourceVersion": "newest"}}'])
def test_an_answer_that_cannot_be_read_keeps_nobody_from_leaving(cluster: Cluster, answer: bytes) -> None:
    one = member(cluster, cluster.namespace(), "one")
    one.tick()
    one.tick()
    assert one.view.mine
    one._client = Garbled(cluster.client, answer)  # type: ignore[assignment]
    with capture_logs() as said:
        one.leave()
    assert [each["event"] for each in said] == ["leases were not let go"]


class Garbled:
    """A client whose answers to what is replaced cannot be read."""

    def __init__(self, client: Client, answer: bytes) -> None:
        self._client = client
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def replace(self, *arguments: Any) -> bytes:
        self._client.replace(*arguments)
        return self._answer
