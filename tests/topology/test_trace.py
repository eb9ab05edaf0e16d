"""Packets of pods followed over nodes: the verdict, where it fell, and the way there."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from immutables import Map

from tests.topology.asking import endpoints, ip, node, report, service
from tests.topology.strategies import after, own_range
from topology import fields, requests
from topology.compiler import SectionKey, compile_all
from topology.fields import BY_NAME, IPV4_DST, IPV4_SRC
from topology.model import HAIRPIN, NamedPort, Port, PortKey, Scope, ServiceKey, ServicePort, SliceKey
from topology.outcome import Delivered, Dropped, Outcome, Sent, Where
from topology.packet import Ends, arp, arriving, transport
from topology.pipeline import FeatureId, Table
from topology.reach import known_as
from topology.requests import Reason, Refused
from topology.snapshot import Put, Remove, Snapshot, apply_all, empty
from topology.text import flow_text
from topology.trace import Fabric, trace_pods


def pod(name: str, project: str, place: str, ofport: int) -> tuple[requests.ReportPort, requests.PortSeen]:
    key = PortKey(place, name, "eth0")
    return report(name, key=key, project=project, pod=name), requests.PortSeen(place, f"v{name}", ofport)


@pytest.fixture(scope="module")
def world() -> Snapshot:
    """Return two nodes; a and b of red on n1, c of red and d of blue on n2, e of the default network; a service."""
    return after(
        empty(),
        node("n1", "192.0.2.11"),
        node("n2", "192.0.2.12"),
        requests.CreateNetwork("red", projects=("red",)),
        requests.CreateNetwork("blue", projects=("blue",)),
        *pod("a", "red", "n1", 3),
        *pod("b", "red", "n1", 4),
        *pod("c", "red", "n2", 3),
        *pod("d", "blue", "n2", 4),
        *pod("e", "default", "n2", 5),
        service("172.30.0.20", ("TCP", 443)),
        service("172.30.0.30", ("TCP", 443), key=ServiceKey("blue", "api")),
    )


@pytest.fixture(scope="module")
def fabric(world: Snapshot) -> Fabric:
    return Fabric(world, compile_all(world))


def port(world: Snapshot, name: str) -> Port:
    return next(each for each in world.ports.values() if each.pod == name)


def key(place: str, name: str) -> PortKey:
    return PortKey(place, name, "eth0")


TCP_DST = BY_NAME["tcp_dst"]
BASE = SectionKey(FeatureId.BASE, ())

VERDICTS: list[tuple[str, str, str, int, Outcome]] = [
    ("a", "10.128.0.3", "ICMP", 0, Delivered("n1", key("n1", "b"))),
    ("a", "10.128.2.2", "TCP", 80, Delivered("n2", key("n2", "c"))),
    ("a", "10.128.2.3", "TCP", 80, Dropped("n2", Table.DELIVERY, BASE)),
    ("a", "10.128.2.4", "UDP", 53, Delivered("n2", key("n2", "e"))),
    ("a", "10.128.0.2", "ICMP", 0, Delivered("n1", key("n1", "a"))),
    ("a", "10.128.0.1", "ICMP", 0, Sent("n1", Where.NODE)),
    ("a", "192.0.2.11", "ICMP", 0, Sent("n1", Where.NODE)),
    ("a", "10.128.2.1", "ICMP", 0, Sent("n2", Where.NODE)),
    ("a", "192.0.2.12", "ICMP", 0, Sent("n1", Where.OUTSIDE)),
    ("a", "192.0.2.12", "UDP", 4789, Dropped("n1", Table.NODE_GUARD, SectionKey(FeatureId.GUARD, ("ports",)))),
    ("a", "10.128.0.1", "TCP", 6653, Dropped("n1", Table.NODE_GUARD, SectionKey(FeatureId.GUARD, ("ports",)))),
    ("a", "198.51.100.7", "TCP", 443, Sent("n1", Where.OUTSIDE)),
    ("a", "172.30.0.20", "TCP", 443, Sent("n1", Where.SERVICE)),
    ("a", "172.30.0.20", "TCP", 80, Dropped("n1", Table.SERVICE_CONNECTIONS, BASE)),
    ("a", "172.30.0.30", "TCP", 443, Dropped("n1", Table.DELIVERY, BASE)),
    ("e", "172.30.0.30", "TCP", 443, Sent("n2", Where.SERVICE)),
    ("a", "10.128.0.99", "TCP", 80, Dropped("n1", Table.LOCAL, BASE)),
    ("a", "10.130.0.99", "TCP", 80, Dropped("n1", Table.TUNNEL_EGRESS, BASE)),
    ("a", "224.0.0.251", "UDP", 5353, Dropped("n1", Table.ROUTING, BASE)),
]


@pytest.mark.parametrize(("source", "destination", "protocol", "number", "outcome"), VERDICTS)
def test_verdict(fabric: Fabric, source: str, destination: str, protocol: str, number: int, outcome: Outcome) -> None:
    trace = trace_pods(fabric, port(fabric.snapshot, source), ip(destination), protocol, number)
    assert trace.outcome == outcome
    if isinstance(outcome, Dropped):
        last = trace.steps[-1]
        assert (last.node, last.table, last.owner) == outcome
        assert last.entry is not None
        assert flow_text(last.entry.flow).endswith("actions=drop")


HTTPS = (NamedPort("TCP", 8443),)
# Who asks red's service, its only endpoint, and what becomes of the packet: at most, that the endpoint's owner gets it.
SERVED: list[tuple[str, str, Outcome]] = [
    ("a", "10.128.0.3", Delivered("n1", key("n1", "b"))),
    ("a", "10.128.2.2", Delivered("n2", key("n2", "c"))),
    ("a", "10.128.0.2", Delivered("n1", key("n1", "a"))),  # by the hairpin address
    ("a", "203.0.113.9", Sent("n1", Where.OUTSIDE)),
    ("a", "192.0.2.11", Sent("n1", Where.NODE)),
    ("a", "192.0.2.12", Sent("n1", Where.OUTSIDE)),
    ("e", "10.128.2.2", Delivered("n2", key("n2", "c"))),
    # An endpoint of another network is reached by whoever may talk with that, and not because a service leads there.
    ("a", "10.128.2.3", Dropped("n2", Table.DELIVERY, BASE)),
    ("a", "10.128.2.4", Delivered("n2", key("n2", "e"))),
    ("e", "10.128.2.3", Delivered("n2", key("n2", "d"))),
    ("d", "10.128.2.3", Dropped("n2", Table.DELIVERY, BASE)),
]


@pytest.mark.parametrize(("source", "endpoint", "outcome"), SERVED)
def test_a_service_leads_to_its_endpoint_if_the_pair_may_talk(
    world: Snapshot, source: str, endpoint: str, outcome: Outcome
) -> None:
    served = after(world, endpoints(endpoint, ports=HTTPS))
    sender = port(served, source)
    trace = trace_pods(Fabric(served, compile_all(served)), sender, ip("172.30.0.20"), "TCP", 443)
    assert trace.outcome == outcome
    if not isinstance(outcome, Dropped):
        met_from = HAIRPIN[4] if ip(endpoint) in sender.addresses else sender.addresses[0]
        ends = (trace.packet.get(field) for field in (IPV4_SRC, IPV4_DST, TCP_DST))
        assert [*ends] == [int(met_from), int(ip(endpoint)), 8443]


def test_a_service_of_ones_own_opens_no_way_to_others(world: Snapshot) -> None:
    """Red may use blue's services only; with a service of its own that leads to blue's pod, it gets nowhere."""
    joined = after(world, requests.JoinNetworks("red", "blue", Scope(services_only=True), None))
    by_own = after(joined, endpoints("10.128.2.3", ports=HTTPS))
    by_blues = after(joined, endpoints("10.128.2.3", key=SliceKey("blue", "api-1"), ports=HTTPS))
    outcomes = [
        trace_pods(Fabric(each, compile_all(each)), port(each, "a"), ip(address), "TCP", 443).outcome
        for each, address in ((by_own, "172.30.0.20"), (by_blues, "172.30.0.30"))
    ]
    assert outcomes == [Dropped("n2", Table.DELIVERY, BASE), Delivered("n2", key("n2", "d"))]


@pytest.fixture(scope="module")
def ranges() -> Fabric:
    """Return a world with ranges: red and lime overlap; red and blue are connected, red may ask pink, all one port."""
    own = {"red": own_range("10.0.0.0/24"), "lime": own_range("10.0.0.0/24"), "blue": own_range("10.0.1.0/24")}
    only_443 = Scope(ports=(ServicePort("TCP", 443),))
    world = after(
        empty(),
        node("n1", "192.0.2.11"),
        node("n2", "192.0.2.12"),
        *(requests.CreateNetwork(name, projects=(name,), subnets=own.get(name, ())) for name in (*own, "pink")),
        *pod("a", "red", "n1", 3),
        *pod("b", "red", "n2", 4),
        *pod("c", "lime", "n1", 4),
        *pod("d", "blue", "n2", 5),
        *pod("e", "pink", "n2", 6),
        *pod("f", "default", "n2", 7),
        requests.JoinNetworks("red", "blue"),
        requests.JoinNetworks("red", "pink", backward=None),
        requests.JoinNetworks("lime", "blue", only_443, None),  # refused: to blue, 10.0.0.0/24 would be two
        requests.JoinNetworks("lime", "pink", only_443, None),
    )
    assert sorted(world.connections) == [("blue", "red"), ("lime", "pink"), ("pink", "red")]
    assert [port(world, name).addresses[0] for name in "abc"] == [ip("10.0.0.2"), ip("10.0.0.16"), ip("10.0.0.2")]
    return Fabric(world, compile_all(world))


# Source, destination, the address by which it is dialled, protocol and port, and whether it arrives.
KNOWN: list[tuple[str, str, str, str, int, bool]] = [
    ("a", "b", "10.0.0.16", "TCP", 80, True),
    ("a", "d", "10.0.1.2", "TCP", 80, True),
    ("d", "a", "10.0.0.2", "TCP", 80, True),
    ("a", "c", "10.128.0.3", "TCP", 80, False),
    ("a", "e", "10.128.2.4", "UDP", 80, True),
    ("e", "a", "10.128.0.2", "UDP", 80, False),
    ("c", "e", "10.128.2.4", "TCP", 443, True),
    ("c", "e", "10.128.2.4", "TCP", 80, False),
    ("c", "f", "10.128.2.5", "TCP", 80, True),
    ("f", "c", "10.128.0.3", "TCP", 80, True),
    ("c", "c", "10.0.0.2", "TCP", 80, True),
]


@pytest.mark.parametrize(("source", "target", "address", "protocol", "number", "arrives"), KNOWN)
def test_pods_know_each_other_by_tenant_or_cluster_address(
    ranges: Fabric, source: str, target: str, address: str, protocol: str, number: int, arrives: bool
) -> None:
    here, there = port(ranges.snapshot, source), port(ranges.snapshot, target)
    assert known_as(there, here, ranges.snapshot) == (ip(address),)
    trace = trace_pods(ranges, here, ip(address), protocol, number)
    assert (trace.outcome == Delivered(there.node, there.key)) == arrives, trace.steps


def test_translated_connections_do_not_pass_on() -> None:
    """Red is joined with lime and with blue, all in one range: each connection has prefixes of its own."""
    names = ("red", "lime", "blue")
    world = after(
        empty(),
        node("n1", "192.0.2.11"),
        node("n2", "192.0.2.12"),
        *(requests.CreateNetwork(name, projects=(name,), subnets=own_range("10.0.0.0/24")) for name in names),
        *(ask for number, name in enumerate(names) for ask in pod(name, name, f"n{1 + number % 2}", 3 + number)),
        requests.JoinNetworks("red", "lime", translate=True),
        requests.JoinNetworks("red", "blue", translate=True),
    )
    fabric = Fabric(world, compile_all(world))
    red, lime, blue = (port(world, name) for name in names)
    assert {pod_.addresses for pod_ in (red, lime, blue)} == {(ip("10.0.0.2"),)}
    dialled = [known_as(there, here, world)[0] for here, there in ((red, lime), (lime, red), (red, blue), (blue, red))]
    assert dialled == [ip("100.64.0.2"), ip("100.64.1.2"), ip("100.64.2.2"), ip("100.64.3.2")]
    for (here, there), address in zip(((red, lime), (lime, red), (red, blue), (blue, red)), dialled, strict=True):
        trace = trace_pods(fabric, here, address)
        assert trace.outcome == Delivered(there.node, there.key), trace.steps
        assert trace.packet.get(IPV4_SRC) == int(known_as(here, there, world)[0])
    for here, others in ((lime, dialled[2:]), (blue, dialled[:2])):
        for address in others:
            assert not isinstance(trace_pods(fabric, here, address).outcome, Delivered)


def test_a_bare_address_is_what_the_pod_would_dial(ranges: Fabric) -> None:
    """The same address is the pod itself, another's pod, or somewhere outside: it depends on who dials."""
    a, b, c, d, e = (port(ranges.snapshot, name) for name in "abcde")
    outcomes = {each.pod: trace_pods(ranges, each, ip("10.0.0.2"), "TCP", 80).outcome for each in (a, b, c, d, e)}
    assert outcomes == {
        "a": Delivered("n1", a.key),
        "b": Delivered("n1", a.key),
        "c": Delivered("n1", c.key),
        "d": Delivered("n1", a.key),
        "e": Sent("n2", Where.OUTSIDE),
    }
    by_itself = trace_pods(ranges, a, ip("10.128.0.2"), "TCP", 80)  # its cluster address
    assert by_itself.outcome == Delivered("n1", a.key)
    assert by_itself.packet.get(fields.IPV4_DST) == int(ip("10.0.0.2"))
    assert by_itself.packet.get(fields.IPV4_SRC) == int(ip("10.128.0.2"))


