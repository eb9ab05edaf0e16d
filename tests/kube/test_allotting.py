"""Addresses of the pool in the status of services, at an API server."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec
import pytest

from kube.mirror import Mirror, Name, Version
from kube.objects import EVENTS, SERVICES, Service
from kube.serving import LOAD_BALANCER_ADDRESS, address_faults, service_version
from ryu_apps.cluster.allotting import AGAIN_SECONDS, Allotting, Known
from tests.kube.cluster import Cluster
from topology.model import Network, Project
from topology.snapshot import Put, Snapshot, apply_all, empty

POOL = ip_network("203.0.113.8/30")


class Replica:
    """One that decides, with what it has seen of the API by `watch`."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        settings = replace(empty().cluster, external_cidrs=(POOL,), load_balancer_pool=(POOL,))
        there = (Put(settings), Put(Network("red", 10)), Put(Project(namespace, "red")))
        self.snapshot: Snapshot = apply_all(empty(), there)[0]
        self.mirror = Counting()
        self.faults: dict[Name, str] = {}
        self.now = 0.0
        known = Known(self.mirror, lambda: self.snapshot, self.faults)
        self.allotting = Allotting(cluster.client, known, lambda: True, lambda: self.now)
        self._cluster, self._namespace = cluster, namespace

    def watch(self) -> dict[str, str]:
        """Take in what services say; return which has which address."""
        found = json.loads(self._cluster.client.list(SERVICES, {}, self._namespace))["items"]
        services = [msgspec.convert(each, Service) for each in found]
        self.take_in(services)
        given = {key.name: service.ingress for key, service in self.snapshot.services.items()}
        return {name: str(addresses[0]) for name, addresses in given.items() if addresses}

    def take_in(self, services: list[Service]) -> None:
        """Take in these services, and that others are gone."""
        versions = [service_version(each, self.snapshot.cluster) for each in services]
        newest = max((each.resource_version for each in versions), default=0)
        known = [Name(SERVICES.plural, name) for name in self.mirror.names(SERVICES.plural)]
        gone = [each for each in known if each not in {version.name for version in versions}]
        versions += [Version(each, newest + 1, (), deleted=True) for each in gone]
        changed = [each for each in versions if each.deleted or self.is_news(each)]
        self.snapshot = apply_all(self.snapshot, self.mirror.observe(self.snapshot, versions))[0]
        self.faults.clear()
        faults = {Name(SERVICES.plural, f"{each.metadata.namespace}/{each.metadata.name}"): each for each in services}
        self.faults.update({name: why for name, each in faults.items() for why in address_faults(each)})
        self.allotting.touched([each.name for each in changed])

    def is_news(self, version: Version) -> bool:
        known = self.mirror.version(version.name)
        return known is None or known.resource_version < version.resource_version


