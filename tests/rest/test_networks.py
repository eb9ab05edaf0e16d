"""Networks with ranges of their own, and connections with scopes: made, shown, used by pods, refused."""

from __future__ import annotations

from typing import Any

import pytest
from webtest import TestApp

from tests.rest.control import MemoryControl
from tests.rest.test_resources import EVERYTHING, Json, bearer, problem, report
from topology.admission import admit
from topology.requests import CreateNetwork, PortSeen, Refused, ReleaseAddresses
from topology.snapshot import empty

SUBNET = {"name": "default", "cidr": "10.0.0.0/24", "gateway": "10.0.0.1"}
WEB = {"protocol": "TCP", "port": 80}
DNS = {"protocol": "UDP", "port": 53}


def make(app: TestApp, name: str, **fields: Any) -> Json:
    made: Json = app.post_json("/v1/networks", {"name": name, "projects": [name], **fields}, status=201).json
    return made


@pytest.fixture
def tenants(network: TestApp) -> TestApp:
    """The small network with two more, east and west, that both have 10.0.0.0/24 for their own."""
    for name in ("east", "west"):
        make(network, name, subnets=[{"cidr": "10.0.0.0/24"}])
    return network


# --- subnets -------------------------------------------------------------------------------------


def test_a_network_has_the_subnets_it_was_given(network: TestApp) -> None:
    made = make(network, "east", subnets=[{"cidr": "10.0.0.0/24"}], flat=True, mtu=1400)
    expected = {
        "name": "east",
        "vnid": 12,
        "global": False,
        "space": 12,
        "subnets": [SUBNET],
        "flat": True,
        "mtu": 1400,
        "dscp": None,
        "multicast": False,
        "provider": "heddle",
        "phase": "Active",
        "projects": ["east"],
        "nodes": [],
        "ports": 0,
        "outdated": 0,
    }
    assert made == {**expected, "late": []}
    detail = network.get("/v1/networks/east").json
    conditions = detail.pop("conditions")
    assert [one["type"] for one in conditions] == ["Programmed", "AddressesAvailable", "Moving", "Terminating"]
    assert detail == {**expected, "blocks": []}
    assert expected in network.get("/v1/networks").json["networks"]
    assert expected in network.get("/v1/topology").json["networks"]