def test_steps_tell_the_way(fabric: Fabric) -> None:
    trace = trace_pods(fabric, port(fabric.snapshot, "a"), ip("10.128.2.2"), "TCP", 80)
    assert [(step.node, step.table_name, step.feature) for step in trace.steps] == [
        ("n1", "DISPATCH", "BASE"),
        ("n1", "POD_INGRESS", "PORTS"),
        ("n1", "SENT", "BASE"),
        ("n1", "TRACKING", "BASE"),
        ("n1", "CROSSING", "BASE"),
        ("n1", "SERVICES", "BASE"),
        ("n1", "EGRESS_POLICY", "BASE"),
        ("n1", "ROUTING", "BASE"),
        ("n1", "TUNNEL_EGRESS", "TUNNELS"),
        ("n1", "ENCAPSULATION", "BASE"),
        ("n1", "TUNNEL_OUTPUT", "NODE"),
        ("n2", "DISPATCH", "BASE"),
        ("n2", "TUNNEL_INGRESS", "TUNNELS"),
        ("n2", "SERVICE_REPLIES", "BASE"),
        ("n2", "HAIRPIN", "BASE"),
        ("n2", "LOCAL", "PORTS"),
        ("n2", "INGRESS_POLICY", "BASE"),
        ("n2", "DELIVERY", "NETWORKS"),
        ("n2", "OUTPUT", "BASE"),
        ("n2", "RECEIVED", "BASE"),
    ]
    assert trace.steps[1].owner == SectionKey(FeatureId.PORTS, key("n1", "a"))
    assert trace.packet.get(fields.TUNNEL_ID) == fabric.snapshot.networks["red"].vnid


