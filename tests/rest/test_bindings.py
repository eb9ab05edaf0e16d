"""Projects' labels, bindings and pods: made, shown, refused; and what a node is told to attach to a pod."""

from __future__ import annotations

from typing import Any

import pytest
from webtest import TestApp

from tests.rest.control import MemoryControl
from tests.rest.test_resources import Json, bearer, problem
from topology.requests import PortSeen

RED: Json = {"match_labels": {"kubernetes.io/metadata.name": "red"}}
STORAGE: Json = {"name": "storage", "projects": RED, "secondary": [{"network": "store"}], "optional": ["more"]}


@pytest.fixture
def world(network: TestApp) -> TestApp:
    """The small network with three networks more: store and more, and ring with ranges of its own."""
    for name in ("store", "more"):
        network.post_json("/v1/networks", {"name": name}, status=201)
    subnets = [{"cidr": "10.0.0.0/24"}, {"cidr": "10.0.1.0/24"}]
    network.post_json("/v1/networks", {"name": "ring", "subnets": subnets}, status=201)
    return network


def report(app: TestApp, interface: str, status: int = 201, **more: Any) -> Json:
    body = {"project": "red", "pod": "a", "host_interface": f"v-{interface}", **more}
    answer: Json = app.put_json(
        f"/v1/nodes/n1/ports/c1/{interface}", body, headers=bearer("token-1-of-n1"), status=status
    ).json
    return answer


# --- bindings ------------------------------------------------------------------------------------


