"""Calls that wait: for a node's configuration to change, for a port to be decided."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from webtest import TestApp

from tests.rest.control import MemoryControl
from tests.rest.test_resources import report
from topology.model import Cluster, PortKey
from topology.requests import CreateNode, ForgetPort, PortSeen, SetCluster

CONFIGURATION = "/v1/nodes/n1/configuration"
PORT = "/v1/nodes/n1/ports/c1/eth0"
KEY = PortKey("n1", "c1", "eth0")


def test_a_configuration(network: TestApp) -> None:
    found = network.get(CONFIGURATION).json
    revision = found.pop("revision")
    assert 0 <= revision < 1 << 53  # a number that JavaScript can hold
    assert found == {
        "node": "n1",
        "bridge": "br0",
        "datapath_id": "0000000000000001",
        "underlay": "192.0.2.11",
        "gateways": ["10.128.0.1/23"],
        "cluster_cidrs": ["10.128.0.0/14"],
        "service_cidrs": ["172.30.0.0/16"],
        "hairpin": ["169.254.42.1"],
        "node_ports": {"first": 30000, "last": 32767, "prefixes": ["169.254.43.0/24"]},
        "external": [],
        "local": [],
        "health": [],
        "control_plane": [],
        "held": [],
        "multicast": [],
        "mtu_overhead": 50,
        "controllers": ["tcp:192.0.2.1:6653"],
        "api": [],
        "peers": ["192.0.2.12"],
        "guarded_tcp_ports": [6640, 6653, 8080],
        "guarded_udp_ports": [4789, 6081],
        "programmed": True,
    }
    network.get("/v1/nodes/n9/configuration", status=404)
    network.get("/v1/nodes/n9/configuration?after=1&wait=5", status=404)


INNER = {
    "project": "red",
    "name": "inner",
    "address": "172.30.0.11",
    "ports": [{"protocol": "TCP", "port": 80, "node_port": 30081}],
}


def test_a_configuration_is_answered_at_once_when_it_is_another(network: TestApp, control: MemoryControl) -> None:
    revision = network.get(CONFIGURATION).json["revision"]
    control.meanwhile = [lambda: control.submit(CreateNode("n3", IPv4Address("192.0.2.13")))]
    assert network.get(f"{CONFIGURATION}?after={revision + 1}&wait=5").json["revision"] == revision
    assert len(control.meanwhile) == 1


def test_a_configuration_that_stays_is_answered_after_the_wait(network: TestApp, control: MemoryControl) -> None:
    revision = network.get(CONFIGURATION).json["revision"]
    # What happens to pods, other nodes' switches and services without external addresses is not news for this node.
    control.meanwhile = [
        lambda: report(network, "n2", "c2"),
        lambda: report(network, "n1", "c1"),
        lambda: control.disconnect("n2"),
        lambda: network.post_json("/v1/services", INNER),
    ]
    assert network.get(f"{CONFIGURATION}?after={revision}&wait=5").json["revision"] == revision
    assert control.meanwhile == []
    assert ("n1", 5.0) in control.waits


def test_each_news_ends_the_wait(network: TestApp, control: MemoryControl) -> None:
    def news(happens: object) -> dict[str, object]:
        revision = network.get(CONFIGURATION).json["revision"]
        control.meanwhile = [lambda: report(network, "n1", f"c{len(control.waits)}"), happens, lambda: 1 / 0]
        found = network.get(f"{CONFIGURATION}?after={revision}&wait=5").json
        assert found["revision"] != revision
        assert len(control.meanwhile) == 1
        control.meanwhile = []
        return found

    added = news(lambda: control.submit(CreateNode("n3", IPv4Address("192.0.2.13"))))
    assert added["peers"] == ["192.0.2.12", "192.0.2.13"]
    assert news(lambda: control.disconnect("n1"))["programmed"] is False
    assert news(lambda: control.connect("n1"))["programmed"] is True
    settings = Cluster(guarded_tcp_ports=(6640, 6653, 9999), external_cidrs=(IPv4Network("203.0.113.0/24"),))
    assert news(lambda: control.submit(SetCluster(settings)))["guarded_tcp_ports"] == [6640, 6653, 9999]
    asked = {
        "project": "red",
        "name": "web",
        "address": "172.30.0.10",
        "external": ["203.0.113.5"],
        "sources": ["10.0.0.0/8", "fd00::/8"],
    }
    ports = [{"protocol": "TCP", "port": 80, "node_port": 30080}]
    found = news(lambda: network.post_json("/v1/services", {**asked, "ports": ports}))
    door = {"address": "203.0.113.5", "protocol": "TCP", "port": 80, "service": "172.30.0.10", "node_port": 30080}
    assert found["external"] == [door | {"sources": ["10.0.0.0/8"]}]
    asked |= {"external_local": True, "health_port": 30999}
    found = news(lambda: network.post_json("/v1/services", {**asked, "ports": ports}))
    told = {"port": 30999, "project": "red", "service": "web", "endpoints": 0}
    assert found["health"] == [told]
    assert found["local"] == [{"service": "172.30.0.10", "protocol": "TCP", "port": 80, "node_port": 30080}]
    there = {"project": "red", "name": "web-1", "service": "web", "ports": [{"protocol": "TCP", "port": 8080}]}
    here = [{"address": "10.128.0.9", "node": "n1"}, {"address": "10.128.2.9", "node": "n2"}]
    found = news(lambda: network.post_json("/v1/endpoints", {**there, "endpoints": here}))
    assert found["health"] == [told | {"endpoints": 1}]


def test_a_revision_survives_a_restart(network: TestApp, control: MemoryControl) -> None:
    before = network.get(CONFIGURATION).json
    control.publish(replace(control.published, revision=1))
    assert network.get(CONFIGURATION).json == before


def test_programmed_stays_while_pods_are_programmed(network: TestApp, control: MemoryControl) -> None:
    control.stuck.add("n1")
    report(network, "n1", "c1")
    control.submit(PortSeen("n1", "vc1", 5))
    assert network.get("/v1/switches").json["switches"][0]["phase"] == "Programming"
    assert network.get(CONFIGURATION).json["programmed"] is True


def test_a_port_is_answered_once_it_is_committed(network: TestApp, control: MemoryControl) -> None:
    report(network, "n1", "c1")
    control.stuck.add("n1")
    control.meanwhile = [
        lambda: control.submit(PortSeen("n1", "vc1", 5)),
        lambda: control.settle("n1"),
        lambda: 1 / 0,
    ]
    port = network.get(f"{PORT}?wait=5").json
    assert (port["phase"], port["ofport"], port["reason"]) == ("Committed", 5, "")
    assert len(control.meanwhile) == 1
    assert ("n1", 5.0) in control.waits


def test_a_port_that_stays_pending_is_answered_after_the_wait(network: TestApp, control: MemoryControl) -> None:
    report(network, "n1", "c1")
    control.stuck.add("n1")
    control.meanwhile = [lambda: control.submit(PortSeen("n1", "vc1", 5))]
    port = network.get(f"{PORT}?wait=5").json
    assert (port["phase"], port["ofport"]) == ("Pending", 5)
    assert port["reason"] == "the switch has not acknowledged its flows"


def test_a_port_that_goes_ends_the_wait(network: TestApp, control: MemoryControl) -> None:
    report(network, "n1", "c1")
    control.meanwhile = [lambda: control.submit(ForgetPort(KEY)), lambda: 1 / 0]
    network.get(f"{PORT}?wait=5", status=404)
    assert len(control.meanwhile) == 1
    network.get(f"{PORT}?wait=5", status=404)
