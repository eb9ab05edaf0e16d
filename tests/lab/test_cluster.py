"""A cluster with two replicas of the controller, real switches and packets: what people make, and what fails."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from kube.client import Resource
from kube.errors import NotFound
from kube.objects import (
    EGRESS_BANDWIDTH,
    ENDPOINT_SLICES,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICE_NAME,
    SERVICES,
)
from kube.resources import (
    ADDRESS_SLICES,
    BINDINGS,
    CONNECTIONS,
    EGRESSES,
    GROUP,
    MIRRORS,
    NETWORKS,
    OUTAGES,
    PROJECT_NETWORKS,
    VERSION,
    VTEPS,
)
from kube.serving import LOAD_BALANCER_ADDRESS
from kube.shares import DECISIONS
from lab.api import LateError, ProblemError
from lab.cluster import SYSTEM, ClusterLab
from lab.controller import Controller
from lab.description import POOL, UNDERLAY, NodeSpec, PodName
from lab.egress import ADDRESSES, Egress, seconds_until_seen, senders
from lab.errors import LabError
from lab.frames import Sniffer
from lab.pod import Pod
from lab.runtime import Attachment, CniError
from lab.takeover import in_sync, take_over, wait_for
from lab.underlay import UPLINK

pytestmark = [pytest.mark.ovs, pytest.mark.netns]

SHARED = ("--heddle-shards=4", "--heddle-lease-seconds=3")


@pytest.fixture(scope="module")
def lab(unique_name: Callable[[], str]) -> Iterator[ClusterLab]:
    with ClusterLab(unique_name(), nodes=3, flags=SHARED) as lab:
        lab.network("red")
        lab.network("blue")
        lab.pods({"red/a": "n1", "red/b": "n2", "blue/a": "n1", "blue/b": "n3"})
        yield lab


@pytest.fixture
def pod(lab: ClusterLab) -> Iterator[Callable[[str, str], Pod]]:
    """Make a pod that goes with the test."""
    made: list[str] = []

    def make(name: str, on: str) -> Pod:
        made.append(name)
        return lab.pod(name, on)

    yield make
    for name in made:
        with suppress(LabError, NotFound):
            lab.remove_pod(name)


def custom(plural: str) -> Resource:
    return Resource(GROUP, VERSION, plural)


def test_tenants_are_apart_until_a_connection_is_made_and_again_when_it_goes(lab: ClusterLab) -> None:
    a, b = lab.pods_by_name["red/a"], lab.pods_by_name["red/b"]
    other = lab.pods_by_name["blue/b"]
    assert a.ping(b)
    assert not a.ping(other)
    lab.join("red", "blue")
    assert a.tcp(other)
    assert other.tcp(a)
    lab.isolate("red", "blue")
    lab.settle()
    assert not a.ping(other)


def test_switches_are_divided_and_everybody_says_so(lab: ClusterLab) -> None:
    for replica in (lab.controller, lab.second):
        found = replica.api.get("/v1/replicas")["replicas"]
        assert {one["name"] for one in found} == {"controller", "second"}
        assert sorted(node for one in found for node in one["nodes"]) == ["n1", "n2", "n3"]
    phases = [
        {one["node"]: one["phase"] for one in replica.api.get("/v1/switches")["switches"]}
        for replica in (lab.controller, lab.second)
    ]
    for node in lab.nodes:
        assert sorted(each[node] for each in phases) == ["InSync", "Standby"]


def test_services_are_kubernetes_own_whichever_replica_is_asked(lab: ClusterLab) -> None:
    body = {"name": "web", "project": "red", "address": "172.30.0.99", "ports": [{"protocol": "TCP", "port": 80}]}
    for replica in (lab.controller, lab.second):
        with pytest.raises(ProblemError, match="change it there: kubectl apply") as refused:
            replica.api.post("/v1/services", body)
        assert refused.value.status == 409
        with pytest.raises(ProblemError, match="kubectl delete endpointslice web-1 -n red"):
            replica.api.delete("/v1/endpoints/red/web-1")
        assert replica.api.get("/v1/services") == {"services": []}


def test_both_replicas_know_all_ports(lab: ClusterLab) -> None:
    told = [
        sorted((port["pod"], port["addresses"][0]["address"], port["ofport"]) for port in found)
        for found in (each.api.get("/v1/ports")["ports"] for each in (lab.controller, lab.second))
    ]
    assert told[0] == told[1]
    assert len(told[0]) >= 4


def test_addresses_are_in_the_slice_before_add_returns(lab: ClusterLab, pod: Callable[[str, str], Pod]) -> None:
    pod("red/sliced", "n3")
    found = lab.server.get(custom(ADDRESS_SLICES.plural), "n3")
    assert found is not None
    assert "sliced" in [port["pod"] for port in found["spec"]["ports"]]


def test_a_change_by_either_replica_is_in_force_when_it_is_answered(lab: ClusterLab) -> None:
    a, other = lab.pods_by_name["red/a"], lab.pods_by_name["blue/b"]
    for replica in (lab.controller, lab.second):
        replica.api.post("/v1/connections", {"networks": ["red", "blue"]})
        assert a.ping(other)
        replica.api.delete("/v1/connections/red/blue")
        assert not a.ping(other)


def test_either_replica_says_where_a_packet_goes_and_what_a_switch_has(lab: ClusterLab) -> None:
    for replica in (lab.controller, lab.second):
        assert replica.api.get("/v1/trace?from=red/a&to=blue/b")["verdict"] == "dropped"
        replica.api.post("/v1/connections", {"networks": ["red", "blue"]})
        assert replica.api.get("/v1/trace?from=red/a&to=blue/b")["verdict"] == "delivered"
        replica.api.delete("/v1/connections/red/blue")
        for node in lab.nodes:
            flows = replica.api.get(f"/v1/nodes/{node}/flows")
            assert {flow["state"] for flow in flows} == {"Installed"}
            assert all(flow["packets"] is not None for flow in flows)


def test_a_service_outside_the_service_ranges_is_left_out_and_freezes_no_node(lab: ClusterLab) -> None:
    """As all are where the API server was given other ranges than the controllers."""
    spec = {"clusterIP": "10.9.0.1", "clusterIPs": ["10.9.0.1"], "ports": [{"protocol": "TCP", "port": 443}]}
    lab.server.apply(SERVICES, _service("astray", spec), "red")
    inside = {**spec, "clusterIP": "172.30.9.9", "clusterIPs": ["172.30.9.9"]}
    lab.server.apply(SERVICES, _service("found", inside), "red")
    try:
        wait_for(lambda: "found" in _services(lab), "the other service is not known")
        assert "astray" not in _services(lab)
        for node in lab.nodes:
            assert {"InSync", "Standby"} == _phases(lab, node)
        assert lab.pods_by_name["red/a"].ping(lab.pods_by_name["red/b"])
    finally:
        for name in ("astray", "found"):
            lab.server.client.delete(SERVICES, name, "red")


def _service(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "red"}, "spec": spec}


def _services(lab: ClusterLab) -> set[str]:
    return {one["name"] for one in lab.controller.api.get("/v1/services")["services"]}


def test_a_switch_that_is_away_is_late_for_what_it_lacks_and_for_nothing_else(lab: ClusterLab) -> None:
    lab.nodes["n3"].ovs.stop_switch()
    try:
        wait_for(lambda: {"Away"} == _phases(lab, "n3"), "the switch of n3 is not away")
        for replica in (lab.controller, lab.second):
            with pytest.raises(LateError) as late:
                replica.api.post("/v1/connections", {"networks": ["red", "blue"]})
            assert late.value.body["late"] == ["n3"]
            replica.api.post("/v1/networks", {"name": "quiet"})
            replica.api.delete("/v1/networks/quiet")
            with suppress(LateError):
                replica.api.delete("/v1/connections/red/blue")
    finally:
        lab.nodes["n3"].ovs.start_switch()
        wait_for(lambda: {"InSync", "Standby"} == _phases(lab, "n3"), "the switch of n3 is not in sync again")
        a, b = lab.pods_by_name["blue/a"], lab.pods_by_name["blue/b"]
        wait_for(lambda: bool(a.ping(b)), "n3 is not reached again")  # heddle-node puts back what tunnels need


def _phases(lab: ClusterLab, node: str) -> set[str]:
    """Return in which phases the replicas see a node's switch."""
    switches = [one for each in (lab.controller, lab.second) for one in each.api.get("/v1/switches")["switches"]]
    return {one["phase"] for one in switches if one["node"] == node}


