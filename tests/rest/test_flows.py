"""A switch's flows and traces of packets: in words, with owners, tables and counters."""

from __future__ import annotations

from typing import Any

import pytest
from webtest import TestApp

from tests.rest.control import MemoryControl
from tests.rest.test_resources import problem, report
from topology.requests import PortSeen

Json = dict[str, Any]


@pytest.fixture
def pods(network: TestApp, control: MemoryControl) -> TestApp:
    """Pods red/pod-a and blue/pod-b on n1, red/pod-c on n2, all of them programmed."""
    for node, container, project in (("n1", "a", "red"), ("n1", "b", "blue"), ("n2", "c", "red")):
        report(network, node, container, project=project)
        control.submit(PortSeen(node, f"v{container}", 10 + ord(container)))
    return network


def flows(app: TestApp, node: str = "n1") -> list[Json]:
    found: list[Json] = app.get(f"/v1/nodes/{node}/flows").json
    return found


def test_flows_have_names_owners_and_counters(pods: TestApp, control: MemoryControl) -> None:
    cookies = [entry.cookie for entry in control.published.committed["n1"].entries()]
    control.counted["n1"] = {cookie: (number, 100 * number) for number, cookie in enumerate(cookies)}
    found = flows(pods)
    assert len(found) == len(cookies)
    assert [flow["table"] for flow in found] == sorted(flow["table"] for flow in found)
    of_pod = [flow for flow in found if flow["owner"] == "port red/pod-a (a/eth0)"]
    ingress = next(flow for flow in of_pod if flow["table_name"] == "POD_INGRESS" and "ip," in flow["match"])
    assert ingress == {
        "table": 30,
        "table_name": "POD_INGRESS",
        "priority": 100,
        "match": ingress["match"],
        "actions": ingress["actions"],
        "cookie": ingress["cookie"],
        "feature": "PORTS",
        "owner": "port red/pod-a (a/eth0)",
        "state": "Installed",
        "packets": cookies.index(int(ingress["cookie"], 16)),
        "bytes": 100 * cookies.index(int(ingress["cookie"], 16)),
    }
    assert "in_port=107" in ingress["match"]
    assert "nw_src=10.128.0.2" in ingress["match"]
    assert "set_field:0xa->reg0" in ingress["actions"]
    assert len(ingress["cookie"]) == len("0x") + 16
    owners = {flow["owner"] for flow in found}
    assert {"base", "node", "network red", "network blue", "network default", "tunnel to n2"} <= owners


@pytest.mark.parametrize("failure", [TimeoutError("3 s are over"), ConnectionError("gone")])
def test_a_switch_that_does_not_tell_is_shown_without_counters(
    pods: TestApp, control: MemoryControl, failure: Exception
) -> None:
    control.counted["n1"] = failure
    assert {flow["packets"] for flow in flows(pods)} == {None}


def test_a_switch_that_is_away_is_not_asked(pods: TestApp, control: MemoryControl) -> None:
    control.counted["n1"] = AssertionError("asked")
    control.disconnect("n1")
    assert {flow["bytes"] for flow in flows(pods)} == {None}


def test_flows_on_their_way_are_told_apart(pods: TestApp, control: MemoryControl) -> None:
    assert {flow["state"] for flow in flows(pods)} == {"Installed"}
    control.stuck.add("n1")
    pods.post_json("/v1/connections", {"networks": ["red", "blue"]}, status=202)
    pods.delete("/v1/nodes/n1/ports/b/eth0", headers={"Authorization": "Bearer token-1-of-n1"})
    states = {(flow["owner"], flow["state"]) for flow in flows(pods)}
    assert ("connection blue/red", "Pending") in states
    # The port is known no more, its flows are.
    assert ("port b/eth0", "Leaving") in states
    assert ("port red/pod-a (a/eth0)", "Installed") in states


def test_flows_of_a_node_that_is_not_there(network: TestApp) -> None:
    assert problem(network.get("/v1/nodes/n9/flows", status=404))["subject"] == 'node "n9"'


# --- trace ---------------------------------------------------------------------------------------


def trace(app: TestApp, source: str, destination: str, query: str = "") -> Json:
    found: Json = app.get(f"/v1/trace?from={source}&to={destination}{query}").json
    return found


def test_a_packet_within_a_network_is_delivered(pods: TestApp) -> None:
    found = trace(pods, "red/pod-a", "red/pod-c")
    assert found["verdict"] == "delivered"
    assert found["at"]["node"] == "n2"
    assert found["reason"] == "to pod red/pod-c"
    assert [step["node"] for step in found["steps"]] == sorted(step["node"] for step in found["steps"])
    first = found["steps"][0]
    assert (first["node"], first["table"], first["table_name"], first["owner"]) == ("n1", 0, "DISPATCH", "base")
    assert found["steps"][-1]["table_name"] == found["at"]["table_name"]


def test_a_packet_to_another_network_is_dropped_until_they_are_joined(pods: TestApp) -> None:
    found = trace(pods, "red/pod-a", "blue/pod-b", "&protocol=tcp&port=8080")
    assert (found["verdict"], found["at"]["table_name"], found["at"]["owner"]) == ("dropped", "DELIVERY", "base")
    assert found["steps"][-1]["actions"] == "drop"
    pods.post_json("/v1/connections", {"networks": ["red", "blue"]})
    assert trace(pods, "red/pod-a", "blue/pod-b")["verdict"] == "delivered"


@pytest.mark.parametrize(
    ("destination", "reason"),
    [("198.51.100.1", "to the outside"), ("10.128.0.1", "to the node itself"), ("192.0.2.11", "to the node itself")],
)
def test_a_packet_that_leaves_is_sent(pods: TestApp, destination: str, reason: str) -> None:
    found = trace(pods, "red/pod-a", destination)
    assert (found["verdict"], found["reason"], found["at"]["node"]) == ("sent", reason, "n1")


def test_a_guarded_port_is_dropped(pods: TestApp) -> None:
    found = trace(pods, "red/pod-a", "192.0.2.12", "&protocol=udp&port=4789")
    assert (found["verdict"], found["at"]["table_name"]) == ("dropped", "NODE_GUARD")
    assert found["at"]["owner"].startswith("guard")


def test_a_pod_reaches_itself(pods: TestApp) -> None:
    found = trace(pods, "red/pod-a", "red/pod-a")
    assert (found["verdict"], found["steps"]) == ("delivered", [])
    assert found["at"] == {"node": "n1", "table": None, "table_name": None, "owner": None}


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("from=red/nobody&to=red/pod-c", 404, 'pod "red/nobody"'),
        ("from=red/pod-a&to=red/nobody", 404, 'pod "red/nobody"'),
        ("from=pod-a&to=red/pod-c", 422, "PROJECT/POD"),
        ("from=red/pod-a&to=nowhere", 422, "neither a pod nor an IP address"),
        ("from=red/pod-a&to=2001:db8::1", 422, "no IPv6 address"),
        ("from=red/pod-a", 400, "$.to"),
        ("from=red/pod-a&to=red/pod-c&protocol=gre", 400, "$.protocol"),
        ("from=red/pod-a&to=red/pod-c&port=0", 400, "$.port"),
    ],
)
def test_a_trace_is_refused(pods: TestApp, query: str, status: int, said: str) -> None:
    assert said in problem(pods.get(f"/v1/trace?{query}", status=status))["detail"]


def test_a_pod_that_is_not_on_its_switch_yet(network: TestApp) -> None:
    report(network, "n1", "late")
    told = problem(network.get("/v1/trace?from=red/pod-late&to=198.51.100.1", status=404))
    assert "not on its switch yet" in told["cause"]
