"""External addresses of services: which lead in, and which are left out and why."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, ip_address
from typing import Any

import pytest

from tests.topology.asking import cluster, endpoints, ip, nets, node
from tests.topology.strategies import after
from topology import requests
from topology.admission import admit
from topology.doors import Door, Health, LocalPort, doors, health, local_ports
from topology.model import MOST_SOURCES, NamedPort, PortRange, Service, ServiceKey, SliceKey
from topology.requests import Refused
from topology.snapshot import Put, Snapshot, apply_all, empty

OUTER, OTHER = ip("203.0.113.5"), ip("203.0.113.6")
WEB = Service(
    ServiceKey("red", "web"),
    ip("172.30.0.10"),
    (NamedPort("TCP", 80, "http", 30080), NamedPort("UDP", 53, "dns")),
    external=(OUTER,),
)
SHOP = Service(ServiceKey("blue", "web"), ip("172.30.0.11"), (NamedPort("TCP", 80),), external=(OUTER, OTHER))


@pytest.fixture
def world() -> Snapshot:
    """A node, two projects, and a range of addresses that services may have."""
    return after(
        empty(),
        cluster(external_cidrs=nets("203.0.113.0/28", "192.0.2.11/32")),
        node("n1", "192.0.2.11"),
        requests.CreateNetwork("red", projects=("red",)),
        requests.CreateNetwork("blue", projects=("blue",)),
    )


def said(world: Snapshot, *services: Service) -> Snapshot:
    """As Kubernetes' objects come, which nobody has asked whether they fit."""
    return apply_all(world, map(Put, services))[0]


def test_each_port_of_each_address(world: Snapshot) -> None:
    assert doors(said(world, WEB)) == (
        Door(OUTER, "TCP", 80, WEB.address, 30080),
        Door(OUTER, "UDP", 53, WEB.address, 0),
    )


def test_without_node_ports_by_the_service_s_address(world: Snapshot) -> None:
    settings = requests.SetCluster(replace(world.cluster, node_ports=None))
    assert [door.node_port for door in doors(after(said(world, WEB), settings))] == [0, 0]


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ((), None),
        (("198.51.100.7/32",), ("198.51.100.7/32",)),
        (("198.51.100.0/25", "198.51.100.128/25", "198.51.100.9/32", "fd00::/8"), ("198.51.100.0/24",)),
        (("198.51.100.0/25", "0.0.0.0/0"), None),
        (("fd00::/8",), ()),  # nobody who could have a source of this family
    ],
)
def test_where_clients_are_whom_it_leads_in(
    world: Snapshot, given: tuple[str, ...], allowed: tuple[str, ...] | None
) -> None:
    asked = requests.CreateService(replace(WEB, sources=nets(*given)))
    assert {door.sources for door in doors(after(world, asked))} == {None if allowed is None else nets(*allowed)}


def test_who_comes_from_outside_by_his_own_address(world: Snapshot) -> None:
    local = replace(WEB, external_local=True, health_port=30999)
    world = after(world, requests.CreateService(local))
    assert local_ports(world) == (
        LocalPort(WEB.address, "TCP", 80, 30080),
        LocalPort(WEB.address, "UDP", 53, 0),
    )
    assert local_ports(after(world, requests.CreateService(WEB))) == ()
    assert health("n1", world) == (Health(30999, WEB.key, 0),)
    there = endpoints("10.128.0.2", "10.128.0.3", service="web", node="n1")
    gone = endpoints("10.128.0.4", service="web", node="n1", key=SliceKey("red", "web-2"), ready=False)
    world = after(world, there, gone)
    assert health("n1", world) == (Health(30999, WEB.key, 2),)
    assert health("n2", world) == (Health(30999, WEB.key, 0),)
    ready = requests.CreateService(replace(local, publish_not_ready=True))
    assert health("n1", after(world, ready)) == (Health(30999, WEB.key, 3),)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"health_port": 30999}, "has health port 30999, but leads to all nodes' endpoints"),
        ({"health_port": 65536, "external_local": True}, "health port 65536 is out of range"),
        ({"health_port": 30080, "external_local": True}, "health port 30080 is one of its node ports"),
        ({"health_port": 8000, "external_local": True}, "8000/TCP is outside the node ports: they are 30000-32767"),
        ({"health_port": 30444, "external_local": True}, '30444/TCP belongs to service "blue/web"'),
    ],
)
def test_health_ports_that_are_refused(world: Snapshot, changes: dict[str, Any], why: str) -> None:
    held = replace(SHOP, external=(), ports=(NamedPort("TCP", 80, "", 30444),))
    with pytest.raises(Refused, match=why):
        admit(after(world, requests.CreateService(held)), requests.CreateService(replace(WEB, **changes)))


