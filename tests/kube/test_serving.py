"""What Services and EndpointSlices of an API server say, in words of the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.client import Resource
from kube.mirror import Mirror, Name, Version
from kube.objects import ENDPOINT_SLICES, SERVICES, EndpointSlice, Service
from kube.serving import service_version, slice_version
from store.fields import Malformed
from tests.kube.cluster import Cluster
from topology import model
from topology.model import Endpoint, NamedPort, Network, Project, ServiceKey, SliceKey
from topology.snapshot import apply_all, empty

HTTP = {"name": "http", "protocol": "TCP", "port": 80, "targetPort": "web"}
ADDRESS = ip_address("172.30.0.10")
SERVED = NamedPort("TCP", 8080, "http")


RANGES = model.Cluster(service_cidrs=(ip_network("172.30.0.0/16"), ip_network("fd00::/112")))


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    """Return a Service as an API server tells it."""
    metadata = {"name": name, "namespace": "red", "resourceVersion": "7", "uid": "u", "managedFields": [{}]}
    given = {"clusterIP": "172.30.0.10", "clusterIPs": ["172.30.0.10"], "type": "ClusterIP", "ports": [HTTP]}
    usual = {"sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack"}
    return {"metadata": metadata, "spec": {**given, **usual, **spec}, "status": {"loadBalancer": {}}}


def slice_of(*endpoints: dict[str, Any], name: str = "web-abcde", owner: str = "web", **more: Any) -> dict[str, Any]:
    """Return an EndpointSlice as an API server tells it."""
    labels = {"kubernetes.io/service-name": owner, "endpointslice.kubernetes.io/managed-by": "some"}
    metadata = {"name": name, "namespace": "red", "resourceVersion": "8", "labels": labels}
    ports = [{"name": "http", "protocol": "TCP", "port": 8080}]
    return {"metadata": metadata, "addressType": "IPv4", "ports": ports, "endpoints": list(endpoints), **more}


def at(*addresses: str, node: str | None = None, **conditions: bool | None) -> dict[str, Any]:
    return {"addresses": list(addresses), "nodeName": node, "conditions": conditions, "zone": "a"}


def read_service(body: dict[str, Any]) -> Version:
    return service_version(msgspec.json.decode(msgspec.json.encode(body), type=Service), RANGES)


def read_slice(body: dict[str, Any]) -> Version:
    return slice_version(msgspec.json.decode(msgspec.json.encode(body), type=EndpointSlice))


def said(body: dict[str, Any]) -> model.EndpointSlice:
    (value,) = read_slice(body).values
    assert isinstance(value, model.EndpointSlice)
    return value


def test_a_service() -> None:
    version = read_service(service())
    assert (version.name, version.resource_version) == (("services", "red/web"), 7)
    ports = (NamedPort("TCP", 80, "http"),)
    assert version.values == (model.Service(ServiceKey("red", "web"), ADDRESS, ports),)


@pytest.mark.parametrize(
    ("spec", "field", "value"),
    [
        ({"sessionAffinity": "ClientIP"}, "affinity", 10800),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": None}, "affinity", 10800),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {}}}, "affinity", 10800),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}},
            "affinity",
            60,
        ),
        ({"sessionAffinity": "None", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}, "affinity", 0),
        ({"internalTrafficPolicy": "Local"}, "internal_local", True),
        ({"internalTrafficPolicy": None}, "internal_local", False),
        ({"publishNotReadyAddresses": True}, "publish_not_ready", True),
        ({"clusterIPs": ["fd00::9", "172.30.0.10"]}, "address", ip_address("fd00::9")),
        (
            {"ports": [{"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 53, "name": "dns-tcp"}]},
            "ports",
            (NamedPort("TCP", 53, "dns-tcp"), NamedPort("UDP", 53, "dns")),
        ),
        (
            {"externalIPs": ["203.0.113.6", "2001:db8::5", "203.0.113.5"]},
            "external",
            (ip_address("203.0.113.5"), ip_address("203.0.113.6"), ip_address("2001:db8::5")),
        ),
        ({"type": "LoadBalancer"}, "load_balancer", True),
        ({"type": "LoadBalancer", "loadBalancerClass": "heddle.sdn/pool"}, "load_balancer", True),
        ({"type": "LoadBalancer", "loadBalancerClass": "example.com/other"}, "load_balancer", False),
        ({"type": "NodePort", "loadBalancerIP": "203.0.113.9"}, "load_balancer_address", None),
        (
            {"type": "LoadBalancer", "loadBalancerIP": "203.0.113.9"},
            "load_balancer_address",
            ip_address("203.0.113.9"),
        ),
        ({"externalTrafficPolicy": "Local", "healthCheckNodePort": 30999}, "external_local", True),
        ({"externalTrafficPolicy": "Local", "healthCheckNodePort": 30999}, "health_port", 30999),
        ({"externalTrafficPolicy": "Cluster", "healthCheckNodePort": 30999}, "external_local", False),
        ({"externalTrafficPolicy": "Cluster", "healthCheckNodePort": 30999}, "health_port", 0),
        (
            {"loadBalancerSourceRanges": ["2001:db8::/64", " 192.0.2.7/24 ", "192.0.2.0/24"]},
            "sources",
            (ip_network("192.0.2.0/24"), ip_network("2001:db8::/64")),
        ),
        ({"ports": [{"port": 80}]}, "ports", (NamedPort("TCP", 80),)),
        ({"ports": [{"port": 80, "nodePort": 30080}]}, "ports", (NamedPort("TCP", 80, "", 30080),)),
    ],
)
def test_what_a_service_says(spec: dict[str, Any], field: str, value: object) -> None:
    (found,) = read_service(service(**spec)).values
    assert getattr(found, field) == value


@pytest.mark.parametrize(
    ("ingress", "external"),
    [
        (None, ()),
        ([{"ip": "203.0.113.5"}, {"hostname": "web.example.org"}], ("203.0.113.5",)),
        ([{"ip": "203.0.113.5", "ipMode": "VIP"}, {"ip": "203.0.113.6", "ipMode": "Proxy"}], ("203.0.113.5",)),
    ],
)
def test_what_a_load_balancer_has_given(ingress: list[dict[str, str]] | None, external: tuple[str, ...]) -> None:
    body = service(type="LoadBalancer") | {"status": {"loadBalancer": {"ingress": ingress}}}
    (found,) = read_service(body).values
    assert isinstance(found, model.Service)
    assert found.external == ()
    assert found.ingress == tuple(map(ip_address, external))
    assert found.load_balancer


@pytest.mark.parametrize(
    "spec",
    [{"clusterIPs": ["None"]}, {"clusterIPs": []}, {"type": "ExternalName", "clusterIPs": [""], "ports": []}],
    ids=["headless", "none yet", "elsewhere"],
)
def test_services_without_an_address(spec: dict[str, Any]) -> None:
    assert read_service(service(**spec)).values == ()


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"clusterIPs": ["172.30.0.300"]}, r"\$\.spec\.clusterIPs\[0\]: .* is no IP address"),
        ({"ports": []}, r"\$\.spec: has no ports"),
        ({"loadBalancerSourceRanges": ["192.0.2.0/24", "all"]}, r'loadBalancerSourceRanges\[1\]: "all" is no CIDR'),
        ({"ports": [{"port": 80, "protocol": "QUIC"}]}, 'protocol "QUIC" is unknown'),
        ({"ports": [{"port": 80}, {"port": 81}]}, "two ports without a name"),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}},
            "86401 seconds is out of range",
        ),
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}, "outside the service CIDRs 172.30.0.0/16"),
    ],
)
def test_services_that_are_none(spec: dict[str, Any], why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read_service(service(**spec))


def test_a_slice() -> None:
    body = slice_of(at("10.128.2.7", node="n2"), at("10.128.0.5", "10.128.0.6", node="n1", ready=True))
    version = read_slice(body)
    assert (version.name, version.resource_version) == (("endpointslices", "red/web-abcde"), 8)
    endpoints = (Endpoint(ip_address("10.128.0.5"), "n1"), Endpoint(ip_address("10.128.2.7"), "n2"))
    assert version.values == (model.EndpointSlice(SliceKey("red", "web-abcde"), "web", (SERVED,), endpoints),)


@pytest.mark.parametrize(
    ("conditions", "ready", "serving", "terminating"),
    [
        ({}, True, True, False),
        ({"ready": None, "serving": None, "terminating": None}, True, True, False),
        ({"ready": False}, False, False, False),
        ({"ready": False, "serving": True, "terminating": True}, False, True, True),
        ({"ready": True, "serving": False}, True, False, False),
    ],
)
def test_what_is_not_said_of_an_endpoint(
    conditions: dict[str, bool | None], ready: bool, serving: bool, terminating: bool
) -> None:
    (endpoint,) = said(slice_of(at("10.128.0.5", **conditions))).endpoints
    assert endpoint == Endpoint(ip_address("10.128.0.5"), "", ready, serving, terminating)


def test_hints_are_for_zones_each_once_and_in_order() -> None:
    hinted = at("10.128.0.5") | {"hints": {"forZones": [{"name": "b"}, {"name": "a"}, {"name": "b"}]}}
    nodes_only = at("10.128.0.6") | {"hints": {"forNodes": [{"name": "n1"}]}}
    none = at("10.128.0.7") | {"hints": None}
    found = said(slice_of(hinted, nodes_only, none)).endpoints
    assert [endpoint.zones for endpoint in found] == [("a", "b"), (), ()]


@pytest.mark.parametrize(
    ("zones", "why"), [(["a b"], 'zone "a b" of endpoint 10.128.0.5'), (["a" * 64], "63"), ([*"abcdefghi"], "9 zones")]
)
def test_hints_that_are_none(zones: list[str], why: str) -> None:
    hints = {"forZones": [{"name": zone} for zone in zones]}
    with pytest.raises(Malformed, match=why):
        read_slice(slice_of(at("10.128.0.5") | {"hints": hints}))


def test_ports_of_a_slice() -> None:
    ports = [{"port": 9}, {"name": None, "port": None, "protocol": None}, {"name": "b", "port": 5, "protocol": "UDP"}]
    assert said(slice_of(ports=ports)).ports == (NamedPort("TCP", 9), NamedPort("UDP", 5, "b"))
    assert said(slice_of(ports=None)).ports == ()


@pytest.mark.parametrize("endpoints", [None, []])
def test_a_slice_without_endpoints(endpoints: list[Any] | None) -> None:
    assert said(slice_of(endpoints=endpoints)).endpoints == ()


@pytest.mark.parametrize("more", [{"addressType": "FQDN", "endpoints": [at("a.example.org")]}, {"owner": ""}])
def test_slices_that_are_for_others(more: dict[str, Any]) -> None:
    assert read_slice(slice_of(**more)).values == ()


def test_ipv6() -> None:
    (endpoint,) = said(slice_of(at("fd00::5"), addressType="IPv6")).endpoints
    assert endpoint.address == ip_address("fd00::5")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (slice_of(at("10.128.0.5"), at("nowhere")), r'\$\.endpoints\[1\]\.addresses\[0\]: "nowhere" is no IP address'),
        (slice_of(at("224.0.0.9")), "224.0.0.9 is a multicast address"),
        (slice_of(at("10.128.0.5"), at("fd00::5")), "both address families"),
        (slice_of(at("10.128.0.5"), owner="Web"), 'service name "Web"'),
        (slice_of(ports=[{"port": 70000}]), "port 70000"),
    ],
)
def test_slices_that_are_none(body: dict[str, Any], why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read_slice(body)


@given(st.permutations([at("10.128.0.5", node="n1", ready=False, terminating=True), at("10.128.0.5", node="n1")]))
def test_of_two_with_one_address_the_better_one_counts(endpoints: Sequence[dict[str, Any]]) -> None:
    """As of a pod of the host's network, and the one that takes its place."""
    assert said(slice_of(*endpoints)).endpoints == (Endpoint(ip_address("10.128.0.5"), "n1"),)


