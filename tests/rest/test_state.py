"""What is shown of the whole: topology, switches, lateness, health, and failures of the controller itself."""

from __future__ import annotations

from dataclasses import replace

from webtest import TestApp

from store.base import StoreError
from tests.rest.control import MemoryControl
from tests.rest.test_resources import BLUE_RED, problem, report


def test_the_topology_is_a_graph(network: TestApp, control: MemoryControl) -> None:
    report(network, "n1", "c1")
    network.post_json("/v1/connections", {"networks": ["red", "blue"]})
    body = network.get("/v1/topology").json
    assert body["revision"] == control.published.revision
    assert [node["name"] for node in body["nodes"]] == ["n1", "n2"]
    assert [node["ports"] for node in body["nodes"]] == [1, 0]
    ends = {"from": "n1", "to": "n2", "kind": "vxlan"}
    assert body["tunnels"] == [{**ends, "up": True, "laid": True, "down_by": [], "by": []}]
    assert body["connections"] == [BLUE_RED]
    assert next(item for item in body["networks"] if item["name"] == "red")["nodes"] == ["n1"]
    assert network.get("/v1/topology?tunnels=false").json == {**body, "tunnels": []}
    control.disconnect("n2")
    assert network.get("/v1/topology").json["tunnels"][0]["up"] is False


def test_switches_say_how_far_they_are(network: TestApp, control: MemoryControl) -> None:
    control.stuck.add("n2")
    network.post_json("/v1/nodes", {"name": "n3", "underlay": "192.0.2.13"}, status=202)
    switches = {switch["node"]: switch for switch in network.get("/v1/switches").json["switches"]}
    assert switches["n1"]["phase"] == "InSync"
    assert switches["n1"]["connected"] is True
    assert switches["n2"]["phase"] == "Programming"
    assert switches["n2"]["committed_revision"] < switches["n2"]["desired_revision"]
    assert switches["n3"]["connected"] is False
    assert switches["n3"]["dpid"] == "0000000000000003"


def test_a_change_that_is_late_names_the_nodes(network: TestApp, control: MemoryControl) -> None:
    report(network, "n1", "c1")
    report(network, "n2", "c2", project="blue")
    control.stuck.update({"n1", "n2"})
    late = network.post_json("/v1/connections?timeout=0.5", {"networks": ["red", "blue"]}, status=202).json
    assert late["networks"] == ["blue", "red"]
    assert late["late"] == ["n1", "n2"]
    assert control.waits[-1] == ("late", 0.5)
    control.settle("n1")
    assert network.delete("/v1/connections/red/blue", status=202).json == {"late": ["n2"]}
    assert control.waits[-1] == ("late", 10.0)


def test_a_new_node_is_not_late_itself(network: TestApp) -> None:
    made = network.post_json("/v1/nodes", {"name": "n3", "underlay": "192.0.2.13"}, status=201).json
    assert made["late"] == []


def test_health_and_readiness(closed: TestApp, control: MemoryControl) -> None:
    assert closed.get("/v1/healthz").json == {"status": "ok"}
    assert closed.get("/v1/readyz").json == {"status": "ready"}
    control.publish(replace(control.published, waiting_for=("store",)))
    assert "store" in problem(closed.get("/v1/readyz", status=503))["detail"]


def test_a_node_is_ready_once_it_is_programmed(app: TestApp, control: MemoryControl) -> None:
    app.post_json("/v1/nodes", {"name": "n1", "underlay": "192.0.2.11"})
    assert "phase Away" in problem(app.get("/v1/nodes/n1/readiness", status=503))["detail"]
    control.connect("n1")
    assert app.get("/v1/nodes/n1/readiness").json == {"ready": True, "free_addresses": 509}
    switches = control.published.switches
    resyncing = switches.set("n1", switches["n1"]._replace(synchronised=False))
    control.publish(replace(control.published, switches=resyncing))
    app.get("/v1/nodes/n1/readiness", status=503)
    app.get("/v1/nodes/n9/readiness", status=404)


def test_every_type_of_problem_is_documented(app: TestApp) -> None:
    kinds = {kind["type"]: kind for kind in app.get("/v1/problems").json["problems"]}
    told = problem(app.get("/v1/nothing/here", status=404))
    assert kinds[told["type"]]["title"] == told["title"]
    assert len(kinds) == len({kind["type"] for kind in kinds.values()})


def test_a_store_that_fails(network: TestApp, control: MemoryControl) -> None:
    control.failure = StoreError("heddle.sqlite", "the disk is full", "make room on it")
    told = problem(network.post_json("/v1/networks", {"name": "green"}, status=503))
    assert (told["type"], told["cause"]) == ("/v1/problems#store", "the disk is full")


def test_an_error_of_ours_tells_nothing_of_the_inside(network: TestApp, control: MemoryControl) -> None:
    control.failure = RuntimeError("secret of the inside")
    response = network.post_json("/v1/networks", {"name": "green"}, status=500)
    assert problem(response)["type"] == "/v1/problems#internal"
    assert "secret" not in response.text


def test_a_controller_that_takes_nothing_up_is_not_ready(app: TestApp, control: MemoryControl) -> None:
    app.get("/v1/readyz", status=200)
    control.stands_still = True
    assert "was not taken up within 2 s" in problem(app.get("/v1/readyz", status=503))["detail"]
    app.get("/v1/healthz", status=200)