BALANCED = replace(WEB, external=(), load_balancer=True)


@pytest.fixture
def pooled(world: Snapshot) -> Snapshot:
    """A pool of two addresses."""
    settings = replace(world.cluster, load_balancer_pool=nets("203.0.113.8/30"))
    return after(world, requests.SetCluster(settings))


def test_addresses_of_the_pool_are_given_once_and_come_back(pooled: Snapshot) -> None:
    """What the request says of them is no matter; who has one keeps it."""
    first, second = ip("203.0.113.9"), ip("203.0.113.10")
    forged = requests.CreateService(replace(BALANCED, ingress=(ip("203.0.113.66"),)))
    one = after(pooled, forged)
    assert one.services[WEB.key].ingress == (first,)
    both = after(one, requests.CreateService(replace(SHOP, external=(), load_balancer=True)))
    assert both.services[SHOP.key].ingress == (second,)
    assert set(both.claims) == {first, second}
    assert {door.address for door in doors(both)} == {first, second}
    third = Service(ServiceKey("red", "more"), ip("172.30.0.12"), WEB.ports[1:], load_balancer=True)
    with pytest.raises(Refused, match=r"no address of the load balancers' pool 203\.0\.113\.8/30 is free"):
        admit(both, requests.CreateService(third))
    again = after(both, requests.CreateService(replace(BALANCED, affinity=60)))
    assert again.services[WEB.key].ingress == (first,)
    plain = after(both, requests.CreateService(replace(BALANCED, load_balancer=False)))
    assert plain.services[WEB.key].ingress == ()
    for left in (plain, after(both, requests.DeleteService(WEB.key))):
        assert set(left.claims) == {second}
        assert after(left, requests.CreateService(third)).services[third.key].ingress == (first,)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"load_balancer_address": ip("203.0.113.5")}, "203.0.113.5 is outside the pool 203.0.113.8/30"),
        ({"load_balancer_address": ip("203.0.113.10")}, '203.0.113.10 belongs to service "blue/web"'),
        ({"load_balancer": False, "external": (ip("203.0.113.9"),)}, "is one of the load balancers' pool"),
    ],
)
def test_addresses_of_the_pool_that_are_refused(pooled: Snapshot, changes: dict[str, Any], why: str) -> None:
    asked = replace(SHOP, external=(), load_balancer=True, load_balancer_address=ip("203.0.113.10"))
    world = after(pooled, requests.CreateService(asked))
    assert world.services[SHOP.key].ingress == (ip("203.0.113.10"),)
    with pytest.raises(Refused, match=why):
        admit(world, requests.CreateService(replace(BALANCED, **changes)))


def test_an_address_of_the_pool_is_of_the_service_s_family(pooled: Snapshot) -> None:
    pool, outer = nets("203.0.113.8/30", "2001:db8::/126"), nets("203.0.113.0/24", "2001:db8::/64")
    world = after(pooled, requests.SetCluster(replace(pooled.cluster, external_cidrs=outer, load_balancer_pool=pool)))
    asked = replace(BALANCED, load_balancer_address=ip_address("2001:db8::1"))
    with pytest.raises(Refused, match=r"2001:db8::1 is of another family than the service's address 172\.30\.0\.10"):
        admit(world, requests.CreateService(asked))
    assert after(world, requests.CreateService(BALANCED)).services[WEB.key].ingress == (ip("203.0.113.9"),)