def test_subnets_get_names_and_gateways(network: TestApp) -> None:
    asked = [{"cidr": "10.0.0.0/24"}, {"cidr": "10.0.1.0/24", "name": "office", "gateway": "10.0.1.254"}]
    body = {"name": "east", "subnets": asked}
    first = network.post_json("/v1/networks", body, status=201).json
    assert first["subnets"] == [
        {"name": "s1", "cidr": "10.0.0.0/24", "gateway": "10.0.0.1"},
        {"name": "office", "cidr": "10.0.1.0/24", "gateway": "10.0.1.254"},
    ]
    assert network.post_json("/v1/networks", body, status=200).json == first
    other = network.post_json("/v1/networks", {"name": "east", "subnets": asked[:1]}, status=409)
    assert 'network "east": exists already' in problem(other)["detail"]


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"subnets": [{"cidr": "10.0.0.1/24"}]}, 422, "$.subnets[0].cidr"),
        ({"subnets": [{"cidr": "10.0.0.0/24"}, {"cidr": "10.1.0.0/33"}]}, 422, "$.subnets[1].cidr"),
        ({"subnets": [{"cidr": "10.0.0.0"}]}, 400, "a CIDR such as"),
        ({"subnets": [{"cidr": "10.0.0.0/24", "gateway": "10.0.0.300"}]}, 422, "$.subnets[0].gateway"),
        ({"subnets": [{"cidr": "10.0.0.0/24", "gateway": "10.0.1.1"}]}, 422, "gateway 10.0.1.1"),
        ({"subnets": [{"cidr": "10.0.0.0/24", "gateway": "10.0.0.255"}]}, 422, "gateway 10.0.0.255"),
        ({"subnets": [{"cidr": "10.0.0.0/24", "gateway": "2001:db8::1"}]}, 422, "gateway 2001:db8::1"),
        ({"subnets": [{"cidr": "10.0.0.0/24", "name": "No Name"}]}, 400, "$.subnets[0].name"),
        ({"subnets": [{"cidr": "10.0.0.0/24", "pool": 1}]}, 400, "$.subnets[0].pool"),
        ({"subnets": [{"name": "a"}]}, 400, "$.subnets[0].cidr"),
        ({"subnets": [{"cidr": "10.0.0.0/31"}]}, 422, "10.0.0.0/31"),
        ({"subnets": [{"cidr": "10.0.0.5/32"}]}, 422, "10.0.0.5/32"),
        ({"subnets": [{"cidr": "2001:db8::/64"}]}, 422, "not IPv4"),
        ({"subnets": [{"cidr": "2001:db8::1/128"}]}, 422, "not IPv4"),
        ({"subnets": [{"cidr": "224.0.0.0/24"}]}, 422, "224.0.0.0/24"),
        ({"subnets": [{"cidr": "127.0.0.0/24"}]}, 422, "127.0.0.0/24"),
        ({"subnets": [{"cidr": "10.128.0.0/24"}]}, 409, "10.128.0.0/14"),
        ({"subnets": [{"cidr": "172.30.1.0/24"}]}, 409, "172.30.0.0/16"),
        ({"subnets": [{"cidr": "0.0.0.0/0"}]}, 422, "0.0.0.0/0"),
        ({"subnets": [{"cidr": "126.0.0.0/7"}]}, 422, "127.0.0.0/8"),
        ({"subnets": [{"cidr": "192.0.0.0/2"}]}, 422, "224.0.0.0/3"),
        ({"subnets": [{"cidr": "169.254.1.0/24"}]}, 422, "169.254.0.0/16"),
        ({"subnets": [{"cidr": "10.0.0.0/24"}, {"cidr": "10.0.0.128/25"}]}, 422, "overlap"),
        ({"subnets": [{"cidr": "10.0.0.0/24"}, {"cidr": "10.0.0.0/24"}]}, 422, "overlap"),
        (
            {"subnets": [{"cidr": "10.0.0.0/24", "name": "a"}, {"cidr": "10.0.1.0/24", "name": "a"}]},
            422,
            'two subnets are called "a"',
        ),
        ({"subnets": [{"cidr": "10.0.0.0/24"}] * 65}, 400, "$.subnets"),
        ({"subnets": {"cidr": "10.0.0.0/24"}}, 400, "$.subnets"),
        ({"flat": True}, 422, "only a network with subnets"),
        ({"flat": "yes"}, 400, "$.flat"),
        ({"mtu": 575}, 400, "$.mtu"),
        ({"mtu": 65536}, 400, "$.mtu"),
        ({"mtu": 1400.5}, 400, "$.mtu"),
        ({"dscp": 64}, 400, "$.dscp"),
        ({"zone": 16}, 400, "$.zone"),
        ({"space": 0}, 400, "$.space"),
    ],
)
def test_a_network_with_such_fields_is_refused(
    network: TestApp, control: MemoryControl, fields: Json, status: int, said: str
) -> None:
    before = control.published
    told = problem(network.post_json("/v1/networks", {"name": "east", **fields}, status=status))
    assert said in told["detail"]
    assert told["remedy"]
    assert control.published is before


@pytest.mark.parametrize(("mtu", "good"), [(575, False), (576, True), (65535, True), (65536, False)])
def test_the_schema_has_the_core_s_bounds_of_the_mtu(app: TestApp, mtu: int, good: bool) -> None:
    app.post_json("/v1/networks", {"name": "east", "mtu": mtu}, status=201 if good else 400)
    if good:
        assert admit(empty(), CreateNetwork("east", mtu=mtu))
    else:
        with pytest.raises(Refused):
            admit(empty(), CreateNetwork("east", mtu=mtu))


