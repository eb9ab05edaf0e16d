"""Hypothesis strategies for the model's values and events. No tests here."""

from ipaddress import IPv4Address, ip_network

from hypothesis import strategies as st

from topology.labels import Operator, Requirement, Selector, labels_of
from topology.model import (
    LAST_MIRROR,
    LAST_VNID,
    LEAST_BANDWIDTH,
    MIRRORS,
    MOST_BANDWIDTH,
    TRANSLATIONS,
    VNIDS,
    ZONES,
    AddressBlock,
    Attachment,
    Binding,
    Cluster,
    Connection,
    ConnectionKey,
    Egress,
    Endpoint,
    EndpointSlice,
    ExternalVtep,
    Mirror,
    Move,
    NamedPort,
    Network,
    Node,
    Outage,
    Pod,
    PodKey,
    Port,
    PortKey,
    PortRange,
    Prefix,
    Project,
    Quarantine,
    Scope,
    Service,
    ServiceKey,
    ServicePort,
    Severed,
    SliceKey,
    Stage,
    Subject,
    Subnet,
    Translation,
    Tunnel,
    TunnelStage,
    Watermark,
    in_order,
    mac_of,
    prefixes_in_order,
)
from topology.snapshot import Event, Put, Remove

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,5}[a-z0-9])?", fullmatch=True)
subdomains = st.lists(labels, min_size=1, max_size=3).map(".".join)
few = st.sampled_from(["a", "b", "c"])  # names that meet often
interfaces = st.text("abz019.-_@", min_size=1, max_size=15).filter(lambda name: name not in {".", ".."})
zone_names = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,5}[A-Za-z0-9])?", fullmatch=True)
containers = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]{0,63}", fullmatch=True)
addresses = st.ip_addresses()
spaces = st.integers(0, (1 << 32) - 1)
l4_ports = st.integers(1, 65535)


@st.composite
def prefixes(draw: st.DrawFn) -> Prefix:
    """A subnet of either family."""
    address = draw(addresses)
    length = draw(st.integers(0, address.max_prefixlen))
    return ip_network((address, length), strict=False)


clusters = st.builds(
    Cluster,
    cluster_cidrs=st.lists(prefixes(), max_size=2).map(tuple),
    node_prefix=st.integers(1, 127),
    service_cidrs=st.lists(prefixes(), max_size=2).map(tuple),
    control_plane=st.lists(addresses, max_size=3).map(tuple),
    guarded_tcp_ports=st.lists(l4_ports, max_size=3).map(tuple),
    guarded_udp_ports=st.lists(l4_ports, max_size=3).map(tuple),
    own_networks=st.booleans(),
    translation_cidrs=st.lists(prefixes(), max_size=2).map(tuple),
    external_cidrs=st.lists(prefixes(), max_size=2).map(tuple),
    load_balancer_pool=st.lists(prefixes(), max_size=2).map(tuple),
    node_ports=st.none() | st.lists(l4_ports, min_size=2, max_size=2).map(lambda ends: PortRange(*sorted(ends))),
    encapsulation=st.sampled_from(("vxlan", "geneve")),
)
nodes = st.builds(
    Node,
    name=few,
    dpid=st.integers(0, (1 << 64) - 1),
    underlay=addresses,
    subnets=st.lists(prefixes(), min_size=1, max_size=2).map(tuple),
    encapsulation=st.sampled_from((None, "vxlan", "geneve")),
    zone=st.just("") | zone_names,
    neighbours=st.none() | st.lists(few | subdomains, min_size=1, max_size=3, unique=True).map(sorted).map(tuple),
)
networks = st.builds(
    Network,
    name=few | labels,
    vnid=st.integers(0, LAST_VNID),
    is_global=st.booleans(),
    subnets=st.lists(st.builds(Subnet, labels, prefixes(), addresses), max_size=3).map(tuple),
    flat=st.booleans(),
    mtu=st.none() | st.integers(576, 65535),
    zone=st.none() | st.integers(1, 65535),
    provider=labels,
    terminating=st.booleans(),
    transit_for=st.none() | labels,
    dscp=st.none() | st.integers(0, 63),
)
blocks = st.builds(AddressBlock, few, prefixes(), few)
moves = st.builds(Move, few, few, few, labels, st.sampled_from(Stage))
label_words = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?", fullmatch=True)
label_keys = label_words | st.builds("{}/{}".format, labels, label_words)
label_values = st.just("") | label_words
label_sets = st.dictionaries(label_keys, label_values, max_size=3).map(labels_of)
projects = st.builds(
    Project,
    name=few | labels,
    network=few,
    home=st.just("") | few,
    labels=label_sets,
    is_placed=st.booleans(),
)
selectors = st.builds(
    Selector,
    st.lists(
        st.builds(Requirement, label_keys, st.sampled_from(Operator), st.lists(label_values, max_size=2).map(tuple)),
        max_size=2,
    ).map(tuple),
)
attachments = st.builds(
    Attachment,
    network=few,
    interface=st.just("") | interfaces,
    addresses=st.lists(addresses, max_size=2).map(tuple),
    mac=st.none() | addresses.map(mac_of),
)
bindings = st.builds(
    Binding,
    name=few | labels,
    projects=selectors,
    pods=st.none() | selectors,
    primary=st.none() | attachments,
    secondary=st.lists(attachments, max_size=3).map(tuple),
    optional=st.lists(few, max_size=2).map(tuple),
)
bandwidths = st.none() | st.integers(LEAST_BANDWIDTH, MOST_BANDWIDTH)
pod_keys = st.builds(PodKey, few, few | labels)
pods = st.builds(Pod, pod_keys, label_sets, st.lists(few, max_size=2).map(tuple), bandwidths, bandwidths)
mirrors = st.builds(
    lambda name, number, target, source, ways: Mirror(name, number, target, *source, *ways),
    few | labels,
    st.integers(1, LAST_MIRROR),
    pod_keys,
    st.tuples(few, st.none()) | st.tuples(st.none(), pod_keys),
    st.sampled_from([(True, True), (True, False), (False, True)]),
)
externals = st.builds(
    ExternalVtep,
    few | labels,
    addresses,
    few,
    st.lists(prefixes(), min_size=1, max_size=3, unique=True).map(prefixes_in_order),
    st.sampled_from(["vxlan", "geneve"]),
    st.none() | st.integers(1, (1 << 48) - 1),
)
service_ports = st.builds(ServicePort, st.sampled_from(["TCP", "UDP", "SCTP"]), l4_ports)
scopes = st.none() | st.builds(Scope, st.booleans(), st.lists(service_ports, max_size=3).map(tuple))