def test_without_a_pool(world: Snapshot) -> None:
    with pytest.raises(Refused, match="there is no pool of IPv4 load balancers' addresses; give one by --heddle-load"):
        admit(world, requests.CreateService(BALANCED))
    with pytest.raises(Refused, match=r"pool 192\.0\.2\.0/28\W? is outside the external CIDRs"):
        admit(world, requests.SetCluster(replace(world.cluster, load_balancer_pool=nets("192.0.2.0/28"))))


def test_where_only_nodes_with_endpoints_lead_in_only_these_hold_the_address(pooled: Snapshot) -> None:
    address = ip("203.0.113.9")
    world = after(pooled, node("n2", "192.0.2.12"), requests.CreateService(replace(BALANCED, external_local=True)))
    assert address not in world.claims
    for place in ("n2", "n1"):
        world = after(world, endpoints("10.128.0.2", service="web", node=place))
        assert dict(world.held) == {address: place}
    world = after(world, endpoints("10.128.0.2", service="web", node="n1", ready=False, serving=False))
    assert address not in world.held
    assert address in after(world, requests.CreateService(BALANCED)).held


def test_too_many_ranges_of_clients(world: Snapshot) -> None:
    many = tuple(IPv4Network((number << 8, 24)) for number in range(MOST_SOURCES + 1))
    with pytest.raises(Refused, match="has 1001 ranges of clients; give at most 1000"):
        admit(world, requests.CreateService(replace(WEB, sources=many)))


def test_of_two_that_name_one_the_first_in_order_has_it(world: Snapshot) -> None:
    for services in ((WEB, SHOP), (SHOP, WEB)):
        found = {door[:3]: door.service for door in doors(said(world, *services))}
        assert found == {
            (OUTER, "TCP", 80): SHOP.address,
            (OUTER, "UDP", 53): WEB.address,
            (OTHER, "TCP", 80): SHOP.address,
        }


@pytest.mark.parametrize(
    ("address", "port", "why"),
    [
        ("203.0.113.16", 80, r"outside the external CIDRs \(203\.0\.113\.0/28, 192\.0\.2\.11/32\)"),
        ("2001:db8::5", 80, "of another family than 172.30.0.10"),
        ("192.0.2.11", 6653, "one by which nodes reach controllers"),
    ],
)
def test_what_is_left_out_is_refused_where_it_is_asked_for(world: Snapshot, address: str, port: int, why: str) -> None:
    service = replace(WEB, ports=(NamedPort("TCP", port),), external=(ip_address(address),))
    assert doors(said(world, service)) == ()
    with pytest.raises(Refused, match=why):
        admit(world, requests.CreateService(service))


def test_a_node_s_own_address(world: Snapshot) -> None:
    service = replace(WEB, ports=(NamedPort("TCP", 443),), external=(ip("192.0.2.11"),))
    assert [door.port for door in doors(after(world, requests.CreateService(service)))] == [443]


def test_where_nothing_is_allowed_nothing_leads_in(world: Snapshot) -> None:
    nothing = after(world, requests.SetCluster(replace(world.cluster, external_cidrs=())))
    assert doors(said(nothing, WEB)) == ()
    with pytest.raises(Refused, match=r"outside the external CIDRs \(none\)"):
        admit(nothing, requests.CreateService(WEB))


def test_another_s_port_is_refused(world: Snapshot) -> None:
    with pytest.raises(Refused, match=r'port 80/TCP of 203\.0\.113\.5 belongs to service "red/web"'):
        admit(said(world, WEB), requests.CreateService(SHOP))
    shared = replace(SHOP, ports=(NamedPort("TCP", 443),))
    assert len(doors(after(said(world, WEB), requests.CreateService(shared)))) == 4


def test_addresses_are_put_in_order(world: Snapshot) -> None:
    asked = requests.CreateService(replace(SHOP, external=(OTHER, OUTER, OTHER)))
    assert admit(world, asked) == (Put(SHOP),)


@pytest.mark.parametrize("cidr", ["10.128.0.0/24", "172.30.0.0/16", "169.254.42.0/24", "224.0.0.0/4"])
def test_ranges_that_are_not_of_the_outside(world: Snapshot, cidr: str) -> None:
    with pytest.raises(Refused, match=f"external CIDR {cidr}: overlaps"):
        admit(world, cluster(external_cidrs=nets(cidr), node_ports=PortRange(30000, 30001)))
