"""Networks with ranges of their own, and connections with scopes: what is refused, and what is allotted."""

from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from tests.topology.asking import cluster, ip, nets, node, report
from tests.topology.strategies import after, own_range
from topology import requests
from topology.admission import admit
from topology.allocation import free_own_address
from topology.model import (
    EVERYTHING,
    TRANSLATIONS,
    VNIDS,
    ZONES,
    AddressBlock,
    Connection,
    ConnectionKey,
    PortKey,
    Scope,
    ServicePort,
    Subnet,
    Watermark,
)
from topology.pipeline import FIRST_NETWORK_ZONE
from topology.requests import Reason, Refused, Request
from topology.snapshot import Put, Remove, Snapshot, apply_all, empty

JOIN = requests.JoinNetworks
WEB = Scope(ports=(ServicePort("TCP", 80),))
IPV6 = Subnet("default", IPv6Network("fd00::/64"), IPv6Address("fd00::1"))
SERVICES = Scope(services_only=True)


def network(name: str, *cidrs: str, **more: Any) -> requests.CreateNetwork:
    subnets = tuple(subnet for number, cidr in enumerate(cidrs) for subnet in own_range(cidr, f"s{number}"))
    return requests.CreateNetwork(name, projects=(name,), subnets=subnets, **more)


@pytest.fixture(scope="module")
def world() -> Snapshot:
    """Return two nodes; red and lime with one range, blue with another, pink and the global green without."""
    return after(
        empty(),
        node("n1", "192.0.2.11"),
        node("n2", "192.0.2.12"),
        network("red", "10.0.0.0/24"),
        network("lime", "10.0.0.0/25"),
        network("blue", "10.0.1.0/24"),
        network("pink"),
        network("green", is_global=True),
        JOIN("red", "blue"),
    )


REFUSALS: list[tuple[Request, Reason, str]] = [
    (requests.CreateNetwork("new", subnets=(IPV6,)), Reason.INVALID, "not IPv4"),
    (network("new", "10.0.0.0/31"), Reason.INVALID, "no room"),
    (network("new", "126.0.0.0/7"), Reason.INVALID, "127.0.0.0/8"),
    (network("new", "0.0.0.0/5"), Reason.INVALID, "0.0.0.0/8"),
    (network("new", "169.254.7.0/24"), Reason.INVALID, "169.254.0.0/16"),
    (network("new", "224.0.0.0/24"), Reason.INVALID, "224.0.0.0/3"),
    (network("new", "10.128.0.0/24"), Reason.TAKEN, "10.128.0.0/14"),
    (network("new", "172.0.0.0/8"), Reason.TAKEN, "172.30.0.0/16"),
    (network("new", "10.7.0.0/24", "10.7.0.128/25"), Reason.INVALID, "overlap"),
    (network("new", flat=True), Reason.INVALID, "flat"),
    (network("new", mtu=575), Reason.INVALID, "575"),
    (network("new", mtu=65536), Reason.INVALID, "65536"),
    (network("red", "10.0.0.0/25"), Reason.TAKEN, "exists already"),
    (network("red", "10.0.0.0/24", mtu=1400), Reason.TAKEN, "exists already"),
    (
        requests.CreateNetwork("new", subnets=(*own_range("10.7.0.0/24"), *own_range("10.8.0.0/24"))),
        Reason.INVALID,
        '"default"',
    ),
    (requests.CreateNetwork("new", subnets=own_range("10.7.0.0/24", "S")), Reason.INVALID, 'subnet "S"'),
    (requests.CreateNetwork("new", subnets=own_range("10.7.0.0/24", gateway="10.8.0.1")), Reason.INVALID, "10.8.0.1"),
    (requests.CreateNetwork("new", subnets=own_range("10.7.0.0/24", gateway="10.7.0.0")), Reason.INVALID, "10.7.0.1"),
    (requests.CreateNetwork("new", subnets=own_range("10.7.0.0/24", gateway="10.7.0.255")), Reason.INVALID, "10.7.0.2"),
    (cluster(cluster_cidrs=nets("10.128.0.0/14", "10.0.0.0/16")), Reason.IN_USE, "10.0.0.0/16"),
    (cluster(service_cidrs=nets("172.30.0.0/16", "10.0.1.0/28")), Reason.IN_USE, 'network "blue"'),
    (
        JOIN("red", "lime"),
        Reason.TAKEN,
        'to network "lime" an address in 10.0.0.0/25 of "lime" and 10.0.0.0/24 of "red"',
    ),
    (JOIN("lime", "blue"), Reason.TAKEN, 'to network "blue"'),
    (JOIN("red", "pink", None, None), Reason.INVALID, "isolate"),
    (JOIN("red", "pink", Scope(True, WEB.ports)), Reason.INVALID, "services only and for ports"),
    (JOIN("red", "pink", EVERYTHING, Scope(ports=WEB.ports * 2)), Reason.INVALID, "twice"),
    (JOIN("red", "pink", Scope(ports=(ServicePort("ICMP", 8),))), Reason.INVALID, "8/ICMP"),
    (JOIN("red", "pink", Scope(ports=(ServicePort("TCP", 0),))), Reason.INVALID, "0/TCP"),
]


