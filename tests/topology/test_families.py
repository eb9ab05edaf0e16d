"""Address families: single-stack clusters of either, clusters of both; what goes together, and neighbour discovery."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from tests.topology.asking import ip, node, report
from tests.topology.strategies import CLUSTER, DUAL, SIX, after, own_range
from topology import fields, requests
from topology.admission import admit
from topology.allocation import free_subnets
from topology.compiler import compile_all
from topology.features import neighbours
from topology.fields import ND_RESERVED, ND_SLL, ND_TARGET, ND_TLL
from topology.model import (
    TUN_OFPORT,
    Attachment,
    Binding,
    Cluster,
    Egress,
    Endpoint,
    EndpointSlice,
    NamedPort,
    PodKey,
    Port,
    PortKey,
    Service,
    ServiceKey,
    SliceKey,
    Subnet,
    link_local_of,
    mac_of,
)
from topology.outcome import Delivered, Dropped, Sent, Where
from topology.packet import Ends, Packet, arriving, icmp, solicitation, transport
from topology.requests import Reason, Refused, Request
from topology.snapshot import Snapshot, empty
from topology.trace import Fabric, trace_pods

SIX_RANGE = Subnet("default", IPv6Network("fd00:30::/64"), IPv6Address("fd00:30::1"))
STATIC_SIX = Attachment("red", "", (IPv6Address("fd00:10::8"),))


def world(cluster: Cluster) -> Snapshot:
    """Return two nodes with a pod of network red on each, and one of blue on the first."""
    asked: list[Request] = [requests.SetCluster(cluster), node("n1", "192.0.2.11"), node("n2", "192.0.2.12")]
    asked += [requests.CreateNetwork(name, projects=(name,)) for name in ("red", "blue")]
    for number, (name, project, place) in enumerate((("a", "red", "n1"), ("b", "red", "n2"), ("c", "blue", "n1")), 3):
        asked.append(report(name, key=PortKey(place, name, "eth0"), project=project, pod=name))
        asked.append(requests.PortSeen(place, f"v{name}", number))
    return after(empty(), *asked)


def port(snapshot: Snapshot, name: str) -> Port:
    return next(port for port in snapshot.ports.values() if port.pod == name)


def fabric(snapshot: Snapshot) -> Fabric:
    return Fabric(snapshot, compile_all(snapshot))


def from_pod(snapshot: Snapshot, sender: Port, packet: Packet) -> Packet | None:
    """Return what a pod gets for a packet that it sends itself; None if nothing."""
    assert sender.ofport is not None
    trace = fabric(snapshot).carry(sender.node, arriving(packet, sender.ofport))
    return trace.packet if trace.outcome == Delivered(sender.node, sender.key) else None


def own_of(pod: Port, version: int) -> IPv4Address | IPv6Address:
    return next(address for address in pod.addresses if address.version == version)


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cluster", "wanted"),
    [(CLUSTER, ["10.128.0.2"]), (DUAL, ["10.128.0.2", "fd00:10::2"]), (SIX, ["fd00:10::2"])],
    ids=["IPv4", "both", "IPv6"],
)
def test_a_pod_gets_an_address_of_each_family(cluster: Cluster, wanted: list[str]) -> None:
    pod = port(world(cluster), "a")
    assert [str(address) for address in pod.addresses] == wanted
    assert pod.mac == mac_of(pod.addresses[0])


def test_a_node_gets_a_subnet_of_each_family() -> None:
    snapshot = world(DUAL)
    assert [str(subnet) for subnet in snapshot.nodes["n2"].subnets] == ["10.128.2.0/23", "fd00:10:0:1::/64"]
    assert len({subnet for each in snapshot.nodes.values() for subnet in each.subnets}) == 4


def test_a_cluster_that_gets_a_second_family_gives_its_nodes_a_subnet_and_new_pods_an_address() -> None:
    before = world(CLUSTER)
    after_ = after(before, requests.SetCluster(DUAL))
    assert [each.subnets[0] for each in after_.nodes.values()] == [each.subnets[0] for each in before.nodes.values()]
    assert {len(each.subnets) for each in after_.nodes.values()} == {2}
    assert after_.nodes["n1"].mac == before.nodes["n1"].mac
    assert after_.ports == before.ports
    late = after(after_, report("z", key=PortKey("n1", "z", "eth0"), project="red", pod="z"))
    assert [address.version for address in port(late, "z").addresses] == [4, 6]
    assert free_subnets(late, {4, 6}) == ()


def test_static_addresses_of_either_family() -> None:
    from topology.labels import Selector

    binding = Binding("b", Selector(), Selector(), STATIC_SIX)
    snapshot = after(world(DUAL), requests.CreateBinding(binding))
    late = after(snapshot, report("z", key=PortKey("n1", "z", "eth0"), project="red", pod="z"))
    assert port(late, "z").addresses[1] == STATIC_SIX.addresses[0]
    assert port(late, "z").addresses[0].version == 4


REFUSALS: list[tuple[Cluster, Request, str]] = [
    (DUAL, requests.CreateNetwork("new", subnets=(SIX_RANGE,)), "not supported in IPv6 yet"),
    (SIX, requests.CreateNetwork("new", subnets=own_range("10.0.0.0/24")), "IPv4"),
    (DUAL, requests.CreateNetwork("new", mtu=1279), "give 1280"),
    (SIX, requests.CreateNetwork("new", mtu=1279), "give 1280"),
    (SIX, requests.SetCluster(replace(SIX, service_cidrs=CLUSTER.service_cidrs)), "IPv4, of which pods have no"),
    (CLUSTER, requests.SetCluster(replace(CLUSTER, service_cidrs=SIX.service_cidrs)), "IPv6, of which pods have no"),
    (CLUSTER, requests.SetCluster(replace(DUAL, cluster_cidrs=(IPv6Network("fd00:10::/65"),))), "/64 or larger"),
    (CLUSTER, requests.SetCluster(replace(SIX, cluster_cidrs=(IPv6Network("fe80::/48"),))), "fe80::/9"),
    (CLUSTER, requests.SetCluster(replace(SIX, cluster_cidrs=(IPv6Network("fd00::/40"),))), "from /48 to /64"),
    (CLUSTER, requests.SetCluster(replace(SIX, cluster_cidrs=(IPv6Network("fd68:6564:646c::/48"),))), "fd68"),
    (DUAL, requests.SetCluster(CLUSTER), "fd00:10::/64"),
    (SIX, requests.CreateEgress(Egress("e", "red", (ip("203.0.113.65"),))), "no IPv4 address"),
    (SIX, requests.CreateEgress(Egress("e", "red", via=PodKey("red", "a"))), "no IPv4 address"),
    (DUAL, requests.CreateEgress(Egress("e", "red", (ip("2001:db8::5"),))), "IPv6"),
    (CLUSTER, requests.CreateNode("n3", ip("192.0.2.13"), subnets=(IPv6Network("fd00:10:0:9::/64"),)), "each address"),
    (DUAL, requests.CreateNode("n3", ip("192.0.2.13"), subnets=(IPv4Network("10.128.4.0/23"),)), "each address"),
    (DUAL, requests.CreateNode("n3", ip("2001:db8::13")), "IPv6, over which tunnels are not supported yet"),
    (
        CLUSTER,
        requests.CreateService(Service(ServiceKey("red", "s"), ip("fd00:20::5"), (NamedPort("TCP", 80),))),
        "outside the service CIDRs",
    ),
]


@pytest.mark.parametrize(("cluster", "request_", "named"), REFUSALS, ids=lambda value: str(value)[:50])
def test_what_does_not_go_together_is_refused(cluster: Cluster, request_: Request, named: str) -> None:
    with pytest.raises(Refused) as caught:
        admit(world(cluster), request_)
    assert named in str(caught.value)
    assert caught.value.reason in (Reason.INVALID, Reason.IN_USE)


def test_a_network_with_a_small_mtu_keeps_the_cluster_from_ipv6() -> None:
    snapshot = after(world(CLUSTER), requests.CreateNetwork("small", mtu=1000))
    with pytest.raises(Refused, match='network "small" has an MTU of 1000 bytes'):
        admit(snapshot, requests.SetCluster(DUAL))


def test_a_pod_without_an_address_of_the_family_is_told_so() -> None:
    snapshot = world(SIX)
    with pytest.raises(Refused, match="has no IPv4 address"):
        trace_pods(fabric(snapshot), port(snapshot, "a"), ip("172.30.0.1"))


def test_endpoints_of_another_family_than_the_service_are_not_led_to() -> None:
    """The service of IPv4 has no endpoint then: it is refused, and nobody gets a packet of the wrong family."""
    key = ServiceKey("red", "s")
    made = requests.CreateService(Service(key, ip("172.30.0.5"), (NamedPort("TCP", 80),)))
    found = EndpointSlice(SliceKey("red", "s6"), "s", (NamedPort("TCP", 8080),), (Endpoint(ip("fd00:10::2")),))
    snapshot = after(world(DUAL), made, requests.PutEndpoints(found))
    asked = transport("TCP", Ends(own_of(port(snapshot, "a"), 4), ip("172.30.0.5"), port(snapshot, "a").mac), 80)
    trace = fabric(snapshot).carry("n1", arriving(asked, 3))
    assert trace.outcome == Sent("n1", Where.SERVICE)


def test_macs_of_pods_on_different_nodes_differ() -> None:
    snapshot = world(SIX)
    macs = [*(pod.mac for pod in snapshot.ports.values()), *(node.mac for node in snapshot.nodes.values())]
    assert len(set(macs)) == len(macs)


# --- neighbours ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", [DUAL, SIX], ids=["both", "IPv6"])
@pytest.mark.parametrize("target", ["fd00:10::1", "fd00:10:0:1::2", "fd00:10:0:77::abcd"])
@pytest.mark.parametrize("is_link_local", [False, True])
@pytest.mark.parametrize("is_unicast", [False, True])
def test_a_solicitation_is_answered(cluster: Cluster, target: str, is_link_local: bool, is_unicast: bool) -> None:
    """RFC 4861, 7.2.4: from the target, to who asked, solicited, with the target's link-layer address."""
    snapshot = world(cluster)
    pod = port(snapshot, "a")
    source = link_local_of(pod.mac) if is_link_local else own_of(pod, 6)
    ends = Ends(source, ip(target), pod.mac)
    answer = from_pod(snapshot, pod, solicitation(ends, ip(target) if is_unicast else None))
    assert answer is not None
    wanted = {
        fields.ETH_SRC: mac_of(ip(target)),
        fields.ETH_DST: pod.mac,
        fields.IPV6_SRC: int(ip(target)),
        fields.IPV6_DST: int(source),
        fields.ICMPV6_TYPE: 136,
        ND_TARGET: int(ip(target)),
        ND_TLL: mac_of(ip(target)),
        ND_RESERVED: 0x6000_0000,
        fields.ND_OPTIONS_TYPE: 2,
    }
    assert {field: answer.get(field) for field in wanted} == wanted


