"""Hypothesis strategies: requests, snapshots that came about by them, and packets that somebody could send there.

Names and numbers are few, so that objects meet: two tenants on one node, one address asked for twice. Every snapshot
is made by `admit` and `apply` alone, as the controller makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import permutations
from typing import TypeVar

from hypothesis import strategies as st

from topology import fields, requests
from topology.admission import admit
from topology.fields import BY_NAME, TRANSPORT
from topology.labels import Labels, Operator, Requirement, Selector
from topology.model import (
    DEFAULT_NETWORK,
    EVERYTHING,
    NAME_LABEL,
    NODE_PORTS,
    SHARED_SPACE,
    TUN_OFPORT,
    Address,
    Attachment,
    Binding,
    Cluster,
    Egress,
    Encapsulation,
    Endpoint,
    EndpointSlice,
    Mirror,
    NamedPort,
    Node,
    Pod,
    PodKey,
    Port,
    PortKey,
    Scope,
    Service,
    ServiceKey,
    ServicePort,
    SliceKey,
    Stage,
    Subnet,
    link_local_of,
    mac_of,
)
from topology.packet import (
    ICMP_UNREACHABLE,
    ICMPV6_UNREACHABLE,
    Ends,
    Packet,
    arp,
    arriving,
    icmp,
    solicitation,
    transport,
    tunnelled,
)
from topology.reach import known_as, ranges_seen
from topology.requests import Refused, Request
from topology.snapshot import Event, Snapshot, apply_all, empty
from topology.specification import FromNode, FromPort, FromTunnel, Ingress

T = TypeVar("T")


def own_range(cidr: str, name: str = "default", gateway: str | None = None) -> tuple[Subnet, ...]:
    """Return one subnet of a network's own; its gateway is the first address unless given."""
    prefix = IPv4Network(cidr)
    return (Subnet(name, prefix, prefix[1] if gateway is None else IPv4Address(gateway)),)


NODES = ("n1", "n2", "n3")
NETWORKS = ("red", "blue", "green")
PROJECTS = ("red", "red-test", "blue", "green")  # "alone" is the one for which nobody names a network
CONTAINERS = ("c1", "c2", "c3")
INTERFACES = {"eth0": "v", "net1": "w", "net2": "x"}  # of pods, and how the host's side begins
BINDINGS = ("b1", "b2", "b3")
MIRRORS = ("m1", "m2", "m3")
LABEL_KEYS = ("team", "tier")
LABEL_VALUES = ("a", "b", "")
SERVICES = ("web", "dns")
EGRESSES = ("e1", "e2")
EGRESS_ADDRESSES = tuple(IPv4Address(f"203.0.113.{number}") for number in (65, 66, 67))
SLICES = ("web-1", "web-2", "dns-1")
UNDERLAYS = tuple(IPv4Address(f"192.0.2.{number}") for number in (11, 12, 13, 14))
SERVICE_ADDRESSES: tuple[Address, ...] = (
    *(IPv4Address(f"172.30.0.{number}") for number in (1, 10)),
    *(IPv6Address(f"fd00:20::{number}") for number in (1, 10)),  # where the cluster has them
)
RANGES: tuple[tuple[Subnet, ...], ...] = (
    (),
    own_range("10.0.0.0/28"),
    (*own_range("10.0.0.0/30"), *own_range("10.0.1.0/29", "more", "10.0.1.6")),  # small: full soon, the gateway last
    own_range("10.0.1.0/28"),
    own_range("192.0.2.0/24"),  # where nodes and controllers are
    own_range("198.51.100.0/26"),  # where others are
    own_range("100.64.0.0/28"),  # what translated prefixes are taken from
)
SCOPES = (
    EVERYTHING,
    None,
    Scope(services_only=True),
    Scope(ports=(ServicePort("TCP", 443), ServicePort("UDP", 53))),
    Scope(ports=(ServicePort("SCTP", 53),)),
)
SERVICE_PORTS = (NamedPort("TCP", 443, "tls"), NamedPort("UDP", 53), NamedPort("SCTP", 53, "bulk"))
NODE_PORT_NUMBERS = (30053, 30443)  # some services have one of them, for all of their protocols
# What a slice of endpoints has for them: others, or the same, and not always for each.
ENDPOINT_PORTS = (NamedPort("TCP", 8443, "tls"), NamedPort("UDP", 53), NamedPort("SCTP", 53, "bulk"))
# Pods of the first and second node and of networks' own ranges, a node, and one who is elsewhere.
ENDPOINTS = tuple(
    map(
        IPv4Address,
        ("10.128.0.2", "10.128.0.3", "10.128.2.2", "10.128.2.3", "10.0.0.2", "192.0.2.11", "203.0.113.9"),
    )
)
ENDPOINTS_6 = tuple(map(IPv6Address, ("fd00:10::2", "fd00:10::3", "fd00:10:0:1::2", "fd00:10:0:1::3", "2001:db8::9")))
CONTROLLER = IPv4Address("192.0.2.1")
CONTROLLER_6 = IPv6Address("2001:db8:1::1")
CLUSTER = Cluster(
    control_plane=(CONTROLLER,),
    external_cidrs=(IPv4Network("203.0.113.0/28"),),
    load_balancer_pool=(IPv4Network("203.0.113.12/30"),),
)
OWN_NETWORKS = replace(CLUSTER, own_networks=True)
GENEVE = replace(CLUSTER, encapsulation="geneve")
DUAL = replace(
    CLUSTER,
    cluster_cidrs=(*CLUSTER.cluster_cidrs, IPv6Network("fd00:10::/48")),
    service_cidrs=(*CLUSTER.service_cidrs, IPv6Network("fd00:20::/112")),
    control_plane=(CONTROLLER, CONTROLLER_6),
)
SIX = replace(DUAL, cluster_cidrs=DUAL.cluster_cidrs[1:], service_cidrs=DUAL.service_cidrs[1:])
ENCAPSULATIONS: tuple[Encapsulation | None, ...] = (None, "vxlan", "geneve")
# One in the ranges of several networks, one of the first node's subnet; a MAC that no address leads to.
STATIC_ADDRESSES: tuple[Address, ...] = (
    *map(IPv4Address, ("10.0.0.3", "10.0.1.3", "10.128.0.8")),
    IPv6Address("fd00:10::8"),
)
STATIC_MAC = 0x02_00_00_00_00_42
SMALL_CLUSTER = Cluster((IPv4Network("10.128.0.0/27"),), 29, control_plane=(CONTROLLER,))  # 4 nodes with 5 pods each