@pytest.mark.parametrize(("request_", "reason", "named"), REFUSALS, ids=lambda value: str(value)[:60])
def test_refused(world: Snapshot, request_: Request, reason: Reason, named: str) -> None:
    with pytest.raises(Refused) as caught:
        admit(world, request_)
    assert caught.value.reason is reason
    assert named in str(caught.value)
    assert caught.value.remedy


def test_overlaps_that_mean_nobody_two_pods_are_granted(world: Snapshot) -> None:
    """Pink has no range: it knows both by their cluster addresses."""
    joined = after(world, JOIN("red", "pink"), JOIN("pink", "lime"), network("old", "192.0.2.0/24"))
    assert sorted(joined.connections) == [("blue", "red"), ("lime", "pink"), ("pink", "red")]
    assert "old" in joined.networks


# --- translation ---------------------------------------------------------------------------------


def seen_as(snapshot: Snapshot, first: str, second: str) -> dict[str, list[str]]:
    """Return by which prefixes each of two connected networks is known to the other."""
    found: dict[str, list[str]] = {}
    for item in snapshot.connections[ConnectionKey.between(first, second)].translations:
        found.setdefault(item.network, []).append(str(item.seen_as))
    return found


def joined(world: Snapshot, *requests_: Request) -> Snapshot:
    """Return the world after requests, none of which may be refused."""
    for request in requests_:
        world, _ = apply_all(world, admit(world, request))
    return world


def test_overlapping_networks_are_joined_with_translation_and_it_stays(world: Snapshot) -> None:
    events = admit(world, JOIN("red", "lime", translate=True))
    assert events[0] == Put(Watermark(TRANSLATIONS, int(ip("100.64.1.255"))))
    both = joined(world, JOIN("red", "lime", translate=True))
    known = {"lime": ["100.64.0.0/25"], "red": ["100.64.1.0/24"]}
    assert seen_as(both, "red", "lime") == known
    assert admit(both, JOIN("lime", "red", translate=True)) == ()
    assert admit(both, JOIN("lime", "red")) == ()
    assert seen_as(joined(both, JOIN("lime", "red", WEB, None)), "red", "lime") == known
    moved = joined(both, cluster(translation_cidrs=nets("100.100.0.0/16")))
    assert seen_as(moved, "red", "lime") == known