def test_a_node_says_that_its_network_is_there(lab: ClusterLab) -> None:
    def available() -> bool:
        found = lab.server.get(NODES, "n2") or {}
        conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
        return bool(conditions["NetworkUnavailable"] == "False")

    wait_for(available, "NetworkUnavailable stays")


def test_a_pod_says_its_networks(lab: ClusterLab, pod: Callable[[str, str], Pod]) -> None:
    pod("red/told", "n1")

    def told() -> bool:
        annotations = (lab.server.get(PODS, "told", "red") or {})["metadata"].get("annotations", {})
        return '"name":"red"' in annotations.get("k8s.v1.cni.cncf.io/network-status", "")

    wait_for(told, "the pod does not say its networks")


def test_a_pod_that_asks_for_anothers_network_is_refused_with_an_event(lab: ClusterLab) -> None:
    metadata = {"name": "greedy", "namespace": "red", "annotations": {"heddle.sdn/networks": "blue"}}
    spec = {"nodeName": "n1", "containers": [{"name": "main", "image": "none"}]}
    lab.server.apply(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, "red")
    with pytest.raises(CniError, match="blue"):
        lab.pod("red/greedy", "n1")

    def told() -> bool:
        events = json.loads(lab.server.client.list(EVENTS, {}, "red"))["items"]
        return any("blue" in each["message"] and each["involvedObject"]["name"] == "greedy" for each in events)

    wait_for(told, "there is no event")
    lab.server.client.delete(PODS, "greedy", "red", options={"gracePeriodSeconds": 0})