def solicits(pod: Port, target: str = "fd00:10::1") -> Packet:
    return solicitation(Ends(own_of(pod, 6), ip(target), pod.mac))


FORGERIES = {
    "duplicate address detection": lambda pod: solicitation(Ends(ip("::"), own_of(pod, 6), pod.mac)),
    "from another's address": lambda pod: solicitation(Ends(ip("fd00:10::77"), ip("fd00:10::1"), pod.mac)),
    "from another's link-local address": lambda pod: solicitation(Ends(ip("fe80::77"), ip("fd00:10::1"), pod.mac)),
    "with another's MAC": lambda pod: solicits(pod).set(fields.ETH_SRC, 0x020000000001),
    "with another's MAC in the option": lambda pod: solicits(pod).set(ND_SLL, 0x020000000001),
    "router solicitation": lambda pod: solicits(pod).update(icmpv6_type=133),
    "router advertisement": lambda pod: solicits(pod).update(icmpv6_type=134),
    "neighbour advertisement": lambda pod: solicits(pod).update(icmpv6_type=136),
    "redirect": lambda pod: solicits(pod).update(icmpv6_type=137),
    "for an address of nobody's": lambda pod: solicits(pod, "2001:db8::1"),
    "for a link-local address": lambda pod: solicits(pod, "fe80::1"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_nobody_is_answered_who_asks_so(name: str) -> None:
    snapshot = world(DUAL)
    pod = port(snapshot, "a")
    assert pod.ofport is not None
    outcome = fabric(snapshot).carry("n1", arriving(FORGERIES[name](pod), pod.ofport)).outcome
    assert isinstance(outcome, Dropped)


@pytest.mark.parametrize("kind", [133, 134, 135, 136, 137])
def test_no_other_pod_gets_neighbour_discovery(kind: int) -> None:
    """To the unicast address of another pod of the same network, too: nobody can pose as a router or as another."""
    snapshot = world(DUAL)
    pod, other = port(snapshot, "a"), port(snapshot, "b")
    target = own_of(other, 6)
    sent = solicitation(Ends(own_of(pod, 6), target, pod.mac), target).update(icmpv6_type=kind)
    assert pod.ofport is not None
    outcome = fabric(snapshot).carry("n1", arriving(sent, pod.ofport)).outcome
    assert outcome != Delivered("n2", other.key)


def test_no_pod_is_configured_by_another() -> None:
    snapshot = world(DUAL)
    pod, other = port(snapshot, "a"), port(snapshot, "b")
    ends = Ends(own_of(pod, 6), own_of(other, 6), pod.mac)
    outcomes = {
        number: fabric(snapshot).carry("n1", arriving(transport("UDP", ends, number, 547), 3)).outcome
        for number in (546, 547)
    }
    assert isinstance(outcomes[546], Dropped)
    assert outcomes[547] == Delivered("n2", other.key)


@pytest.mark.parametrize("address", ["fe80::1", "fe80::858:aff:fe80:2", "ff02::1", "ff05::2"])
def test_what_is_for_one_link_stays_there(address: str) -> None:
    snapshot = world(DUAL)
    pod = port(snapshot, "a")
    sent = icmp(Ends(own_of(pod, 6), ip(address), pod.mac))
    assert isinstance(fabric(snapshot).carry("n1", arriving(sent, 3)).outcome, Dropped)


def test_the_nodes_kernel_is_answered() -> None:
    snapshot = world(SIX)
    this = snapshot.nodes["n1"]
    for source in (this.gateways[0], link_local_of(this.mac)):
        asks = solicitation(Ends(source, ip("fd00:10::2"), this.mac))
        trace = fabric(snapshot).carry("n1", arriving(asks, TUN_OFPORT))
        assert trace.outcome == Sent("n1", Where.NODE)
        assert trace.packet.get(ND_TLL) == mac_of(ip("fd00:10::2"))


def test_where_there_is_no_ipv6_there_are_no_such_flows() -> None:
    tables = compile_all(world(CLUSTER))
    assert not any(
        term[1] == fields.ETH_IPV6
        for table in tables.values()
        for entry in table.entries()
        for term in entry.flow.match
        if term[0] == fields.ETH_TYPE
    )
    assert not any(key.feature == neighbours.ID for table in tables.values() for key in table.sections)


# --- leaving -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("egress", "left"),
    [
        (Egress("e", "red", (ip("203.0.113.65"),), None, ("n1",)), IPv4Address("203.0.113.65")),
        (Egress("e", "red", via=PodKey("blue", "c")), None),
    ],
    ids=["by an address", "by a gateway"],
)
def test_by_an_egress_of_ipv4_nothing_leaves_in_ipv6(egress: Egress, left: IPv4Address | None) -> None:
    snapshot = after(world(DUAL), requests.CreateEgress(egress))
    pod, gateway = port(snapshot, "a"), port(snapshot, "c")
    outside = {4: ip("198.51.100.9"), 6: ip("2001:db8::9")}
    four, six = (
        fabric(snapshot)
        .carry("n1", arriving(transport("TCP", Ends(own_of(pod, version), outside[version], pod.mac), 443), 3))
        .outcome
        for version in (4, 6)
    )
    assert four == (Delivered("n1", gateway.key) if left is None else Sent("n1", Where.OUTSIDE, left))
    assert isinstance(six, Dropped)
    others = transport("TCP", Ends(own_of(gateway, 6), outside[6], gateway.mac), 443)
    assert fabric(snapshot).carry("n1", arriving(others, gateway.ofport or 0)).outcome == Sent("n1", Where.OUTSIDE)