def test_a_vnid_does_not_come_back_at_once(app: TestApp) -> None:
    given = []
    for name in ("red", "blue", "red"):
        given.append(app.post_json("/v1/networks", {"name": name}, status=201).json["vnid"])
        app.delete(f"/v1/networks/{name}", status=204)
    assert given == [10, 11, 12]


def test_a_vnid_that_was_asked_for_does_not_come_back_at_once_either(app: TestApp) -> None:
    for asked, allotted in ((10, 11), ((1 << 24) - 1, 12)):
        app.post_json("/v1/networks", {"name": "red", "vnid": asked}, status=201)
        app.delete("/v1/networks/red", status=204)
        assert app.post_json("/v1/networks", {"name": f"after-{asked}"}, status=201).json["vnid"] == allotted


# --- pods ----------------------------------------------------------------------------------------


def test_a_pod_gets_an_address_of_its_network_and_a_cluster_address(network: TestApp) -> None:
    make(network, "east", subnets=[{"cidr": "10.0.0.0/24", "gateway": "10.0.0.254"}], mtu=1400)
    given = report(network, "n1", "c1", project="east")
    assert given == {
        "network": "east",
        "vnid": 12,
        "mac": "0a:58:0a:00:00:01",
        "addresses": [{"address": "10.0.0.1/24", "gateway": "10.0.0.254"}],
        "cluster_addresses": ["10.128.0.2"],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.254"}],
        "mtu": 1400,
        "others": [],
        "phase": "Pending",
    }
    assert report(network, "n1", "c1", status=200, project="east") == given
    shown = network.get("/v1/nodes/n1/ports/c1/eth0").json
    assert {name: shown[name] for name in given} == given
    assert shown["space"] == 12
    assert network.get("/v1/networks/east").json["blocks"] == [{"prefix": "10.0.0.0/28", "node": "n1"}]


def test_two_tenants_have_one_address_on_one_node(tenants: TestApp) -> None:
    first, second = (report(tenants, "n1", name, project=name) for name in ("east", "west"))
    assert first["addresses"] == second["addresses"] == [{"address": "10.0.0.2/24", "gateway": "10.0.0.1"}]
    assert (first["cluster_addresses"], second["cluster_addresses"]) == (["10.128.0.2"], ["10.128.0.3"])


def test_a_full_network_is_told_apart_from_a_full_node(network: TestApp) -> None:
    make(network, "tiny", subnets=[{"cidr": "10.0.0.0/30"}])
    report(network, "n1", "c1", project="tiny")
    full = report(network, "n1", "c2", project="tiny", status=507)
    assert full["subject"] == 'network "tiny"'
    assert "10.0.0.0/30" in full["cause"]
    assert network.get("/v1/nodes/n1/readiness").json["ready"] is True


def test_a_block_goes_back_when_its_last_address_leaves_quarantine(tenants: TestApp, control: MemoryControl) -> None:
    report(tenants, "n1", "c1", project="east")
    tenants.delete("/v1/nodes/n1/ports/c1/eth0", headers=bearer("token-1-of-n1"), status=204)
    assert len(tenants.get("/v1/networks/east").json["blocks"]) == 1
    control.submit(ReleaseAddresses(tuple(control.published.snapshot.quarantined)))
    assert tenants.get("/v1/networks/east").json["blocks"] == []


# --- connections ---------------------------------------------------------------------------------


def join(app: TestApp, *networks: str, status: int = 201, **scopes: Any) -> Json:
    made: Json = app.post_json("/v1/connections", {"networks": list(networks), **scopes}, status=status).json
    return made