def test_annotations_limit_a_pod_while_it_runs_and_wrong_ones_are_told(
    lab: ClusterLab, pod: Callable[[str, str], Pod]
) -> None:
    pod("red/limited", "n1")

    def annotate(rate: str) -> None:
        body = {"metadata": {"annotations": {EGRESS_BANDWIDTH: rate}}}
        lab.server.client.patch(PODS, "limited", body, "red")

    def meters() -> str:
        return lab.node("n1").ovs_ofctl("dump-meters")

    annotate("16M")
    wait_for(lambda: "rate=16000 " in meters(), "there is no meter")
    annotate("fast")
    wait_for(lambda: "rate" not in meters(), "the meter stays")

    def told() -> bool:
        events = json.loads(lab.server.client.list(EVENTS, {}, "red"))["items"]
        said = [each["message"] for each in events if each["reason"] == "BandwidthIgnored"]
        return any('"fast" is no quantity' in message for message in said)

    wait_for(told, "there is no event")


def test_a_mirror_copies_to_a_pod_of_another_network(lab: ClusterLab) -> None:
    a, b, other = (lab.pods_by_name[name] for name in ("red/a", "red/b", "blue/b"))
    lab.ask(MIRRORS, "watch", network="red", target={"project": "blue", "pod": "b"}, direction="out")
    with Sniffer(other.namespace) as seen:
        assert a.ping(b)
        assert seen.caught(lambda frame: frame.source == str(a.address))
    lab.server.client.delete(custom(MIRRORS.plural), "watch")
    wait_for(lambda: lab.server.get(custom(MIRRORS.plural), "watch") is None, "the mirror stays")
    with Sniffer(other.namespace) as seen:
        assert a.ping(b)
        assert not seen.caught(lambda frame: frame.source == str(a.address), patience=0.3)