def test_a_binding_is_made_shown_replaced_and_removed(world: TestApp) -> None:
    made = world.post_json("/v1/bindings", STORAGE, status=201)
    assert made.headers["Location"].endswith("/v1/bindings/storage")
    name_is_red = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["red"]}
    expected = {
        "name": "storage",
        "projects": {"match_labels": {}, "match_expressions": [name_is_red]},
        "pods": None,
        "primary": None,
        "secondary": [{"network": "store", "interface": None, "addresses": [], "mac": None}],
        "optional": ["more"],
    }
    assert made.json == {**expected, "selected": ["red"], "late": []}
    assert world.get("/v1/bindings").json == {"bindings": [expected]}
    assert world.get("/v1/bindings/storage").json == {**expected, "selected": ["red"]}
    assert world.post_json("/v1/bindings", STORAGE, status=200).json == made.json
    red = world.get("/v1/projects/red").json
    assert (red["network"], red["secondary"], red["optional"]) == ("red", ["store"], ["more"])
    other = world.post_json("/v1/bindings", {**STORAGE, "primary": {"network": "ring"}}, status=200).json
    assert other["primary"]["network"] == "ring"
    assert world.get("/v1/projects/red").json["network"] == "ring"
    world.delete("/v1/bindings/storage", status=204)
    assert world.get("/v1/projects/red").json["network"] == "red"
    problem(world.get("/v1/bindings/storage", status=404))
    problem(world.delete("/v1/bindings/storage", status=404))


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"secondary": [{"network": "nowhere"}]}, 404, 'network "nowhere"'),
        ({"secondary": [{"network": "store", "interface": "eth0"}]}, 422, '"eth0"'),
        ({"secondary": [{"network": "store", "interface": "a/b"}]}, 400, "$.secondary[0].interface"),
        ({"secondary": [{"network": "store", "mac": "02:00:00:00:00:01"}]}, 422, "every pod"),
        ({"secondary": [{"network": "store", "mac": "2:0:0:0:0:1"}]}, 400, "a MAC address"),
        (
            {"secondary": [{"network": "store", "addresses": ["10.0.0.300"]}], "pods": {}},
            422,
            "$.secondary[0].addresses",
        ),
        ({"secondary": [{"network": "ring", "addresses": ["10.0.2.3"]}], "pods": {}, "optional": []}, 422, "10.0.2.3"),
        ({"projects": None}, 400, "$.projects"),
        ({"projects": {"match_labels": {"a b": "c"}}}, 400, "a label's key"),
        ({"projects": {"match_labels": {"a": "b c"}}}, 400, "a label's value"),
        ({"projects": {"match_expressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}}, 400, "operator"),
        ({"projects": {"match_expressions": [{"key": "a", "operator": "In"}]}}, 422, "no values"),
        ({"pods": {}}, 422, "offers"),
        ({"secondary": [], "optional": []}, 422, "no network"),
        ({"name": "No"}, 400, "$.name"),
        ({"colour": "red"}, 400, "$.colour"),
    ],
)
def test_a_binding_is_refused(world: TestApp, control: MemoryControl, fields: Json, status: int, said: str) -> None:
    before = control.published
    told = problem(world.post_json("/v1/bindings", {**STORAGE, **fields}, status=status))
    assert said in told["detail"]
    assert told["remedy"]
    assert control.published is before


def test_a_contradiction_names_both(world: TestApp) -> None:
    world.post_json("/v1/bindings", {"name": "one", "projects": RED, "primary": {"network": "store"}}, status=201)
    other = {"name": "two", "projects": {}, "primary": {"network": "more"}}
    told = problem(world.post_json("/v1/bindings", other, status=409))
    assert '"one"' in told["cause"]
    assert '"two"' in told["cause"]
    used = problem(world.delete("/v1/networks/store", status=409))
    assert '"one"' in used["cause"]


def test_no_binding_without_its_projects(world: TestApp) -> None:
    body = {name: value for name, value in STORAGE.items() if name != "projects"}
    assert problem(world.post_json("/v1/bindings", body, status=400))["path"] == "$.projects"


# --- projects ------------------------------------------------------------------------------------


def test_a_project_gets_labels(world: TestApp) -> None:
    made = world.post_json("/v1/projects", {"name": "shop", "labels": {"team": "a"}}, status=201).json
    assert (made["network"], made["home"], made["placed"], made["labels"]) == (
        "default",
        "default",
        False,
        {"team": "a"},
    )
    changed = world.patch_json("/v1/projects/shop", {"labels": {"team": "b", "tier": ""}}, status=200).json
    assert changed["labels"] == {"team": "b", "tier": ""}
    again = world.post_json("/v1/projects", {"name": "shop"}, status=200).json
    assert again["labels"] == changed["labels"]
    assert world.post_json("/v1/projects", {"name": "shop", "labels": {}}, status=200).json["labels"] == {}
    problem(world.patch_json("/v1/projects/nowhere", {"labels": {}}, status=404))
    problem(world.patch_json("/v1/projects/shop", {}, status=422))
    wrong = {"labels": {"kubernetes.io/metadata.name": "red"}}
    problem(world.patch_json("/v1/projects/shop", wrong, status=422))


# --- pods ----------------------------------------------------------------------------------------


def test_what_is_said_of_a_pod_and_what_it_would_get(world: TestApp) -> None:
    world.post_json("/v1/bindings", STORAGE, status=201)
    body = {"project": "red", "pod": "a", "labels": {"role": "db"}, "networks": ["more"]}
    made = world.post_json("/v1/pods", body, status=201)
    assert made.headers["Location"].endswith("/v1/pods/red/a")
    got = [(each["network"], each["interface"]) for each in made.json["attachments"]]
    assert got == [("red", None), ("store", "net1"), ("more", "net2")]
    assert made.json["refusal"] is None
    unlimited = {"ingress_bandwidth": None, "egress_bandwidth": None}
    assert world.get("/v1/pods").json == {"pods": [body | unlimited]}
    greedy = world.post_json("/v1/pods", {**body, "networks": ["blue"]}, status=200).json
    assert greedy["attachments"] == []
    assert 'pod red/a: asks for network "blue"' in greedy["refusal"]
    assert world.get("/v1/pods/red/a").json == {name: value for name, value in greedy.items() if name != "late"}
    told = report(world, "eth0", 422)
    assert '"blue"' in told["cause"]
    assert told["subject"] == "pod red/a"
    assert world.get("/v1/nodes/n1/ports").json == {"ports": []}
    world.delete("/v1/pods/red/a", status=204)
    problem(world.delete("/v1/pods/red/a", status=404))
    assert report(world, "eth0")["others"] == ["net1"]


def test_limits_of_a_pod_are_quantities(world: TestApp) -> None:
    body = {"project": "red", "pod": "a", "ingress_bandwidth": "0.01G", "egress_bandwidth": "1500k"}
    made = world.post_json("/v1/pods", body, status=201).json
    assert (made["ingress_bandwidth"], made["egress_bandwidth"]) == ("10M", "1500k")
    told = problem(world.post_json("/v1/pods", {**body, "egress_bandwidth": "999"}, status=422))
    assert "egress_bandwidth" in str(told)
    problem(world.post_json("/v1/pods", {**body, "egress_bandwidth": "10MB"}, status=422))
    assert world.get("/v1/pods/red/a").json["egress_bandwidth"] == "1500k"
    again = world.post_json("/v1/pods", {"project": "red", "pod": "a"}, status=200).json
    assert (again["ingress_bandwidth"], again["egress_bandwidth"]) == (None, None)


def test_a_node_is_told_what_to_attach_and_where_to_send_what(world: TestApp) -> None:
    secondary = [{"network": "store"}, {"network": "ring", "interface": "ring0"}]
    world.post_json("/v1/bindings", {**STORAGE, "secondary": secondary}, status=201)
    first = report(world, "eth0")
    assert first["others"] == ["net1", "ring0"]
    assert first["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.128.0.1"}]
    assert report(world, "eth0", 200) == first
    shared, own = report(world, "net1"), report(world, "ring0")
    assert (shared["network"], own["network"]) == ("store", "ring")
    assert (shared["others"], own["others"]) == ([], [])
    assert shared["routes"] == []  # by the primary one, which is in the shared space too
    assert own["routes"] == [{"dst": "10.0.1.0/24", "gw": "10.0.0.1"}]  # its own subnet needs none
    ports = world.get("/v1/ports?project=red").json["ports"]
    assert {port["interface"]: (port["secondary"], port["others"]) for port in ports} == {
        "eth0": (False, ["net1", "ring0"]),
        "net1": (True, []),
        "ring0": (True, []),
    }