def test_a_prefix_comes_back_late(world: Snapshot) -> None:
    small = joined(world, cluster(translation_cidrs=nets("100.64.0.0/22")))
    given = []
    for _ in range(3):
        small = joined(small, JOIN("red", "lime", translate=True))
        given.append(seen_as(small, "red", "lime"))
        small = joined(small, requests.IsolateNetworks("red", "lime"))
    assert given == [
        {"lime": ["100.64.0.0/25"], "red": ["100.64.1.0/24"]},
        {"lime": ["100.64.2.0/25"], "red": ["100.64.3.0/24"]},
        {"lime": ["100.64.0.0/25"], "red": ["100.64.1.0/24"]},
    ]


def test_each_connection_has_prefixes_of_its_own(world: Snapshot) -> None:
    """The ranges of `pool` are ones that prefixes are taken from; red knows lime and pool by others, and blue."""
    both = joined(
        world,
        network("pool", "100.64.0.0/24", "100.64.2.0/24"),
        JOIN("red", "lime", translate=True),
        JOIN("lime", "pool", translate=True),
        JOIN("red", "pool", translate=True),
        JOIN("lime", "blue", translate=True),
    )
    assert seen_as(both, "red", "lime") == {"lime": ["100.64.0.0/25"], "red": ["100.64.1.0/24"]}
    assert seen_as(both, "lime", "pool") == {"lime": ["100.64.3.0/25"], "pool": ["100.64.4.0/24", "100.64.5.0/24"]}
    assert seen_as(both, "red", "pool") == {"pool": ["100.64.6.0/24", "100.64.7.0/24"], "red": ["100.64.8.0/24"]}
    assert seen_as(both, "lime", "blue") == {"blue": ["100.64.9.0/24"], "lime": ["100.64.10.0/25"]}


def test_prefixes_are_free_of_what_the_viewer_knows() -> None:
    """Of its own ranges, nodes and controllers; not of the other's. All subnets of both get one."""
    world = joined(
        empty(),
        cluster(control_plane=(ip("100.64.0.70"),), translation_cidrs=nets("192.0.2.0/24", "100.64.0.0/24")),
        node("n1", "100.64.0.20"),
        network("red", "10.0.0.0/28", "100.64.0.32/27"),
        network("lime", "10.0.0.0/27", "100.64.0.128/26"),
        JOIN("red", "lime", translate=True),
    )
    assert seen_as(world, "red", "lime") == {
        "lime": ["100.64.0.96/27", "100.64.0.128/26"],
        "red": ["100.64.0.192/28", "100.64.0.224/27"],
    }


TRANSLATION_REFUSALS: list[tuple[tuple[Request, ...], Request, Reason, str]] = [
    ((), JOIN("red", "lime"), Reason.TAKEN, "--translate"),
    ((), JOIN("red", "pink", translate=True), Reason.INVALID, '"pink" has no range'),
    ((), JOIN("red", "blue", translate=True), Reason.IN_USE, "isolate the two"),
    ((), cluster(translation_cidrs=nets("fd00::/64")), Reason.INVALID, "IPv6"),
    ((), cluster(translation_cidrs=nets("100.64.0.0/10", "127.0.0.0/16")), Reason.INVALID, "127.0.0.0/8"),
    ((cluster(translation_cidrs=()),), JOIN("red", "lime", translate=True), Reason.EXHAUSTED, "add a translation"),
    (
        (cluster(translation_cidrs=nets("100.64.0.0/25")),),
        JOIN("red", "lime", translate=True),
        Reason.EXHAUSTED,
        "100.64.0.0/25",
    ),
    (
        (JOIN("red", "lime", translate=True),),
        cluster(service_cidrs=nets("172.30.0.0/16", "100.64.0.0/28")),
        Reason.IN_USE,
        'by which network "red" knows network "lime"',
    ),
    (
        (JOIN("red", "lime", translate=True), network("pool", "100.64.0.0/24")),
        JOIN("red", "pool"),
        Reason.TAKEN,
        '100.64.0.0/25 of "lime" and 100.64.0.0/24 of "pool"',
    ),
]


