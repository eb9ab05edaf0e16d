"""Multicast over HTTP: switched on and off, told by nodes of their own ports, shown; and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from webtest import TestApp

from tests.rest.test_resources import Json, problem, report

AT = "/v1/networks/red/groups"
NODE = "/v1/nodes/n1/groups"


@pytest.fixture
def joined(network: TestApp) -> TestApp:
    """Red has multicast, and its pod c1 on n1 has joined two groups."""
    assert network.patch_json("/v1/networks/red", {"multicast": True}).json["multicast"] is True
    report(network, "n1", "c1")
    network.put_json(NODE, members(network), status=204)
    return network


def members(network: TestApp, *groups: str) -> Json:
    (port,) = network.get("/v1/ports").json["ports"]
    return {"members": [{"interface": port["host_interface"], "groups": list(groups or ("239.1.1.2", "239.1.1.1"))}]}


def shown(network: TestApp) -> dict[str, list[str]]:
    found = network.get(AT).json["groups"]
    return {group["group"]: [f"{each['pod']} {each['node']}" for each in group["members"]] for group in found}


def test_who_has_joined_is_shown_until_the_node_says_otherwise(joined: TestApp) -> None:
    (port,) = joined.get("/v1/ports").json["ports"]
    pod = f"{port['project']}/{port['pod']} n1"
    assert shown(joined) == {"239.1.1.1": [pod], "239.1.1.2": [pod]}
    assert joined.get(AT).json["heard_in"] == ["red"]
    joined.put_json(NODE, members(joined, "239.1.1.2"), status=204)
    assert shown(joined) == {"239.1.1.2": [pod]}
    joined.put_json(NODE, {"members": []}, status=204)
    assert shown(joined) == {}


def test_its_node_is_told_whom_to_listen_to(joined: TestApp) -> None:
    (port,) = joined.get("/v1/ports").json["ports"]
    at = "/v1/nodes/n1/configuration"
    before = joined.get(at).json
    assert before["multicast"] == [port["host_interface"]]
    joined.patch_json("/v1/networks/red", {"multicast": False})
    later = joined.get(at).json
    assert later["multicast"] == []
    assert later["revision"] != before["revision"]
    assert joined.get(AT).json == {"network": "red", "multicast": False, "heard_in": [], "groups": []}


def test_of_others_ports_a_node_says_nothing(joined: TestApp) -> None:
    before = shown(joined)
    joined.put_json("/v1/nodes/n2/groups", members(joined, "239.1.1.7"), status=204)
    assert shown(joined) == before


@pytest.mark.parametrize(
    ("group", "status", "said"),
    [
        ("224.0.0.251", 422, "reserved"),
        ("192.0.2.1", 422, "no group"),
        ("ff05::1:3", 422, "MLD"),
        ("239.1.1", 422, "239.1.1"),
        (5, 400, "$.members"),
    ],
)
def test_groups_that_nobody_can_join_are_refused(joined: TestApp, group: Any, status: int, said: str) -> None:
    before = shown(joined)
    told = problem(joined.put_json(NODE, members(joined, group), status=status))
    assert said in told["detail"] + told["remedy"]
    assert shown(joined) == before


def test_more_than_there_may_be_and_the_same_twice_are_refused(joined: TestApp) -> None:
    many = members(joined, *(f"239.1.2.{number}" for number in range(65)))
    assert "$.members" in problem(joined.put_json(NODE, many, status=400))["detail"]
    twice = {"members": members(joined)["members"] * 2}
    assert "twice" in problem(joined.put_json(NODE, twice, status=422))["detail"]
    problem(joined.put_json("/v1/nodes/n9/groups", {"members": []}, status=404))
    problem(joined.get("/v1/networks/pink/groups", status=404))


def test_one_thing_is_changed_at_a_time(network: TestApp) -> None:
    for body in ({"multicast": True, "dscp": 1}, {"multicast": True, "global": True}):
        assert "one thing" in problem(network.patch_json("/v1/networks/red", body, status=422))["detail"]
    assert "$.multicast" in problem(network.patch_json("/v1/networks/red", {"multicast": 1}, status=400))["detail"]
    problem(network.patch_json("/v1/networks/default", {"multicast": True}, status=409))
