"""Endpoints of a service's port, and the groups that choose among them: each once, and a change is of few buckets."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.balancing import MOST_BUCKETS, balanced, first_group, most_parts, numbered
from topology.features.services import common_flows
from topology.fields import REG4
from topology.flow import Group, Op, load
from topology.groups import changes
from topology.model import Cluster, Endpoint, EndpointSlice, NamedPort, Project, Service, ServiceKey, SliceKey
from topology.snapshot import Put, Snapshot, apply_all, empty
from topology.targets import Gone, Target, any_place, gone, places_on, targets, targets_on
from topology.verification.endpoints import Offer, eligible

TARGETS = st.sets(
    st.builds(Target, st.integers(1, 3000).map(lambda n: IPv4Address(0x0A800000 + n)), st.sampled_from([80, 8080]))
)
CLUSTER = Cluster(
    service_cidrs=(IPv4Network("172.30.0.0/16"), IPv6Network("fd00:20::/108"), IPv4Network("10.96.0.0/13")),
)


def groups(found: set[Target], first: int = 7) -> dict[int, Group]:
    made = balanced(numbered(found), first, lambda number, target: (load(REG4, number), (Op.OUTPUT, target.port)))
    assert len({group.group_id for group in made}) == len(made)
    return {group.group_id: group for group in made}


def leaves(of: dict[int, Group], top: int = 7) -> dict[int, float]:
    """The share of connections that each endpoint gets, by its number."""
    shares: dict[int, float] = {}
    for number, weight, actions in of[top].buckets:
        part = weight / sum(bucket[1] for bucket in of[top].buckets)
        if actions[0][0] == Op.GROUP:
            assert isinstance(actions[0][1], int)
            shares |= {leaf: part * share for leaf, share in leaves(of, actions[0][1]).items()}
        else:
            shares[endpoint(of[top], number)] = part + shares.get(endpoint(of[top], number), 0)
    return shares


def endpoint(group: Group, number: int) -> int:
    """The endpoint of a bucket: its id, but for that of the smallest."""
    same = {bucket[2]: bucket[0] for bucket in group.buckets}  # of two, the later one
    return same[next(bucket[2] for bucket in group.buckets if bucket[0] == number)]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 10, 17, 63, 64, 65, 100, 128])
def test_open_vswitch_shares_the_hash_by_all_of_its_places(count: int) -> None:
    """Its number of places: total weight by smallest weight, rounded up to a power of two (ofproto-dpif.c)."""
    (group,) = groups({Target(IPv4Address("10.128.0.0") + number, 8080) for number in range(count)}).values()
    weights = [bucket[1] for bucket in group.buckets]
    assert 128 < sum(weights) // min(weights) <= 256


@given(TARGETS)
def test_each_endpoint_has_a_number_of_its_own(found: set[Target]) -> None:
    assert set(numbered(found).values()) == found
    assert all(0 < number <= 0xFFFFFF00 for number in numbered(found))


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 1000, 5000])
def test_every_endpoint_gets_the_same_share_and_every_group_fits_a_message(count: int) -> None:
    found = {Target(IPv4Address("10.128.0.0") + number, 8080) for number in range(count)}
    made = groups(found)
    assert all(len(group.buckets) <= MOST_BUCKETS for group in made.values())
    shares = leaves(made)
    assert set(shares) == set(numbered(found))
    assert all(abs(share * count - 1) < 1e-9 for share in shares.values())
    if count > MOST_BUCKETS:
        assert next(reversed(made)) == 7, "the one that leads to the others is made last"
    assert {number for number, group in made.items() if group.is_lower} == set(made) - {7}


ANOTHER = [Target(IPv4Address("10.129.0.0") + number, 8080) for number in range(99)]


@pytest.mark.parametrize("count", [5, 100, 200, 1000, 3000])
def test_an_endpoint_more_is_a_bucket_more(count: int) -> None:
    found = {Target(IPv4Address("10.128.0.0") + number, 8080) for number in range(count)}
    one = next(each for each in ANOTHER if min(numbered({*found, each})) == min(numbered(found)))
    change = changes(groups(found), groups({*found, one}))
    assert (change.puts, change.gone) == ((), ())
    inserted = [bucket for each in change.buckets for bucket in each.inserted]
    removed = [number for each in change.buckets for number in each.removed]
    # In two levels the weight of one bucket changes, too.
    assert (len(inserted), len(removed)) == ((1, 0) if count < MOST_BUCKETS else (2, 1))


def test_another_endpoint_that_comes_first_changes_three_buckets_more() -> None:
    """Those of the one that came first, and the smallest, which is its own."""
    found = {Target(IPv4Address("10.128.0.0") + number, 8080) for number in range(100)}
    one = next(each for each in ANOTHER if min(numbered({*found, each})) < min(numbered(found)))
    ((number, removed, inserted),) = changes(groups(found), groups({*found, one})).buckets
    first = min(numbered(found))
    assert (number, set(removed), {bucket[0] for bucket in inserted}) == (
        7,
        {0, first},
        {0, first, min(numbered({one}))},
    )


def test_ports_have_groups_of_their_own_also_where_a_part_of_a_service_is_empty() -> None:
    """All of these have even bucket ids, so that of four parts two are empty."""
    found = numbered(Target(IPv4Address("10.128.0.0") + number, 8080) for number in range(700))
    even = [target.address for number, target in found.items() if not number % 2][:300]
    ports = tuple(NamedPort("TCP", number, f"p{number}") for number in (1, 2))
    service = Service(ServiceKey("red", "web"), IPv4Address("172.30.0.10"), ports)
    led_to = tuple(NamedPort("TCP", 8080, port.name) for port in ports)
    of = EndpointSlice(SliceKey("red", "web-1"), "web", led_to, tuple(map(Endpoint, even)))
    snapshot = apply_all(empty(), (Put(Project("red", "default")), Put(service), Put(of)))[0]
    made = [group.group_id for flow in common_flows(tuple(service.key), snapshot) for group in flow.groups]
    assert len(made) == len(set(made)) == 6


@pytest.mark.parametrize("count", [257, 600, 1000])
def test_ids_that_were_chosen_to_fall_together_make_no_more_groups(count: int) -> None:
    """Addresses can be tried out until their ids agree in many bits: there are as many parts as are needed."""
    found = {number << 20 | 7: Target(IPv4Address("10.128.0.0") + number, 8080) for number in range(count)}
    made = balanced(found, 7, lambda number, target: (load(REG4, number), (Op.OUTPUT, target.port)))
    assert len(made) - 1 == -(-count // MOST_BUCKETS) <= most_parts(count)
    assert all(len(group.buckets) <= MOST_BUCKETS for group in made)
    shares = leaves({group.group_id: group for group in made})
    assert set(shares) == set(found)
    assert all(abs(share * count - 1) < 1e-9 for share in shares.values())


@pytest.mark.parametrize("count", [256, 257, 511, 512, 513, 4096, 5000])
def test_by_chance_parts_fit_at_once(count: int) -> None:
    """Half of what there may be, so that a change of endpoints is of few buckets."""
    found = {Target(IPv4Address("10.128.0.0") + number, 8080) for number in range(count)}
    lower = [group.group_id - 7 for group in groups(found).values() if group.is_lower]
    assert max(lower, default=0) <= most_parts(count)


def test_no_endpoint_no_group() -> None:
    assert balanced({}, 7, lambda number, target: ()) == ()


@given(st.sets(st.integers(0, 65535), min_size=2, max_size=2), st.sampled_from([0, 1]))
def test_services_have_groups_of_their_own(places: set[int], family: int) -> None:
    base = (IPv4Address("172.30.0.0"), IPv6Address("fd00:20::"))[family]
    one, other = sorted(first_group(base + place, CLUSTER) for place in places)
    assert other - one >= 1 << 11
    assert other < 0xFFFFFF00


def test_ranges_and_families_do_not_meet() -> None:
    last, beyond = (first_group(IPv4Address(text), CLUSTER) for text in ("172.30.255.255", "10.96.0.0"))
    assert beyond > last
    assert first_group(IPv6Address("fd00:20::1"), CLUSTER) >> 31 == 1


# --- which endpoints -----------------------------------------------------------------------------

WEB = Service(
    ServiceKey("red", "web"), IPv4Address("172.30.0.10"), (NamedPort("TCP", 80, "http"), NamedPort("UDP", 80, "u"))
)
A, B, C = (IPv4Address(f"10.128.0.{last}") for last in (2, 3, 4))


def found(
    *endpoints: Endpoint, service: Service = WEB, node: str = "n1", port: int = 0, outside: bool = False
) -> list[IPv4Address]:
    of = EndpointSlice(SliceKey("red", "web-1"), "web", (NamedPort("TCP", 8080, "http"),), endpoints)
    snapshot = apply_all(empty(), (Put(Project("red", "default")), Put(service), Put(of)))[0]
    return [target.address for target in targets(service, service.ports[port], snapshot, node, from_outside=outside)]


def test_ready_ones_are_chosen_and_others_only_if_nobody_is_ready() -> None:
    going = Endpoint(B, ready=False, serving=True, terminating=True)
    down = Endpoint(C, ready=False, serving=False)
    assert found(Endpoint(A), going, down) == [A]
    assert found(going, down) == [B]
    assert found(down) == []
    assert found(Endpoint(C, ready=False, serving=True)) == []
    assert found(going, down, service=replace(WEB, publish_not_ready=True)) == [B, C]


def test_local_ones_are_those_of_the_clients_node() -> None:
    local = replace(WEB, internal_local=True)
    endpoints = (Endpoint(A, "n1"), Endpoint(B, "n2"), Endpoint(C))
    assert found(*endpoints, service=local) == [A]
    assert found(*endpoints, service=local, node="n3") == []
    assert found(*endpoints, service=local, node="n3", outside=True) == [A, B, C]
    assert found(Endpoint(A, "n1", ready=False, terminating=True), Endpoint(B, "n2"), service=local) == [A]


def test_who_goes_away_serves_a_port_and_a_family_that_nobody_ready_has() -> None:
    """As a rollout that moves a port to other pods leaves it, or one of a family alone."""
    going = Endpoint(A, ready=False, serving=True, terminating=True)
    six = IPv6Address("fd00::1")
    other = replace(WEB, key=ServiceKey("red", "web6"), address=IPv6Address("fd00:20::1"))

    def slices(service: str) -> tuple[EndpointSlice, ...]:
        return (
            EndpointSlice(SliceKey("red", f"{service}-1"), service, (NamedPort("TCP", 8080, "http"),), (going,)),
            EndpointSlice(SliceKey("red", f"{service}-2"), service, (NamedPort("UDP", 53, "u"),), (Endpoint(B),)),
            EndpointSlice(
                SliceKey("red", f"{service}-3"), service, (NamedPort("TCP", 8080, "http"),), (Endpoint(six),)
            ),
        )

    put = (Project("red", "default"), WEB, other, *slices("web"), *slices("web6"))
    snapshot = apply_all(empty(), tuple(map(Put, put)))[0]
    found = {(each, port.name): targets(each, port, snapshot, "n1") for each in (WEB, other) for port in WEB.ports}
    assert found == {
        (WEB, "http"): (Target(A, 8080),),
        (WEB, "u"): (Target(B, 53),),
        (other, "http"): (Target(six, 8080),),
        (other, "u"): (),
    }
    for service in (WEB, other):
        for port in service.ports:
            there = eligible(Offer(service, port, snapshot.networks["default"]), snapshot, "n1")
            assert {Target(*each) for each in there} == set(found[service, port.name])


def test_a_port_is_found_by_its_name_and_protocol() -> None:
    assert found(Endpoint(A), port=1) == []


def test_slices_may_have_other_numbers_for_a_port() -> None:
    one = EndpointSlice(SliceKey("red", "1"), "web", (NamedPort("TCP", 8080, "http"),), (Endpoint(A), Endpoint(B)))
    other = EndpointSlice(SliceKey("red", "2"), "web", (NamedPort("TCP", 9090, "http"),), (Endpoint(B), Endpoint(C)))
    six = EndpointSlice(
        SliceKey("red", "6"), "web", (NamedPort("TCP", 1, "http"),), (Endpoint(IPv6Address("fd00::1")),)
    )
    snapshot = apply_all(empty(), (Put(Project("red", "default")), Put(WEB), Put(one), Put(other), Put(six)))[0]
    expected = (Target(A, 8080), Target(B, 8080), Target(B, 9090), Target(C, 9090))
    assert targets(WEB, WEB.ports[0], snapshot, "n1") == expected


def test_what_is_gone_is_what_no_slice_has_any_more() -> None:
    before = EndpointSlice(SliceKey("red", "1"), "web", (NamedPort("TCP", 8080, "http"),), (Endpoint(A), Endpoint(B)))
    moved = EndpointSlice(SliceKey("red", "2"), "web", (NamedPort("TCP", 8080, "http"),), (Endpoint(B, ready=False),))

    def after(*slices: EndpointSlice) -> Snapshot:
        return apply_all(empty(), (Put(Project("red", "default")), *map(Put, slices)))[0]

    assert gone(before, after(moved)) == {Gone("TCP", Target(A, 8080))}
    assert gone(before, after(before)) == frozenset()
    assert len(gone(before, after())) == 2
    outer = apply_all(after(moved), (Put(replace(WEB, external_local=True)),))[0]
    assert gone(before, outer) == {Gone("TCP", Target(A, 8080), from_outside=each) for each in (False, True)}


def test_endpoints_of_a_node_for_whom_comes_from_outside() -> None:
    http, more = (NamedPort("TCP", 8080, "http"),), (NamedPort("TCP", 9090, "more"),)
    service = replace(WEB, external_local=True)
    here = (Endpoint(A, "n1", ready=False, terminating=True), Endpoint(B, "n1", ready=False, serving=False))
    one = EndpointSlice(SliceKey("red", "1"), "web", http, (*here, Endpoint(C, "n2")))
    other = EndpointSlice(SliceKey("red", "2"), "web", more, (Endpoint(B, "n1"),))
    snapshot = apply_all(empty(), (Put(Project("red", "default")), Put(service), Put(one)))[0]
    port, nobodys = service.ports[0], NamedPort("UDP", 53, "http")
    assert targets_on("n1", service, port, snapshot) == (Target(A, 8080),)  # the one that still serves
    assert targets_on("n2", service, port, snapshot) == (Target(C, 8080),)
    assert targets_on("n3", service, port, snapshot) == ()
    assert (any_place(service, port, snapshot), any_place(service, nobodys, snapshot)) == (True, False)
    assert set(snapshot.near) == {"n1", "n2"}
    both = apply_all(snapshot, (Put(other),))[0]
    assert targets_on("n1", service, port, both) == (Target(A, 8080),)  # the one that is ready is so by another port
    places = {("TCP", Target(A, 8080)), ("TCP", Target(B, 8080)), ("TCP", Target(B, 9090))}
    assert places_on("n1", service.key, both) == places