def test_the_shared_space_is_reached_by_a_secondary_interface_if_the_primary_one_is_not_in_it(world: TestApp) -> None:
    primary = {"primary": {"network": "ring"}, "secondary": [{"network": "store"}]}
    world.post_json("/v1/bindings", {**STORAGE, **primary}, status=201)
    assert report(world, "eth0")["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}]
    assert report(world, "net1")["routes"] == [{"dst": "10.128.0.0/14", "gw": "10.128.0.1"}]


def test_a_trace_begins_at_the_primary_interface(world: TestApp, control: MemoryControl) -> None:
    world.post_json("/v1/bindings", STORAGE, status=201)
    for number, interface in enumerate(("net1", "pod0"), 3):  # the runtime calls the primary one pod0
        report(world, interface)
        control.submit(PortSeen("n1", f"v-{interface}", number))
    steps = world.get("/v1/trace?from=red/a&to=192.0.2.80").json["steps"]
    assert any("in_port=4" in str(step["match"]) for step in steps)
    assert not any("in_port=3" in str(step["match"]) for step in steps)


def test_a_pod_that_could_not_come_now_is_not_told_to_do_without(world: TestApp) -> None:
    world.post_json("/v1/bindings", STORAGE, status=201)
    assert report(world, "eth0")["others"] == ["net1"]
    world.post_json("/v1/pods", {"project": "red", "pod": "a", "networks": ["blue"]}, status=201)
    assert '"blue"' in report(world, "eth0", 422)["cause"]
    shown = world.get("/v1/nodes/n1/ports/c1/eth0").json
    assert (shown["network"], shown["others"]) == ("red", [])
