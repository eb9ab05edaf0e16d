"""The store on an API server: what one replica keeps, another reads, and of two that decide at once one is told."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kube.client import Resource
from kube.errors import Conflict, NotFound
from kube.mirror import Mirror, Name
from kube.objects import Custom
from kube.resources import CUSTOM_RESOURCES, FINALIZER, GROUP, VERSION
from kube.store import KubernetesStore
from store.base import Outdated
from tests.kube.cluster import Cluster
from tests.kube.test_mirror import tables
from tests.topology.strategies import any_request, granted
from topology.admission import admit
from topology.model import EndpointSlice, Service
from topology.requests import CreateNetwork, JoinNetworks, Request, SetGlobal
from topology.snapshot import Snapshot, apply_all, empty


class Replica:
    """A store, a mirror and a snapshot, as a controller has them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.mirror = Mirror()
        self.store = KubernetesStore(cluster.client, self.mirror)
        self.snapshot: Snapshot = empty()

    def decide(self, request: Request) -> None:
        """Admit and keep a request, again when others were first."""
        for _ in range(5):
            events = admit(self.snapshot, request)
            try:
                self.store.commit(events)
            except Outdated as outdated:
                self.snapshot = apply_all(self.snapshot, outdated.events(self.snapshot))[0]
                continue
            self.snapshot = apply_all(self.snapshot, events)[0]
            self.snapshot = apply_all(self.snapshot, self.store.released(self.snapshot, events))[0]
            return
        raise AssertionError("others are always first")

    def look(self) -> None:
        """List everything."""
        versions = []
        for resource in CUSTOM_RESOURCES:
            page = json.loads(self.cluster.client.list(Resource(GROUP, VERSION, resource.plural), {}))
            for item in page["items"]:
                found = msgspec.json.decode(msgspec.json.encode(item), type=Custom)
                versions.append(self.store.saw(resource.plural, found))
        self.snapshot = apply_all(self.snapshot, self.mirror.observe(self.snapshot, versions))[0]


def kept(snapshot: Snapshot) -> dict[str, Any]:
    """Return what is kept as custom resources: pods, services and endpoints are Kubernetes' own."""
    told = tables(snapshot)
    del told["pods"], told["services"], told["slices"]
    return told


@pytest.fixture
def clean(installed: Cluster) -> Iterator[Cluster]:
    yield installed
    remove_all(installed)


def remove_all(cluster: Cluster) -> None:
    for resource in CUSTOM_RESOURCES:
        at = Resource(GROUP, VERSION, resource.plural)
        for item in json.loads(cluster.client.list(at, {}))["items"]:
            try:
                if item["metadata"].get("finalizers"):
                    cluster.client.patch(at, item["metadata"]["name"], {"metadata": {"finalizers": None}})
                cluster.client.delete(at, item["metadata"]["name"])
            except NotFound:
                pass


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(any_request(), max_size=25))
def test_what_one_keeps_another_reads(clean: Cluster, requests: list[Request]) -> None:
    one = Replica(clean)
    for request in requests:
        events = granted(one.snapshot, request)
        if any(isinstance(event.value, Service | EndpointSlice) for event in events):
            continue
        one.store.commit(events)
        one.snapshot = apply_all(one.snapshot, events)[0]
    another = Replica(clean)
    another.look()
    assert kept(another.snapshot) == kept(one.snapshot)
    assert not another.mirror.refusals
    before = one.snapshot
    one.look()
    assert kept(one.snapshot) == kept(before)
    remove_all(clean)


def test_two_that_make_networks_at_once_give_two_numbers(clean: Cluster) -> None:
    one, two = Replica(clean), Replica(clean)
    one.decide(CreateNetwork("red"))
    two.decide(CreateNetwork("blue"))
    one.look()
    assert {name: network.vnid for name, network in one.snapshot.networks.items()} == {
        "default": 0,
        "red": 10,
        "blue": 11,
    }


def test_an_older_decision_does_not_undo_a_newer_one(clean: Cluster) -> None:
    one, two = Replica(clean), Replica(clean)
    one.decide(CreateNetwork("red"))
    two.look()
    one.decide(SetGlobal("red", is_global=True))
    with pytest.raises(Outdated) as caught:
        two.store.commit(admit(two.snapshot, SetGlobal("red", is_global=True)))
    two.snapshot = apply_all(two.snapshot, caught.value.events(two.snapshot))[0]
    assert two.snapshot.networks["red"].is_global
    two.decide(SetGlobal("red", is_global=False))
    one.look()
    assert not one.snapshot.networks["red"].is_global


def test_nothing_may_begin_is_not_everything(clean: Cluster) -> None:
    one, two = Replica(clean), Replica(clean)
    for name in ("red", "blue"):
        one.decide(CreateNetwork(name))
    one.decide(JoinNetworks("red", "blue", backward=None))
    two.look()
    assert two.snapshot.connections == one.snapshot.connections
    body = json.loads(clean.client.get(Resource(GROUP, VERSION, "connections"), "blue.red"))
    assert body["spec"]["forward"] is None
    assert body["status"]["decided"]["forward"] is None


def test_what_is_asked_here_is_asked_in_the_object(clean: Cluster) -> None:
    one = Replica(clean)
    one.decide(CreateNetwork("red", mtu=1400))
    at = Resource(GROUP, VERSION, "networks")
    assert json.loads(clean.client.get(at, "red"))["spec"]["mtu"] == 1400
    one.decide(SetGlobal("red", is_global=True))
    found = json.loads(clean.client.get(at, "red"))
    assert found["spec"]["global"] is True
    assert found["metadata"]["finalizers"] == ["heddle.sdn/decided"]


def test_a_nodes_token_is_known_to_all(clean: Cluster) -> None:
    from ipaddress import ip_address

    from topology.requests import CreateNode

    one, two = Replica(clean), Replica(clean)
    one.decide(CreateNode("n1", ip_address("192.0.2.1")))
    one.store.set_token("n1", "f" * 64)
    assert one.store.node_of("f" * 64) == "n1"
    two.look()
    assert two.store.node_of("f" * 64) == "n1"
    with pytest.raises(KeyError):
        one.store.set_token("n2", "e" * 64)


def test_the_finalizer_that_another_has_added_meanwhile_stays(clean: Cluster) -> None:
    one = Replica(clean)
    one.decide(CreateNetwork("red"))
    name, at = Name("networks", "red"), Resource(GROUP, VERSION, "networks")
    clean.client.patch(at, "red", {"metadata": {"finalizers": [FINALIZER, "example.com/kept"]}})
    clean.client.delete(at, "red")
    with pytest.raises(Conflict):
        one.store.release(name)
    one.look()
    one.store.release(name)
    assert json.loads(clean.client.get(at, "red"))["metadata"]["finalizers"] == ["example.com/kept"]
