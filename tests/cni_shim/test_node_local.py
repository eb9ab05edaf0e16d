"""Services for who comes from outside by his own address, by packets: to the node's own endpoints, and no others.

br0 has the flows that a controller would give it, compiled here.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable

import pytest

from cni_shim.node.configuration import Health
from cni_shim.node.health import HealthPorts
from tests.cni_shim.machine import inside, run
from tests.cni_shim.plugin_in_memory import Plugin
from tests.cni_shim.programmed import GATEWAY, POD, PORT, TARGET, offered, programmed, seconds_to_refusal
from tests.cni_shim.site import OUTSIDE, UNDERLAY, Site
from tests.cni_shim.talking import AT_ONCE, KINDS, TCP, UDP, Place, hears_nothing, opened, strict, talk
from topology.model import HAIRPIN

pytestmark = [pytest.mark.ovs, pytest.mark.netns]
SERVED, ELSEWHERE, OWN, DESERTED = 30443, 30444, 30445, 30446  # node ports
HEALTH = 30999
ROUTED, OWNED = "203.0.113.5", "198.51.100.9"  # external addresses
ADDRESSES = {"served": "172.30.0.10", "elsewhere": "172.30.0.11", "own": "172.30.0.12", "deserted": "172.30.0.13"}
CLIENT, OTHER = "198.51.100.101", "198.51.100.102"  # of somebody outside, who is a node besides
MET_FROM = str(HAIRPIN[4])


@pytest.fixture
def pod(site: Site, namespace: Callable[[], str]) -> Plugin:
    """A pod of project red with services, of which the node is told."""
    made = programmed(
        site,
        namespace(),
        offered("served", ADDRESSES["served"], POD, node_port=SERVED, local_to="n1"),
        offered("elsewhere", ADDRESSES["elsewhere"], "10.128.2.2", node_port=ELSEWHERE, local_to="n2"),
        offered("own", ADDRESSES["own"], UNDERLAY, node_port=OWN, local_to="n1"),
        offered("deserted", ADDRESSES["deserted"], node_port=DESERTED, local_to="n1"),
        second="198.51.100.200",
    )
    node_ports = dict(zip(ADDRESSES, (SERVED, ELSEWHERE, OWN, DESERTED), strict=True))
    site.controller.configure(
        local=[
            {"service": ADDRESSES[name], "protocol": protocol, "port": PORT, "node_port": node_ports[name]}
            for name in ADDRESSES
            for protocol in ("TCP", "UDP")
        ],
        external=[
            {"address": address, "protocol": protocol, "port": PORT, "service": ADDRESSES["served"], "node_port": 0}
            for address in (ROUTED, OWNED)
            for protocol in ("TCP", "UDP")
        ],
        health=[{"port": HEALTH, "project": "red", "service": "served", "endpoints": 1}],
    )
    assert site.ensure() == ["nftables rules"]
    assert site.ensure() == []
    run("ip", "-n", site.outside, "route", "add", ROUTED, "via", UNDERLAY)
    for client in (CLIENT, OTHER):
        run("ip", "-n", site.outside, "address", "add", f"{client}/24", "dev", "wire0")
    site.machine.ip("address", "add", f"{OWNED}/24", "dev", "br-ex")
    strict(site)
    return made


@KINDS
def test_the_endpoint_sees_who_comes_from_outside(site: Site, pod: Plugin, kind: int) -> None:
    for to in ((UNDERLAY, SERVED), (ROUTED, PORT), (OWNED, PORT)):
        for client in (CLIENT, OTHER):
            seen = talk(Place(pod.netns, port=TARGET), Place(site.outside, client), to, kind)
            assert seen == (client, b"ping pong", to[0])


@KINDS
def test_nodes_and_pods_are_no_outside(site: Site, pod: Plugin, kind: int) -> None:
    for to in ((UNDERLAY, SERVED), (ROUTED, PORT)):
        for client in (Place(site.machine.name), Place(pod.netns), Place(site.outside, OUTSIDE)):
            seen = talk(Place(pod.netns, port=TARGET), client, to, kind)
            assert seen == (GATEWAY, b"ping pong", to[0]), client


@KINDS
def test_none_here_none_anywhere_and_one_that_does_not_listen(site: Site, pod: Plugin, kind: int) -> None:
    """The first is not refused: another node has one. What the last says, be it by ICMP, is from where it was asked."""
    assert hears_nothing(Place(site.outside, CLIENT), (UNDERLAY, ELSEWHERE), kind)
    assert seconds_to_refusal(site.outside, UNDERLAY, kind, DESERTED, CLIENT) < AT_ONCE
    assert seconds_to_refusal(site.outside, UNDERLAY, kind, SERVED, CLIENT) < AT_ONCE


@KINDS
def test_the_node_is_the_endpoint(site: Site, pod: Plugin, kind: int) -> None:
    node = Place(site.machine.name, UNDERLAY, TARGET)
    assert talk(node, Place(site.outside, CLIENT), (UNDERLAY, OWN), kind) == (MET_FROM, b"ping pong", UNDERLAY)


@KINDS
def test_an_endpoint_begins_something_from_its_port(site: Site, pod: Plugin, kind: int) -> None:
    """It leaves as a pod's, and is answered."""
    seen = talk(Place(site.outside, CLIENT, 7000), Place(pod.netns, port=TARGET), (CLIENT, 7000), kind)
    assert seen == (UNDERLAY, b"ping pong", CLIENT)


