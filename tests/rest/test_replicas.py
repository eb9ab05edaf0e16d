"""Several replicas: each answers what it may, and lets another answer what that one decides."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from immutables import Map
from webtest import TestApp

from rest.app import make_app
from rest.control import Held, Replica, Replicas, SwitchPhase
from rest.options import Options
from rest.reading import MOST_BYTES
from store.base import Mark
from tests.rest.conftest import ADMIN_TOKEN
from tests.rest.control import MemoryControl
from topology.model import PortKey
from topology.requests import PortSeen, ReportPort

ONE = Replica("one", "http://192.0.2.1:8080", "tcp:192.0.2.1:6653", "2026-01-01T00:00:00Z")
TWO = Replica("two", "http://192.0.2.2:8080", "tcp:192.0.2.2:6653")
PORT = "/v1/nodes/n2/ports/c1/eth0"
REPORT = {"project": "red", "pod": "a", "host_interface": "v1"}


@pytest.fixture
def two(network: TestApp, control: MemoryControl) -> TestApp:
    """The API of replica one: it answers for n1, two for n2 and for what concerns the whole network."""
    held = Held("decisions", "two", "2026-01-01T00:00:05Z"), Held("switches-0", "one"), Held("switches-1", "two")
    replicas = Replicas("one", (ONE, TWO), "two", Map({"n1": "one", "n2": "two"}), held=held)
    control.publish(replace(control.published, replicas=replicas))
    return network


def test_who_answers_for_what(two: TestApp) -> None:
    found = two.get("/v1/replicas").json["replicas"]
    assert [(one["name"], one["me"], one["decides"], one["nodes"]) for one in found] == [
        ("one", True, False, ["n1"]),
        ("two", False, True, ["n2"]),
    ]
    assert [one["since"] for one in found] == ["2026-01-01T00:00:00Z", None]
    assert [[(share["name"], share["since"]) for share in one["shares"]] for one in found] == [
        [("switches-0", None)],
        [("decisions", "2026-01-01T00:00:05Z"), ("switches-1", None)],
    ]


def test_alone_there_are_none(network: TestApp) -> None:
    assert network.get("/v1/replicas").json == {"replicas": []}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/networks?timeout=3", {"name": "green"}),
        ("PATCH", "/v1/networks/red", {"global": True}),
        ("DELETE", "/v1/connections/red/blue", None),
        ("PUT", PORT, REPORT),
        ("DELETE", PORT, None),
        ("GET", f"{PORT}?wait=5", None),
        ("GET", "/v1/nodes/n2/configuration?after=1&wait=5", None),
        ("GET", "/v1/nodes/n2/readiness", None),
        ("GET", "/v1/nodes/n2/flows", None),
    ],
)
def test_what_another_decides_goes_there(
    two: TestApp, control: MemoryControl, method: str, path: str, body: object
) -> None:
    headers = {"Authorization": "Bearer of-somebody", "Content-Type": "application/json"}
    control.tokens[sha256(b"of-somebody").hexdigest()] = "n2"
    open_to_admin = {} if "/ports/" in path or "nodes/n2" in path else {"Authorization": ""}
    headers = {name: value for name, value in {**headers, **open_to_admin}.items() if value}
    answer = (
        two.request(path, method=method, headers=headers, json=body)
        if body is not None
        else two.request(path, method=method, headers=headers)
    )
    assert (answer.status_int, answer.json) == (201, {"answered": "elsewhere"})
    ((replica, call),) = control.forwarded
    assert replica == TWO
    assert (call.method, call.path) == (method, path)
    assert dict(call.headers)["Heddle-Forwarded-By"] == "one"
    assert dict(call.headers).get("Authorization") == headers.get("Authorization")
    assert bool(call.body) is (body is not None)


@pytest.mark.parametrize("path", ["/v1/networks", "/v1/nodes/n2", "/v1/switches", "/v1/topology", "/v1/readyz"])
def test_reading_is_anybodys(two: TestApp, control: MemoryControl, path: str) -> None:
    two.get(path, status=200)
    assert control.forwarded == []


def test_a_plan_changes_nothing_and_is_anybodys(two: TestApp, control: MemoryControl) -> None:
    two.post_json("/v1/networks?plan=true", {"name": "green"}, status=200)
    assert control.forwarded == []


def test_one_that_does_not_answer_is_told(two: TestApp, control: MemoryControl) -> None:
    control.dead.add("two")
    answer = two.post_json("/v1/networks", {"name": "green"}, status=503)
    assert answer.headers["Retry-After"] == "1"
    assert (
        "replica two at http://192.0.2.2:8080, which answers for this, cannot be asked (refused)"
        in answer.json["detail"]
    )
    assert "green" not in control.published.snapshot.networks


def test_a_call_goes_on_once_only(two: TestApp, control: MemoryControl) -> None:
    headers = {"Heddle-Forwarded-By": "two"}
    answer = two.post_json("/v1/networks", {"name": "green"}, headers=headers, status=503)
    said = "no replica answers for what concerns the whole network (share decisions) now: two has passed this on to one"
    assert said in answer.json["detail"]
    assert control.forwarded == []


def test_what_the_answer_says_besides_is_kept(two: TestApp) -> None:
    answer = two.post_json("/v1/networks", {"name": "green"}, status=201)
    assert answer.headers["Location"] == "http://localhost/v1/there"
    assert "Server" not in answer.headers


def test_bodies_are_bounded_before_they_go_on(two: TestApp, control: MemoryControl) -> None:
    two.post("/v1/networks", b" " * (MOST_BYTES + 1), content_type="application/json", status=413)
    assert control.forwarded == []


@pytest.mark.parametrize("query", ["%ff=1", "plan=%ff"])
def test_a_query_that_is_not_utf_8_is_refused_here(two: TestApp, control: MemoryControl, query: str) -> None:
    two.post_json(f"/v1/networks?{query}", {"name": "green"}, status=400)
    assert control.forwarded == []


@pytest.mark.parametrize(
    ("query", "seconds"),
    [("", 25.0), ("?timeout=3.5", 18.5), ("?timeout=%C2%B2", 15.0), ("?timeout=nan", 15.0), ("?timeout=99", 15.0)],
)
def test_an_answer_may_take_as_long_as_the_call_says(
    two: TestApp, control: MemoryControl, query: str, seconds: float
) -> None:
    two.post_json(f"/v1/networks{query}", {"name": "green"}, status=201)
    assert control.forwarded[0][1].timeout == seconds


def test_a_node_that_is_nobody_s_is_not_answered_for_here(two: TestApp, control: MemoryControl) -> None:
    replicas = replace(control.published.replicas, masters=Map({"n1": "one"}), shares=Map({"n2": "switches-3"}))
    control.publish(replace(control.published, replicas=replicas))
    said = two.get("/v1/nodes/n2/readiness", status=503).json["detail"]
    assert 'no replica answers for node "n2" (share switches-3) now: nobody has that' in said
    two.get("/v1/nodes/n9/readiness", status=404)


def test_nobody_answers_for_a_node_while_it_changes_hands(two: TestApp, control: MemoryControl) -> None:
    replicas = replace(control.published.replicas, masters=Map({"n1": "one", "n2": "gone"}))
    control.publish(replace(control.published, replicas=replicas))
    answer = two.get("/v1/nodes/n2/readiness", status=503)
    assert 'no replica answers for node "n2" now' in answer.json["detail"]


def test_who_is_nobody_here_is_nobody_there(control: MemoryControl) -> None:
    control.publish(replace(control.published, replicas=Replicas("one", (ONE, TWO), "two")))
    closed = TestApp(make_app(control, Options(admin_sha256=sha256(ADMIN_TOKEN.encode()).hexdigest())))
    closed.post_json("/v1/networks", {"name": "green"}, status=401)
    assert control.forwarded == []


def test_an_administrator_without_a_token_goes_by_the_replicas_own(control: MemoryControl) -> None:
    control.publish(replace(control.published, replicas=Replicas("one", (ONE, TWO), "two")))
    app = TestApp(make_app(control, Options(open_administration=True, own_authorization="Bearer own")))
    app.post_json("/v1/networks", {"name": "green"}, status=201)
    assert dict(control.forwarded[0][1].headers)["Authorization"] == "Bearer own"


def test_nodes_are_told_all_living_replicas(two: TestApp) -> None:
    found = two.get("/v1/nodes/n1/configuration").json
    assert found["controllers"] == [ONE.openflow, TWO.openflow]
    assert found["api"] == [ONE.api, TWO.api]


def test_marks_are_waited_for(two: TestApp, control: MemoryControl) -> None:
    answer = two.get("/v1/in-force?marks=networks/red@12,connections/blue.red@0&wait=2")
    assert answer.json == {"late": []}
    assert control.asked_in_force == [((Mark("networks", "red", 12), Mark("connections", "blue.red", 0)), 2.0, None)]
    two.get("/v1/in-force?marks=&nodes=n1,n3.example")
    two.get("/v1/in-force?nodes=")
    assert control.asked_in_force[1:] == [((), 0.0, frozenset({"n1", "n3.example"})), ((), 0.0, frozenset())]


@pytest.mark.parametrize("marks", ["red", "networks/red", "networks/red@x", "/red@1", "networks/@1"])
def test_marks_that_are_none_are_refused(two: TestApp, marks: str) -> None:
    assert two.get(f"/v1/in-force?marks={marks}", status=400).json["path"] == "$.marks"


def test_what_another_replica_programs_is_no_fault_of_a_network(two: TestApp, control: MemoryControl) -> None:
    two.request("/v1/networks/red", method="GET")
    published = control.published
    switches = published.switches.set("n2", published.switches["n2"]._replace(phase=SwitchPhase.STANDBY))
    control.publish(replace(published, switches=switches, replicas=Replicas()))
    key = PortKey("n2", "c1", "eth0")
    for request in (ReportPort(key, "red", "a", "v1"), PortSeen("n2", "v1", 5)):
        control.submit(request)
    published = control.published
    behind = published.switches["n2"]._replace(phase=SwitchPhase.STANDBY, committed_revision=0)
    control.publish(
        replace(published, switches=published.switches.set("n2", behind), committed=published.committed.delete("n2"))
    )
    assert two.get("/v1/networks/red").json["phase"] == "Active"
    assert "another replica" in two.get("/v1/ports").json["ports"][0]["reason"]