CLUSTERS = (CLUSTER, Cluster(), SMALL_CLUSTER, OWN_NETWORKS, GENEVE, DUAL)

nodes = st.sampled_from(NODES)
networks = st.sampled_from((*NETWORKS, DEFAULT_NETWORK))
projects = st.sampled_from((*PROJECTS, "alone", DEFAULT_NETWORK))
interfaces = st.sampled_from(tuple(f"{side}{name}" for side in INTERFACES.values() for name in CONTAINERS))
port_keys = st.builds(PortKey, nodes, st.sampled_from(CONTAINERS), st.sampled_from(tuple(INTERFACES)))
service_keys = st.builds(ServiceKey, projects, st.sampled_from(SERVICES))
slice_keys = st.builds(SliceKey, projects, st.sampled_from(SLICES))
ofports = st.integers(3, 8)
DSCPS = st.sampled_from((None, 0, 46))


@lru_cache
def _below(many: int) -> st.SearchStrategy[int]:
    return st.integers(0, many - 1)


def pick(draw: st.DrawFn, items: Sequence[T]) -> T:
    """Draw one of `items`. Much quicker than a strategy that is made anew for every draw."""
    return items[draw(_below(len(items)))]


def once_in(draw: st.DrawFn, many: int) -> bool:
    """Draw True once in `many` times; it is not what shrinking prefers."""
    return draw(_below(many)) == many // 2


def granted(snapshot: Snapshot, request: Request) -> tuple[Event, ...]:
    """Return the events of a request, none when it is refused."""
    try:
        return admit(snapshot, request)
    except Refused:
        return ()


def after(snapshot: Snapshot, *asked: Request) -> Snapshot:
    """Return the snapshot after requests, those that are refused left out."""
    for request in asked:
        snapshot, _ = apply_all(snapshot, granted(snapshot, request))
    return snapshot


@st.composite
def reports(draw: st.DrawFn) -> requests.ReportPort:
    """Draw a report of a pod whose interface's name follows from the container's."""
    interface = pick(draw, ("eth0", "eth0", "eth0", "net1", "net2"))
    key = PortKey(pick(draw, NODES), pick(draw, CONTAINERS), interface)
    project = pick(draw, (*PROJECTS, *PROJECTS, DEFAULT_NETWORK))
    return requests.ReportPort(key, project, f"pod-{key.container}", f"{INTERFACES[interface]}{key.container}")


# --- bindings ------------------------------------------------------------------------------------

