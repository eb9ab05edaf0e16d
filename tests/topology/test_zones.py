"""Endpoints with hints for zones: whom they serve on which node, what a change costs, and that a mistake is found."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from tests.topology.asking import endpoints, node, service
from tests.topology.states import states
from tests.topology.strategies import after
from topology import requests
from topology.admission import admit
from topology.compiler import SectionKey, Tables, compile_all, update
from topology.model import Endpoint, EndpointSlice, NamedPort, Node, Project, Service, ServiceKey, SliceKey
from topology.pipeline import FeatureId
from topology.requests import Reason, Refused, Request
from topology.snapshot import Put, Snapshot, apply_all, empty
from topology.targets import differs_by_node, targets
from topology.trace import Fabric, trace_pods
from topology.verification import Step, check, prove
from topology.verification.endpoints import Offer, eligible

WEB = Service(ServiceKey("red", "web"), IPv4Address("172.30.0.10"), (NamedPort("TCP", 80, "http", 30080),))
A, B, C = (IPv4Address(f"10.128.0.{last}") for last in (2, 3, 4))
OF_A, OF_B = ("zone-a",), ("zone-b",)
GOING = {"ready": False, "serving": True, "terminating": True}


def one_node(zone: str) -> Node:
    return Node("n1", 1, IPv4Address("192.0.2.11"), (), zone=zone)


def found(
    *those: Endpoint, service: Service = WEB, zone: str = "zone-a", by_node_port: bool = False
) -> list[IPv4Address]:
    """Return whom a client on a node of a zone is led to; the verifier says the same."""
    ports = (NamedPort("TCP", 8080, "http"),)
    # Each in a slice of its own: that all have hints is said of the service.
    of = [EndpointSlice(SliceKey("red", f"web-{n}"), "web", ports, (each,)) for n, each in enumerate(those)]
    snapshot = apply_all(empty(), tuple(map(Put, (Project("red", "default"), one_node(zone), service, *of))))[0]
    there = targets(service, service.ports[0], snapshot, "n1", from_outside=by_node_port)
    offer = Offer(service, service.ports[0], snapshot.networks["default"], by_node_port)
    assert eligible(offer, snapshot, "n1") == {tuple(each) for each in there}
    return [target.address for target in there]


def test_clients_have_the_endpoints_of_their_zone() -> None:
    of_both = Endpoint(C, zones=("zone-a", "zone-b"))
    assert found(Endpoint(A, zones=OF_A), Endpoint(B, zones=OF_B), of_both) == [A, C]
    assert found(Endpoint(A, zones=OF_A), Endpoint(B, zones=OF_B), of_both, zone="zone-b") == [B, C]


def test_and_so_has_who_comes_by_a_node_port() -> None:
    assert found(Endpoint(A, zones=OF_A), Endpoint(B, zones=OF_B), by_node_port=True) == [A]


@pytest.mark.parametrize(
    ("those", "zone"),
    [
        ((Endpoint(A, zones=OF_A), Endpoint(B)), "zone-a"),  # one without a hint
        ((Endpoint(A, zones=OF_A), Endpoint(B, zones=OF_B)), ""),  # a node without a zone
        ((Endpoint(A, zones=OF_A), Endpoint(B, zones=OF_B)), "zone-c"),  # none for this zone
        ((Endpoint(A), Endpoint(B)), "zone-a"),
    ],
)
def test_otherwise_they_have_all(those: tuple[Endpoint, ...], zone: str) -> None:
    assert found(*those, zone=zone) == [A, B]


def test_only_those_count_that_are_ready() -> None:
    down = Endpoint(C, ready=False, serving=False)
    assert found(Endpoint(A, zones=OF_A), Endpoint(B, zones=OF_B), down) == [A], "a hint is not missed there"
    gone = Endpoint(A, ready=False, serving=False, zones=OF_A)
    assert found(gone, Endpoint(B, zones=OF_B), Endpoint(C, zones=OF_B)) == [B, C], "the zone has none any more"
    known = replace(WEB, publish_not_ready=True)
    assert found(gone, Endpoint(B, zones=OF_B), service=known) == [A]


def test_those_that_go_away_serve_all_zones() -> None:
    assert found(Endpoint(A, zones=OF_A, **GOING), Endpoint(B, zones=OF_B, **GOING)) == [A, B]
    assert found(Endpoint(A, zones=OF_A, **GOING), Endpoint(B, zones=OF_B)) == [B]


def test_the_clients_own_node_comes_before_its_zone() -> None:
    local = replace(WEB, internal_local=True)
    here, there = Endpoint(A, "n1", zones=OF_B), Endpoint(B, "n2", zones=OF_A)
    assert found(here, there, service=local) == [A]
    assert found(here, there, service=local, by_node_port=True) == [B], "that is for clients in the cluster"


# --- on nodes ------------------------------------------------------------------------------------

ZONES = "endpoints for the zones of two nodes"
KEY = ServiceKey("red", "api")
PORTS = (NamedPort("TCP", 8443, "tcp-443"), NamedPort("UDP", 53, "udp-53"))


def step(snapshot: Snapshot, tables: Tables, *asked: Request) -> tuple[Snapshot, Tables, dict[str, set[SectionKey]]]:
    """Return what is after requests, by the incremental way, and the sections of services that it computed anew."""
    before, dirty = snapshot, dict[str, set[SectionKey]]()
    later, changes = apply_all(before, tuple(event for each in asked for event in admit(before, each)))
    now, anew = update(tables, changes, before, later)
    assert now == compile_all(later)
    assert check(Step(changes, before, later, tables, now, anew)) == ()
    assert all(not proof.findings for proof in prove(later, now))
    for name, keys in anew.items():
        dirty[name] = {key for key in keys if key.feature == FeatureId.SERVICES}
    return later, now, dirty


def hinted(*addresses: str, zones: tuple[str, ...] = (), number: int = 1) -> requests.PutEndpoints:
    return endpoints(*addresses, key=SliceKey("red", f"api-{number}"), ports=PORTS, zones=zones)


def sections(snapshot: Snapshot, tables: Tables, name: str) -> dict[SectionKey, object]:
    return {key: made for key, made in tables[name].sections.items() if key.feature == FeatureId.SERVICES}


def test_a_change_of_hints_costs_its_service_and_no_other() -> None:
    snapshot = states()[ZONES]
    own, common = SectionKey(int(FeatureId.SERVICES), (*KEY, "on each node")), SectionKey(int(FeatureId.SERVICES), KEY)
    later, tables, dirty = step(snapshot, compile_all(snapshot), hinted("10.128.0.2", zones=("zone-b",)))
    assert dirty == {"n1": {own}, "n2": {own}}
    # The last hint goes, then the first one comes: from nodes' own to what is common, and back.
    later, tables, dirty = step(later, tables, requests.DeleteEndpoints(SliceKey("red", "api-2")))
    assert dirty == {"n1": {own}, "n2": {own}}
    later, tables, dirty = step(later, tables, hinted("10.128.0.2"))
    assert not differs_by_node(KEY, later)
    assert dirty == {"n1": {own, common}, "n2": {own, common}}
    assert common in tables["n1"].sections
    later, tables, dirty = step(later, tables, hinted("10.128.0.2", zones=OF_A))
    assert differs_by_node(KEY, later)
    assert own in tables["n1"].sections
    assert common not in tables["n1"].sections
    later, tables, dirty = step(later, tables, requests.SetZone("n2", "zone-a"))
    assert {name: keys for name, keys in dirty.items() if keys} == {"n2": {own}}, (
        "one node stands elsewhere, and the others where they stood"
    )


def test_slices_that_pass_from_one_service_to_another_take_their_hints_along() -> None:
    start = after(states()[ZONES], service("172.30.0.40", ("TCP", 443), key=ServiceKey("red", "web")))
    moved = replace(hinted("10.128.0.2", zones=OF_A).slice, service="web")
    again = replace(hinted("10.128.2.9", zones=OF_B, number=2).slice, service="web")
    tables = compile_all(start)
    snapshot, tables, _ = step(start, tables, requests.PutEndpoints(moved), requests.PutEndpoints(again))
    assert (differs_by_node(KEY, snapshot), differs_by_node(ServiceKey("red", "web"), snapshot)) == (False, True)
    snapshot, tables, _ = step(snapshot, tables, requests.DeleteService(ServiceKey("red", "web")))
    assert not differs_by_node(ServiceKey("red", "web"), snapshot)


def test_nodes_of_one_zone_hold_one_section() -> None:
    more = (node("n3", "192.0.2.13"), requests.SetZone("n3", "zone-b"), node("n4", "192.0.2.14", zone="zone-a"))
    snapshot = after(states()[ZONES], *more)
    tables = compile_all(snapshot)
    own = SectionKey(int(FeatureId.SERVICES), (*KEY, "on each node"))
    of = {name: tables[name].sections[own] for name in tables}
    assert of["n1"] is of["n4"]
    assert of["n2"] is of["n3"]
    assert of["n1"] != of["n2"]


def test_another_zones_endpoints_are_found_by_the_proof() -> None:
    snapshot = states()[ZONES]
    tables = compile_all(snapshot)
    # As they would be if the node stood elsewhere, and as they would be if nobody looked at hints.
    for zone in ("zone-a", ""):
        other = compile_all(after(snapshot, requests.SetZone("n2", zone)))
        assert other["n2"] != tables["n2"]
        wrong = tables.set("n2", other["n2"])
        told = {proof.node for proof in prove(snapshot, wrong) if proof.findings}
        assert told == {"n2"}
    # And if the compiler took it for the same on all nodes.
    rest = endpoints("10.128.2.9", "203.0.113.9", key=SliceKey("red", "api-2"), ports=PORTS[:1])
    plain = compile_all(after(snapshot, hinted("10.128.0.2"), rest))
    assert {proof.node for proof in prove(snapshot, plain) if proof.findings} == {"n1", "n2"}


def test_what_is_forgotten_by_an_update_is_found_by_its_check() -> None:
    """A node that stands elsewhere from now on, and endpoints with other hints, for which nothing was computed."""
    snapshot = states()[ZONES]
    tables = compile_all(snapshot)
    for asked in (requests.SetZone("n2", "zone-a"), hinted("10.128.0.2", zones=("zone-b",)), hinted("10.128.0.2")):
        later, changes = apply_all(snapshot, admit(snapshot, asked))
        assert check(Step(changes, snapshot, later, tables, tables, {})), asked


def test_a_trace_ends_in_the_zone_of_the_client() -> None:
    """At the one endpoint that is for it: on the client's own node, and on the other one if zones are exchanged."""
    near = after(
        states()["services with endpoints"],
        requests.SetZone("n1", "zone-a"),
        requests.SetZone("n2", "zone-b"),
        requests.SetGlobal("blue", True),
        hinted("10.128.0.2", zones=OF_A),
        hinted("10.128.2.2", zones=OF_B, number=2),
    )
    far = after(near, requests.SetZone("n1", "zone-b"), requests.SetZone("n2", "zone-a"))
    clients = [port for port in near.ports.values() if port.project == "blue"]
    assert {port.node for port in clients} == {"n2"}
    for snapshot, node_ in ((near, "n2"), (far, "n1")):
        fabric = Fabric(snapshot, compile_all(snapshot))
        for port in clients:
            assert trace_pods(fabric, port, IPv4Address("172.30.0.20"), "TCP", 443).outcome.node == node_


