"""External addresses of services: which lead in, and which are left out and why."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.topology.asking import cluster, ip, nets, node
from tests.topology.strategies import after
from topology import requests
from topology.admission import admit
from topology.doors import Door, doors
from topology.model import NamedPort, PortRange, Service, ServiceKey
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