labels: st.SearchStrategy[Labels] = st.dictionaries(
    st.sampled_from(LABEL_KEYS), st.sampled_from(LABEL_VALUES), max_size=2
).map(lambda given: tuple(sorted(given.items())))
values = st.lists(st.sampled_from(LABEL_VALUES), min_size=1, max_size=2, unique=True).map(tuple)
requirements = st.one_of(
    st.builds(Requirement, st.sampled_from(LABEL_KEYS), st.sampled_from((Operator.IN, Operator.NOT_IN)), values),
    st.builds(Requirement, st.sampled_from(LABEL_KEYS), st.sampled_from((Operator.EXISTS, Operator.DOES_NOT_EXIST))),
)
named_projects = st.builds(
    lambda names: Requirement(NAME_LABEL, Operator.IN, tuple(names)),
    st.lists(projects, min_size=1, max_size=2, unique=True),
)
selectors = st.builds(Selector, st.lists(requirements, max_size=2).map(tuple))
project_selectors = selectors | st.builds(Selector, st.tuples(named_projects))
pods = st.builds(
    Pod,
    st.builds(PodKey, projects, st.sampled_from(tuple(f"pod-{name}" for name in CONTAINERS))),
    labels,
    st.lists(networks, max_size=2).map(tuple),
    *[st.sampled_from((None, None, 1000, 10_000_000))] * 2,
)


pod_keys = st.builds(PodKey, projects, st.sampled_from(tuple(f"pod-{name}" for name in CONTAINERS)))
mirrors = st.one_of(
    st.builds(Mirror, st.sampled_from(MIRRORS), st.just(0), pod_keys, networks, st.none(), *[st.booleans()] * 2),
    st.builds(Mirror, st.sampled_from(MIRRORS), st.just(0), pod_keys, st.none(), pod_keys, *[st.booleans()] * 2),
)


@st.composite
def bindings(draw: st.DrawFn) -> Binding:
    """Draw a binding: of projects, or of pods, sometimes with static addresses."""
    named = draw(st.lists(networks, min_size=1, max_size=3, unique=True))
    of_pods = draw(st.none() | selectors)
    made: list[Attachment] = []
    for position, name in enumerate(named):
        interface = pick(draw, ("", "", "net1", "store")) if position else ""
        addresses, mac = (), None
        if of_pods is not None and once_in(draw, 4):
            addresses, mac = (pick(draw, STATIC_ADDRESSES),), pick(draw, (None, STATIC_MAC))
        made.append(Attachment(name, interface, addresses, mac))
    optional: tuple[str, ...] = ()
    if of_pods is None and len(made) > 1 and draw(st.booleans()):
        optional = (made.pop().network,)
    primary = made.pop(0) if draw(st.booleans()) else None
    return Binding(pick(draw, BINDINGS), draw(project_selectors), of_pods, primary, tuple(made), optional)


def services() -> st.SearchStrategy[requests.CreateService]:
    """Draw a service."""
    some = st.lists(st.sampled_from(SERVICE_PORTS), min_size=1, max_size=2, unique=True)
    offers = st.builds(_offered, some, st.sampled_from((0, *NODE_PORT_NUMBERS)))
    addresses = st.sampled_from(SERVICE_ADDRESSES)
    affinity, flag = st.sampled_from((0, 0, 10800)), st.booleans()
    external = st.sampled_from(((), (), (IPv4Address("203.0.113.5"),)))
    sources = st.sampled_from(((), (), (IPv4Network("198.51.100.0/24"),)))
    made = st.builds(
        Service,
        service_keys,
        addresses,
        offers,
        *(affinity, flag, flag, external, sources, flag),
        load_balancer=flag,
    )
    return st.builds(requests.CreateService, made)


def _offered(ports: list[NamedPort], node_port: int) -> tuple[NamedPort, ...]:
    return tuple(port._replace(node_port=node_port) for port in ports)


def slices() -> st.SearchStrategy[requests.PutEndpoints]:
    """Draw a slice of endpoints; its service may be one of those that `services` draws."""
    ports = st.lists(st.sampled_from(ENDPOINT_PORTS), max_size=3, unique=True).map(tuple)
    flag = st.booleans()
    some = st.one_of(*(_some_endpoints(addresses, flag) for addresses in (ENDPOINTS, ENDPOINTS_6)))
    return st.builds(
        requests.PutEndpoints, st.builds(EndpointSlice, slice_keys, st.sampled_from(SERVICES), ports, some)
    )


