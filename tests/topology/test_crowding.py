"""Services with many ports and endpoints: their groups have numbers of their own, or the service is refused."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from tests.topology.asking import cluster, endpoints
from topology import requests
from topology.admission import admit
from topology.balancing import MOST_BUCKETS, first_group, room
from topology.compiler import compile_all
from topology.features import services
from topology.model import MOST_ENDPOINTS, NamedPort, Prefix, Service, ServiceKey, SliceKey
from topology.requests import Reason, Refused, Request
from topology.snapshot import Put, Snapshot, apply_all, empty
from topology.verification import Kind, prove

ADDRESS = IPv4Address("172.16.0.10")
NEXT = Service(ServiceKey("red", "next"), ADDRESS + 1, (NamedPort("TCP", 80),))
LARGEST = IPv4Network("172.16.0.0/12")  # that Kubernetes takes
USUAL = IPv4Network("172.16.0.0/16")


def step(snapshot: Snapshot, *asked: Request) -> Snapshot:
    for request in asked:
        snapshot, _ = apply_all(snapshot, admit(snapshot, request))
    return snapshot


def start(service_cidr: Prefix) -> Snapshot:
    return step(empty(), cluster(service_cidrs=(service_cidr,)), requests.CreateNetwork("red", projects=("red",)))


def many_ports(count: int) -> Service:
    ports = tuple(NamedPort("TCP", 1 + number, f"p{number}") for number in range(count))
    return Service(ServiceKey("red", "wide"), ADDRESS, ports)


def slices(service: Service, count: int, each: int = MOST_ENDPOINTS) -> list[requests.PutEndpoints]:
    """So many endpoints, for all ports of the service."""
    addresses = [str(IPv4Address("10.128.0.0") + number) for number in range(count)]
    ports = tuple(NamedPort(port.protocol, 10_000 + port.port, port.name) for port in service.ports)
    return [
        endpoints(*addresses[at : at + each], key=SliceKey("red", f"wide-{at}"), service="wide", ports=ports)
        for at in range(0, count, each)
    ]


def test_a_hundred_ports_with_five_thousand_endpoints_have_room_in_a_usual_range() -> None:
    wide = many_ports(100)
    snapshot = step(start(USUAL), requests.CreateService(wide), *slices(wide, 5000))
    assert len(snapshot.slices) == 5
    assert first_group(NEXT.address, snapshot.cluster) - first_group(ADDRESS, snapshot.cluster) == room(
        4, snapshot.cluster
    )


def test_what_has_no_room_is_refused_and_says_why() -> None:
    wide = many_ports(100)
    *most, last = slices(wide, 5000)
    snapshot = step(start(LARGEST), requests.CreateService(many_ports(1)), *most, last)
    assert len(snapshot.slices) == 5
    said = (
        'service "red/wide": may need 6500 groups for its ports and endpoints, and its address has numbers for 2048; '
    )
    with pytest.raises(
        Refused, match=said + "divide it into several services, or make the service CIDR smaller"
    ) as why:
        admit(snapshot, requests.CreateService(wide))
    assert why.value.reason is Reason.INVALID
    before = step(start(LARGEST), requests.CreateService(wide), *most[:2])
    with pytest.raises(Refused, match='service "red/wide", with endpoints "red/wide-2000",: may need 3300 groups'):
        admit(before, most[2])


def test_a_range_that_leaves_no_room_is_refused() -> None:
    wide = many_ports(100)
    snapshot = step(start(USUAL), requests.CreateService(wide), *slices(wide, 5000))
    with pytest.raises(Refused, match=r'service "red/wide" may need 6500 groups .* keep smaller service CIDRs'):
        admit(snapshot, cluster(service_cidrs=(LARGEST,)))


def test_nobody_gets_the_numbers_of_another_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever others have written: ports for which there is no room are left out, and the proof tells of them."""
    monkeypatch.setattr(services, "room_for", lambda service, cluster: 16)  # with 2048 it would take 700 ports
    wide = many_ports(10)
    asked = (requests.CreateNode("n1", IPv4Address("192.0.2.11")), requests.CreateService(NEXT))
    written = (wide, slices(wide, MOST_BUCKETS + 1)[0].slice)
    snapshot = apply_all(step(start(LARGEST), *asked), tuple(map(Put, written)))[0]
    made = [group.group_id for flow in services.common_flows(tuple(wide.key), snapshot) for group in flow.groups]
    assert len(made) == len(set(made)) == 15
    assert max(made) < first_group(ADDRESS, snapshot.cluster) + 16
    (proof,) = prove(snapshot, compile_all(snapshot))
    assert {finding.kind for finding in proof.findings} == {Kind.BLACK_HOLE}
