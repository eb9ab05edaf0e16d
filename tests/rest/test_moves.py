"""Moves, drained deletion, providers, phases and conditions, as clients see them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from webtest import TestApp

from rest.control import SwitchPhase
from tests.rest.control import MemoryControl
from tests.rest.test_resources import Json, problem, report
from topology.compiler import Conflict, SectionKey
from topology.model import Stage
from topology.pipeline import FeatureId
from topology.requests import AdvanceMove, PortSeen


def lead(control: MemoryControl, project: str = "red", stages: int = len(Stage)) -> None:
    """Let the next stages come while somebody waits."""

    def advance(stage: Stage) -> None:
        move = control.published.snapshot.moves[project]
        control.submit(AdvanceMove(project, move.transit, stage))

    control.meanwhile = [lambda stage=stage: advance(stage) for stage in list(Stage)[:stages]]  # type: ignore[misc]


@pytest.fixture
def pods(network: TestApp, control: MemoryControl) -> TestApp:
    """The small network with a pod of red on n1 and one of blue on n2, both on their switches."""
    for node, container, project in (("n1", "c1", "red"), ("n2", "c2", "blue")):
        report(network, node, container, project=project)
        control.submit(PortSeen(node, f"v{container}", 5))
    return network


def detail(app: TestApp, network: str) -> tuple[str, dict[str, Json]]:
    """A network's phase, and its conditions by type."""
    shown = app.get(f"/v1/networks/{network}").json
    return shown["phase"], {one["type"]: one for one in shown["conditions"]}


def test_a_move_is_answered_when_it_is_done(pods: TestApp, control: MemoryControl) -> None:
    lead(control)
    moved = pods.patch_json("/v1/projects/red", {"network": "blue"}, status=200).json
    said = {name: moved[name] for name in ("name", "network", "home", "ports", "outdated", "moving", "late")}
    assert said == {
        "name": "red",
        "network": "blue",
        "home": "blue",
        "ports": 1,
        "outdated": 0,
        "moving": None,
        "late": [],
    }
    assert pods.get("/v1/ports?project=red").json["ports"][0]["network"] == "blue"
    assert pods.patch_json("/v1/projects/red", {"network": "blue"}, status=200).json == moved


def test_a_move_that_takes_its_time_is_shown(pods: TestApp, control: MemoryControl) -> None:
    lead(control, stages=1)
    moved = pods.patch_json("/v1/projects/red?timeout=0.5", {"network": "blue"}, status=202).json
    assert moved["moving"] == {"from": "red", "to": "blue", "transit": "transit-12", "stage": "crossing"}
    assert ("moves", 0.5) in control.waits
    names = [one["name"] for one in pods.get("/v1/networks").json["networks"]]
    assert names == ["blue", "default", "red"]
    everything = [one["name"] for one in pods.get("/v1/networks?transit=true").json["networks"]]
    assert everything == ["blue", "default", "red", "transit-12"]
    assert pods.get("/v1/connections").json == {"connections": []}
    assert len(pods.get("/v1/connections?transit=true").json["connections"]) == 2
    assert [one["name"] for one in pods.get("/v1/topology").json["networks"]] == names
    assert pods.get("/v1/topology").json["connections"] == []
    phase, conditions = detail(pods, "blue")
    assert phase == "Active"
    assert conditions["Moving"]["status"] is True
    assert '"red" from "red" to "blue" (crossing)' in conditions["Moving"]["message"]
    assert "is being moved" in problem(pods.delete("/v1/networks/blue", status=409))["detail"]


def test_a_move_is_late_where_a_switch_is(pods: TestApp, control: MemoryControl) -> None:
    control.stuck.add("n2")
    lead(control)
    moved = pods.patch_json("/v1/projects/red", {"network": "blue"}, status=202).json
    assert (moved["moving"], moved["late"]) == (None, ["n2"])


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("red", {"network": "pink"}, 404, 'network "pink"'),
        ("pink", {"network": "red"}, 404, 'project "pink"'),
        ("red", {"network": "No Name"}, 400, "$.network"),
        ("red", {}, 422, "give labels or network"),
        ("red", {"network": "blue", "labels": {}}, 422, "give labels or network"),
        ("red", {"network": "blue", "recreate": "x"}, 400, "$.recreate"),
        ("red", {"network": "far"}, 409, "cannot go along"),
    ],
)
def test_what_is_refused(pods: TestApp, control: MemoryControl, path: str, body: Json, status: int, said: str) -> None:
    pods.post_json("/v1/networks", {"name": "far", "subnets": [{"cidr": "10.0.0.0/24"}]}, status=201)
    before = control.published
    assert said in problem(pods.patch_json(f"/v1/projects/{path}", body, status=status))["detail"]
    assert control.published is before