class Counting(Mirror):
    """Counts how often it is asked about an object."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def version(self, name: Name) -> Version | None:
        self.asked += 1
        return super().version(name)


def make(cluster: Cluster, namespace: str, name: str, last: int, annotated: str = "", **spec: Any) -> None:
    fields = {"type": "LoadBalancer", "clusterIP": f"172.30.9.{last}", "clusterIPs": [f"172.30.9.{last}"], **spec}
    metadata = {"name": name, "annotations": {LOAD_BALANCER_ADDRESS: annotated} if annotated else {}}
    body = {"metadata": metadata, "spec": {"ports": [{"port": 80, "protocol": "TCP"}], **fields}}
    cluster.make(SERVICES, body, namespace)


def test_each_gets_its_own_and_who_gets_none_hears_why(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    make(cluster, namespace, "a", 1, loadBalancerIP="203.0.113.10")
    make(cluster, namespace, "b", 2)
    make(cluster, namespace, "c", 3)
    make(cluster, namespace, "other", 4, loadBalancerClass="example.com/other")
    replica = Replica(cluster, namespace)
    assert replica.watch() == {}
    for _ in range(2):  # what it wrote itself has not come back
        replica.allotting.look()
    successor = Replica(cluster, namespace)  # it has heard of nothing yet that was written just now
    wanted = {"a": "203.0.113.10", "b": "203.0.113.9"}
    assert replica.watch() == successor.watch() == wanted
    replica.allotting.look()
    successor.allotting.look()
    assert replica.watch() == wanted
    events = json.loads(cluster.client.list(EVENTS, {}, namespace))["items"]
    assert {(each["involvedObject"]["name"], each["reason"]) for each in events} == {("c", "LoadBalancerRefused")}
    assert all("203.0.113.8/30 is free" in each["message"] for each in events)
    cluster.client.delete(SERVICES, "b", namespace)
    for each in (Replica(cluster, namespace), replica):
        each.watch()
        for _ in range(2):  # by the first, one that knew of "b" gives what it had back
            each.allotting.look()
        assert each.watch() == {"a": "203.0.113.10", "c": "203.0.113.9"}


def test_a_replica_that_begins_to_decide_reads_what_was_given_before(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    make(cluster, namespace, "a", 1)
    make(cluster, namespace, "b", 2)
    first, second = Replica(cluster, namespace), Replica(cluster, namespace)
    second.watch()
    first.watch()
    first.allotting.look()
    second.allotting.look()  # by its watch, neither has one
    assert first.watch() == {"a": "203.0.113.9", "b": "203.0.113.10"}


def status(cluster: Cluster, namespace: str, name: str) -> list[str]:
    found = json.loads(cluster.client.list(SERVICES, {}, namespace))["items"]
    (service,) = (each for each in found if each["metadata"]["name"] == name)
    return [each["ip"] for each in service.get("status", {}).get("loadBalancer", {}).get("ingress") or ()]


def messages(cluster: Cluster, namespace: str, name: str) -> list[str]:
    events = json.loads(cluster.client.list(EVENTS, {}, namespace))["items"]
    return [each["message"] for each in events if each["involvedObject"]["name"] == name]


def test_a_service_that_is_no_load_balancer_any_more_loses_its_address(cluster: Cluster) -> None:
    """And nobody else has it before its status is without it."""
    namespace = cluster.namespace()
    for last, name in enumerate(("b", "c", "a"), 1):
        make(cluster, namespace, name, last, **({"type": "ClusterIP"} if name == "a" else {}))
    replica = Replica(cluster, namespace)
    replica.watch()
    replica.allotting.look()
    assert replica.watch() == {"b": "203.0.113.9", "c": "203.0.113.10"}
    replica.allotting.look()
    cluster.client.patch(SERVICES, "b", {"spec": {"type": "ClusterIP"}}, namespace)
    cluster.client.patch(SERVICES, "a", {"spec": {"type": "LoadBalancer"}}, namespace)
    replica.watch()
    replica.allotting.look()
    assert status(cluster, namespace, "b") == status(cluster, namespace, "a") == []
    replica.allotting.look()
    assert replica.watch() == {"a": "203.0.113.9", "c": "203.0.113.10"}


def test_what_was_left_by_one_that_decided_before_is_taken_back(cluster: Cluster) -> None:
    namespace = cluster.namespace()
    make(cluster, namespace, "a", 1)
    make(cluster, namespace, "other", 2, loadBalancerClass="example.com/other")
    others = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.10"}]}}}
    cluster.client.patch(SERVICES, "other", others, namespace, subresource="status")
    first = Replica(cluster, namespace)
    first.watch()
    first.allotting.look()
    cluster.client.patch(SERVICES, "a", {"spec": {"type": "NodePort"}}, namespace)
    second = Replica(cluster, namespace)
    second.watch()
    second.allotting.look()
    assert status(cluster, namespace, "a") == []
    assert status(cluster, namespace, "other") == ["203.0.113.10"]  # which is not for us to serve


@pytest.mark.parametrize(
    ("annotated", "spec", "wanted", "words"),
    [
        ("203.0.113.10", {}, "203.0.113.10", ""),
        ("203.0.113.10", {"loadBalancerIP": "203.0.113.9"}, "203.0.113.10", ""),
        ("", {"loadBalancerIP": "203.0.113.10"}, "203.0.113.10", ""),
        ("203.0.113.9", {}, "", 'belongs to service "'),
        ("192.0.2.9", {}, "", "192.0.2.9 is outside the pool 203.0.113.8/30"),
        ("203.0.113.300", {}, "", "heddle.sdn/load-balancer-address"),
        ("", {"loadBalancerIP": "any"}, "", "$.spec.loadBalancerIP"),
    ],
)
def test_an_address_that_is_asked_for(
    cluster: Cluster, annotated: str, spec: dict[str, str], wanted: str, words: str
) -> None:
    namespace = cluster.namespace()
    make(cluster, namespace, "a", 1, annotated="203.0.113.9")
    replica = Replica(cluster, namespace)
    replica.watch()
    replica.allotting.look()
    make(cluster, namespace, "b", 2, annotated=annotated, **spec)
    replica.watch()
    for _ in range(2):
        replica.now += AGAIN_SECONDS
        replica.allotting.look()
    assert replica.watch().get("b", "") == wanted
    told = messages(cluster, namespace, "b")
    assert len(told) == (1 if words else 0)  # each reason once
    assert words in "".join(told)
    if words:  # it asks for another one, and gets that
        body = {"metadata": {"annotations": {LOAD_BALANCER_ADDRESS: "203.0.113.10"}}}
        cluster.client.patch(SERVICES, "b", body, namespace)
        replica.watch()
        replica.allotting.look()
        assert replica.watch()["b"] == "203.0.113.10"


def test_who_waits_is_looked_at_again(cluster: Cluster) -> None:
    """Also where what it waits for is no service's to tell of."""
    namespace = cluster.namespace()
    make(cluster, namespace, "a", 1, annotated="203.0.113.9")
    replica = Replica(cluster, namespace)
    taken = replace(replica.snapshot.cluster, control_plane=(ip_address("203.0.113.9"),))
    free, replica.snapshot = replica.snapshot.cluster, apply_all(replica.snapshot, (Put(taken),))[0]
    replica.watch()
    replica.allotting.look()
    assert "a controller" in "".join(messages(cluster, namespace, "a"))
    replica.snapshot = apply_all(replica.snapshot, (Put(free),))[0]
    replica.allotting.look()
    assert replica.watch() == {}
    replica.now += AGAIN_SECONDS
    replica.allotting.look()
    assert replica.watch() == {"a": "203.0.113.9"}