def test_a_pod_that_is_not_there_is_not_attached(lab: ClusterLab) -> None:
    (namespace,) = lab._state.namespaces(["ghost"])
    with pytest.raises(CniError, match="does not exist"):
        lab.node("n1").runtime.add(Attachment("f" * 64, namespace.path, PodName("red", "ghost"), pod_uid="gone"))


def test_a_namespace_goes_with_its_project(lab: ClusterLab) -> None:
    lab.project("short", "red")
    lab.server.client.delete(NAMESPACES, "short")
    wait_for(lambda: lab.server.get(custom(PROJECT_NETWORKS.plural), "short") is None, "the project stays")


def test_what_no_schema_stops_is_refused_in_the_status(lab: ClusterLab) -> None:
    with pytest.raises(LabError, match='network "nowhere": does not exist'):
        lab.ask(CONNECTIONS, "nowhere.red", networks=["nowhere", "red"])
    with pytest.raises(LabError, match=r"VNID 10 belongs to network|VNID \d+ belongs"):
        lab.ask(NETWORKS, "twice", vnid=lab.api.get("/v1/networks/red")["vnid"])
    found = lab.server.get(custom(NETWORKS.plural), "twice")
    assert found is not None
    assert found["status"]["phase"] == "Refused"
    for plural, name in ((NETWORKS.plural, "twice"), (CONNECTIONS.plural, "nowhere.red")):
        lab.server.client.delete(custom(plural), name)


def test_a_refused_change_keeps_the_last_good_state(lab: ClusterLab) -> None:
    lab.ask(NETWORKS, "kept", mtu=1400)
    lab.server.client.patch(custom(NETWORKS.plural), "kept", {"spec": {"provider": "another"}})

    def refused() -> bool:
        found = lab.server.get(custom(NETWORKS.plural), "kept") or {}
        conditions = {each["type"]: each for each in found["status"]["conditions"]}
        return bool(conditions["Accepted"]["status"] == "False" and found["status"]["decided"]["mtu"] == 1400)

    wait_for(refused, "the change was not refused")
    assert lab.api.get("/v1/networks/kept")["mtu"] == 1400
    lab.server.client.delete(custom(NETWORKS.plural), "kept")
    wait_for(lambda: lab.server.get(custom(NETWORKS.plural), "kept") is None, "the network stays")


def test_a_network_in_use_goes_when_its_last_pod_goes(lab: ClusterLab) -> None:
    lab.network("old")
    lab.pod("old/last", "n2")
    lab.server.client.delete(custom(NETWORKS.plural), "old")
    wait_for(
        lambda: (lab.server.get(custom(NETWORKS.plural), "old") or {})["status"]["phase"] == "Terminating",
        "it does not drain",
    )
    assert lab.pods_by_name["old/last"].ping(lab.node("n2").gateway)
    lab.remove_pod("old/last")
    lab.server.client.delete(NAMESPACES, "old")
    wait_for(lambda: lab.server.get(custom(NETWORKS.plural), "old") is None, "the network stays")


def _phase(lab: ClusterLab, network: str) -> str:
    found = lab.server.get(custom(NETWORKS.plural), network) or {}
    return str(found.get("status", {}).get("phase"))


def test_a_project_moves_while_its_pods_talk(lab: ClusterLab, pod: Callable[[str, str], Pod]) -> None:
    lab.project("moving", "red")
    one, two = pod("moving/a", "n1"), pod("moving/b", "n2")
    with lab.pings([(one, two), (two, one)], 0.01) as pings:
        lab.move("moving", "blue")
    assert pings.lost == {}
    assert one.ping(lab.pods_by_name["blue/b"])
    assert not one.ping(lab.pods_by_name["red/b"])


def test_a_binding_gives_a_network(lab: ClusterLab, pod: Callable[[str, str], Pod]) -> None:
    lab.project("bound", "red", labels={"team": "both"})
    selected = {"match_labels": {"team": "both"}}
    lab.ask(BINDINGS, "both", projects=selected, secondary=[{"network": "blue"}])
    made = pod("bound/a", "n1")
    assert sorted(made.networks.values()) == ["blue", "red"]
    lab.remove_pod("bound/a")
    lab.server.client.delete(custom(BINDINGS.plural), "both")
    wait_for(lambda: lab.server.get(custom(BINDINGS.plural), "both") is None, "the binding stays")


