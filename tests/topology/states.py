"""Named states of a small network, each a step from one before; the golden flows are of node n1 in them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from tests.topology.asking import endpoints, ip, node, report, service
from tests.topology.strategies import after, own_range
from topology import requests
from topology.labels import Operator, Requirement, Selector
from topology.model import (
    EVERYTHING,
    Attachment,
    Binding,
    Cluster,
    Egress,
    Mirror,
    NamedPort,
    Pod,
    PodKey,
    PortKey,
    Scope,
    Service,
    ServiceKey,
    ServicePort,
    SliceKey,
)
from topology.requests import Request
from topology.snapshot import Snapshot, empty

_PLAIN: Final = Cluster()
BOTH: Final = {
    "cluster_cidrs": (*_PLAIN.cluster_cidrs, IPv6Network("fd00:10::/48")),
    "service_cidrs": (*_PLAIN.service_cidrs, IPv6Network("fd00:20::/112")),
}


def _pod(name: str, project: str, place: str, ofport: int | None = None) -> tuple[Request, ...]:
    key = PortKey(place, name, "eth0")
    reported = report(name, key=key, project=project, pod=name)
    return (reported,) if ofport is None else (reported, requests.PortSeen(place, f"v{name}", ofport))


def _network(name: str, *cidrs: str) -> requests.CreateNetwork:
    subnets = tuple(subnet for cidr in cidrs for subnet in own_range(cidr))
    return requests.CreateNetwork(name, projects=(name,), subnets=subnets)


def _outer(project: str, name: str, address: str, *ports: NamedPort, affinity: int = 0) -> requests.CreateService:
    key = ServiceKey(project, name)
    return requests.CreateService(Service(key, ip(address), ports, affinity=affinity, external_local=True))


# What red's and blue's services lead to: a's pod and somebody outside, by other ports than the service's; b's pod.
RED: Final = endpoints(
    *("10.128.0.2", "203.0.113.9"), ports=(NamedPort("TCP", 8443, "tcp-443"), NamedPort("UDP", 53, "udp-53"))
)
BLUE: Final = endpoints("10.128.2.2", key=SliceKey("blue", "api-1"), ports=(NamedPort("SCTP", 8080),), node="n2")
LIME: Final = Attachment("lime", "", (ip("10.1.0.20"),), 0x02_00_00_00_00_07)

_CHOSEN: Final = requests.CreateEgress(
    Egress(
        "chosen",
        "red",
        (ip("203.0.113.67"), ip("203.0.113.68")),
        Selector((Requirement("team", Operator.IN, ("a",)),)),
        ("n2",),
        fail_open=True,
    )
)
_LABELLED: Final = requests.SetPod(Pod(PodKey("red", "a"), (("team", "a"),)))
_LOST: Final = (requests.NodeLost("n2"),)


def _egress(name: str, address: str) -> requests.CreateEgress:
    return requests.CreateEgress(Egress(name, "red", (ip(address),), None, ("n1" if address.endswith("5") else "n2",)))


def _via(pod: PodKey) -> requests.CreateEgress:
    return requests.CreateEgress(Egress("g", "red", via=pod))


# Name of the state, name of the state it starts from, and what is asked there.
STEPS: Final[tuple[tuple[str, str | None, tuple[Request, ...]], ...]] = (
    ("a node", None, (node("n1", "192.0.2.11"),)),
    (
        "two cluster CIDRs and a controller",
        "a node",
        (
            requests.SetCluster(
                Cluster(
                    (IPv4Network("10.128.0.0/14"), IPv4Network("10.200.0.0/16")),
                    service_cidrs=(IPv4Network("172.30.0.0/16"), IPv4Network("172.31.0.0/16")),
                    control_plane=(ip("192.0.2.1"),),
                    guarded_tcp_ports=(6653,),
                    guarded_udp_ports=(4789,),
                )
            ),
        ),
    ),
    (
        "a node of both families",
        None,
        (requests.SetCluster(replace(_PLAIN, **BOTH)), node("n1", "192.0.2.11"), node("n2", "192.0.2.12")),
    ),
    (
        "pods of both families",
        "a node of both families",
        (_network("red"), _network("blue"), *_pod("a", "red", "n1", 3), *_pod("b", "blue", "n2", 4)),
    ),
    (
        "a service of IPv6",
        "pods of both families",
        (
            service("fd00:20::20", ("TCP", 443)),
            endpoints("fd00:10::2", ports=(NamedPort("TCP", 8443, "tcp-443"),)),
            requests.JoinNetworks("red", "blue", Scope(ports=(ServicePort("TCP", 443),)), None),
        ),
    ),
    (
        "an address of IPv4 for pods of both families",
        "pods of both families",
        (requests.CreateEgress(Egress("e", "red", (ip("203.0.113.65"),), None, ("n1",))),),
    ),
    (
        "a pod of IPv6 alone",
        None,
        (
            requests.SetCluster(replace(_PLAIN, **{name: cidrs[1:] for name, cidrs in BOTH.items()})),
            node("n1", "192.0.2.11"),
            *_pod("d", "default", "n1", 3),
        ),
    ),
    ("a second node", "a node", (node("n2", "192.0.2.12"),)),
    ("two networks", "a second node", (_network("red"), _network("blue"))),
    ("a pod that waits for its number", "two networks", _pod("a", "red", "n1")),
    ("a pod", "a pod that waits for its number", (requests.PortSeen("n1", "va", 3),)),
    ("pods of two networks", "a pod", _pod("b", "blue", "n1", 4)),
    ("a pod of the default network", "a second node", _pod("d", "default", "n1", 3)),
    ("joined networks", "a pod", (*_pod("b", "blue", "n2", 4), requests.JoinNetworks("red", "blue"))),
    ("joined elsewhere", "two networks", (*_pod("b", "blue", "n2", 4), requests.JoinNetworks("red", "blue"))),
    ("a global network elsewhere", "a pod", (*_pod("b", "blue", "n2", 4), requests.SetGlobal("blue", True))),
    (
        "services of two networks",
        "a pod",
        (
            service("172.30.0.20", ("TCP", 443), ("UDP", 53)),
            service("172.30.0.30", ("SCTP", 80), key=ServiceKey("blue", "api")),
        ),
    ),
    (
        "services of joined networks",
        "services of two networks",
        (requests.JoinNetworks("red", "blue"),),
    ),
    (
        "networks with ranges of their own",
        "a second node",
        (_network("red", "10.0.0.0/24"), _network("blue", "10.0.0.0/24"), _network("lime", "10.1.0.0/26")),
    ),
    (
        "pods with equal addresses",
        "networks with ranges of their own",
        (*_pod("a", "red", "n1", 3), *_pod("b", "blue", "n1", 4)),
    ),
    ("a block on another node", "pods with equal addresses", _pod("c", "red", "n2", 3)),
    (
        "connected ranges",
        "pods with equal addresses",
        (*_pod("c", "lime", "n2", 3), requests.JoinNetworks("red", "lime")),
    ),
    (
        "equal ranges joined with translation",
        "pods with equal addresses",
        (requests.JoinNetworks("red", "blue", EVERYTHING, None, translate=True),),
    ),
    (
        "two subnets joined with translation",
        "a second node",
        (
            _network("red", "10.0.0.0/24"),
            requests.CreateNetwork(
                "blue",
                projects=("blue",),
                subnets=(*own_range("10.0.0.0/28"), *own_range("10.1.0.0/26", "more")),
            ),
            *_pod("a", "red", "n1", 3),
            *_pod("b", "blue", "n2", 4),
            requests.JoinNetworks("red", "blue", translate=True),
        ),
    ),
    (
        "a flat network",
        "a second node",
        (
            replace(_network("red", "10.0.0.0/24"), flat=True),
            *_pod("a", "red", "n1", 3),
            *_pod("c", "red", "n2", 3),
        ),
    ),
    (
        "red may ask blue",
        "a pod",
        (*_pod("b", "blue", "n2", 4), requests.JoinNetworks("red", "blue", EVERYTHING, None)),
    ),
    (
        "ports of each other",
        "a pod",
        (
            *_pod("b", "blue", "n2", 4),
            requests.JoinNetworks(
                "red",
                "blue",
                Scope(ports=(ServicePort("TCP", 443), ServicePort("UDP", 53))),
                Scope(ports=(ServicePort("SCTP", 80),)),
            ),
        ),
    ),
    (
        "services of each other only",
        "services of two networks",
        (requests.JoinNetworks("red", "blue", *[Scope(services_only=True)] * 2),),
    ),
    ("services with endpoints", "services of two networks", (*_pod("b", "blue", "n2", 4), RED, BLUE)),
    (
        "endpoints that go away, and one on the client's own node only",
        "services with endpoints",
        (
            endpoints("10.128.0.2", ports=RED.slice.ports, ready=False, terminating=True),
            requests.CreateService(
                Service(
                    ServiceKey("blue", "api"),
                    ip("172.30.0.30"),
                    (NamedPort("SCTP", 80, "", 30080),),
                    internal_local=True,
                )
            ),
        ),
    ),
    (
        "services with node ports",
        "services with endpoints",
        (
            requests.CreateService(
                Service(ServiceKey("red", "api"), ip("172.30.0.20"), (NamedPort("TCP", 443, "tcp-443", 30443),))
            ),
            requests.CreateService(
                Service(ServiceKey("blue", "none"), ip("172.30.0.31"), (NamedPort("SCTP", 80, "", 30080),))
            ),
        ),
    ),
    (
        "services for who comes from outside by his own address",
        "services with endpoints",
        (
            _outer(
                "red", "api", "172.30.0.20", NamedPort("TCP", 443, "tcp-443"), NamedPort("UDP", 53, "udp-53", 30053)
            ),
            _outer("blue", "none", "172.30.0.31", NamedPort("SCTP", 80)),
            _outer("blue", "api", "172.30.0.30", NamedPort("SCTP", 80), affinity=60),
            endpoints("10.128.0.2", "192.0.2.11", ports=RED.slice.ports, node="n1"),
        ),
    ),
    (
        "endpoints for services of each other only",
        "services with endpoints",
        (requests.JoinNetworks("red", "blue", *[Scope(services_only=True)] * 2),),
    ),
    (
        "for services of each other only, with ranges of their own",
        "a second node",
        (
            _network("red", "10.0.0.0/24"),
            _network("blue", "10.1.0.0/24"),
            *_pod("a", "red", "n1", 3),
            *_pod("b", "blue", "n2", 4),
            service("172.30.0.20", ("UDP", 53), key=ServiceKey("red", "api")),
            service("172.30.0.30", ("UDP", 53), key=ServiceKey("blue", "api")),
            endpoints("10.128.0.2", ports=(NamedPort("UDP", 5353),)),
            endpoints("10.128.2.2", key=SliceKey("blue", "api-1"), ports=(NamedPort("UDP", 5353),)),
            requests.JoinNetworks("red", "blue", *[Scope(services_only=True)] * 2),
        ),
    ),
    (
        "an endpoint with a range of its own",
        "pods with equal addresses",
        (
            service("172.30.0.20", ("TCP", 443), key=ServiceKey("red", "api")),
            endpoints("10.128.0.2", ports=(NamedPort("TCP", 8443),)),
            requests.SetGlobal("red", True),
        ),
    ),
    (
        "a pod on two networks, one by a static address and MAC",
        "networks with ranges of their own",
        (
            requests.CreateBinding(Binding("more", Selector(), optional=("lime",))),
            requests.CreateBinding(Binding("one", Selector(), Selector(), None, (LIME,))),
            *_pod("a", "red", "n1", 3),
            report("a", key=PortKey("n1", "a", "net1"), pod="a", host_interface="wa"),
            requests.PortSeen("n1", "wa", 4),
        ),
    ),
    ("an address that this node holds", "joined networks", (_egress("e", "203.0.113.65"),)),
    ("an address that another node holds", "joined networks", (_egress("e", "203.0.113.66"),)),
    ("an address that no node holds", "an address that another node holds", _LOST),
    ("addresses for pods by label", "joined networks", (_egress("e", "203.0.113.65"), _LABELLED, _CHOSEN, *_LOST)),
    ("an address of a network with a range of its own", "a block on another node", (_egress("e", "203.0.113.65"),)),
    ("a gateway on this node", "joined networks", (_via(PodKey("blue", "c")), *_pod("c", "blue", "n1", 5))),
    ("a gateway on another node", "joined networks", (_via(PodKey("blue", "b")),)),
    ("a gateway that is not there", "joined networks", (_via(PodKey("blue", "z")),)),
    (
        "mirrors of a network and of a pod",
        "joined networks",
        (
            *_pod("c", "blue", "n1", 5),
            requests.CreateMirror(Mirror("net", 0, PodKey("blue", "c"), "red")),
            requests.CreateMirror(Mirror("pod", 0, PodKey("blue", "b"), None, PodKey("red", "a"), received=False)),
            requests.CreateMirror(Mirror("there", 0, PodKey("red", "a"), "blue", sent=False)),
        ),
    ),
    (
        "networks with a DSCP",
        "pods with equal addresses",
        (requests.SetDscp("red", 46), requests.SetDscp("blue", 0)),
    ),
    (
        "pods with limits",
        "pods of two networks",
        (
            requests.SetPod(Pod(PodKey("red", "a"), ingress_bandwidth=10_000_000, egress_bandwidth=1_500)),
            requests.SetPod(Pod(PodKey("blue", "b"), egress_bandwidth=10**15)),
        ),
    ),
    ("red may ask blue, which is global", "red may ask blue", (requests.SetGlobal("blue", True),)),
)


def states() -> dict[str, Snapshot]:
    """Return every state by its name."""
    made: dict[str, Snapshot] = {}
    for name, start, asked in STEPS:
        made[name] = after(empty() if start is None else made[start], *asked)
    return made