def gone(version: Version) -> Version:
    return Version(version.name, version.resource_version + 1, (), deleted=True)


@given(st.permutations(range(5)))
def test_services_slices_and_their_project_come_in_any_order(order: Sequence[int]) -> None:
    versions = [
        read_service(service()),
        read_slice(slice_of(at("10.128.0.5"), name="web-1")),
        read_slice(slice_of(at("10.128.0.6"), name="web-2")),
        Version(Name("networks", "red"), 1, (Network("red", 10),)),
        Version(Name("projectnetworks", "red"), 1, (Project("red", "red"),)),
    ]
    mirror, snapshot = Mirror(), empty()
    for position in order:
        snapshot = apply_all(snapshot, mirror.observe(snapshot, [versions[position]]))[0]
    assert not mirror.refusals
    assert set(snapshot.services) == {("red", "web")}
    assert set(snapshot.slices_of["red", "web"]) == {("red", "web-1"), ("red", "web-2")}
    for position in order:
        snapshot = apply_all(snapshot, mirror.observe(snapshot, [gone(versions[position])]))[0]
    assert snapshot == empty()


def test_an_endpoint_with_a_services_address_is_left_out_and_the_others_stay() -> None:
    """The API server takes it; that it is left out is known by the slice's name, until it is gone from there."""
    mirror, snapshot = Mirror(), empty()
    red = (
        Version(Name("networks", "red"), 1, (Network("red", 10),)),
        Version(Name("projectnetworks", "red"), 1, (Project("red", "red"),)),
    )
    wrong = read_slice(slice_of(at("10.128.0.5"), at("172.30.0.9"), at("10.128.0.6")))
    snapshot = apply_all(snapshot, mirror.observe(snapshot, [*red, wrong]))[0]
    (kept,) = snapshot.slices.values()
    assert [str(endpoint.address) for endpoint in kept.endpoints] == ["10.128.0.5", "10.128.0.6"]
    why = mirror.refusals[wrong.name]
    assert why.startswith("left out: endpoint 172.30.0.9 is inside the service CIDR 172.30.0.0/16; give")
    right = wrong._replace(resource_version=wrong.resource_version + 1, values=(kept,))
    assert mirror.observe(snapshot, [right]) == ()
    assert wrong.name not in mirror.refusals