def test_scopes_follow_the_order_in_which_networks_are_named(network: TestApp) -> None:
    only_web = {"services_only": False, "ports": [WEB]}
    assert join(network, "red", "blue", forward={"ports": [WEB]}, backward=None) == {
        "networks": ["blue", "red"],
        "forward": None,
        "backward": only_web,
        "translations": [],
        "late": [],
    }
    shown = {"networks": ["blue", "red"], "forward": None, "backward": only_web, "translations": []}
    assert network.get("/v1/connections/red/blue").json == shown
    assert network.get("/v1/connections").json == {"connections": [shown]}
    assert network.get("/v1/topology").json["connections"] == [shown]
    join(network, "blue", "red", forward=None, backward={"ports": [WEB]}, status=200)
    assert network.get("/v1/connections/red/blue").json == shown


def test_a_connection_asked_for_again_with_other_scopes_is_changed(network: TestApp, control: MemoryControl) -> None:
    join(network, "blue", "red", forward={"services_only": True})
    assert network.get("/v1/connections/blue/red").json["forward"] == {"services_only": True, "ports": []}
    join(network, "blue", "red", forward={"ports": [DNS, WEB]}, status=200)
    before = control.published
    join(network, "blue", "red", forward={"ports": [WEB, DNS]}, status=200)
    assert control.published is before
    assert network.get("/v1/connections/blue/red").json["forward"]["ports"] == [WEB, DNS]
    assert join(network, "blue", "red", forward={}, status=200)["forward"] == EVERYTHING


@pytest.mark.parametrize(
    ("scopes", "status", "said"),
    [
        ({"forward": None, "backward": None}, 422, "isolate them instead"),
        ({"forward": {"services_only": True, "ports": [WEB]}}, 422, "for services only and for ports"),
        ({"backward": {"ports": [WEB, WEB]}}, 422, "named twice"),
        ({"forward": {"ports": [{"protocol": "ICMP", "port": 80}]}}, 400, "$.forward.ports[0].protocol"),
        ({"forward": {"ports": [{"protocol": "TCP", "port": 0}]}}, 400, "$.forward.ports[0].port"),
        ({"backward": {"ports": [{"protocol": "TCP", "port": 65536}]}}, 400, "$.backward.ports[0].port"),
        ({"backward": {"ports": [{"port": 80}]}}, 400, "$.backward.ports[0].protocol"),
        ({"forward": {"port": [WEB]}}, 400, "$.forward.port"),
        ({"forward": {"ports": [WEB] * 1001}}, 400, "$.forward.ports"),
        ({"forward": True}, 400, "$.forward"),
        ({"onward": None}, 400, "$.onward"),
    ],
)
def test_a_scope_is_refused(network: TestApp, control: MemoryControl, scopes: Json, status: int, said: str) -> None:
    before = control.published
    body = {"networks": ["red", "blue"], **scopes}
    assert said in problem(network.post_json("/v1/connections", body, status=status))["detail"]
    assert control.published is before


def test_networks_whose_ranges_overlap_are_not_joined(tenants: TestApp, control: MemoryControl) -> None:
    before = control.published
    told = problem(tenants.post_json("/v1/connections", {"networks": ["west", "east"]}, status=409))
    assert "10.0.0.0/24" in told["cause"]
    assert control.published is before
    join(tenants, "east", "red")


TRANSLATIONS = [
    {"network": "east", "cidr": "10.0.0.0/24", "seen_as": "100.64.0.0/24"},
    {"network": "west", "cidr": "10.0.0.0/24", "seen_as": "100.64.1.0/24"},
]


def test_networks_whose_ranges_overlap_are_joined_with_translation(tenants: TestApp, control: MemoryControl) -> None:
    body = {"networks": ["west", "east"]}
    assert "translated: true" in problem(tenants.post_json("/v1/connections", body, status=409))["remedy"]
    assert join(tenants, "west", "east", translated=True)["translations"] == TRANSLATIONS
    before = control.published
    join(tenants, "east", "west", translated=True, status=200)
    assert control.published is before
    assert join(tenants, "east", "west", backward=None, status=200)["translations"] == TRANSLATIONS
    assert tenants.get("/v1/connections/west/east").json["translations"] == TRANSLATIONS