def _some_endpoints(
    addresses: tuple[Address, ...], flag: st.SearchStrategy[bool]
) -> st.SearchStrategy[tuple[Endpoint, ...]]:
    one = st.builds(Endpoint, st.sampled_from(addresses), st.just("") | nodes, flag, flag, flag)
    return st.lists(one, max_size=3, unique_by=lambda endpoint: endpoint.address).map(tuple)


def egresses() -> st.SearchStrategy[requests.CreateEgress]:
    """Draw an egress: of a network, or of pods that it selects, by one or two addresses on some of the nodes."""
    addresses = st.lists(st.sampled_from(EGRESS_ADDRESSES), min_size=1, max_size=2, unique=True).map(tuple)
    some = st.lists(nodes, max_size=2, unique=True).map(tuple)
    selected = st.none() | st.none() | selectors
    names = st.sampled_from(EGRESSES)
    made = st.builds(Egress, names, networks, addresses, selected, some, st.booleans())
    via = st.builds(PodKey, projects, st.sampled_from(tuple(f"pod-{name}" for name in CONTAINERS)))
    led = st.builds(Egress, names, networks, st.just(()), selected, st.just(()), st.booleans(), via)
    return st.builds(requests.CreateEgress, made | led)


def advances() -> st.SearchStrategy[requests.AdvanceMove]:
    """Draw that a stage of a move is in force."""
    transits = st.sampled_from([f"transit-{vnid}" for vnid in range(10, 18)])
    return st.builds(requests.AdvanceMove, projects, transits, st.sampled_from(Stage))


def any_request() -> st.SearchStrategy[Request]:
    """Draw any request; what happens to ports is drawn most often."""
    about_ports = (
        reports(),
        st.builds(requests.PortSeen, nodes, interfaces, ofports),
        st.builds(requests.PortVanished, nodes, interfaces),
        st.builds(requests.ForgetPort, port_keys),
        st.builds(
            requests.SwitchPorts,
            nodes,
            st.lists(st.tuples(interfaces, ofports), max_size=3, unique_by=(lambda p: p[0], lambda p: p[1])).map(tuple),
        ),
        st.just(RELEASE_ALL),
    )
    about_others = (
        st.builds(
            requests.CreateNode,
            nodes,
            st.sampled_from(UNDERLAYS),
            dpid=st.none() | st.integers(1, 3),
            subnets=st.just(()) | st.just((IPv4Network("10.128.2.0/23"),)),
        ),
        st.builds(requests.DeleteNode, nodes, st.booleans()),
        st.builds(requests.SetNode, nodes, st.sampled_from(ENCAPSULATIONS)),
        st.builds(
            requests.CreateNetwork,
            networks,
            st.none() | st.integers(10, 12),
            st.booleans(),
            st.lists(projects, max_size=2).map(tuple),
            st.sampled_from(RANGES),
            st.booleans(),
            st.sampled_from((None, 1400)),
            dscp=DSCPS,
        ),
        st.builds(requests.DeleteNetwork, networks, st.booleans()),
        st.builds(requests.SetGlobal, networks, st.booleans()),
        st.builds(requests.SetDscp, networks, DSCPS),
        st.builds(requests.CreateProject, projects, st.none() | networks, st.none() | labels),
        st.builds(requests.SetProjectLabels, projects, labels),
        st.builds(requests.CreateBinding, bindings()),
        st.builds(requests.CreateBinding, bindings()),
        st.builds(requests.DeleteBinding, st.sampled_from(BINDINGS)),
        st.builds(requests.SetPod, pods),
        st.builds(requests.SetPod, pods),
        st.builds(requests.DeletePod, pods.map(lambda pod: pod.key)),
        st.builds(requests.DeleteProject, projects),
        st.builds(requests.MoveProject, projects, networks, st.booleans()),
        st.builds(requests.MoveProject, projects, networks, st.just(True)),
        advances(),
        st.builds(requests.JoinNetworks, networks, networks, *[st.sampled_from(SCOPES)] * 2, st.booleans()),
        st.builds(requests.JoinNetworks, networks, networks, *[st.sampled_from(SCOPES)] * 2).map(
            requests.TrackConnection
        ),
        st.builds(requests.IsolateNetworks, networks, st.none() | networks),
        services(),
        st.builds(requests.DeleteService, service_keys),
        slices(),
        st.builds(requests.DeleteEndpoints, slice_keys),
        egresses(),
        egresses(),
        st.builds(requests.DeleteEgress, st.sampled_from(EGRESSES)),
        st.builds(requests.NodeLost, nodes),
        st.builds(requests.NodeFound, nodes),
        st.builds(requests.CreateMirror, mirrors),
        st.builds(requests.CreateMirror, mirrors),
        st.builds(requests.DeleteMirror, st.sampled_from(MIRRORS)),
        st.builds(
            requests.SetCluster, st.sampled_from((CLUSTER, Cluster(), SMALL_CLUSTER, OWN_NETWORKS, GENEVE, DUAL))
        ),
    )
    return st.one_of(*about_ports, *about_others)


