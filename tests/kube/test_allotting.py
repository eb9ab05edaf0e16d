"""Addresses of the pool in the status of services, at an API server."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import msgspec

from kube.mirror import Mirror
from kube.objects import EVENTS, SERVICES, Service
from kube.serving import service_version
from ryu_apps.cluster.allotting import Allotting
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
        self.mirror = Mirror()
        self.allotting = Allotting(cluster.client, self.mirror, lambda: self.snapshot, lambda: True)
        self._cluster, self._namespace = cluster, namespace

    def watch(self) -> dict[str, str]:
        """Take in what services say; return which has which address."""
        found = json.loads(self._cluster.client.list(SERVICES, {}, self._namespace))["items"]
        versions = [service_version(msgspec.convert(each, Service), self.snapshot.cluster) for each in found]
        self.snapshot = apply_all(self.snapshot, self.mirror.observe(self.snapshot, versions))[0]
        given = {key.name: service.ingress for key, service in self.snapshot.services.items()}
        return {name: str(addresses[0]) for name, addresses in given.items() if addresses}


def make(cluster: Cluster, namespace: str, name: str, last: int, **spec: Any) -> None:
    fields = {"type": "LoadBalancer", "clusterIP": f"172.30.9.{last}", "clusterIPs": [f"172.30.9.{last}"], **spec}
    body = {"metadata": {"name": name}, "spec": {"ports": [{"port": 80, "protocol": "TCP"}], **fields}}
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
    key = next(key for key in replica.snapshot.services if key.name == "b")
    fresh = Replica(cluster, namespace)
    fresh.watch()
    assert key not in fresh.snapshot.services
    fresh.allotting.look()
    assert fresh.watch() == {"a": "203.0.113.10", "c": "203.0.113.9"}


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
