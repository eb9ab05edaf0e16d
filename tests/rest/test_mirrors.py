"""Mirrors over HTTP: what is asked, shown, and refused; and that nobody but an administrator may."""

from __future__ import annotations

import pytest
from webtest import TestApp

from tests.rest.control import MemoryControl
from tests.rest.test_resources import Json, problem, report
from topology.requests import PortSeen

PROBE = {"project": "blue", "pod": "probe"}


def test_a_mirror_is_made_shown_replaced_and_removed(network: TestApp) -> None:
    report(network, "n1", "c1")
    asked = {"name": "watch", "network": "red", "target": PROBE}
    made = network.post_json("/v1/mirrors", asked, status=201)
    assert made.headers["Location"].endswith("/v1/mirrors/watch")
    expected = {**asked, "pod": None, "direction": "both", "number": 1, "ports": 1, "node": None}
    assert made.json == {**expected, "late": []}
    assert network.get("/v1/mirrors/watch").json == expected
    again = network.post_json("/v1/mirrors", {**asked, "direction": "out"}, status=200).json
    assert (again["direction"], again["number"]) == ("out", 1)
    assert [each["name"] for each in network.get("/v1/mirrors").json["mirrors"]] == ["watch"]
    network.delete("/v1/mirrors/watch", status=204)
    problem(network.delete("/v1/mirrors/watch", status=404))
    problem(network.get("/v1/mirrors/watch", status=404))


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"network": None}, 422, "give network, or pod"),
        ({"pod": PROBE}, 422, "give network, or pod"),
        ({"network": None, "pod": PROBE}, 422, "own target"),
        ({"network": "pink"}, 404, "pink"),
        ({"target": {"project": "pink", "pod": "a"}}, 404, "pink"),
        ({"target": {"project": "blue"}}, 400, "pod"),
        ({"direction": "sideways"}, 400, "$.direction"),
        ({"number": 7}, 400, "number"),
        ({"name": "A"}, 400, "$.name"),
    ],
)
def test_a_mirror_is_refused(network: TestApp, fields: Json, status: int, said: str) -> None:
    asked = {"name": "watch", "network": "red", "target": PROBE, **fields}
    told = problem(network.post_json("/v1/mirrors", asked, status=status))
    assert said in told["detail"]
    assert told["remedy"]
    assert network.get("/v1/mirrors").json == {"mirrors": []}


def test_a_plan_names_it(network: TestApp) -> None:
    asked = {"name": "watch", "network": "red", "target": PROBE}
    plan = network.post_json("/v1/mirrors?plan=true", asked, status=200).json
    assert [(each["kind"], each["name"]) for each in plan["objects"]] == [("mirror", "watch")]
    assert network.get("/v1/mirrors").json == {"mirrors": []}


def test_a_trace_tells_who_gets_copies(network: TestApp, control: MemoryControl) -> None:
    for number, (project, name) in enumerate((("red", "a"), ("red", "b"), ("blue", "probe")), 3):
        report(network, "n1", name, project=project, pod=name)
        control.submit(PortSeen("n1", f"v{name}", number))
    network.post_json("/v1/mirrors", {"name": "watch", "network": "red", "target": PROBE}, status=201)
    found = network.get("/v1/trace?from=red/a&to=red/b").json
    assert (found["verdict"], found["copies"]) == ("delivered", ["blue/probe", "blue/probe"])
    owners = {step["owner"] for step in found["steps"] if step["feature"] == "MIRRORS"}
    assert owners == {"mirror red/a (a/eth0)", "mirror red/b (b/eth0)"}
    assert network.get("/v1/trace?from=blue/probe&to=red/b").json["copies"] == []
