"""Whom a token stands for, and what they may, by the API server's word."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from kube.errors import Unreachable
from kube.objects import NAMESPACES, PODS
from kube.reviews import Reviews
from tests.kube.cluster import Cluster, double

NODE = "system:serviceaccount:heddle-system:heddle-node"
TOKENS = {
    "of-ann": {"username": "ann", "groups": ["admins"]},
    "of-bob": {"username": "bob"},
    "of-n1": {"username": NODE, "extra": {"authentication.kubernetes.io/node-name": ["n1"]}},
    "of-n2": {"username": NODE, "extra": {"authentication.kubernetes.io/pod-name": ["heddle-node-x"]}},
    "for-us": {"username": "ann", "audiences": ["heddle"]},
    "for-others": {"username": "ann", "audiences": ["vault"]},
    "of-nobody": {"username": NODE},
    "of-another": {
        "username": "system:serviceaccount:other:heddle-node",
        "extra": {"authentication.kubernetes.io/node-name": ["n1"]},
    },
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "tokens").write_text(json.dumps(TOKENS))
    with double(tmp_path, "--tokens", str(tmp_path / "tokens")) as cluster:
        yield cluster


@pytest.fixture
def reviews(cluster: Cluster) -> Reviews:
    return Reviews(cluster.client, "heddle-system")


@pytest.mark.double
def test_people_are_known_and_may_what_the_api_server_says(cluster: Cluster, reviews: Reviews) -> None:
    cluster.fault(deny=["bob", "update", "networks"])
    ann, bob = reviews.review("of-ann"), reviews.review("of-bob")
    assert ann is not None
    assert bob is not None
    assert (ann.username, ann.node) == ("ann", None)
    assert reviews.may(ann, "update")
    assert reviews.may(bob, "get")
    assert not reviews.may(bob, "update")
    assert reviews.review("of-a-stranger") is None


@pytest.mark.double
def test_a_nodes_own_account_is_that_of_its_node(cluster: Cluster, reviews: Reviews) -> None:
    one = reviews.review("of-n1")
    assert one is not None
    assert one.node == "n1"
    cluster.client.create(NAMESPACES, {"metadata": {"name": "heddle-system"}})
    body = {"metadata": {"name": "heddle-node-x"}, "spec": {"nodeName": "n2", "containers": []}}
    cluster.client.create(PODS, body, "heddle-system")
    two = reviews.review("of-n2")
    assert two is not None
    assert two.node == "n2"


@pytest.mark.double
@pytest.mark.parametrize("token", ["of-nobody", "of-another"])
def test_no_other_account_is_a_node(reviews: Reviews, token: str) -> None:
    person = reviews.review(token)
    assert person is not None
    assert person.node is None


@pytest.mark.double
def test_answers_are_kept_for_a_while(cluster: Cluster, reviews: Reviews) -> None:
    ann = reviews.review("of-ann")
    assert ann is not None
    assert reviews.may(ann, "get")
    cluster.fault(away=30)
    assert reviews.review("of-ann") == ann
    assert reviews.may(ann, "get")
    with pytest.raises(Unreachable):
        reviews.review("of-bob")


@pytest.mark.double
def test_tokens_are_for_us_or_for_the_api_server(cluster: Cluster, reviews: Reviews) -> None:
    found = reviews.review("for-us")
    assert found is not None
    assert found.username == "ann"
    assert reviews.review("for-others") is None
    vault = Reviews(cluster.client, "heddle-system", ("vault", "safe"))
    assert vault.review("for-others") is not None
    assert vault.review("for-us") is None
    assert Reviews(cluster.client, "heddle-system", ()).review("for-us") is None


@pytest.mark.double
def test_a_no_is_kept_for_a_shorter_time(cluster: Cluster, reviews: Reviews, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("kube.reviews.time", SimpleNamespace(monotonic=lambda: now))
    cluster.fault(deny=["ann", "update", "networks"])
    ann = reviews.review("of-ann")
    assert ann is not None
    assert not reviews.may(ann, "update")
    assert reviews.may(ann, "get")
    cluster.fault(clear=True)
    cluster.fault(deny=["ann", "get", "networks"])
    now += 1.0
    assert not reviews.may(ann, "update")
    now += 1.5
    assert reviews.may(ann, "update")
    assert reviews.may(ann, "get")
    now += 10.0
    assert not reviews.may(ann, "get")


@pytest.mark.double
def test_what_is_lacking_is_named_and_is_no_answer(cluster: Cluster, reviews: Reviews) -> None:
    cluster.fault(refuse={"plural": "pods", "verb": "get", "status": 403, "message": "no right", "times": 1})
    with pytest.raises(ConnectionError, match=r"let this ServiceAccount get pods .*RBAC"):
        reviews.review("of-n2")
    cluster.fault(refuse={"plural": "tokenreviews", "status": 403, "message": "no right"})
    with pytest.raises(ConnectionError, match=r"let this ServiceAccount create tokenreviews.authentication.k8s.io"):
        reviews.review("of-ann")