@pytest.mark.parametrize(
    ("before", "request_", "reason", "named"), TRANSLATION_REFUSALS, ids=lambda value: str(value)[:60]
)
def test_refused_about_translation(
    world: Snapshot, before: tuple[Request, ...], request_: Request, reason: Reason, named: str
) -> None:
    made = joined(world, *before)
    with pytest.raises(Refused) as caught:
        admit(made, request_)
    assert caught.value.reason is reason
    assert named in str(caught.value)


def zones(snapshot: Snapshot) -> dict[str, int | None]:
    return {name: network.zone for name, network in snapshot.networks.items() if network.zone is not None}


@pytest.mark.parametrize(
    ("scopes", "allotted"),
    [
        ((EVERYTHING, EVERYTHING), set()),
        ((EVERYTHING, None), {"pink"}),
        ((None, EVERYTHING), {"red"}),
        ((WEB, EVERYTHING), {"red"}),
        ((WEB, WEB), {"pink", "red"}),
        ((SERVICES, None), set()),
        ((SERVICES, WEB), {"red"}),
        ((SERVICES, SERVICES), set()),
    ],
)
def test_who_may_begin_more_than_it_may_be_asked_has_a_zone(
    world: Snapshot, scopes: tuple[Scope | None, Scope | None], allotted: set[str]
) -> None:
    assert set(zones(after(world, JOIN("pink", "red", *scopes)))) == allotted


def test_zones_come_in_order_and_stay(world: Snapshot) -> None:
    events = admit(world, JOIN("red", "blue", backward=None))
    assert events[0] == Put(Watermark(ZONES, FIRST_NETWORK_ZONE))
    assert events[2] == Put(Connection(ConnectionKey("blue", "red"), None, EVERYTHING))
    snapshot = after(world, JOIN("red", "blue", backward=None), JOIN("red", "blue"), JOIN("pink", "lime", WEB, None))
    assert zones(snapshot) == {"red": FIRST_NETWORK_ZONE, "pink": FIRST_NETWORK_ZONE + 1}
    snapshot = after(snapshot, requests.DeleteNetwork("pink"), JOIN("blue", "green", WEB, None))
    assert zones(snapshot) == {"red": FIRST_NETWORK_ZONE, "blue": FIRST_NETWORK_ZONE + 2}


def test_a_connection_made_with_a_global_network_has_its_zone_when_it_begins_to_show(world: Snapshot) -> None:
    joined = after(world, JOIN("green", "pink", backward=None))
    assert zones(joined) == {"green": FIRST_NETWORK_ZONE}
    assert zones(after(joined, requests.SetGlobal("green", False))) == {"green": FIRST_NETWORK_ZONE}


# --- addresses -----------------------------------------------------------------------------------


def pod(name: str, place: str, project: str = "red") -> requests.ReportPort:
    return report(name, key=PortKey(place, name, "eth0"), project=project, pod=name)


def blocks(snapshot: Snapshot) -> dict[str, str]:
    return {str(block.prefix): block.node for block in snapshot.blocks.values()}


