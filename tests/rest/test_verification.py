"""Proofs and plans over HTTP: statements, what a change would do, and what a change that is not sound is answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from webtest import TestApp

from rest.asked import Planning
from rest.resources import ROUTES
from tests.rest.control import MemoryControl
from topology.compiler import Fault, SectionKey, leave_out
from topology.flow import Op, goto
from topology.model import PortKey
from topology.pipeline import FeatureId, Table
from topology.requests import PortSeen, Reason, ReportPort
from topology.verification import Finding, Kind, Unsafe, with_witness


@pytest.fixture
def network(app: TestApp, control: MemoryControl) -> MemoryControl:
    """Red with a pod on each of two nodes, blue with one on the second."""
    for number in (1, 2):
        app.post_json("/v1/nodes", {"name": f"n{number}", "underlay": f"192.0.2.1{number}"})
    control.connect("n1", "n2")
    for name in ("red", "blue"):
        app.post_json("/v1/networks", {"name": name, "projects": [name]})
    for node, project, ofport in (("n1", "red", 3), ("n2", "red", 3), ("n2", "blue", 4)):
        control.submit(ReportPort(PortKey(node, f"c{ofport}", "eth0"), project, f"p{ofport}", f"v{ofport}"))
        control.submit(PortSeen(node, f"v{ofport}", ofport))
    return control


def test_a_statement(app: TestApp, network: MemoryControl) -> None:
    body = app.get("/v1/verification").json
    assert (body["proven"], body["findings"]) == (True, [])
    assert [node["node"] for node in body["nodes"]] == ["n1", "n2"]
    assert all(node["installed"] and not node["left_out"] for node in body["nodes"])
    assert body["flows"] == sum(claim["flows"] for claim in body["claims"]) == sum(n["flows"] for n in body["nodes"])
    assert body["milliseconds"] > 0
    again = app.get("/v1/verification").json
    assert {**again, "milliseconds": 0} == {**body, "milliseconds": 0}


def test_a_switch_that_has_something_else_is_told(app: TestApp, network: MemoryControl) -> None:
    network.stuck.add("n2")
    app.post_json("/v1/connections", {"networks": ["red", "blue"]})
    body = app.get("/v1/verification").json
    assert body["proven"]
    assert {node["node"]: node["installed"] for node in body["nodes"]} == {"n1": True, "n2": False}


def test_what_is_wrong_is_found_with_a_witness(app: TestApp, network: MemoryControl) -> None:
    published = network.published
    table = published.tables["n2"]
    key = SectionKey(int(FeatureId.NETWORKS), ("red",))
    entries = table.sections[key]
    flow = entries[0].flow
    leak = flow._replace(match=flow.match[:1])
    sections = table.sections.set(key, (entries[0]._replace(flow=leak), *entries[1:]))
    network.publish(replace(published, tables=published.tables.set("n2", replace(table, sections=sections))))
    body = app.get("/v1/verification").json
    assert not body["proven"]
    kinds = {(finding["kind"], finding["missing"]) for finding in body["findings"]}
    assert kinds == {("leak", False), ("black hole", True)}
    assert any(finding["witness"] and finding["witness"]["shows"] for finding in body["findings"])


def test_what_was_left_out_is_shown(app: TestApp, network: MemoryControl) -> None:
    published = network.published
    fault = Fault(SectionKey(int(FeatureId.TUNNELS), ("n1",)), "spoof on node n2: …")
    table = leave_out(published.tables["n2"], (fault,))
    network.publish(replace(published, tables=published.tables.set("n2", table)))
    body = app.get("/v1/verification").json
    assert not body["proven"]
    assert {node["node"]: node["left_out"] for node in body["nodes"]} == {"n1": [], "n2": [fault.said]}
    switches = app.get("/v1/switches").json["switches"]
    assert {switch["node"]: switch["faults"] for switch in switches} == {"n1": [], "n2": [fault.said]}
    assert 'heddle_switch_faults{node="n2"} 1.0' in app.get("/metrics").text


# --- plans ---------------------------------------------------------------------------------------


def plan(app: TestApp, method: str, path: str, body: Any = None, headers: Any = None) -> Any:
    before = app.get("/v1/topology").json
    call = {"POST": app.post_json, "PATCH": app.patch_json, "PUT": app.put_json}.get(method)
    where = f"{path}?plan=true"
    answer = call(where, body, headers=headers) if call else app.delete(where, headers=headers)
    assert answer.status_int == 200
    assert app.get("/v1/topology").json == before
    return answer.json


def test_the_plan_of_a_join(app: TestApp, network: MemoryControl) -> None:
    found = plan(app, "POST", "/v1/connections", {"networks": ["red", "blue"], "backward": None})
    assert found["refused"] is None
    assert found["findings"] == []
    (reach,) = found["reach"]
    assert (reach["from"], reach["to"], reach["before"]) == ("red", "blue", None)
    assert reach["after"] == {"services_only": False, "ports": []}
    assert (reach["source_pods"], reach["destination_pods"]) == (2, 1)
    assert [item["node"] for item in found["flows"]] == ["n1", "n2"]
    assert {"kind": "connection", "name": "blue/red", "what": "made"} in found["objects"]


def test_the_plan_of_an_end_tells_what_is_cut(app: TestApp, network: MemoryControl) -> None:
    app.post_json("/v1/connections", {"networks": ["red", "blue"]})
    found = plan(app, "DELETE", "/v1/connections/red")
    assert {(cut["from"], cut["to"]) for cut in found["cut"]} == {("red", "blue"), ("blue", "red")}
    assert app.get("/v1/connections").json["connections"] != []


@pytest.mark.parametrize(
    ("method", "path", "body", "what"),
    [
        ("POST", "/v1/networks", {"name": "green", "projects": ["green"]}, ("network", "green", "made")),
        ("DELETE", "/v1/networks/spare", None, ("network", "spare", "removed")),
        ("PATCH", "/v1/networks/red", {"global": True}, ("network", "red", "changed")),
        ("POST", "/v1/projects", {"name": "shop", "network": "red"}, ("project", "shop", "made")),
        ("POST", "/v1/nodes", {"name": "n3", "underlay": "192.0.2.13"}, ("node", "n3", "made")),
        ("DELETE", "/v1/nodes/n2", None, None),
        (
            "POST",
            "/v1/services",
            {"project": "red", "name": "web", "address": "172.30.0.9", "ports": [{"protocol": "TCP", "port": 80}]},
            ("service", "red/web", "made"),
        ),
        (
            "POST",
            "/v1/endpoints",
            {"project": "red", "name": "web-1", "service": "web", "ports": [], "endpoints": []},
            ("endpoints", "red/web-1", "made"),
        ),
    ],
)
def test_every_change_can_be_planned(
    method: str, path: str, body: Any, what: tuple[str, str, str] | None, app: TestApp, network: MemoryControl
) -> None:
    app.post_json("/v1/networks", {"name": "spare"})
    found = plan(app, method, path, body)
    if what is None:
        assert found["refused"]["reason"] == "in use"
    else:
        assert what in {(item["kind"], item["name"], item["what"]) for item in found["objects"]}


def test_what_a_node_reports_can_be_planned(app: TestApp, network: MemoryControl) -> None:
    headers = {"Authorization": f"Bearer {network.create_node_token('n1')}"}
    body = {"project": "blue", "pod": "new", "host_interface": "v9"}
    found = plan(app, "PUT", "/v1/nodes/n1/ports/c9/eth0", body, headers)
    assert found["pods"] == [{"from": None, "to": "blue", "pods": 1, "readdressed": 0}]
    gone = plan(app, "DELETE", "/v1/nodes/n1/ports/c3/eth0", headers=headers)
    assert gone["pods"] == [{"from": "red", "to": None, "pods": 1, "readdressed": 0}]
    assert [(flows["node"], flows["added"]) for flows in gone["flows"]] == [("n1", 0)]


def test_every_call_that_changes_the_network_can_be_planned() -> None:
    """A new token does not, nor what a node says of itself and of groups that pods have joined."""
    changing = {route.name for route in ROUTES if route.method != "GET" and not issubclass(route.query, Planning)}
    assert changing == {"post_nodes_node_token", "put_nodes_node_report", "put_nodes_node_groups"}


def test_a_refusal_is_part_of_the_plan(app: TestApp, network: MemoryControl) -> None:
    found = plan(app, "POST", "/v1/connections", {"networks": ["red", "purple"]})
    assert found["refused"]["subject"] == 'network "purple"'
    assert found["flows"] == found["reach"] == found["objects"] == []


def test_a_change_that_is_not_sound_is_answered_its_findings(app: TestApp, network: MemoryControl) -> None:
    published = network.published
    key = (int(Table.DELIVERY), 100, ())
    found = Finding(Kind.LEAK, "n2", "is not one that the network asks for", key, (goto(Table.OUTPUT),))
    assert found.actions == ((Op.GOTO, int(Table.OUTPUT)),)
    finding = with_witness(found, published.snapshot, published.tables)
    network.failure = Unsafe(Reason.UNSAFE, "change", "it would make the flows unsafe", "report it", (finding,))
    answer = app.post_json("/v1/connections", {"networks": ["red", "blue"]}, status=500)
    assert answer.json["type"] == "/v1/problems#unsafe"
    assert answer.json["findings"][0].startswith("leak on node n2: flow table=80(DELIVERY),priority=100")
    assert "; witness: " in answer.json["findings"][0]