def test_delivery_writes_the_destinations_mac(fabric: Fabric) -> None:
    wrong = Ends(ip("10.128.0.2"), ip("10.128.2.2"), destination_mac=0x020000000001)
    trace = fabric.carry("n1", arriving(transport("TCP", wrong, 80), 3))
    assert trace.outcome == Delivered("n2", key("n2", "c"))
    assert trace.packet.get(fields.ETH_DST) == port(fabric.snapshot, "c").mac


def test_arp_is_answered_with_the_derived_mac(fabric: Fabric) -> None:
    request = arriving(arp(Ends(ip("10.128.0.2"), ip("10.128.2.3"))), 3)
    trace = fabric.carry("n1", request)
    assert trace.outcome == Delivered("n1", key("n1", "a"))
    answer = arp(Ends(ip("10.128.2.3"), ip("10.128.0.2")), 2)
    assert {field: trace.packet.get(field) for field in answer.values} == dict(answer.values)


def test_a_pod_without_number_cannot_be_traced(world: Snapshot, fabric: Fabric) -> None:
    waiting = replace(port(world, "a"), ofport=None)
    with pytest.raises(Refused, match="not on its switch yet") as caught:
        trace_pods(fabric, waiting, ip("10.128.0.3"))
    assert caught.value.reason is Reason.UNKNOWN


