"""What is refused, with which reason and words; what is granted, with which events. Requests can be repeated."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest

from tests.topology.asking import API, HTTP, SLICE, cluster, endpoints, ip, nets, node, report, service
from tests.topology.strategies import CLUSTER, after
from topology import requests
from topology.admission import admit
from topology.model import (
    FIRST_VNID,
    LAST_VNID,
    VNIDS,
    Cluster,
    Connection,
    Endpoint,
    EndpointSlice,
    NamedPort,
    Network,
    Node,
    Port,
    PortKey,
    PortRange,
    Project,
    Quarantine,
    Service,
    ServiceKey,
    SliceKey,
    Watermark,
    mac_of,
)
from topology.requests import Reason, Refused, Request
from topology.snapshot import Event, Put, Remove, Snapshot, apply_all, empty

KEY = PortKey("n1", "c1", "eth0")
WEB = Service(ServiceKey("red", "web"), IPv4Address("172.30.0.10"), (NamedPort("TCP", 80, "", 30443),))
LONG = "x" * 64


@pytest.fixture(scope="module")
def world() -> Snapshot:
    """Return two nodes; networks red, blue and the global green; one pod of red with a number, one service of red."""
    asked: list[Request] = [
        requests.SetCluster(CLUSTER),
        requests.CreateNode("n1", ip("192.0.2.11")),
        requests.CreateNode("n2", ip("192.0.2.12")),
        requests.CreateNetwork("red", projects=("red",)),
        requests.CreateNetwork("blue", projects=("blue",)),
        requests.CreateNetwork("green", is_global=True),
        report(),
        requests.PortSeen("n1", "vc1", 3),
        requests.CreateService(WEB),
    ]
    snapshot = empty()
    for request in asked:
        events = admit(snapshot, request)
        assert events
        snapshot, _ = apply_all(snapshot, events)
    return snapshot


def of_service(*ports: NamedPort, affinity: int = 0) -> requests.CreateService:
    return requests.CreateService(Service(API, ip("172.30.0.20"), ports, affinity))


MANY = [ip("10.128.0.0") + number for number in range(1001)]

# Request, reason, and what the message has to name.
REFUSALS: list[tuple[Request, Reason, str]] = [
    (cluster(cluster_cidrs=()), Reason.INVALID, "cluster CIDRs"),
    (cluster(cluster_cidrs=nets("10.128.0.0/14", "10.129.0.0/16")), Reason.INVALID, "10.129.0.0/16"),
    (cluster(node_ports=PortRange(9, 8)), Reason.INVALID, "node ports 9-8: are no range"),
    (cluster(node_ports=PortRange(8000, 9000)), Reason.INVALID, "node ports 8000-9000: include port 8080, by which"),
    (cluster(service_cidrs=nets("10.128.0.0/16")), Reason.INVALID, "10.128.0.0/16"),
    (cluster(service_cidrs=nets("172.16.0.0/12", "192.168.0.0/24")), Reason.INVALID, "at most, a /12"),
    (cluster(cluster_cidrs=(IPv6Network("fd00::/48"),)), Reason.INVALID, "service CIDR 172.30.0.0/16"),
    (cluster(node_prefix=31), Reason.INVALID, "31"),
    (cluster(node_prefix=13), Reason.INVALID, "13"),
    (cluster(control_plane=(ip("10.128.0.7"),)), Reason.INVALID, "10.128.0.7"),
    (cluster(guarded_tcp_ports=(0,)), Reason.INVALID, "guarded port 0"),
    (cluster(guarded_udp_ports=(65536,)), Reason.INVALID, "65536"),
    (cluster(cluster_cidrs=nets("10.132.0.0/14")), Reason.IN_USE, 'node "n1"'),
    (cluster(cluster_cidrs=nets("10.128.0.0/14", "192.0.0.0/16")), Reason.IN_USE, "192.0.2.11"),
    (cluster(service_cidrs=nets("172.31.0.0/16")), Reason.IN_USE, "red/web"),
    (node("", "192.0.2.13"), Reason.INVALID, "is empty"),
    (node("N3"), Reason.INVALID, 'node "N3"'),
    (node("n1"), Reason.TAKEN, "192.0.2.11"),
    (node("n1", "192.0.2.11", dpid=7), Reason.TAKEN, "datapath id 1"),
    (node("n1", "192.0.2.11", subnets=nets("10.129.0.0/23")), Reason.TAKEN, "exists already"),
    (node(underlay="192.0.2.11"), Reason.TAKEN, 'node "n1"'),
    (node(underlay="10.128.200.1"), Reason.INVALID, "10.128.0.0/14"),
    (node(underlay="172.30.200.1"), Reason.INVALID, "172.30.0.0/16"),
    (node(underlay="0.0.0.0"), Reason.INVALID, "0.0.0.0"),
    (node(underlay="127.0.0.1"), Reason.INVALID, "127.0.0.1"),
    (node(underlay="224.0.0.1"), Reason.INVALID, "224.0.0.1"),
    (node(underlay="255.255.255.255"), Reason.INVALID, "255.255.255.255"),
    (requests.CreateNode("n3", IPv6Address("2001:db8::1")), Reason.INVALID, "2001:db8::1"),
    (node(dpid=0), Reason.INVALID, "datapath id 0"),
    (node(dpid=1 << 64), Reason.INVALID, str(1 << 64)),
    (node(dpid=1), Reason.TAKEN, 'node "n1"'),
    (node(subnets=nets("10.127.0.0/23")), Reason.INVALID, "10.127.0.0/23"),
    (node(subnets=nets("10.128.0.0/24")), Reason.TAKEN, 'node "n1"'),
    (node(subnets=nets("10.128.0.0/22")), Reason.TAKEN, "10.128.0.0/22"),
    (node(subnets=nets("10.129.0.0/31")), Reason.INVALID, "10.129.0.0/31"),
    (node(subnets=nets("10.129.0.0/23", "10.129.2.0/23")), Reason.INVALID, "family"),
    (requests.SetNode("n9", "geneve"), Reason.UNKNOWN, 'node "n9"'),
    (requests.SetNode("n1", "gre"), Reason.INVALID, 'encapsulation "gre" is unknown'),  # type: ignore[arg-type]
    (cluster(encapsulation="gre"), Reason.INVALID, 'encapsulation "gre": is unknown'),
    (requests.DeleteNode("n9"), Reason.UNKNOWN, 'node "n9"'),
    (requests.DeleteNode("n1"), Reason.IN_USE, "1 port"),
    (requests.CreateNetwork("Red"), Reason.INVALID, 'network "Red"'),
    (requests.CreateNetwork(LONG), Reason.INVALID, "63"),
    (requests.CreateNetwork("red", vnid=99), Reason.TAKEN, f"VNID {FIRST_VNID}"),
    (requests.CreateNetwork("red", is_global=True), Reason.TAKEN, 'network "red"'),
    (requests.CreateNetwork("default"), Reason.TAKEN, "VNID 0 and global"),
    (requests.CreateNetwork("red", projects=("blue",)), Reason.TAKEN, 'network "red"'),
    (requests.CreateNetwork("pink", projects=("blue",)), Reason.TAKEN, 'network "blue"'),
    (requests.CreateNetwork("pink", projects=("a.b",)), Reason.INVALID, 'project "a.b"'),
    (requests.CreateNetwork("pink", vnid=FIRST_VNID), Reason.TAKEN, 'network "red"'),
    (requests.CreateNetwork("pink", vnid=FIRST_VNID - 1), Reason.INVALID, f"VNID {FIRST_VNID - 1}"),
    (requests.CreateNetwork("pink", vnid=LAST_VNID + 1), Reason.INVALID, f"VNID {LAST_VNID + 1}"),
    (requests.CreateNetwork("pink", vnid=0), Reason.INVALID, "VNID 0"),
    (requests.DeleteNetwork("pink"), Reason.UNKNOWN, 'network "pink"'),
    (requests.DeleteNetwork("default"), Reason.BUILT_IN, 'network "default"'),
    (requests.DeleteNetwork("red"), Reason.IN_USE, 'project "red" has pods'),
    (requests.SetGlobal("pink", True), Reason.UNKNOWN, 'network "pink"'),
    (requests.SetGlobal("default", False), Reason.BUILT_IN, 'network "default"'),
    (requests.CreateProject("new", "pink"), Reason.UNKNOWN, 'network "pink"'),
    (requests.CreateProject("blue", "red"), Reason.TAKEN, 'network "blue"'),
    (requests.CreateProject("-", "red"), Reason.INVALID, 'project "-"'),
    (requests.DeleteProject("pink"), Reason.UNKNOWN, 'project "pink"'),
    (requests.DeleteProject("default"), Reason.BUILT_IN, 'project "default"'),
    (requests.DeleteProject("red"), Reason.IN_USE, "pods"),
    (requests.JoinNetworks("red", "pink"), Reason.UNKNOWN, 'network "pink"'),
    (requests.JoinNetworks("pink", "red"), Reason.UNKNOWN, 'network "pink"'),
    (requests.JoinNetworks("red", "red"), Reason.INVALID, "itself"),
    (requests.IsolateNetworks("pink"), Reason.UNKNOWN, 'network "pink"'),
    (requests.IsolateNetworks("red", "pink"), Reason.UNKNOWN, 'network "pink"'),
    (requests.IsolateNetworks("red", "red"), Reason.INVALID, "itself"),
    (requests.IsolateNetworks("default"), Reason.BUILT_IN, "isolated"),
    (requests.IsolateNetworks("red", "default"), Reason.BUILT_IN, 'network "default"'),
    (requests.IsolateNetworks("red", "green"), Reason.IN_USE, 'network "green"'),
    (service(key=ServiceKey("pink", "api")), Reason.UNKNOWN, 'project "pink"'),
    (service(key=ServiceKey("red", "Api")), Reason.INVALID, 'service "Api"'),
    (service("10.128.0.20"), Reason.INVALID, "10.128.0.20"),
    (service("172.30.0.10"), Reason.TAKEN, "red/web"),
    (requests.CreateService(Service(ServiceKey("red", "api"), ip("172.30.0.20"), ())), Reason.INVALID, "no ports"),
    (service("172.30.0.20", ("ICMP", 1)), Reason.INVALID, "ICMP"),
    (service("172.30.0.20", ("TCP", 0)), Reason.INVALID, "port 0"),
    (service("172.30.0.20", ("TCP", 65536)), Reason.INVALID, "port 65536"),
    (service("172.30.0.20", ("TCP", 80), ("TCP", 80)), Reason.INVALID, "twice"),
    (of_service(NamedPort("TCP", 80), NamedPort("TCP", 81)), Reason.INVALID, "two ports without a name"),
    (of_service(NamedPort("TCP", 80, "a"), NamedPort("UDP", 80, "a")), Reason.INVALID, 'two ports named "a"'),
    (of_service(NamedPort("TCP", 80, "A")), Reason.INVALID, 'port name "A"'),
    (of_service(NamedPort("TCP", 80), affinity=-1), Reason.INVALID, "-1 seconds"),
    (of_service(NamedPort("TCP", 80), affinity=86401), Reason.INVALID, "give 1 to 86400"),
    (of_service(NamedPort("TCP", 80, "", 65536)), Reason.INVALID, "node port 65536/TCP is out of range"),
    (of_service(NamedPort("TCP", 80, "", 8080)), Reason.INVALID, "they are 30000-32767"),
    (
        of_service(NamedPort("TCP", 80, "a", 30080), NamedPort("TCP", 81, "b", 30080)),
        Reason.INVALID,
        "names one node port twice",
    ),
    (of_service(NamedPort("TCP", 80, "", 30443)), Reason.TAKEN, 'node port 30443/TCP belongs to service "red/web"'),
    (requests.DeleteService(ServiceKey("red", "api")), Reason.UNKNOWN, "red/api"),
    (endpoints("10.128.0.2", key=SliceKey("pink", "a")), Reason.UNKNOWN, 'project "pink"'),
    (endpoints("10.128.0.2", key=SliceKey("red", "A")), Reason.INVALID, 'slice of endpoints "A"'),
    (endpoints("10.128.0.2", service=""), Reason.INVALID, 'service name "" is empty'),
    (endpoints("10.128.0.2", service="Api"), Reason.INVALID, 'endpoints "red/api-1": service name "Api"'),
    (endpoints("0.0.0.0"), Reason.INVALID, "0.0.0.0 is the unspecified"),
    (endpoints("127.0.0.1"), Reason.INVALID, "127.0.0.1 is a loopback"),
    (endpoints("169.254.169.254"), Reason.INVALID, "169.254.169.254 is a link-local"),
    (endpoints("224.0.0.1"), Reason.INVALID, "224.0.0.1 is a multicast"),
    (endpoints("255.255.255.255"), Reason.INVALID, "255.255.255.255 is the broadcast"),
    (endpoints("::"), Reason.INVALID, ":: is the unspecified"),
    (endpoints("::1"), Reason.INVALID, "::1 is a loopback"),
    (
        endpoints("10.128.0.2", "172.30.0.9"),
        Reason.INVALID,
        "endpoint 172.30.0.9 is inside the service CIDR 172.30.0.0/16",
    ),
    (endpoints("fe80::1"), Reason.INVALID, "fe80::1 is a link-local"),
    (endpoints("ff02::1"), Reason.INVALID, "ff02::1 is a multicast"),
    (endpoints("10.128.0.2", "fd00::2"), Reason.INVALID, "both address families"),
    (endpoints("10.128.0.2", "10.128.0.2"), Reason.INVALID, "10.128.0.2 twice"),
    (endpoints("10.128.0.2", node="N1"), Reason.INVALID, 'node name "N1" of endpoint 10.128.0.2'),
    (endpoints(*map(str, MANY)), Reason.INVALID, "1001 endpoints; give at most 1000"),
    (endpoints(ports=tuple(NamedPort("TCP", at, f"p{at}") for at in range(1, 102))), Reason.INVALID, "101 ports"),
    (endpoints(ports=(NamedPort("ICMP", 8),)), Reason.INVALID, 'protocol "ICMP"'),
    (endpoints(ports=(NamedPort("TCP", 0),)), Reason.INVALID, "port 0"),
    (endpoints(ports=(NamedPort("SCTP", 65536),)), Reason.INVALID, "port 65536"),
    (endpoints(ports=(NamedPort("TCP", 80), NamedPort("UDP", 80))), Reason.INVALID, "two ports without a name"),
    (requests.DeleteEndpoints(SLICE), Reason.UNKNOWN, 'endpoints "red/api-1"'),
    (report(key=PortKey("n9", "c1", "eth0")), Reason.UNKNOWN, 'node "n9"'),
    (report("c2", project="pink"), Reason.UNKNOWN, 'project "pink"'),
    (report(pod="other"), Reason.TAKEN, "red/pod-c1"),
    (report(project="blue"), Reason.TAKEN, "red/pod-c1"),
    (report(host_interface="vother"), Reason.TAKEN, "vc1"),
    (report("c2", host_interface="vc1"), Reason.TAKEN, '"c1/eth0"'),
    (report("c2", host_interface="tun0"), Reason.INVALID, "tun0"),
    (report("c2", host_interface="icmp0"), Reason.INVALID, "icmp0"),
    (report("c2", host_interface="a/b"), Reason.INVALID, "a/b"),
    (report("c2", host_interface="x" * 16), Reason.INVALID, "15"),
    (report("c2", pod="Pod_2"), Reason.INVALID, "Pod_2"),
    (report("c2", pod_uid="a b"), Reason.INVALID, "uid"),
    (report("c 2", host_interface="vc2"), Reason.INVALID, "c 2"),
    (report(key=PortKey("n1", "c2", "eth/0")), Reason.INVALID, "eth/0"),
    (requests.PortSeen("n9", "vc1", 3), Reason.UNKNOWN, 'node "n9"'),
    (requests.PortVanished("n9", "vc1"), Reason.UNKNOWN, 'node "n9"'),
    (requests.SwitchPorts("n9", ()), Reason.UNKNOWN, 'node "n9"'),
]


@pytest.mark.parametrize(("request_", "reason", "named"), REFUSALS, ids=lambda value: str(value)[:60])
def test_refused(world: Snapshot, request_: Request, reason: Reason, named: str) -> None:
    with pytest.raises(Refused) as caught:
        admit(world, request_)
    assert caught.value.reason is reason
    assert named in str(caught.value)
    assert caught.value.subject
    assert caught.value.remedy


def test_every_reason_but_exhaustion_is_among_them() -> None:
    """What is unsafe is for the verifier to say, of flows; admission has none."""
    assert {reason for _, reason, _ in REFUSALS} == {*Reason} - {Reason.EXHAUSTED, Reason.UNSAFE}


RED, BLUE, GREEN = Network("red", 10), Network("blue", 11), Network("green", 12, is_global=True)
PORT = Port(KEY, "red", "pod-c1", "red", "vc1", mac_of(ip("10.128.0.2")), (ip("10.128.0.2"),), ofport=3)
GONE = (Remove(PORT), Put(Quarantine(0, ip("10.128.0.2"), "n1")))
JOINED = Connection.between("red", "blue")
NAMED = (NamedPort("TCP", 80, "web"), NamedPort("TCP", 443, "tls"), NamedPort("UDP", 53, ""))
ALIKE = (NamedPort("TCP", 8080, "api"), NamedPort("TCP", 8080, "web"))  # two of a service lead to one of the endpoints'
TWO = (Endpoint(ip("10.128.0.2")), Endpoint(ip("10.128.0.9")))
V6 = IPv6Address("fd00::2")
N1 = Node("n1", 1, ip("192.0.2.11"), nets("10.128.0.0/23"))

GRANTED: list[tuple[Request, tuple[Event, ...]]] = [
    (requests.SetCluster(CLUSTER), ()),
    (cluster(), (Put(Cluster()),)),
    (node(), (Put(Node("n3", 3, ip("192.0.2.13"), nets("10.128.4.0/23"))),)),
    (node(dpid=7), (Put(Node("n3", 7, ip("192.0.2.13"), nets("10.128.4.0/23"))),)),
    (node(subnets=nets("10.130.0.0/24")), (Put(Node("n3", 3, ip("192.0.2.13"), nets("10.130.0.0/24"))),)),
    (node("n1", "192.0.2.11"), ()),
    (node("n1", "192.0.2.11", dpid=1, subnets=nets("10.128.0.0/23")), ()),
    (requests.SetNode("n1", None), ()),
    (requests.SetNode("n1", "geneve"), (Put(replace(N1, encapsulation="geneve")),)),
    (requests.DeleteNode("n1", drain=True), (*GONE, Remove(N1))),
    (requests.CreateNetwork("red"), ()),
    (requests.CreateNetwork("red", vnid=10, projects=("red",)), ()),
    (requests.CreateNetwork("default", is_global=True), ()),
    (
        requests.CreateNetwork("pink", projects=("p", "p", "q")),
        (Put(Watermark(VNIDS, 13)), Put(Network("pink", 13)), Put(Project("p", "pink")), Put(Project("q", "pink"))),
    ),
    (requests.CreateNetwork("pink", LAST_VNID, True), (Put(Network("pink", LAST_VNID, is_global=True)),)),
    (requests.DeleteNetwork("blue"), (Remove(Project("blue", "blue")), Remove(BLUE))),
    (requests.SetGlobal("red", False), ()),
    (requests.SetGlobal("default", True), ()),
    (requests.SetGlobal("red", True), (Put(Network("red", 10, is_global=True)),)),
    (requests.CreateProject("blue", "blue"), ()),
    (requests.CreateProject("new", "default"), (Put(Project("new", "default")),)),
    (requests.DeleteProject("blue"), (Remove(Project("blue", "blue")),)),
    (requests.JoinNetworks("red", "blue"), (Put(JOINED),)),
    (requests.JoinNetworks("green", "red"), (Put(Connection.between("green", "red")),)),
    (requests.JoinNetworks("red", "default"), ()),
    (requests.IsolateNetworks("red"), ()),
    (requests.IsolateNetworks("red", "blue"), ()),
    (requests.IsolateNetworks("green"), (Put(Network("green", 12)),)),
    (requests.CreateService(WEB), ()),
    (service("172.30.0.10", ("UDP", 1), key=WEB.key), (Put(Service(WEB.key, WEB.address, (NamedPort("UDP", 1),))),)),
    (requests.DeleteService(WEB.key), (Remove(WEB),)),
    (
        of_service(NamedPort("UDP", 80, "", 30443)),
        (Put(Service(API, ip("172.30.0.20"), (NamedPort("UDP", 80, "", 30443),))),),
    ),
    (of_service(*NAMED[::-1], affinity=86400), (Put(Service(API, ip("172.30.0.20"), NAMED, 86400)),)),
    (endpoints(), (Put(EndpointSlice(SLICE, "api", HTTP, ())),)),
    (endpoints(ports=()), (Put(EndpointSlice(SLICE, "api", (), ())),)),
    (endpoints("10.128.0.9", "10.128.0.2"), (Put(EndpointSlice(SLICE, "api", HTTP, TWO)),)),
    (endpoints("fd00::2", service="none"), (Put(EndpointSlice(SLICE, "none", HTTP, (Endpoint(V6),))),)),
    (endpoints(ports=ALIKE[::-1]), (Put(EndpointSlice(SLICE, "api", ALIKE, ())),)),
    (report(), ()),
    (report(pod_uid="known-later"), ()),
    (requests.ForgetPort(KEY), GONE),
    (requests.ForgetPort(PortKey("n1", "c9", "eth0")), ()),
    (requests.PortSeen("n1", "vc1", 3), ()),
    (requests.PortSeen("n1", "vother", 4), ()),
    (requests.PortSeen("n2", "vc1", 4), ()),
    (requests.PortSeen("n1", "vc1", 2), ()),
    (requests.PortSeen("n1", "vc1", 65000), ()),
    (requests.PortSeen("n1", "vc1", 0xFFFFFFFE), ()),
    (requests.PortVanished("n1", "vc1"), GONE),
    (requests.PortVanished("n1", "vother"), ()),
    (requests.SwitchPorts("n1", (("vc1", 3), ("tun0", 2), ("vother", 9))), ()),
    (requests.SwitchPorts("n1", (("tun0", 2),)), GONE),
    (requests.SwitchPorts("n1", (("vc1", 1),)), GONE),
    (requests.SwitchPorts("n1", (("vc1", 65000),)), GONE),
    (requests.SwitchPorts("n2", ()), ()),
    (requests.ReleaseAddresses(((0, ip("10.128.0.2")), (0, ip("10.128.9.9")))), ()),
]


@pytest.mark.parametrize(("request_", "events"), GRANTED, ids=lambda value: str(value)[:60])
def test_granted(world: Snapshot, request_: Request, events: tuple[Event, ...]) -> None:
    assert admit(world, request_) == events


def test_isolating_undoes_every_join_and_being_global(world: Snapshot) -> None:
    asked = (requests.JoinNetworks("red", "blue"), requests.JoinNetworks("red", "green"))
    joined = after(world, *asked, requests.SetGlobal("red", True))
    events = admit(joined, requests.IsolateNetworks("red"))
    assert events == (Remove(JOINED), Remove(Connection.between("green", "red")), Put(RED))
    alone, _ = apply_all(joined, events)
    assert alone.connections == world.connections
    assert admit(alone, requests.IsolateNetworks("red")) == ()


def test_a_deleted_networks_connections_go_with_it(world: Snapshot) -> None:
    joined = after(world, requests.JoinNetworks("red", "blue"))
    events = admit(joined, requests.DeleteNetwork("blue"))
    assert events == (Remove(JOINED), Remove(Project("blue", "blue")), Remove(BLUE))


def test_a_project_with_services_is_in_use(world: Snapshot) -> None:
    alone = after(world, requests.ForgetPort(KEY))
    for request in (requests.DeleteProject("red"), requests.DeleteNetwork("red")):
        with pytest.raises(Refused, match="services: web"):
            admit(alone, request)


def test_a_project_with_endpoints_is_in_use(world: Snapshot) -> None:
    served = after(world, endpoints("10.128.0.2", key=SliceKey("blue", "api-1")))
    for request in (requests.DeleteProject("blue"), requests.DeleteNetwork("blue")):
        with pytest.raises(Refused, match=r'project "blue" has endpoints of services \(slices: 1\)'):
            admit(served, request)


def test_endpoints_stay_without_their_service(world: Snapshot) -> None:
    served = after(world, endpoints("10.128.0.2", service="web"))
    alone = after(served, requests.DeleteService(WEB.key))
    assert WEB.key not in alone.services
    assert alone.slices == served.slices
    assert set(alone.slices_of[WEB.key]) == {SLICE}


def test_a_slice_can_become_another_services(world: Snapshot) -> None:
    one = after(world, endpoints("10.128.0.2", service="web"))
    other = after(one, endpoints("10.128.0.2", service="api"))
    assert set(other.slices_of) == {API}
    assert admit(other, endpoints("10.128.0.2", service="api")) == ()
    gone = after(other, requests.DeleteEndpoints(SLICE))
    assert (gone.slices, gone.slices_of, gone.slices_in) == (world.slices, world.slices_of, world.slices_in)


def test_another_uid_is_another_pod(world: Snapshot) -> None:
    known = after(world, report("c2", pod_uid="one"))
    assert admit(known, report("c2", pod_uid="one")) == ()
    assert admit(known, report("c2")) == ()
    with pytest.raises(Refused, match="belongs to pod red/pod-c2"):
        admit(known, report("c2", pod_uid="two"))


def test_a_number_passes_from_the_port_that_lost_it(world: Snapshot) -> None:
    waiting = after(world, report("c2"))
    first, second = admit(waiting, requests.PortSeen("n1", "vc2", 3))
    assert isinstance(first.value, Port)
    assert isinstance(second.value, Port)
    assert (first.value.key.container, first.value.ofport) == ("c1", None)
    assert (second.value.key.container, second.value.ofport) == ("c2", 3)


def test_a_switch_names_all_its_ports(world: Snapshot) -> None:
    """Two ports exchange numbers, one is gone, one was never seen yet: it waits."""
    both = after(
        world, report("c2"), requests.PortSeen("n1", "vc2", 4), report("c3"), requests.PortSeen("n1", "vc3", 5)
    )
    waiting = after(both, report("c4"))
    now = after(waiting, requests.SwitchPorts("n1", (("vc1", 4), ("vc2", 3))))
    assert {key.container: port.ofport for key, port in now.ports.items()} == {"c1": 4, "c2": 3, "c4": None}
    assert set(now.quarantined) == {(0, ip("10.128.0.4"))}
    assert admit(now, requests.SwitchPorts("n1", (("vc2", 3), ("vc1", 4)))) == ()