def test_addresses_and_traces_show_what_a_pod_is_elsewhere(tenants: TestApp, control: MemoryControl) -> None:
    join(tenants, "west", "east", translated=True)
    for number, name in enumerate(("east", "west"), 7):
        report(tenants, "n1", f"c{number}", project=name, pod=name, host_interface=f"v{number}")
        control.submit(PortSeen("n1", f"v{number}", number))
    shown = {
        entry["network"]: entry["translated"]
        for entry in tenants.get("/v1/addresses").json["addresses"]
        if entry["space"]
    }
    assert shown == {
        "east": [{"network": "west", "address": "100.64.0.2"}],
        "west": [{"network": "east", "address": "100.64.1.2"}],
    }
    for source, destination, dialled in (("east", "west", "100.64.1.2"), ("west", "east", "100.64.0.2")):
        walk = tenants.get(f"/v1/trace?from={source}/{source}&to={destination}/{destination}").json
        assert (walk["verdict"], walk["destination"]) == ("delivered", dialled)
        assert walk["reason"] == f"to pod {destination}/{destination}"


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"networks": ["east", "red"]}, 422, 'network "red" has no range of its own'),
        ({"networks": ["east", "west"], "translated": "yes"}, 400, "$.translated"),
        ({"networks": ["east", "west"], "translations": TRANSLATIONS}, 400, "$.translations"),
    ],
)
def test_a_translation_is_refused(
    tenants: TestApp, control: MemoryControl, fields: Json, status: int, said: str
) -> None:
    before = control.published
    told = problem(tenants.post_json("/v1/connections", {"translated": True, **fields}, status=status))
    assert said in told["detail"]
    assert control.published is before


def test_joining_the_built_in_network_is_granted_and_kept_nowhere(network: TestApp) -> None:
    made = join(network, "red", "default", status=200)
    assert (made["forward"], made["backward"]) == (EVERYTHING, EVERYTHING)
    network.get("/v1/connections/red/default", status=404)


def test_a_trace_follows_scopes_and_spaces(tenants: TestApp, control: MemoryControl) -> None:
    make(tenants, "north", subnets=[{"cidr": "10.1.0.0/24"}])
    for number, (node, name) in enumerate((("n1", "east"), ("n2", "north"), ("n2", "red"), ("n1", "west")), 10):
        report(tenants, node, name, project=name, pod="a")
        control.submit(PortSeen(node, f"v{name}", number))

    def verdict(source: str, destination: str, query: str = "") -> tuple[str, str]:
        found = tenants.get(f"/v1/trace?from={source}/a&to={destination}/a{query}").json
        return found["verdict"], found["reason"]

    assert verdict("east", "north")[0] == "dropped"
    join(tenants, "east", "north", forward={"ports": [WEB]}, backward=None)
    join(tenants, "east", "red")
    assert verdict("east", "north", "&protocol=tcp&port=80") == ("delivered", "to pod north/a")
    assert verdict("east", "north", "&protocol=tcp&port=81")[0] == "dropped"
    assert verdict("north", "east", "&protocol=tcp&port=80")[0] == "dropped"
    assert verdict("red", "east") == ("delivered", "to pod east/a")
    assert verdict("east", "red") == ("delivered", "to pod red/a")
    assert verdict("west", "east")[0] == "dropped"


def test_flows_of_spaces_have_owners_in_words(tenants: TestApp, control: MemoryControl) -> None:
    join(tenants, "east", "red", forward={}, backward=None)
    report(tenants, "n1", "c1", project="east")
    control.submit(PortSeen("n1", "vc1", 10))
    owners = {flow["owner"] for flow in tenants.get("/v1/nodes/n1/flows").json}
    assert {"address space of east", "address block east/10.0.0.0/28", "tracking of east"} <= owners