# More than the snapshots here ever give out.
RELEASE_ALL = requests.ReleaseAddresses(
    (
        *((0, ip + number) for ip in map(IPv4Address, ("10.128.0.0", "10.128.2.0")) for number in range(2, 9)),
        *((0, ip + number) for ip in map(IPv6Address, ("fd00:10::", "fd00:10:0:1::")) for number in range(2, 9)),
        *((space, IPv4Address("10.0.0.0") + number) for space in (10, 11, 12) for number in (1, 2, 3, 4, 257, 258)),
        *((space, subnets[0].cidr[0] + number) for space in (10, 11) for subnets in RANGES[4:] for number in (2, 3)),
    )
)


_ORDERS = tuple(permutations((*NETWORKS, DEFAULT_NETWORK), 3))
_BINDINGS = st.lists(bindings(), max_size=2)
_PODS = st.lists(pods, max_size=3)
_LABELS = st.lists(st.builds(requests.SetProjectLabels, projects, labels), max_size=3)
_SERVICES = st.lists(services(), max_size=3)
_SLICES = st.lists(slices(), max_size=3)
_EGRESSES = st.lists(egresses(), max_size=2)
_MIRRORS = st.lists(st.builds(requests.CreateMirror, mirrors), max_size=2)
_REPORTS = st.lists(reports(), min_size=4, max_size=9)
_LATER = st.lists(any_request(), max_size=4)


def _spread(draw: st.DrawFn) -> list[Request]:
    """Draw bindings that go together: networks for most pods besides their own, and a choice for some of them."""
    named = (Requirement(NAME_LABEL, Operator.IN, PROJECTS[: pick(draw, (1, 2, 4))]),)
    first, second, third = pick(draw, _ORDERS)
    primary = Attachment(third) if once_in(draw, 3) else None
    optional = () if primary is not None else (third,)
    given = Binding("b1", Selector(named), None, primary, (Attachment(first), Attachment(second, "net2")), optional)
    static = () if once_in(draw, 3) else (pick(draw, STATIC_ADDRESSES),)
    one = Attachment(pick(draw, (first, second, third)), "", static, pick(draw, (None, STATIC_MAC)))
    some = pick(draw, (Selector(), draw(selectors)))
    choice = Binding("b2", Selector(named), some, *pick(draw, ((one, ()), (None, (one,)))))
    asked = [requests.CreateBinding(given), requests.CreateBinding(choice)][: pick(draw, (1, 2))]
    return [*asked, requests.SetPod(Pod(PodKey(pick(draw, PROJECTS), "pod-c1"), draw(labels), (third,), None, 10**7))]


@st.composite
def snapshots(draw: st.DrawFn, nodes: int = 3) -> Snapshot:
    """Draw a network of `nodes` nodes with three tenants, pods, connections, global networks, services, endpoints.

    Tenants have ranges of their own, which may overlap, or none; connections have scopes; projects have labels, and
    bindings by which some are elsewhere than at home and some pods have several ports.
    """
    cluster = pick(draw, (CLUSTER, DUAL, GENEVE, DUAL, OWN_NETWORKS, SIX))
    asked: list[Request] = [requests.SetCluster(cluster)]
    asked += [requests.CreateNode(name, address) for name, address in zip(NODES[:nodes], UNDERLAYS, strict=False)]
    asked += [requests.SetNode(name, pick(draw, ENCAPSULATIONS)) for name in NODES[:nodes]]
    asked += [
        _tenant(draw, cluster, "red", "red", "red-test"),
        _tenant(draw, cluster, "blue", "blue"),
        replace(_tenant(draw, cluster, "green", "green"), is_global=pick(draw, (False, True))),
    ]
    for one, other in (("red", "blue"), ("green", "red"), ("blue", "green"))[: pick(draw, (0, 1, 1, 2, 3))]:
        scopes = pick(draw, SCOPES), pick(draw, SCOPES)
        # Translated if that can be, or only if it must be.
        tries = pick(draw, ((True, False), (False, True)))
        asked += [requests.JoinNetworks(one, other, *scopes, translate) for translate in tries]
    asked += [requests.CreateProject("alone")]
    asked += draw(_LABELS)
    asked += _spread(draw) if pick(draw, (True, True, False)) else []
    asked += [requests.CreateBinding(binding) for binding in draw(_BINDINGS)]
    asked += [requests.SetPod(pod) for pod in draw(_PODS)]
    asked += draw(_SERVICES)
    asked += draw(_SLICES)
    asked += draw(_EGRESSES)
    asked += draw(_REPORTS)
    asked += draw(_MIRRORS)
    snapshot = after(empty(), *asked)
    for number, key in enumerate(sorted(snapshot.ports)):
        if not once_in(draw, 6):  # most ports are on their switch already
            interface = snapshot.ports[key].host_interface
            snapshot = after(snapshot, requests.PortSeen(key.node, interface, 3 + number))
    return after(snapshot, *draw(_LATER))