def test_an_egress_is_held_by_another_node_when_one_is_lost(lab: ClusterLab) -> None:
    """Who leads the switch of the lost node says so; every replica knows then who holds the address."""
    address, asked = ADDRESSES[0], 4471
    lab.outside.listen(asked)
    source = lab.pods_by_name["red/a"]
    with pytest.raises(LabError, match='belongs to node "n2"'):
        lab.ask(EGRESSES, "out", network="red", addresses=[str(lab.node("n2").address)])
    lab.server.client.patch(custom(EGRESSES.plural), "out", {"spec": {"addresses": [address], "nodes": ["n2", "n3"]}})
    seconds_until_seen(source, lab.outside, address, asked)
    held = [Egress(each.api, "out", "red").holders[address] for each in (lab.controller, lab.second)]
    assert held[0] == held[1] is not None
    dead = lab.node(str(held[0]))
    with Sniffer(lab.outside.namespace) as seen:
        dead.ovs.stop_switch(signal.SIGKILL)
        try:
            seconds_until_seen(source, lab.outside, address, asked)
        finally:
            dead.ovs.start_switch()
    assert senders(seen.frames, asked) == {address}
    assert lab.server.get(custom(OUTAGES.plural), dead.name) is not None
    for each in (lab.controller, lab.second):
        assert Egress(each.api, "out", "red").holders[address] not in (None, dead.name)
    lab.server.client.delete(custom(EGRESSES.plural), "out")
    wait_for(lambda: lab.server.get(custom(EGRESSES.plural), "out") is None, "the egress stays")
    seconds_until_seen(source, lab.outside, str(lab.node("n1").address), asked)
    wait_for(lambda: {"InSync", "Standby"} == _phases(lab, dead.name), f"{dead.name} is not in sync again")
    first, second = (lab.pods_by_name[name] for name in ("blue/a", "red/b" if dead.name == "n2" else "blue/b"))
    wait_for(lambda: bool(lab.node("n1").ping(second)) and bool(lab.node(dead.name).ping(first)), "it is not reached")


def test_a_node_that_goes_takes_what_is_its_own_along(lab: ClusterLab) -> None:
    lab.join_node(NodeSpec("n9", UNDERLAY[99]))
    wait_for(lambda: lab.server.get(custom(VTEPS.plural), "n9") is not None, "the node is not registered")
    lab.server.client.delete(NODES, "n9")
    wait_for(lambda: lab.server.get(custom(VTEPS.plural), "n9") is None, "the node stays")
    assert "n9" not in {node["name"] for node in lab.second.api.get("/v1/nodes")["nodes"]}