@KINDS
def test_by_a_port_that_is_guarded_on_the_node(site: Site, pod: Plugin, kind: int) -> None:
    for port in (8080, 4789):
        client = Place(site.outside, OTHER, port)
        assert talk(Place(pod.netns, port=TARGET), client, (UNDERLAY, SERVED), kind).answered == b"ping pong"


def test_nobody_from_outside_reaches_a_service_s_own_address(site: Site, pod: Plugin) -> None:
    run("ip", "-n", site.outside, "route", "add", "172.30.0.0/16", "via", UNDERLAY)
    assert hears_nothing(Place(site.outside, CLIENT), (ADDRESSES["served"], PORT), TCP)


def test_nobody_comes_from_outside_by_a_pod_s_address(site: Site, pod: Plugin) -> None:
    run("ip", "-n", site.outside, "address", "add", "10.128.5.5/32", "dev", "lo")
    with opened(Place(pod.netns, port=TARGET), UDP) as listening:
        with opened(Place(site.outside, "10.128.5.5"), UDP) as asking:
            asking.sendto(b"ping", (UNDERLAY, SERVED))
        with opened(Place(site.outside, CLIENT), UDP) as asking:
            asking.sendto(b"ping", (UNDERLAY, SERVED))
        assert listening.recvfrom(100)[1][0] == CLIENT


# -- health -----------------------------------------------------------------------------------------------------------


def told(name: str, address: str) -> tuple[int, dict[str, object], str | None]:
    """What a node tells at its health port to somebody in a namespace."""
    asking = http.client.HTTPConnection(address, HEALTH, timeout=5)
    inside(name, asking.connect)
    asking.request("GET", "/")
    answer = asking.getresponse()
    found = answer.status, json.loads(answer.read()), answer.headers["X-Load-Balancing-Endpoint-Weight"]
    asking.close()
    return found


def test_the_health_port_is_the_node_s_own(site: Site, pod: Plugin) -> None:
    """It is among the node ports, which lead into br0."""
    ports = HealthPorts()
    try:
        for count, healthy, status in ((2, True, 200), (0, True, 503), (2, False, 503)):
            health = (Health(HEALTH, "red", "served", count),)
            inside(site.machine.name, lambda health=health, healthy=healthy: ports.keep(health, healthy=healthy))
            service = {"namespace": "red", "name": "served"}
            body = {"service": service, "localEndpoints": count, "serviceProxyHealthy": healthy}
            for client, address in ((site.outside, UNDERLAY), (pod.netns, GATEWAY), (site.machine.name, UNDERLAY)):
                assert told(client, address) == (status, body, str(count))
    finally:
        ports.close()
    with pytest.raises(ConnectionRefusedError):
        told(site.outside, UNDERLAY)