def _tenant(draw: st.DrawFn, cluster: Cluster, name: str, *projects: str) -> requests.CreateNetwork:
    subnets = pick(draw, (*RANGES[:4], *RANGES)) if cluster is not SIX else ()
    dscp = pick(draw, (None, None, 0, 46))
    return requests.CreateNetwork(name, None, False, projects, subnets, bool(subnets) and once_in(draw, 4), dscp=dscp)


# --- packets -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sending:
    """A packet, and where it comes in."""

    ingress: Ingress
    packet: Packet

    @property
    def node(self) -> str:
        """The node it comes in at."""
        return self.ingress.node

    def at_switch(self, snapshot: Snapshot) -> Packet:
        """Return the packet as the switch of its node gets it."""
        match self.ingress:
            case FromPort(ofport=ofport):
                return arriving(self.packet, ofport)
            case FromNode():
                return arriving(self.packet, TUN_OFPORT)
            case FromTunnel(node=node, vtep=vtep, vnid=vnid, space=space):
                return tunnelled(self.packet, vnid, vtep, snapshot.nodes[node].underlay, space)


_NOBODY: dict[int, tuple[Address, ...]] = {
    4: tuple(
        map(
            IPv4Address,
            (
                *("10.128.0.0", "10.128.1.255", "10.131.255.254", "172.30.9.9", "192.0.2.99", "198.51.100.7"),
                *("10.127.0.1", "224.0.0.251", "255.255.255.255", "0.0.0.0", "127.0.0.1"),
            ),
        )
    ),
    6: tuple(
        map(
            IPv6Address,
            (
                *("fd00:10::", "fd00:10::ffff", "fd00:10:0:ffff::7", "fd00:20::99", "2001:db8::7", "2001:db8:1::99"),
                *("fd00:11::1", "ff02::1", "fe80::1", "::", "::1"),
            ),
        )
    ),
}
STRANGER = IPv4Address("198.51.100.7")
STRANGERS: dict[int, Address] = {4: STRANGER, 6: IPv6Address("2001:db8::7")}
_THIS_NODE: dict[int, tuple[Address, ...]] = {
    version: (prefix[0], prefix[77], prefix[255]) for version, prefix in NODE_PORTS.items()
}
_KINDS = ("TCP", "TCP", "TCP", "UDP", "UDP", "UDP", "SCTP", "ICMP", "ICMP", "ICMP", "ARP", "other")
_PORTS = (443, 53, 80, 8080, 4789, 5000, 22)
WAYS = (*("port",) * 5, *("node",) * 2, *("tunnel",) * 2, "stray")


def _address(draw: st.DrawFn, snapshot: Snapshot, version: int, source: Port | None = None) -> Address:
    """Draw an address that means something: mostly a pod's as `source` knows it, first of connected networks."""
    pods = [port for _, port in sorted(snapshot.ports.items()) if _own(port.addresses, version) is not None]
    kind = pick(draw, (0, 0, 0, 0, 1, 1, 2, 3, 3, 4))
    peers = () if source is None else snapshot.peers.get(source.network, ())
    others = [pod for pod in pods if pod != source]
    near = [pod for pod in others if pod.network in peers] if kind == 0 else others
    if kind < 2 and (near or others):
        pod = pick(draw, near or others)
        known = known_as(pod, source, snapshot) if source else pod.cluster_addresses or pod.addresses
        return _own(known, version) or _NOBODY[version][0]
    seen_as = [item.seen_as[2] for link in snapshot.connections.values() for item in link.translations]
    of_pods = [address for pod in pods for address in (*pod.addresses, *pod.cluster_addresses)] + seen_as
    if kind < 3 and pods:
        return pick(draw, _of(version, of_pods))
    known_addresses: set[Address] = {
        *(gateway for node in snapshot.nodes.values() for gateway in node.gateways),
        *(node.underlay for node in snapshot.nodes.values()),
        *(service.address for service in snapshot.services.values()),
        *(subnet.gateway for network in snapshot.networks.values() for subnet in network.subnets),
        *(CONTROLLER, CONTROLLER_6),
        _THIS_NODE[version][1],
        *snapshot.egress_by_address,
    }
    return pick(draw, _NOBODY[version] if kind == 4 else sorted(_of(version, known_addresses)))


