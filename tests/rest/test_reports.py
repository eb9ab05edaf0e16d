"""What nodes say of themselves: who may, where it is shown, and that nodes with different MTUs are named."""

from __future__ import annotations

from typing import Any

import pytest
from webtest import TestApp

from tests.rest.control import MemoryControl
from tests.rest.test_metrics import metrics
from tests.rest.test_resources import problem

NARROW = "packets of 1500 bytes do not get from 192.0.2.11 to 192.0.2.12: 1400 do"


def report(app: TestApp, node: str, mtu: int, *warnings: str, status: int = 204) -> Any:
    body = {"mtu": mtu, "warnings": list(warnings)}
    headers = {"Authorization": "Bearer token-1-of-n1"} if node == "n1" else {}
    return app.put_json(f"/v1/nodes/{node}/report", body, headers=headers, status=status)


def warnings(app: TestApp) -> dict[str, list[str]]:
    return {node["name"]: node["warnings"] for node in app.get("/v1/nodes").json["nodes"]}


def test_it_is_shown_wherever_the_node_is(network: TestApp) -> None:
    assert network.get("/v1/nodes/n1").json["mtu"] is None
    report(network, "n1", 1450, NARROW)
    for shown in (network.get("/v1/nodes/n1").json, network.get("/v1/topology").json["nodes"][0]):
        assert (shown["mtu"], shown["warnings"]) == (1450, [NARROW])
    found = metrics(network)
    assert (found["heddle_node_mtu", (("node", "n1"),)], found["heddle_node_warnings", (("node", "n1"),)]) == (1450, 1)
    assert ("heddle_node_mtu", (("node", "n2"),)) not in found
    report(network, "n1", 1450)
    assert warnings(network) == {"n1": [], "n2": []}


def test_nodes_whose_pods_have_other_mtus_are_named(network: TestApp) -> None:
    for number in range(3, 8):
        network.post_json("/v1/nodes", {"name": f"n{number}", "underlay": f"192.0.2.1{number}"})
        report(network, f"n{number}", 1450)
    report(network, "n1", 1350, NARROW)
    found = warnings(network)
    odd = "pods on n1 have an MTU of 1350 bytes, those on n3, n4, n5 and 2 more of 1450: "
    assert found.pop("n1") == [NARROW, f"{odd}give the underlay interfaces of all nodes the same MTU"]
    assert not any(found.values())
    assert metrics(network)["heddle_node_warnings", (("node", "n1"),)] == 2


def test_of_two_mtus_the_larger_is_the_usual_one(network: TestApp) -> None:
    report(network, "n1", 1450)
    report(network, "n2", 8950)
    assert [bool(said) for said in warnings(network).values()] == [True, False]


def test_what_a_deleted_node_said_is_forgotten(network: TestApp, control: MemoryControl) -> None:
    report(network, "n1", 1450)
    report(network, "n2", 1350)
    network.delete("/v1/nodes/n2")
    report(network, "n1", 1450)
    assert dict(control.reports) == {"n1": (1450, ())}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "$"),
        ({"mtu": -1}, "$.mtu"),
        ({"mtu": 1450, "warnings": [1]}, "$.warnings[0]"),
        ({"mtu": 1450, "warnings": ["x" * 501]}, "$.warnings[0]"),
        ({"mtu": 1450, "warnings": ["x"] * 33}, "$.warnings"),
        ({"mtu": 1450, "more": 1}, "$"),
    ],
)
def test_reports_that_cannot_be(network: TestApp, body: dict[str, Any], where: str) -> None:
    assert where in problem(network.put_json("/v1/nodes/n1/report", body, status=400))["subject"]
    assert warnings(network) == {"n1": [], "n2": []}


def test_a_node_speaks_for_itself_only(network: TestApp) -> None:
    headers = {"Authorization": "Bearer token-1-of-n1"}
    network.put_json("/v1/nodes/n2/report", {"mtu": 1450}, headers=headers, status=403)
    assert problem(report(network, "n9", 1450, status=404))["subject"] == 'node "n9"'