def test_a_snapshot_that_is_behind_changes_no_address(cluster: Cluster) -> None:
    """What a service has is known by the version that would be written over."""
    namespace = cluster.namespace()
    make(cluster, namespace, "a", 1, annotated="203.0.113.10")
    replica = Replica(cluster, namespace)
    replica.watch()
    behind = replica.snapshot
    replica.allotting.look()
    cluster.client.patch(SERVICES, "a", {"metadata": {"annotations": {LOAD_BALANCER_ADDRESS: None}}}, namespace)
    replica.watch()
    replica.snapshot = behind
    replica.allotting.look()
    assert status(cluster, namespace, "a") == ["203.0.113.10"]


def test_what_it_looks_at_is_what_was_touched(cluster: Cluster) -> None:
    """However many services there are."""
    namespace = cluster.namespace()
    make(cluster, namespace, "a", 250)
    replica = Replica(cluster, namespace)
    many = [
        msgspec.convert(
            {
                "metadata": {"name": f"s{number}", "namespace": namespace, "resourceVersion": "1"},
                "spec": {"clusterIPs": [f"172.30.8.{number}"], "ports": [{"port": 80}]},
            },
            Service,
        )
        for number in range(200)
    ]
    replica.take_in(many)
    replica.allotting.look()
    replica.mirror.asked = 0
    replica.now += AGAIN_SECONDS
    replica.allotting.look()
    assert replica.mirror.asked == 0
    found = json.loads(cluster.client.list(SERVICES, {}, namespace))["items"]
    replica.take_in([*many, *(msgspec.convert(each, Service) for each in found)])
    replica.mirror.asked = 0
    replica.allotting.look()
    assert replica.mirror.asked == 1
    assert status(cluster, namespace, "a") == ["203.0.113.9"]