def _of(version: int, addresses: Iterable[Address]) -> list[Address]:
    return [address for address in addresses if address.version == version]


def _own(addresses: Iterable[Address], version: int) -> Address | None:
    return next(iter(_of(version, addresses)), None)


def _packet(draw: st.DrawFn, snapshot: Snapshot, source: Address, mac: int, port: Port | None = None) -> Packet:
    """Draw a packet from an address and a MAC, those of `port` if given; sometimes it says that it is from another."""
    version = source.version
    if once_in(draw, 15):
        source = _address(draw, snapshot, version)
    if once_in(draw, 15):
        mac = pick(draw, (mac_of(source), mac_of(_address(draw, snapshot, version)), 0x020000000001))
    services = [each for _, each in sorted(snapshot.services.items()) if each.address.version == version]
    if services and once_in(draw, 6):
        service = pick(draw, services)
        offer = pick(draw, service.ports)
        return transport(offer.protocol, Ends(source, service.address, mac), offer.port)
    ends = Ends(source, _address(draw, snapshot, version, port), mac)
    kind = pick(draw, _KINDS)
    if kind == "ICMP":
        about = transport("UDP", Ends(ends.destination, pick(draw, (ends.source, ends.destination))), 53)
        errors = (3, 11) if version == 4 else (1, 3)
        what, quoted = pick(draw, (None, 0 if version == 4 else 129, *errors)), pick(draw, (None, about, about))
        return icmp(ends, what, quoted=quoted if what in errors else None)  # nothing but an error quotes
    if kind == "ARP":
        return _discovery(draw, ends) if version == 6 else _arp(draw, ends)
    if kind == "other":
        if version == 6:
            return pick(draw, (transport("UDP", ends, 546, 547), arp(Ends(STRANGER, _NOBODY[4][0], mac))))
        return transport("UDP", Ends(IPv6Address("fd00::2"), IPv6Address("fd00::3"), mac), 53)
    return transport(kind, ends, pick(draw, _PORTS))


def _arp(draw: st.DrawFn, ends: Ends) -> Packet:
    request = arp(ends, pick(draw, (1, 1, 1, 2)))
    return request.update(arp_sha=0x020000000001) if once_in(draw, 5) else request


def _discovery(draw: st.DrawFn, ends: Ends) -> Packet:
    """Draw a neighbour solicitation, mostly as a host sends it, and sometimes what only a router or a liar says."""
    mac = mac_of(ends.source) if ends.source_mac is None else ends.source_mac
    if once_in(draw, 4):
        ends = replace(ends, source=link_local_of(mac))
    if once_in(draw, 10):
        ends = replace(ends, source=IPv6Address("::"))
    unicast = pick(draw, (None, None, ends.destination))
    asks = solicitation(ends, unicast, 0x020000000001 if once_in(draw, 8) else None)
    if unicast is None and ends.source_mac is None:
        asks = asks.set(fields.ETH_SRC, mac)
    if once_in(draw, 6):
        return asks.update(icmpv6_type=pick(draw, (133, 134, 136, 137, 143)))
    return asks.update(icmpv6_code=1) if once_in(draw, 12) else asks


def _to_node_port(draw: st.DrawFn, snapshot: Snapshot, source: Address, mac: int) -> Packet:
    """Draw what the node's kernel hands over: mostly to a node port that a service has."""
    ports = [port for key in sorted(snapshot.services) for port in snapshot.services[key].ports if port.node_port]
    offer = pick(draw, (*ports, *ports, NamedPort(pick(draw, ("TCP", "UDP")), 80, "", 30999)))
    return transport(offer.protocol, Ends(source, pick(draw, _THIS_NODE[source.version]), mac), offer.node_port)


def _from_outside(draw: st.DrawFn, snapshot: Snapshot, mac: int) -> Packet:
    """Draw what the node's kernel hands over by the client's own address: mostly to a service that allows it."""
    of_kind = [key for key in sorted(snapshot.services) if snapshot.services[key].external_local]
    service = snapshot.services[pick(draw, of_kind or sorted(snapshot.services))]
    offer, version = pick(draw, service.ports), service.address.version
    known = [cidr[-1] for name in sorted(snapshot.networks) for cidr in ranges_seen(name, snapshot)]
    strange = STRANGERS[version]
    source = pick(draw, (strange, strange, *_of(version, known), _address(draw, snapshot, version)))
    return transport(offer.protocol, Ends(source, service.address, mac), offer.port)


