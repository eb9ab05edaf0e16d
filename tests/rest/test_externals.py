"""External VTEPs over HTTP: what is asked, shown, and refused; and what nodes are told of them."""

from __future__ import annotations

import pytest
from webtest import TestApp

from tests.rest.control import MemoryControl
from tests.rest.test_resources import Json, problem, report
from topology.requests import PortSeen

F5: Json = {"name": "f5", "address": "192.0.2.50", "subnets": ["198.18.7.128/26"], "network": "red"}


def test_one_is_made_shown_replaced_and_removed(network: TestApp) -> None:
    vnid = network.get("/v1/networks/red").json["vnid"]
    made = network.post_json("/v1/external-vteps", F5, status=201)
    assert made.headers["Location"].endswith("/v1/external-vteps/f5")
    expected = {**F5, "vnid": vnid, "encapsulation": "vxlan", "mac": None}
    assert made.json == {**expected, "late": []}
    assert network.get("/v1/external-vteps/f5").json == expected
    again = {
        "name": "f5",
        "address": "192.0.2.50",
        "subnets": ["198.18.7.128/26"],
        "vnid": vnid,
        "encapsulation": "geneve",
    }
    changed = network.post_json("/v1/external-vteps", {**again, "mac": "02:00:00:00:00:50"}, status=200).json
    assert (changed["network"], changed["encapsulation"], changed["mac"]) == ("red", "geneve", "02:00:00:00:00:50")
    assert [each["name"] for each in network.get("/v1/external-vteps").json["external_vteps"]] == ["f5"]
    assert network.get("/v1/topology").json["external_vteps"] == [
        {**expected, "encapsulation": "geneve", "mac": "02:00:00:00:00:50"}
    ]
    problem(network.delete("/v1/networks/red", status=409))
    network.delete("/v1/external-vteps/f5", status=204)
    problem(network.delete("/v1/external-vteps/f5", status=404))
    problem(network.get("/v1/external-vteps/f5", status=404))


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"network": None}, 422, "give network, or vnid"),
        ({"vnid": 10}, 422, "give network, or vnid"),
        ({"network": None, "vnid": 4711}, 404, "VNID 4711 is no network's"),
        ({"network": None, "vnid": 1 << 24}, 400, "$.vnid"),
        ({"network": "pink"}, 404, "pink"),
        ({"subnets": []}, 400, "$.subnets"),
        ({"subnets": ["198.18.7.129/26"]}, 422, "has bits set"),
        ({"subnets": ["198.18.7.0/24", "198.18.7.0/24"]}, 422, "twice"),
        ({"subnets": ["10.128.2.0/24"]}, 409, "belongs to pods and services"),
        ({"subnets": ["192.0.2.0/24"]}, 409, "192.0.2.11"),
        ({"address": "192.0.2.11"}, 409, 'belongs to node "n1"'),
        ({"address": "f5.example"}, 422, "is no IP address"),
        ({"encapsulation": "gre"}, 400, "$.encapsulation"),
        ({"mac": "01:00:5e:00:00:01"}, 422, "no MAC address of one interface"),
        ({"mac": "f5"}, 400, "$.mac"),
        ({"name": "F5"}, 400, "$.name"),
        ({"number": 7}, 400, "number"),
    ],
)
def test_what_cannot_be_is_refused(network: TestApp, fields: Json, status: int, said: str) -> None:
    told = problem(network.post_json("/v1/external-vteps", {**F5, **fields}, status=status))
    assert said in told["detail"]
    assert told["remedy"]
    assert network.get("/v1/external-vteps").json == {"external_vteps": []}


def test_a_plan_names_it(network: TestApp) -> None:
    plan = network.post_json("/v1/external-vteps?plan=true", F5, status=200).json
    assert [(each["kind"], each["name"]) for each in plan["objects"]] == [("external VTEP", "f5")]
    assert network.get("/v1/external-vteps").json == {"external_vteps": []}


def test_nodes_are_told_its_address_and_a_trace_its_name(network: TestApp, control: MemoryControl) -> None:
    """Nodes resolve the MAC addresses of tunnels' other ends, and keep pods from these."""
    report(network, "n1", "c1", project="red", pod="a")
    control.submit(PortSeen("n1", "vc1", 3))
    assert "192.0.2.50" not in network.get("/v1/nodes/n1/configuration").json["peers"]
    before = network.get("/v1/nodes/n1/configuration").json["revision"]
    network.post_json("/v1/external-vteps", F5, status=201)
    told = network.get(f"/v1/nodes/n1/configuration?after={before}&wait=1").json
    assert "192.0.2.50" in told["peers"]
    found = network.get("/v1/trace?from=red/a&to=198.18.7.130").json
    assert (found["verdict"], found["at"]["node"]) == ("sent", "n1")
    assert found["reason"] == 'by vxlan to external VTEP "f5" at 192.0.2.50'
    assert "external VTEP f5" in {step["owner"] for step in found["steps"]}
