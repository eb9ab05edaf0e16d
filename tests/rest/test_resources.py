"""Each resource: what it shows, makes and removes, and how it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from webtest import TestApp

from tests.rest.control import MemoryControl

Json = dict[str, Any]
EVERYTHING = {"services_only": False, "ports": []}
WEB: Json = {"protocol": "TCP", "port": 80}
PLAIN_SERVICE = {"affinity": 0, "internal_local": False, "publish_not_ready": False, "external": [], "sources": []}
PLAIN_SERVICE |= {"external_local": False, "health_port": 0, "load_balancer": False}
PLAIN_SERVICE |= {"load_balancer_address": None, "ingress": []}
BLUE_RED = {"networks": ["blue", "red"], "forward": EVERYTHING, "backward": EVERYTHING, "translations": []}


def problem(response: Any) -> Json:
    """The problem document of an answer, after a check of what every one has."""
    assert response.content_type == "application/problem+json"
    document: Json = response.json
    assert document["status"] == response.status_int
    assert document["detail"] == f"{document['subject']}: {document['cause']}; {document['remedy']}"
    assert document["instance"].startswith("/")
    assert document["type"].startswith("/v1/problems#")
    return document


# --- nodes ---------------------------------------------------------------------------------------


def test_a_node_is_made_with_a_token(app: TestApp) -> None:
    response = app.post_json("/v1/nodes", {"name": "n1", "underlay": "192.0.2.11"}, status=201)
    assert response.headers["Location"].endswith("/v1/nodes/n1")
    assert response.json == {
        "name": "n1",
        "dpid": "0000000000000001",
        "underlay": "192.0.2.11",
        "subnets": ["10.128.0.0/23"],
        "gateways": ["10.128.0.1/23"],
        "encapsulation": "vxlan",
        "connected": False,
        "phase": "Away",
        "ports": 0,
        "free_addresses": 509,
        "mtu": None,
        "warnings": [],
        "token": "token-1-of-n1",
        "late": [],
    }
    shown = app.get("/v1/nodes/n1").json
    assert shown == {key: value for key, value in response.json.items() if key not in {"token", "late"}}
    assert app.get("/v1/nodes").json == {"nodes": [shown]}


def test_a_node_that_is_there_already_keeps_its_token(network: TestApp, control: MemoryControl) -> None:
    again = network.post_json("/v1/nodes", {"name": "n1", "underlay": "192.0.2.11"}, status=200).json
    assert again["token"] is None
    assert control.node_of_token("token-1-of-n1") == "n1"


def test_a_new_token_voids_the_earlier_one(network: TestApp, control: MemoryControl) -> None:
    made = network.post_json("/v1/nodes/n1/token", {}, status=201).json
    assert made["node"] == "n1"
    assert control.node_of_token(made["token"]) == "n1"
    assert control.node_of_token("token-1-of-n1") is None
    assert problem(network.post_json("/v1/nodes/n9/token", {}, status=404))["subject"] == 'node "n9"'


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"underlay": "192.0.2.19"}, 409, 'node "n1": exists already'),
        ({"name": "n3", "underlay": "192.0.2.11"}, 409, "n1"),
        ({"name": "n3", "dpid": "0000000000000001"}, 409, "n1"),
        ({"name": "n3", "subnets": ["10.128.0.0/24"]}, 409, 'overlaps that of node "n1"'),
        ({"name": "n3", "subnets": ["10.9.0.0/24"]}, 422, "10.9.0.0/24"),
        ({"name": "n3", "subnets": ["10.128.8.1/23"]}, 422, "$.subnets[0]"),
        ({"name": "n3", "underlay": "192.0.2.300"}, 422, "$.underlay"),
        ({"name": "n3", "underlay": "10.128.0.9"}, 422, "10.128.0.9"),
        ({"name": "n3", "dpid": 3}, 400, "$.dpid"),
    ],
)
def test_a_node_is_refused(network: TestApp, control: MemoryControl, body: Json, status: int, said: str) -> None:
    before = control.published
    body = {"name": "n1", "underlay": "192.0.2.13", **body}
    document = problem(network.post_json("/v1/nodes", body, status=status))
    assert said in document["detail"]
    assert document["remedy"]
    assert control.published is before


def test_a_node_sends_by_its_own_encapsulation_or_the_clusters(network: TestApp) -> None:
    changed = network.patch_json("/v1/nodes/n1", {"encapsulation": "geneve"}).json
    assert (changed["encapsulation"], changed["late"]) == ("geneve", [])
    assert network.get("/v1/nodes/n1").json["encapsulation"] == "geneve"
    assert {tunnel["kind"] for tunnel in network.get("/v1/topology").json["tunnels"]} == {"mixed"}
    network.patch_json("/v1/nodes/n2", {"encapsulation": "geneve"})
    assert {tunnel["kind"] for tunnel in network.get("/v1/topology").json["tunnels"]} == {"geneve"}
    assert network.patch_json("/v1/nodes/n1", {"encapsulation": None}).json["encapsulation"] == "vxlan"
    refused = network.patch_json("/v1/nodes/n1", {"encapsulation": "gre"}, status=400)
    assert "$.encapsulation" in problem(refused)["detail"]
    assert problem(network.patch_json("/v1/nodes/n9", {"encapsulation": None}, status=404))["subject"] == 'node "n9"'


def test_node_subnets_run_out(app: TestApp) -> None:
    for number, subnet in enumerate(("10.128.0.0/15", "10.130.0.0/15"), 1):
        body = {"name": f"n{number}", "underlay": f"192.0.2.{number}", "subnets": [subnet]}
        app.post_json("/v1/nodes", body, status=(201, 202))
    document = problem(app.post_json("/v1/nodes", {"name": "n3", "underlay": "192.0.2.3"}, status=507))
    assert "10.128.0.0/14" in document["detail"]


def test_a_node_is_deleted_with_its_token(network: TestApp, control: MemoryControl) -> None:
    network.delete("/v1/nodes/n2", status=204)
    network.get("/v1/nodes/n2", status=404)
    assert control.node_of_token("token-2-of-n2") is None
    assert problem(network.delete("/v1/nodes/n2", status=404))["subject"] == 'node "n2"'


def test_a_node_with_ports_is_deleted_only_with_drain(network: TestApp) -> None:
    report(network, "n1", "c1")
    assert problem(network.delete("/v1/nodes/n1", status=409))["type"] == "/v1/problems#in-use"
    network.delete("/v1/nodes/n1?drain=true", status=204)
    assert network.get("/v1/ports").json == {"ports": []}


# --- networks, projects, connections -------------------------------------------------------------


def test_a_network_is_made_with_its_projects(app: TestApp) -> None:
    made = app.post_json("/v1/networks", {"name": "red", "projects": ["shop", "red"]}, status=201)
    assert made.headers["Location"].endswith("/v1/networks/red")
    expected = {
        "name": "red",
        "vnid": 10,
        "global": False,
        "space": 0,
        "subnets": [],
        "flat": False,
        "mtu": None,
        "dscp": None,
        "multicast": False,
        "provider": "heddle",
        "phase": "Pending",
        "projects": ["red", "shop"],
        "nodes": [],
        "ports": 0,
        "outdated": 0,
    }
    assert made.json == {**expected, "late": []}
    shown = app.get("/v1/networks/red").json
    assert [one["reason"] for one in shown.pop("conditions")] == ["Acknowledged", "NoNodes", "NoMoves", "Kept"]
    assert shown == {**expected, "blocks": []}
    assert app.get("/v1/projects/shop").json == {
        "name": "shop",
        "network": "red",
        "home": "red",
        "placed": True,
        "labels": {},
        "secondary": [],
        "optional": [],
        "ports": 0,
        "outdated": 0,
        "moving": None,
    }
    assert [network["name"] for network in app.get("/v1/networks").json["networks"]] == ["default", "red"]
    assert app.post_json("/v1/networks", {"name": "red"}, status=200).json == {**expected, "late": []}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"name": "red", "vnid": 99}, 409, "VNID 10"),
        ({"name": "green", "vnid": 10}, 409, 'network "red"'),
        ({"name": "green", "vnid": 9}, 400, "$.vnid"),
        ({"name": "green", "vnid": 1 << 24}, 400, "$.vnid"),
        ({"name": "green", "projects": ["blue"]}, 409, 'project "blue"'),
        ({"name": "green", "projects": ["No Project"]}, 400, "$.projects[0]"),
        ({"name": "Green"}, 400, "a DNS label"),
        ({"name": "red\n"}, 400, "$.name"),
        ({"name": "default", "global": False, "vnid": 77}, 409, "default"),
    ],
)
def test_a_network_is_refused(network: TestApp, control: MemoryControl, body: Json, status: int, said: str) -> None:
    before = control.published
    assert said in problem(network.post_json("/v1/networks", body, status=status))["detail"]
    assert control.published is before


def test_a_network_gets_a_dscp_and_loses_it(network: TestApp) -> None:
    at = "/v1/networks/red"
    assert network.patch_json(at, {"dscp": 46}).json["dscp"] == 46
    assert network.patch_json(at, {"global": True}).json["dscp"] == 46
    assert network.get(at).json["dscp"] == 46
    assert network.patch_json(at, {"dscp": None}).json["dscp"] is None
    for wrong in (64, -1, "46", 4.5):
        assert "$.dscp" in problem(network.patch_json(at, {"dscp": wrong}, status=400))["detail"]
    for body in ({}, {"global": True, "dscp": 0}):
        assert "one thing" in problem(network.patch_json(at, body, status=422))["detail"]
    built_in = problem(network.patch_json("/v1/networks/default", {"dscp": 0}, status=409))
    assert built_in["type"] == "/v1/problems#built-in"


def test_a_network_becomes_global_and_back(network: TestApp) -> None:
    assert network.patch_json("/v1/networks/red", {"global": True}).json["global"] is True
    assert network.get("/v1/networks/red").json["vnid"] == 10
    assert network.patch_json("/v1/networks/red", {"global": False}).json["global"] is False
    assert problem(network.patch_json("/v1/networks/none", {"global": True}, status=404))["subject"] == 'network "none"'
    built_in = problem(network.patch_json("/v1/networks/default", {"global": False}, status=409))
    assert built_in["type"] == "/v1/problems#built-in"


def test_a_network_is_deleted_when_nothing_uses_it(network: TestApp) -> None:
    report(network, "n1", "c1")
    assert 'project "red" has pods' in problem(network.delete("/v1/networks/red", status=409))["detail"]
    network.delete("/v1/nodes/n1/ports/c1/eth0", headers=bearer("token-1-of-n1"), status=204)
    network.delete("/v1/networks/red", status=204)
    network.delete("/v1/networks/red", status=404)
    network.get("/v1/projects/red", status=404)
    network.delete("/v1/networks/default", status=409)


def test_projects(network: TestApp) -> None:
    assert network.post_json("/v1/projects", {"name": "shop", "network": "red"}, status=201).json["network"] == "red"
    network.post_json("/v1/projects", {"name": "shop", "network": "red"}, status=200)
    moved = network.post_json("/v1/projects", {"name": "shop", "network": "blue"}, status=409)
    assert 'on network "red" already' in problem(moved)["detail"]
    nowhere = network.post_json("/v1/projects", {"name": "else", "network": "none"}, status=404)
    assert problem(nowhere)["subject"] == 'network "none"'
    names = [project["name"] for project in network.get("/v1/projects").json["projects"]]
    assert names == ["blue", "default", "red", "shop"]
    network.delete("/v1/projects/shop", status=204)
    network.delete("/v1/projects/shop", status=404)
    network.delete("/v1/projects/default", status=409)


def test_connections(network: TestApp) -> None:
    made = network.post_json("/v1/connections", {"networks": ["red", "blue"]}, status=201)
    assert made.json == {**BLUE_RED, "late": []}
    assert made.headers["Location"].endswith("/v1/connections/blue/red")
    network.post_json("/v1/connections", {"networks": ["blue", "red"]}, status=200)
    assert network.get("/v1/connections").json == {"connections": [BLUE_RED]}
    assert network.get("/v1/connections/red/blue").json == BLUE_RED
    network.delete("/v1/connections/red/blue", status=204)
    network.delete("/v1/connections/red/blue", status=204)
    network.get("/v1/connections/red/blue", status=404)
    assert network.get("/v1/connections").json == {"connections": []}


def test_a_connection_is_refused(network: TestApp) -> None:
    unknown = network.post_json("/v1/connections", {"networks": ["red", "none"]}, status=404)
    assert problem(unknown)["subject"] == 'network "none"'
    assert "itself" in problem(network.post_json("/v1/connections", {"networks": ["red", "red"]}, status=422))["detail"]
    for networks in ([], ["red"], ["red", "blue", "default"], "red"):
        network.post_json("/v1/connections", {"networks": networks}, status=400)
    assert problem(network.delete("/v1/connections/red/none", status=404))["subject"] == 'network "none"'


def test_a_network_is_isolated_from_all(network: TestApp) -> None:
    network.post_json("/v1/connections", {"networks": ["red", "blue"]}, status=201)
    network.patch_json("/v1/networks/red", {"global": True})
    network.delete("/v1/connections/red", status=204)
    assert network.get("/v1/connections").json == {"connections": []}
    assert network.get("/v1/networks/red").json["global"] is False
    assert problem(network.delete("/v1/connections/default", status=409))["type"] == "/v1/problems#built-in"


def test_services(network: TestApp) -> None:
    service: dict[str, Any] = {"name": "web", "project": "red", "address": "172.30.0.10"}
    service["ports"] = [{"protocol": "TCP", "port": 80}]
    asked = {**service, "ports": [{"protocol": "TCP", "port": 80, "name": "", "node_port": 0}], **PLAIN_SERVICE}
    assert network.post_json("/v1/services", service, status=201).json == {**asked, "late": []}
    service["ports"] = [{"protocol": "UDP", "port": 53, "name": "dns", "node_port": 30053}]
    service |= PLAIN_SERVICE | {"affinity": 10800, "internal_local": True, "publish_not_ready": True}
    network.post_json("/v1/services", service, status=200)
    assert network.get("/v1/services/red/web").json == service
    assert network.get("/v1/services").json == {"services": [service]}
    taken = network.post_json("/v1/services", {**service, "name": "other"}, status=409)
    assert "172.30.0.10" in problem(taken)["detail"]
    taken = network.post_json("/v1/services", {**service, "name": "other", "address": "172.30.0.11"}, status=409)
    assert 'node port 30053/UDP belongs to service "red/web"' in problem(taken)["detail"]
    outside = network.post_json("/v1/services", {**service, "ports": [WEB | {"node_port": 80}]}, status=422)
    assert "they are 30000-32767" in problem(outside)["detail"]
    network.post_json("/v1/services", {**service, "ports": [WEB | {"node_port": 65536}]}, status=400)
    outside = network.post_json("/v1/services", {**service, "external": ["203.0.113.5"]}, status=422)
    assert "outside the external CIDRs (none)" in problem(outside)["detail"]
    network.post_json("/v1/services", {**service, "external": ["example.org"]}, status=422)
    network.post_json("/v1/services", {**service, "project": "none"}, status=404)
    network.post_json("/v1/services", {**service, "address": "8.8.8.8"}, status=422)
    network.post_json("/v1/services", {**service, "ports": [{"protocol": "ICMP", "port": 1}]}, status=400)
    network.post_json("/v1/services", {**service, "affinity": 86401}, status=400)
    network.delete("/v1/services/red/web", status=204)
    network.delete("/v1/services/red/web", status=404)


def test_several_ports_without_a_name_get_one(network: TestApp) -> None:
    ports = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 80, "name": "web"}]
    service = {"name": "web", "project": "red", "address": "172.30.0.10", "ports": ports}
    told = network.post_json("/v1/services", service, status=201).json["ports"]
    assert [(port["name"], port["port"]) for port in told] == [("web", 80), ("", 53)]
    service["ports"] = [*ports, {"protocol": "TCP", "port": 443}]
    told = network.post_json("/v1/services", service, status=200).json["ports"]
    assert [port["name"] for port in told] == ["web", "443-tcp", "53-udp"]
    assert network.get("/v1/services/red/web").json["ports"] == told
    service["ports"] = [{"protocol": "TCP", "port": 80, "name": "a"}, {"protocol": "UDP", "port": 80, "name": "a"}]
    assert 'named "a"' in problem(network.post_json("/v1/services", service, status=422))["detail"]


def test_endpoints(network: TestApp) -> None:
    """Before their service, and after it."""
    here = {"address": "10.128.0.2", "node": "n1", "ready": False, "serving": True, "terminating": True}
    ports = [{"protocol": "TCP", "port": 8080, "name": "web"}]
    found = {"name": "web-1.a", "project": "red", "service": "web", "ports": ports, "endpoints": [here]}
    made = network.post_json("/v1/endpoints", found, status=201)
    assert made.json == {**found, "late": []}
    assert made.headers["Location"].endswith("/v1/endpoints/red/web-1.a")
    network.post_json("/v1/endpoints", found, status=200)
    there = {"address": "10.128.0.1"}
    shown = {**there, "node": "", "ready": True, "serving": True, "terminating": False}
    told = network.post_json("/v1/endpoints", {**found, "endpoints": [here, there]}, status=200).json
    assert told["endpoints"] == [shown, here]
    assert network.get("/v1/endpoints/red/web-1.a").json == {**found, "endpoints": [shown, here]}
    assert network.get("/v1/endpoints").json == {"endpoints": [{**found, "endpoints": [shown, here]}]}
    network.delete("/v1/endpoints/red/web-1.a", status=204)
    missing = problem(network.delete("/v1/endpoints/red/web-1.a", status=404))
    assert missing["subject"] == 'endpoints "red/web-1.a"'


@pytest.mark.parametrize(
    ("wrong", "status", "said"),
    [
        ({"project": "none"}, 404, 'project "none"'),
        ({"service": "Web"}, 400, "service"),
        ({"endpoints": [{"address": "10.0.0.0/8"}]}, 422, "$.endpoints[0].address"),
        ({"endpoints": [{"address": "10.128.0.2", "node": "N1"}]}, 400, "node"),
        ({"endpoints": [{"address": "127.0.0.1"}]}, 422, "loopback"),
        ({"endpoints": [{"address": "10.128.0.2"}, {"address": "172.30.0.9"}]}, 422, "inside the service CIDR"),
        ({"endpoints": [{"address": "10.128.0.2"}, {"address": "fd00::2"}]}, 422, "both address families"),
        ({"endpoints": [{"address": "10.128.0.2"}] * 1001}, 400, "endpoints"),
        ({"ports": [{"protocol": "TCP", "port": 1}] * 101}, 400, "ports"),
        ({"ports": [{"protocol": "TCP", "port": 1}] * 2}, 422, "two ports without a name"),
        ({"ports": [{"protocol": "ICMP", "port": 1}]}, 400, "protocol"),
        ({"ports": [{"protocol": "TCP", "port": 0}]}, 400, "port"),
    ],
)
def test_endpoints_that_are_none(network: TestApp, wrong: Any, status: int, said: str) -> None:
    body = {"name": "web-1", "project": "red", "service": "web", "ports": [], "endpoints": [], **wrong}
    told = problem(network.post_json("/v1/endpoints", body, status=status))
    assert said in f"{told['detail']} {told.get('path')}"
    assert network.get("/v1/endpoints").json == {"endpoints": []}


def test_a_project_with_endpoints_stays(network: TestApp) -> None:
    body = {"name": "web-1", "project": "red", "service": "web", "ports": [], "endpoints": []}
    network.post_json("/v1/endpoints", body, status=201)
    assert "slices: 1" in problem(network.delete("/v1/networks/red", status=409))["detail"]
    network.delete("/v1/networks/red?drain=true")
    conditions = {each["type"]: each["message"] for each in network.get("/v1/networks/red").json["conditions"]}
    assert conditions["Terminating"].endswith("slices of endpoints left: 1")
    network.delete("/v1/endpoints/red/web-1", status=204)
    network.get("/v1/networks/red", status=404)


# --- ports ---------------------------------------------------------------------------------------


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def report(app: TestApp, node: str, container: str, status: int = 201, **fields: Any) -> Json:
    body = {"project": "red", "pod": f"pod-{container}", "host_interface": f"v{container}", **fields}
    token = f"token-{node[1:]}-of-{node}"
    response = app.put_json(f"/v1/nodes/{node}/ports/{container}/eth0", body, headers=bearer(token), status=status)
    document: Json = response.json
    return document


def test_a_report_gets_an_assignment(network: TestApp) -> None:
    expected = {
        "network": "red",
        "vnid": 10,
        "mac": "0a:58:0a:80:00:02",
        "addresses": [{"address": "10.128.0.2/23", "gateway": "10.128.0.1"}],
        "cluster_addresses": [],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.128.0.1"}],
        "mtu": None,
        "others": [],
        "phase": "Pending",
    }
    assert report(network, "n1", "c1", pod_uid="u1") == expected
    assert report(network, "n1", "c1", status=200, pod_uid="u1") == expected
    shown = network.get("/v1/nodes/n1/ports/c1/eth0").json
    assert shown == {
        **expected,
        "node": "n1",
        "container": "c1",
        "interface": "eth0",
        "project": "red",
        "pod": "pod-c1",
        "pod_uid": "u1",
        "host_interface": "vc1",
        "space": 0,
        "secondary": False,
        "ofport": None,
        "reason": "the switch has not reported interface vc1",
    }
    assert network.get("/v1/nodes/n1/ports").json == {"ports": [shown]}


def test_a_report_is_refused(network: TestApp) -> None:
    report(network, "n1", "c1")
    taken = report(network, "n1", "c1", status=409, pod="another")
    assert 'attachment "c1/eth0"' in taken["subject"]
    assert report(network, "n1", "c2", status=404, project="none")["subject"] == 'project "none"'
    assert report(network, "n1", "c2", status=409, host_interface="vc1")["type"] == "/v1/problems#taken"
    assert report(network, "n1", "c2", status=400, host_interface="much-too-long-a-name")["path"] == "$.host_interface"
    report(network, "n1", "c2", status=422, host_interface="tun0")


def test_a_full_node_is_told_apart(app: TestApp, control: MemoryControl) -> None:
    app.post_json("/v1/nodes", {"name": "n1", "underlay": "192.0.2.11", "subnets": ["10.128.0.0/30"]}, status=201)
    app.post_json("/v1/networks", {"name": "red", "projects": ["red"]})
    control.connect("n1")
    assert app.get("/v1/nodes/n1/readiness").json == {"ready": True, "free_addresses": 1}
    report(app, "n1", "c1")
    full = report(app, "n1", "c2", status=507)
    assert full["subject"] == 'node "n1"'
    assert "10.128.0.0/30" in full["cause"]
    assert "no address" in problem(app.get("/v1/nodes/n1/readiness", status=503))["detail"]


def test_a_forgotten_port_is_gone_however_often(network: TestApp) -> None:
    report(network, "n1", "c1")
    for path in ("/v1/nodes/n1/ports/c1/eth0", "/v1/nodes/n1/ports/c1/eth0", "/v1/nodes/n1/ports/never/eth0"):
        network.delete(path, headers=bearer("token-1-of-n1"), status=204)
    assert problem(network.get("/v1/nodes/n1/ports/c1/eth0", status=404))["subject"] == 'port "n1/c1/eth0"'
    assert network.get("/v1/nodes/n1/ports").json == {"ports": []}


def test_ports_are_filtered(network: TestApp) -> None:
    report(network, "n1", "c1")
    report(network, "n1", "c2", project="blue")
    report(network, "n2", "c3")

    def found(query: str) -> list[str]:
        return [port["container"] for port in network.get(f"/v1/ports{query}").json["ports"]]

    assert found("") == ["c1", "c2", "c3"]
    assert found("?node=n1") == ["c1", "c2"]
    assert found("?network=red") == ["c1", "c3"]
    assert found("?project=blue") == ["c2"]
    assert found("?node=n2&project=blue") == []
    assert found("?node=n9") == []
    network.get("/v1/nodes/n9/ports", status=404)
