"""Hints for zones by real packets: who is led to whom from which node, and what is so when a zone has nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kube.objects import ENDPOINT_SLICES, NODES, SERVICES, ZONE
from lab.cluster import ClusterLab
from lab.echo import ECHO_PORT
from lab.errors import LabError
from lab.hosts import Host
from lab.laboratory import Lab
from lab.services import PORT, Service
from lab.takeover import wait_for

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

ADDRESS, NODE_PORT, ENOUGH = "172.30.0.180", 30780, 24
OF_RED = {"zone-a": "red/b", "zone-b": "red/c"}  # on n1, and on n2
BOTH = set(OF_RED.values())


@pytest.fixture
def zones(lab: Lab) -> Iterator[None]:
    """Two nodes stand in a zone each, and a third one in none; nowhere, in the end."""
    for node, zone in (("n1", "zone-a"), ("n2", "zone-b")):
        lab.api.patch(f"/v1/nodes/{node}", {"zone": zone})
    yield
    for node in ("n1", "n2"):
        lab.api.patch(f"/v1/nodes/{node}", {"zone": ""})


@pytest.fixture
def service(lab: Lab, zones: None) -> Iterator[Service]:
    """A service with an endpoint for each of two zones."""
    made = Service(lab.api, "red", "zonal", ADDRESS, NODE_PORT).make(())
    made.serve_zones({zone: lab.pods_by_name[name] for zone, name in OF_RED.items()})
    yield made
    made.remove()


def answering(client: Host, address: str = ADDRESS, port: int = PORT) -> set[str]:
    """Who answers a client, by TCP and by UDP, if he asks often enough to meet everybody."""
    return {probe(address, port).by for probe in (client.tcp, client.udp) for _ in range(ENOUGH)}


def test_clients_are_led_to_the_endpoint_of_their_zone(lab: Lab, service: Service) -> None:
    """Pods and nodes; from a node without a zone, to any."""
    a, c = lab.pods_by_name["red/a"], lab.pods_by_name["red/c"]
    assert answering(a) == answering(lab.node("n1")) == {"red/b"}
    assert answering(c) == answering(lab.node("n2")) == {"red/c"}
    assert answering(lab.node("n3")) == BOTH


def test_who_comes_by_a_node_port_has_the_zone_of_the_node(lab: Lab, service: Service) -> None:
    assert answering(lab.outside, str(lab.node("n1").address), NODE_PORT) == {"red/b"}
    assert answering(lab.outside, str(lab.node("n2").address), NODE_PORT) == {"red/c"}
    assert answering(lab.outside, str(lab.node("n3").address), NODE_PORT) == BOTH


def test_where_a_zone_has_nobody_all_are_asked(lab: Lab, service: Service) -> None:
    a, c = lab.pods_by_name["red/a"], lab.pods_by_name["red/c"]
    service.serve_zones({"zone-a": None, "zone-b": c})
    assert answering(a) == answering(c) == {"red/c"}
    service.serve([lab.pods_by_name[name] for name in OF_RED.values()])  # nobody says for whom he is
    assert answering(a) == answering(c) == BOTH
    service.serve_zones({"zone-a": lab.pods_by_name["red/b"], "zone-b": c})
    assert answering(a) == {"red/b"}


def test_a_node_that_stands_elsewhere_asks_elsewhere(lab: Lab, service: Service) -> None:
    a = lab.pods_by_name["red/a"]
    lab.api.patch("/v1/nodes/n1", {"zone": "zone-b"})
    assert answering(a) == {"red/c"}
    lab.api.patch("/v1/nodes/n1", {"zone": "zone-c"})
    assert answering(a) == BOTH


def test_the_zone_counts_for_clients_that_stay(lab: Lab, service: Service) -> None:
    """Who stayed with an endpoint goes on with one of his zone, as soon as there is one."""
    a, pods = lab.pods_by_name["red/a"], {zone: lab.pods_by_name[name] for zone, name in OF_RED.items()}
    service.make((), affinity=60)
    service.serve_zones({"zone-b": pods["zone-b"]})
    assert answering(a) == {"red/c"}
    service.serve_zones(pods)
    assert answering(a) == {"red/b"}


# --- in a cluster --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(unique_name: Callable[[], str]) -> Iterator[ClusterLab]:
    with ClusterLab(unique_name(), nodes=2) as running:
        running.network("red")
        running.pods({"red/a": "n1", "red/b": "n2"})
        yield running


def label(cluster: ClusterLab, node: str, zone: str | None) -> None:
    cluster.server.client.patch(NODES, node, {"metadata": {"labels": {ZONE: zone}}})
    told = f"/v1/nodes/{node}"
    wait_for(lambda: cluster.api.get(told)["zone"] == (zone or ""), f"node {node} does not stand in {zone}")
    cluster.settle()


def test_labels_of_nodes_and_hints_of_slices_count(cluster: ClusterLab) -> None:
    """As the API server has them; a zone that REST is given against a label is refused."""
    a, b = cluster.pods_by_name["red/a"], cluster.pods_by_name["red/b"]
    port = {"name": "tcp", "protocol": "TCP", "port": PORT}
    spec = {"clusterIP": ADDRESS, "clusterIPs": [ADDRESS], "ports": [port]}
    metadata = {"name": "web", "namespace": "red"}
    cluster.server.apply(SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}, "red")
    cluster.server.apply(ENDPOINT_SLICES, slice_of(cluster, {"red/a": "zone-a", "red/b": "zone-b"}), "red")
    wait_for(lambda: len(cluster.api.get("/v1/endpoints")["endpoints"]) == 1, "the slice is not known")
    cluster.settle()
    assert who(a) == who(b) == {"red/a", "red/b"}
    for node, zone in (("n1", "zone-a"), ("n2", "zone-b")):
        label(cluster, node, zone)
    assert (who(a), who(b)) == ({"red/a"}, {"red/b"})
    label(cluster, "n1", "zone-b")
    assert who(a) == {"red/b"}
    with pytest.raises(LabError, match="kubectl label node n1"):
        cluster.api.patch("/v1/nodes/n1", {"zone": "zone-a"})
    label(cluster, "n1", None)
    assert who(a) == {"red/a", "red/b"}


def who(client: Host) -> set[str]:
    return {client.tcp(ADDRESS, PORT).by for _ in range(ENOUGH)}


def slice_of(cluster: ClusterLab, pods: dict[str, str]) -> dict[str, object]:
    """Return the slice of pods with hints, as Kubernetes' controller writes it."""
    metadata = {"name": "web-1", "namespace": "red", "labels": {"kubernetes.io/service-name": "web"}}
    endpoints = [
        {
            "addresses": [str(cluster.pods_by_name[name].cluster_address)],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "hints": {"forZones": [{"name": zone}]},
            "zone": zone,
        }
        for name, zone in pods.items()
    ]
    about = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
    ports = [{"name": "tcp", "protocol": "TCP", "port": ECHO_PORT}]
    return {**about, "metadata": metadata, "endpoints": endpoints, "ports": ports}
