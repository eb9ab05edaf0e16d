"""Egresses over HTTP: made, shown with who holds their addresses, refused, planned; and what nodes are told of them."""

from __future__ import annotations

import pytest
from webtest import TestApp

from tests.rest.control import MemoryControl
from tests.rest.test_resources import Json, problem
from topology.requests import NodeFound, NodeLost

RED: Json = {"name": "red", "network": "red", "addresses": ["203.0.113.6", "203.0.113.5"], "nodes": ["n1"]}
CONFIGURATION = "/v1/nodes/n1/configuration"


def test_an_egress_is_made_shown_replaced_and_removed(network: TestApp) -> None:
    made = network.post_json("/v1/egresses", RED, status=201)
    assert made.headers["Location"].endswith("/v1/egresses/red")
    expected = {
        **RED,
        "addresses": ["203.0.113.5", "203.0.113.6"],
        "pods": None,
        "fail": "closed",
        "via": None,
        "held": [{"address": "203.0.113.5", "node": "n1"}, {"address": "203.0.113.6", "node": "n1"}],
    }
    assert made.json == {**expected, "late": []}
    assert network.get("/v1/egresses").json == {"egresses": [expected]}
    assert network.get("/v1/egresses/red").json == expected
    assert network.post_json("/v1/egresses", RED, status=200).json == made.json
    other = network.post_json("/v1/egresses", {**RED, "fail": "open", "nodes": []}, status=200).json
    assert (other["fail"], other["nodes"]) == ("open", [])
    network.delete("/v1/egresses/red", status=204)
    problem(network.get("/v1/egresses/red", status=404))
    problem(network.delete("/v1/egresses/red", status=404))


def test_by_a_pod(network: TestApp) -> None:
    asked = {"name": "red", "network": "red", "via": {"project": "red", "pod": "gw"}, "fail": "open"}
    made = network.post_json("/v1/egresses", asked, status=201).json
    assert made == {**asked, "addresses": [], "nodes": [], "pods": None, "held": [], "late": []}
    assert network.get("/v1/egresses/red").json["via"] == asked["via"]
    assert network.get(CONFIGURATION).json["held"] == []


def test_the_nodes_are_told_what_they_hold(network: TestApp, control: MemoryControl) -> None:
    def held(node: str) -> object:
        return network.get(f"/v1/nodes/{node}/configuration").json["held"]

    network.post_json("/v1/egresses", {**RED, "nodes": []}, status=201)
    assert sorted([*held("n1"), *held("n2")]) == ["203.0.113.5", "203.0.113.6"]  # type: ignore[misc]
    revision = network.get(CONFIGURATION).json["revision"]
    control.meanwhile = [lambda: control.submit(NodeLost("n2"))]
    found = network.get(f"{CONFIGURATION}?after={revision}&wait=5").json
    assert (found["held"], held("n2")) == (["203.0.113.5", "203.0.113.6"], [])
    assert network.get("/v1/egresses/red").json["held"][0] == {"address": "203.0.113.5", "node": "n1"}
    control.submit(NodeLost("n1"))
    assert network.get("/v1/egresses/red").json["held"][0] == {"address": "203.0.113.5", "node": None}
    control.submit(NodeFound("n1"))
    assert held("n1") == ["203.0.113.5", "203.0.113.6"]


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"network": "pink"}, 404, "does not exist"),
        ({"addresses": []}, 422, "0 addresses"),
        ({"via": {"project": "red", "pod": "gw"}}, 422, "addresses as well"),
        ({"addresses": [], "via": {"project": "red", "pod": "gw"}}, 422, "nodes as well"),
        ({"addresses": [], "nodes": [], "via": {"project": "pink", "pod": "gw"}}, 404, 'project "pink"'),
        ({"addresses": ["192.0.2.11"]}, 409, 'belongs to node "n1"'),
        ({"addresses": ["10.128.0.9"]}, 422, "belongs to pods and services"),
        ({"addresses": ["2001:db8::5"]}, 422, "IPv6"),
        ({"addresses": ["203.0.113"]}, 422, "no IP address"),
        ({"nodes": ["n9"]}, 404, "does not exist"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(network: TestApp, fields: Json, status: int, words: str) -> None:
    told = problem(network.post_json("/v1/egresses", {**RED, **fields}, status=status))
    assert words in told["detail"]
    assert network.get("/v1/egresses").json == {"egresses": []}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"addresses": "203.0.113.5"}, "$.addresses"),
        ({"via": {"project": "red"}}, "$.via"),
        ({"fail": "half"}, "$.fail"),
        ({"pods": {"match_label": {}}}, "$.pods"),
    ],
)
def test_what_is_malformed_is_told_by_its_place(network: TestApp, fields: Json, path: str) -> None:
    assert problem(network.post_json("/v1/egresses", {**RED, **fields}, status=400))["path"].startswith(path)


def test_one_can_be_planned(network: TestApp) -> None:
    plan = network.post_json("/v1/egresses?plan=true", RED, status=200).json
    assert {"kind": "egress", "name": "red", "what": "made"} in plan["objects"]
    assert network.get("/v1/egresses").json == {"egresses": []}