def test_pods_that_are_left_are_counted(pods: TestApp) -> None:
    pods.post_json("/v1/networks", {"name": "far", "subnets": [{"cidr": "10.0.0.0/24"}]}, status=201)
    moved = pods.patch_json("/v1/projects/red", {"network": "far", "recreate": True}, status=200).json
    assert (moved["network"], moved["ports"], moved["outdated"]) == ("far", 1, 1)
    networks = {one["name"]: one for one in pods.get("/v1/networks").json["networks"]}
    assert (networks["red"]["ports"], networks["red"]["outdated"]) == (1, 1)
    assert (networks["far"]["ports"], networks["far"]["outdated"]) == (0, 0)


def test_a_network_in_use_is_drained(pods: TestApp) -> None:
    assert problem(pods.delete("/v1/networks/red", status=409))["type"] == "/v1/problems#in-use"
    shown = pods.delete("/v1/networks/red?drain=true", status=200).json
    assert shown["phase"] == "Terminating"
    phase, conditions = detail(pods, "red")
    assert phase == "Terminating"
    assert "pods left: 1, on n1" in conditions["Terminating"]["message"]
    pods.delete("/v1/nodes/n1/ports/c1/eth0", status="*")
    pods.delete("/v1/nodes/n1?drain=true", status="*")
    pods.get("/v1/networks/red", status=404)
    pods.delete("/v1/networks/blue?drain=1x", status=400)


def test_a_provider_s_networks(network: TestApp) -> None:
    made = network.post_json("/v1/networks", {"name": "theirs", "provider": "acme"}, status=201).json
    assert made["provider"] == "acme"
    for refusal in (
        network.patch_json("/v1/networks/theirs", {"global": True}, status=409),
        network.delete("/v1/networks/theirs", status=409),
        network.delete("/v1/networks/theirs?provider=other", status=409),
        network.post_json("/v1/networks", {"name": "theirs"}, status=409),
    ):
        assert 'belongs to provider "acme"' in problem(refusal)["cause"]
    network.patch_json("/v1/networks/theirs", {"global": True, "provider": "acme"}, status=200)
    network.delete("/v1/networks/theirs?provider=acme", status=204)


# --- phases --------------------------------------------------------------------------------------


def test_active_initializing_pending(pods: TestApp, control: MemoryControl) -> None:
    assert detail(pods, "red")[0] == "Active"
    control.stuck.add("n1")
    pods.post_json("/v1/connections", {"networks": ["red", "blue"]}, status=202)
    phase, conditions = detail(pods, "red")
    assert phase == "Initializing"
    assert conditions["Programmed"] == {
        "type": "Programmed",
        "status": False,
        "reason": "NotAcknowledged",
        "message": "its flows are not acknowledged yet on n1",
    }
    control.disconnect("n1")
    phase, conditions = detail(pods, "red")
    assert (phase, conditions["Programmed"]["reason"]) == ("Pending", "SwitchAway")
    control.connect("n1")
    control.settle("n1")
    assert detail(pods, "red")[0] == "Active"


def test_failed(pods: TestApp, control: MemoryControl) -> None:
    control.stuck.add("n1")
    pods.post_json("/v1/connections", {"networks": ["red", "blue"]}, status=202)
    published = control.published
    status = published.switches["n1"]._replace(phase=SwitchPhase.ERROR)
    control.publish(_replaced(published, switches=published.switches.set("n1", status)))
    phase, conditions = detail(pods, "red")
    assert (phase, conditions["Programmed"]["reason"]) == ("Failed", "SwitchError")
    key = SectionKey(int(FeatureId.NETWORKS), ("red",))
    table = _replaced(published.tables["n1"], conflicts=(Conflict(key, key, (80, 100, ())),))
    control.publish(_replaced(published, tables=published.tables.set("n1", table)))
    assert detail(pods, "red")[1]["Programmed"]["reason"] == "Conflict"


def test_addresses_run_out(pods: TestApp, control: MemoryControl) -> None:
    pods.post_json("/v1/networks", {"name": "tiny", "projects": ["tiny"], "subnets": [{"cidr": "10.0.0.0/30"}]})
    assert detail(pods, "tiny")[0] == "Active"
    report(pods, "n1", "c9", project="tiny")
    control.submit(PortSeen("n1", "vc9", 9))
    phase, conditions = detail(pods, "tiny")
    assert (phase, conditions["AddressesAvailable"]["reason"]) == ("Pending", "SubnetsExhausted")
    assert "10.0.0.0/30" in conditions["AddressesAvailable"]["message"]


def _replaced(value: Any, **fields: Any) -> Any:
    return replace(value, **fields)