def held(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    return {port.pod: (str(port.addresses[0]), str(port.cluster_addresses[0])) for port in snapshot.ports.values()}


def test_nodes_get_blocks_with_their_first_pod(world: Snapshot) -> None:
    events = admit(world, pod("a", "n1"))
    assert events[0] == Put(AddressBlock("red", nets("10.0.0.0/28")[0], "n1"))
    snapshot = after(world, pod("a", "n1"), pod("b", "n2"), pod("c", "n1"), pod("d", "n1", "lime"))
    assert held(snapshot) == {
        "a": ("10.0.0.2", "10.128.0.2"),
        "b": ("10.0.0.16", "10.128.2.2"),
        "c": ("10.0.0.3", "10.128.0.3"),
        "d": ("10.0.0.2", "10.128.0.4"),
    }
    assert [(block.network, str(block.prefix), block.node) for block in sorted(snapshot.blocks.values())] == [
        ("lime", "10.0.0.0/29", "n1"),
        ("red", "10.0.0.0/28", "n1"),
        ("red", "10.0.0.16/28", "n2"),
    ]


def test_a_block_comes_back_when_its_last_address_leaves_quarantine(world: Snapshot) -> None:
    space = world.networks["red"].vnid
    snapshot = after(world, pod("a", "n1"), pod("b", "n1"), requests.ForgetPort(PortKey("n1", "a", "eth0")))
    snapshot = after(snapshot, requests.ReleaseAddresses(((space, ip("10.0.0.2")), (0, ip("10.128.0.2")))))
    assert blocks(snapshot) == {"10.0.0.0/28": "n1"}  # b is still there
    snapshot = after(snapshot, requests.DeleteNode("n1", drain=True))
    assert blocks(snapshot) == {"10.0.0.0/28": "n1"}  # its address is in quarantine
    events = admit(snapshot, requests.ReleaseAddresses(((space, ip("10.0.0.3")),)))
    assert events[-1] == Remove(AddressBlock("red", nets("10.0.0.0/28")[0], "n1"))


def test_flat_networks_have_addresses_one_by_one(world: Snapshot) -> None:
    flat = after(world, network("flat", "10.9.0.0/29", flat=True))
    flat = after(flat, *(pod(name, place, "flat") for name, place in zip("abcd", ("n1", "n2") * 2, strict=True)))
    assert blocks(flat) == {"10.9.0.2/32": "n1", "10.9.0.3/32": "n2", "10.9.0.4/32": "n1", "10.9.0.5/32": "n2"}
    gone = after(flat, requests.ForgetPort(PortKey("n1", "a", "eth0")), pod("e", "n1", "flat"))
    assert held(gone)["e"][0] == "10.9.0.6"
    with pytest.raises(Refused, match=r"no address of 10\.9\.0\.0/29 is free") as caught:
        admit(gone, pod("f", "n2", "flat"))
    assert caught.value.reason is Reason.EXHAUSTED
    space = gone.networks["flat"].vnid
    back = after(gone, requests.ReleaseAddresses(((space, ip("10.9.0.2")),)), pod("f", "n2", "flat"))
    assert held(back)["f"][0] == "10.9.0.2"
    assert blocks(back)["10.9.0.2/32"] == "n2"


def test_subnets_are_used_one_after_the_other_without_first_last_and_gateway() -> None:
    two = (*own_range("10.0.0.0/30"), *own_range("10.0.1.0/29", "more", "10.0.1.6"))
    world = after(empty(), node("n1", "192.0.2.11"), requests.CreateNetwork("red", projects=("red",), subnets=two))
    world = after(world, *(pod(f"p{number}", "n1") for number in range(9)))
    own = sorted(address for address, _ in held(world).values())
    assert own == ["10.0.0.2", *(f"10.0.1.{number}" for number in range(1, 6))]
    with pytest.raises(Refused, match=r"10\.0\.0\.0/30, 10\.0\.1\.0/29"):
        free_own_address(world, world.networks["red"], "n1")


def test_a_deleted_networks_blocks_go_with_it(world: Snapshot) -> None:
    left = after(world, pod("a", "n1"), requests.ForgetPort(PortKey("n1", "a", "eth0")))
    assert blocks(left) == {"10.0.0.0/28": "n1"}
    gone = after(left, requests.DeleteNetwork("red"))
    assert blocks(gone) == {}
    vnid = left.networks["red"].vnid
    with pytest.raises(Refused, match=f"VNID {vnid} was given not long ago"):
        admit(gone, network("red", "10.0.0.0/24", vnid=vnid))
    later, _ = apply_all(gone, (Put(Watermark(VNIDS, vnid + 4096)),))
    again = after(later, network("red", "10.0.0.0/24", vnid=vnid), pod("b", "n2"))
    assert held(again)["b"][0] == "10.0.0.3"  # .2 of that space is in quarantine still