def test_what_cannot_be_traced_is_refused(world: Snapshot, fabric: Fabric) -> None:
    with pytest.raises(Refused, match="has no IPv6 address"):
        trace_pods(fabric, port(world, "a"), IPv6Address("fd00::1"))
    with pytest.raises(Refused, match='protocol "GRE"'):
        trace_pods(fabric, port(world, "a"), ip("10.128.0.3"), "GRE")


def test_a_waiting_destination_drops(world: Snapshot) -> None:
    waiting, _ = apply_all(world, (Put(replace(port(world, "b"), ofport=None)),))
    trace = trace_pods(Fabric(waiting, compile_all(waiting)), port(waiting, "a"), IPv4Address("10.128.0.3"))
    assert trace.outcome == Dropped("n1", Table.LOCAL, BASE)


def test_tables_that_name_what_is_gone_lose_the_packet(world: Snapshot) -> None:
    """The tables of a moment ago with the snapshot of now: as long as both exist, nobody else gets the packet."""
    tables = compile_all(world)
    later, _ = apply_all(world, (Remove(port(world, "b")), Remove(world.nodes["n2"])))
    fabric = Fabric(later, tables)
    assert isinstance(trace_pods(fabric, port(world, "a"), ip("10.128.0.3")).outcome, Dropped)
    assert isinstance(trace_pods(fabric, port(world, "a"), ip("10.128.2.2")).outcome, Dropped)
    with pytest.raises(KeyError):
        Fabric(world, Map()).carry("n1", arriving(transport("TCP", Ends(ip("10.128.0.2"), ip("10.128.0.3")), 80), 3))