@st.composite
def translations(draw: st.DrawFn) -> Translation:
    """Two prefixes of one family and length."""
    cidr = draw(prefixes())
    other = draw(st.ip_addresses(v=cidr.version))
    return Translation(draw(few), cidr, ip_network((other, cidr.prefixlen), strict=False))


connections = st.builds(
    Connection,
    st.builds(ConnectionKey.between, few, few | labels),
    scopes,
    scopes,
    st.lists(translations(), max_size=3).map(tuple),
)


def named_ports(node_ports: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[NamedPort, ...]]:
    """Of several, at most one has no name."""
    one = st.builds(NamedPort, st.sampled_from(["TCP", "UDP", "SCTP"]), l4_ports, st.just("") | labels, node_ports)
    some = st.lists(one, max_size=3, unique_by=lambda port: port.name)
    return some.map(lambda found: tuple(sorted(found)))


services = st.builds(
    Service,
    key=st.builds(ServiceKey, few, labels),
    address=addresses,
    ports=named_ports(st.just(0) | l4_ports),
    affinity=st.integers(0, 86400),
    internal_local=st.booleans(),
    publish_not_ready=st.booleans(),
    external=st.lists(addresses, max_size=3).map(in_order),
    sources=st.lists(prefixes(), max_size=3).map(prefixes_in_order),
    external_local=st.booleans(),
    health_port=st.just(0) | l4_ports,
    load_balancer=st.booleans(),
    load_balancer_address=st.none() | addresses,
    ingress=st.lists(addresses, max_size=2).map(in_order),
)


@st.composite
def slices(draw: st.DrawFn) -> EndpointSlice:
    """Endpoints of one address family, by address."""
    version = draw(st.sampled_from([4, 6]))
    flags = [st.booleans()] * 3
    hints = st.lists(zone_names, max_size=3, unique=True).map(sorted).map(tuple)
    one = st.builds(Endpoint, st.ip_addresses(v=version), st.just("") | few | subdomains, *flags, hints)
    found = draw(st.lists(one, max_size=3, unique_by=lambda endpoint: endpoint.address))
    key = SliceKey(draw(few), draw(few | subdomains))
    return EndpointSlice(key, draw(few), draw(named_ports(st.just(0))), tuple(sorted(found)))


ports = st.builds(
    Port,
    key=st.builds(PortKey, few, containers | few, interfaces | few),
    project=few,
    pod=labels,
    network=few,
    host_interface=interfaces,
    mac=addresses.map(mac_of),
    addresses=st.lists(addresses, max_size=2).map(tuple),
    space=spaces,
    cluster_addresses=st.lists(addresses, max_size=2).map(tuple),
    ofport=st.none() | st.integers(1, 0xFEFF),
    pod_uid=st.from_regex(r"[a-zA-Z0-9_.-]{0,40}", fullmatch=True),
    is_secondary=st.booleans(),
)
quarantines = st.builds(Quarantine, space=st.integers(0, 1), address=st.integers(0, 5).map(IPv4Address), node=few)
watermarks = st.builds(Watermark, st.sampled_from([VNIDS, ZONES, MIRRORS, TRANSLATIONS]), st.integers(0, LAST_VNID))
outages = st.builds(Outage, few)
tunnels = st.lists(few | subdomains, min_size=2, max_size=2, unique=True).map(lambda ends: Tunnel.between(*ends))
severed = tunnels.flatmap(
    lambda tunnel: st.builds(
        Severed,
        st.just(tunnel),
        st.lists(st.sampled_from(tunnel), max_size=2, unique=True).map(sorted).map(tuple),
        st.sampled_from(TunnelStage),
    )
)
egresses = st.builds(
    Egress,
    few | labels,
    few,
    st.lists(addresses, min_size=1, max_size=3).map(in_order),
    st.none() | selectors,
    st.lists(few | subdomains, max_size=3, unique=True).map(sorted).map(tuple),
    st.booleans(),
)
led = st.builds(Egress, few | labels, few, pods=st.none() | selectors, via=st.builds(PodKey, few, few | subdomains))
values: st.SearchStrategy[Subject] = (
    clusters
    | nodes
    | networks
    | blocks
    | projects
    | moves
    | bindings
    | pods
    | mirrors
    | externals
    | connections
    | services
    | slices()
    | egresses
    | led
    | outages
    | severed
    | ports
    | quarantines
    | watermarks
)
events: st.SearchStrategy[Event] = st.builds(Put, values) | st.builds(Remove, values)