# --- at the door ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (requests.SetZone("n9", "zone-a"), 'node "n9"'),
        (requests.SetZone("n1", "zone a"), 'node "n1": zone "zone a" is no label\'s value'),
        (requests.SetZone("n1", "z" * 64), "is longer than 63 characters"),
        (node(zone="-a"), 'zone "-a" is no label\'s value'),
        (hinted("10.128.0.2", zones=("",)), 'zone "" of endpoint 10.128.0.2 is empty'),
        (hinted("10.128.0.2", zones=("a/b",)), 'zone "a/b" of endpoint 10.128.0.2 is no label\'s value'),
        (hinted("10.128.0.2", zones=tuple("abcdefghi")), "endpoint 10.128.0.2 is for 9 zones; give at most 8"),
    ],
)
def test_what_is_no_zone_is_refused(request_: Request, said: str) -> None:
    snapshot = states()[ZONES]
    with pytest.raises(Refused) as refused:
        admit(snapshot, request_)
    assert said in str(refused.value)
    assert refused.value.reason in (Reason.INVALID, Reason.UNKNOWN)


def test_a_node_is_registered_with_its_zone_once() -> None:
    snapshot = after(states()[ZONES], node(zone="zone-c"))
    assert snapshot.nodes["n3"].zone == "zone-c"
    assert admit(snapshot, node()) == admit(snapshot, node(zone="zone-c")) == ()
    with pytest.raises(Refused, match='in zone "zone-c"'):
        admit(snapshot, node(zone="zone-d"))
    assert after(snapshot, requests.SetZone("n3", "")).nodes["n3"].zone == ""
    assert admit(snapshot, requests.SetZone("n3", "zone-c")) == ()


def test_hints_are_in_order_and_each_there_once() -> None:
    snapshot = after(states()[ZONES], hinted("10.128.0.2", zones=("zone-b", "zone-a", "zone-b")))
    (endpoint,) = snapshot.slices[SliceKey("red", "api-1")].endpoints
    assert endpoint.zones == ("zone-a", "zone-b")