def test_an_api_server_s_own_words(cluster: Cluster) -> None:
    """Made, changed and listed there."""
    red = cluster.namespace()
    metadata = {"name": "web", "namespace": red}
    spec = {"ports": [HTTP], "clusterIP": "None", "sessionAffinity": "ClientIP", "publishNotReadyAddresses": True}
    cluster.make(SERVICES, {"metadata": metadata, "spec": spec}, red)
    slices = slice_of(at("10.128.0.5", node="n1", ready=False), at("10.128.2.7"))
    labels = slices["metadata"]["labels"]
    named = {"metadata": {"name": "web-1", "namespace": red, "labels": labels}}
    cluster.make(ENDPOINT_SLICES, {**slices, **named}, red)
    (one,) = _listed(cluster, SERVICES, red)
    assert read_service(one).values == ()
    (other,) = _listed(cluster, ENDPOINT_SLICES, red)
    endpoints = (
        Endpoint(ip_address("10.128.0.5"), "n1", ready=False, serving=False),
        Endpoint(ip_address("10.128.2.7")),
    )
    assert said(other) == model.EndpointSlice(SliceKey(red, "web-1"), "web", (SERVED,), endpoints)


def _listed(cluster: Cluster, resource: Resource, namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cluster.client.list(resource, {}))["items"]
    return [each for each in found if each["metadata"]["namespace"] == namespace]