def test_addresses_are_given_once_each_while_who_gives_them_is_killed(lab: ClusterLab) -> None:
    """Services come all the time; each has one address in the end, which no other ever had, and keeps it."""
    history: dict[str, set[str]] = {}
    names = [f"door{number:02}" for number in range(12)]
    decider = _decider(lab)
    other = lab.second if decider is lab.controller else lab.controller
    try:
        for number, name in enumerate(names):
            if number == len(names) // 2:
                decider.kill()
            address = f"172.30.7.{number + 1}"
            spec = {"type": "LoadBalancer", "clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]}
            lab.server.apply(SERVICES, _service(name, spec), "red")
            _note(lab, history)
        wait_for(lambda: _note(lab, history) >= {*names}, "not all have addresses")
        assert _decider(lab) is other
        assert [len(history[name]) for name in names] == [1] * len(names)
        assert len(set().union(*history.values())) == len(names)
    finally:
        for name in names:
            with suppress(NotFound):
                lab.server.client.delete(SERVICES, name, "red")
        decider.start()
        wait_for(lambda: all({"InSync", "Standby"} == _phases(lab, node) for node in lab.nodes), "it is not back")


def _decider(lab: ClusterLab) -> Controller:
    """The replica that has the lease of what concerns the whole network."""
    lease = lab.server.get(LEASES, f"heddle-share-{DECISIONS}", SYSTEM)
    assert lease is not None
    return {"controller": lab.controller, "second": lab.second}[lease["spec"]["holderIdentity"]]


def _note(lab: ClusterLab, history: dict[str, set[str]]) -> set[str]:
    """Add which addresses services have now; return who has one."""
    found = json.loads(lab.server.client.list(SERVICES, {}, "red"))["items"]
    for each in found:
        for given in each.get("status", {}).get("loadBalancer", {}).get("ingress") or ():
            history.setdefault(each["metadata"]["name"], set()).add(given["ip"])
    return {*history}


def test_a_load_balancer_that_is_none_any_more_is_reached_by_its_address_no_more(
    lab: ClusterLab, pod: Callable[[str, str], Pod]
) -> None:
    """It asks for one by its annotation; when it changes its type, its status is without, and the next may have it."""
    asked = str(POOL[7])
    made = pod("red/door", "n2")
    lab.outside.run(f"ip route replace {POOL} dev {UPLINK}")
    address = "172.30.7.50"
    ports = [{"port": 80, "targetPort": 7}]
    spec = {"type": "LoadBalancer", "clusterIP": address, "clusterIPs": [address], "ports": ports}
    body = _service("asking", spec)
    body["metadata"]["annotations"] = {LOAD_BALANCER_ADDRESS: asked}
    lab.server.apply(SERVICES, body, "red")
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "asking-1", "namespace": "red", "labels": {SERVICE_NAME: "asking"}},
        "addressType": "IPv4",
        "ports": [{"port": 7, "protocol": "TCP"}],
        "endpoints": [{"addresses": [str(made.cluster_address)], "nodeName": "n2"}],
    }
    lab.server.apply(ENDPOINT_SLICES, endpoints, "red")
    try:
        wait_for(lambda: lab.outside.tcp(asked, 80, 0.5).by == "red/door", f"nobody answers for {asked}")
        lab.server.client.patch(SERVICES, "asking", {"spec": {"type": "ClusterIP"}}, "red")
        wait_for(lambda: not _given(lab, "asking"), "its status says so still")
        wait_for(lambda: not lab.outside.tcp(asked, 80, 0.5).arrived, f"{asked} is answered for still")
        assert lab.pods_by_name["red/a"].tcp(address, 80).by == "red/door"
        other = _service("next", {**spec, "clusterIP": "172.30.7.51", "clusterIPs": ["172.30.7.51"]})
        other["metadata"]["annotations"] = {LOAD_BALANCER_ADDRESS: asked}
        lab.server.apply(SERVICES, other, "red")
        wait_for(lambda: _given(lab, "next") == [asked], f"the next does not get {asked}")
    finally:
        for resource, name in ((SERVICES, "asking"), (SERVICES, "next"), (ENDPOINT_SLICES, "asking-1")):
            with suppress(NotFound):
                lab.server.client.delete(resource, name, "red")


def _given(lab: ClusterLab, name: str) -> list[str]:
    found = lab.server.get(SERVICES, name, "red") or {}
    return [each["ip"] for each in found.get("status", {}).get("loadBalancer", {}).get("ingress") or ()]


@pytest.mark.slow
def test_the_other_takes_over_from_one_that_is_killed(lab: ClusterLab, pod: Callable[[str, str], Pod]) -> None:
    pods = [lab.pods_by_name[name] for name in ("red/a", "red/b")]
    taken = take_over(lab, lab.controller, [(pods[0], pods[1]), (pods[1], pods[0])], lab.second.kill)
    assert (taken.lost, taken.written, taken.gone) == (0, 0, 0)
    made = pod("red/after", "n2")
    assert made.ping(pods[0])
    lab.second.start()
    wait_for(lambda: any(in_sync(lab.second, (node,)) for node in lab.nodes), "the other does not get its part")
    assert pods[0].ping(pods[1])