def _nearby(draw: st.DrawFn, snapshot: Snapshot, node: Node, packet: Packet) -> tuple[Packet, int]:
    """Draw the same packet, mostly to one of the node's own pods, and the address space of its destination."""
    kind = fields.IPV4 if packet.get(fields.IPV4_DST) is not None else fields.IPV6
    places = (place for place, key in snapshot.holder.items() if key.node == node.name)
    near = sorted(place for place in places if place[1].version == kind.version)
    if not near or packet.get(kind.destination) is None or once_in(draw, 3):
        return packet, pick(draw, (SHARED_SPACE, SHARED_SPACE, 10, 11, 4711))
    space, address = pick(draw, near)
    return packet.set(kind.destination, int(address)), space


@st.composite
def sendings(draw: st.DrawFn, snapshot: Snapshot, ways: tuple[str, ...] = WAYS) -> Sending:
    """Draw a packet and where it comes in: mostly honest ones, from pods, the nodes themselves, and tunnels."""
    node = snapshot.nodes[pick(draw, sorted(snapshot.nodes))]
    way = pick(draw, ways)
    attached = [snapshot.ports[key] for key in sorted(snapshot.ports) if snapshot.ports[key].ofport is not None]
    if way == "port" and attached:
        port = pick(draw, attached)
        assert port.ofport is not None
        own = pick(draw, port.addresses)
        return Sending(FromPort(port.node, port.ofport), _packet(draw, snapshot, own, port.mac, port))
    versions = sorted({subnet.version for subnet in node.subnets})
    if way == "node":
        strangers = [STRANGERS[version] for version in versions]
        source = pick(draw, (*node.gateways, *node.gateways, node.underlay, *strangers, *strangers))
        if once_in(draw, 3):
            return Sending(FromNode(node.name), _to_node_port(draw, snapshot, source, node.mac))
        if len(snapshot.services) and once_in(draw, 3):
            return Sending(FromNode(node.name), _from_outside(draw, snapshot, node.mac))
        packet = _packet(draw, snapshot, source, node.mac)
        return Sending(FromNode(node.name), _nearby(draw, snapshot, node, packet)[0])
    packet = _packet(draw, snapshot, _address(draw, snapshot, pick(draw, versions)), node.mac)
    if way == "tunnel":
        vteps = sorted({*(peer.underlay for peer in snapshot.nodes.values()), IPv4Address("192.0.2.99")})
        packet, space = _nearby(draw, snapshot, node, packet)
        vnid = pick(draw, (0, 10, 11, 12, 13, 4711))
        return Sending(FromTunnel(node.name, pick(draw, vteps), vnid, space), packet)
    return Sending(FromPort(node.name, pick(draw, range(3, 9))), packet)


def failure(packet: Packet, port: Port) -> Packet:
    """Return the ICMP error (port unreachable) that a pod answers to a packet it got."""
    kind = fields.IPV4 if packet.get(fields.IPV4_SRC) is not None else fields.IPV6
    asked = packet.get(kind.source) or 0
    own = _own(port.addresses, kind.version)
    assert own is not None
    what, code = (ICMP_UNREACHABLE, 3) if kind is fields.IPV4 else (ICMPV6_UNREACHABLE, 4)
    return icmp(Ends(own, type(own)(asked), port.mac), what, code, packet)


def answer(packet: Packet) -> Packet:
    """Return what the other side answers to a TCP, UDP, SCTP or ICMP query."""
    swapped = {"eth_src": "eth_dst", "ipv4_src": "ipv4_dst", "ipv6_src": "ipv6_dst"}
    swapped |= {f"{protocol.lower()}_src": f"{protocol.lower()}_dst" for protocol in TRANSPORT}
    values: dict[str, int] = {}
    for one, other in swapped.items():
        first, second = packet.get(BY_NAME[one]), packet.get(BY_NAME[other])
        if first is not None and second is not None:
            values |= {one: second, other: first}
    for name, kinds in (("icmpv4_type", {8: 0, 0: 8}), ("icmpv6_type", {128: 129, 129: 128})):
        kind = packet.get(BY_NAME[name])
        if kind is not None:
            values[name] = kinds.get(kind, kind)
    return packet.update(**values)
