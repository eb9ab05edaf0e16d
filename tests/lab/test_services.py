"""Services by real packets: who gets where by one, and that nobody gets past the tenants by endpoints of his own."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.api import ProblemError
from lab.frames import ETH_P_ARP, arp, ethernet, send
from lab.hosts import Host
from lab.laboratory import Lab
from lab.pod import Pod
from lab.probes import Verdict
from lab.services import PORT, Service

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

Make = Callable[..., Service]


@pytest.fixture
def service(lab: Lab) -> Iterator[Make]:
    """A function that makes a service of a project, with these pods as endpoints; all go at the end."""
    made: list[Service] = []

    def make(project: str, *pods: str, **fields: Any) -> Service:
        each = Service(lab.api, project, f"web{len(made)}", f"172.30.0.{20 + len(made)}")
        made.append(each)
        return each.make([lab.pods_by_name[pod] for pod in pods], **fields)

    yield make
    for each in made:
        each.remove()


def pod(lab: Lab, name: str) -> Pod:
    return lab.pods_by_name[name]


@pytest.mark.parametrize("endpoint", ["red/a", "red/b", "red/c"])
def test_a_pod_reaches_a_service_of_its_network(lab: Lab, service: Make, endpoint: str) -> None:
    address = service("red", endpoint).address
    assert pod(lab, "red/a").tcp(address, PORT).by == endpoint
    assert pod(lab, "red/a").udp(address, PORT).by == endpoint


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_node_reaches_it(lab: Lab, service: Make, node: str) -> None:
    assert lab.node(node).tcp(service("red", "red/c").address, PORT).by == "red/c"


@pytest.mark.parametrize("source", ["pod", "node"])
@pytest.mark.parametrize("place", ["outside", "n1", "n2"])
def test_an_endpoint_that_is_no_pod(lab: Lab, service: Make, source: str, place: str) -> None:
    """As that of `kubernetes.default`: an API server on a node, or outside of the cluster."""
    host: Host = lab.outside if place == "outside" else lab.node(place)
    asked = service("default")
    asked.point_to(host.address)
    client: Host = pod(lab, "red/a") if source == "pod" else lab.node("n1")
    assert client.tcp(asked.address, PORT).by == host.name


def test_another_tenant_does_not(lab: Lab, service: Make) -> None:
    assert not pod(lab, "blue/a").tcp(service("red", "red/c").address, PORT).arrived


def test_nobody_is_refused_by_a_service_that_it_may_not_use(lab: Lab, service: Make) -> None:
    """It would tell that the service is there."""
    assert pod(lab, "blue/a").tcp(service("red").address, PORT).verdict is Verdict.SILENT


def test_a_client_stays_from_its_first_connection_on(lab: Lab, service: Make) -> None:
    """What the switch decided for the first is not what it does with the second, however soon that comes."""
    client = pod(lab, "red/a")
    for probe in (client.tcp, client.udp):
        for _ in range(8):
            asked = service("red", "red/a", "red/b", "red/c", affinity=60)
            assert len({probe(asked.address, PORT).by for _ in range(10)}) == 1


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_every_endpoint_is_chosen_by_what_a_pod_begins(lab: Lab, service: Make, protocol: str) -> None:
    """Also by datagrams, which differ in their ports only."""
    client, endpoints = pod(lab, "red/a"), {"red/a", "red/b", "red/c"}
    asked = service("red", *endpoints)
    probe = {"tcp": client.tcp, "udp": client.udp}[protocol]
    assert {probe(asked.address, PORT).by for _ in range(60)} == endpoints


def test_a_service_that_goes_and_comes(lab: Lab, service: Make) -> None:
    asked, client = service("red", "red/c"), pod(lab, "red/a")
    assert client.tcp(asked.address, PORT)
    asked.serve([])
    assert client.tcp(asked.address, PORT).verdict is Verdict.REFUSED
    asked.serve([pod(lab, "red/b")])
    assert client.tcp(asked.address, PORT).by == "red/b"


def test_who_asks_at_once_gets_what_is_there_now(lab: Lab, service: Make) -> None:
    """However much the datapath has cached: what it has takes Open vSwitch long to go through after a change."""
    asked, client = service("red", "red/c"), pod(lab, "red/a")
    for endpoint in ("red/b", "red/c", "red/b"):
        _fill_the_cache(client)
        assert client.tcp(asked.address, PORT)
        asked.serve([pod(lab, endpoint)])
        assert client.tcp(asked.address, PORT).by == endpoint


def _fill_the_cache(client: Pod, entries: int = 5000, at_once: int = 100) -> None:
    """Each address that a pod asks for by ARP has an entry of its own in the datapath."""
    for first in range(0, entries, at_once):
        asked = (str(IPv4Address("10.129.0.0") + first + number) for number in range(at_once))
        questions = (arp(1, (client.mac, str(client.address)), ("00:00:00:00:00:00", each)) for each in asked)
        frames = (ethernet("ff:ff:ff:ff:ff:ff", client.mac, ETH_P_ARP, question) for question in questions)
        send(client.namespace, client.interface, *frames)
        time.sleep(0.01)


def test_datagrams_of_one_socket_go_elsewhere_when_their_endpoint_is_gone(lab: Lab, service: Make) -> None:
    asked, client = service("red", "red/b"), pod(lab, "red/a")
    answered = []
    with client.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        for endpoint in ("red/b", "red/c"):
            asked.serve([pod(lab, endpoint)])
            sock.sendto(b"x", (asked.address, PORT))
            answered.append(sock.recv(2048).split()[0].decode())
    assert answered == ["red/b", "red/c"]


def test_an_endpoint_of_another_tenant_opens_no_way_to_it(lab: Lab, service: Make) -> None:
    asked = service("blue")
    asked.point_to(pod(lab, "red/c").cluster_address)
    assert not pod(lab, "blue/a").tcp(asked.address, PORT).arrived


def test_a_connection_for_services_is_for_those_of_the_other_network(lab: Lab, service: Make) -> None:
    """Blue may use red's services; by a service of its own it gets no further to red's pods."""
    theirs, own = service("red", "red/c"), service("blue")
    own.point_to(pod(lab, "red/c").cluster_address)
    client = pod(lab, "blue/a")
    lab.join("blue", "red", one_way=True, services_only=True)
    try:
        assert client.tcp(theirs.address, PORT).by == "red/c"
        assert not client.tcp(own.address, PORT).arrived
        assert not client.tcp(pod(lab, "red/c")).arrived
    finally:
        lab.isolate("blue", "red")
    lab.settle()
    assert not client.tcp(theirs.address, PORT).arrived


def test_a_service_cannot_lead_to_the_control_ports_of_a_node(lab: Lab, service: Make) -> None:
    asked = service("red")
    asked.point_to(lab.node("n2").address, 6653)
    assert not pod(lab, "red/a").tcp(asked.address, PORT).arrived


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("address", "192.0.2.1", "outside the service CIDRs"),
        ("ports", [], "has no ports"),
        ("ports", [{"protocol": "ICMP", "port": 7}], "protocol"),
        ("ports", [{"protocol": "TCP", "port": 7, "name": "a"}, {"protocol": "TCP", "port": 7, "name": "b"}], "twice"),
    ],
)
def test_a_bad_service_is_refused_and_changes_nothing(lab: Lab, field: str, value: object, words: str) -> None:
    body = {"name": "bad", "project": "red", "address": "172.30.0.99", "ports": [{"protocol": "TCP", "port": 80}]}
    with pytest.raises(ProblemError, match=words):
        lab.api.post("/v1/services", {**body, field: value})
    assert "bad" not in str(lab.api.get("/v1/services"))


def test_an_address_belongs_to_one_service(lab: Lab, service: Make) -> None:
    taken = service("red", "red/b")
    body = {"name": "other", "project": "blue", "address": taken.address, "ports": [{"protocol": "TCP", "port": 80}]}
    with pytest.raises(ProblemError, match='belongs to service "red/web0"'):
        lab.api.post("/v1/services", body)
    assert [each["name"] for each in lab.api.get("/v1/services")["services"]] == ["web0"]
