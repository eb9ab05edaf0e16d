"""Who comes from outside, by his own address, to a service whose endpoints on this node are for him, and no others.

The node's kernel hands him over by tun0, to the service's own address: from whoever else, no such packet comes from
there. Connections are kept in the node's zone. Of all that leaves for the outside, only what such an endpoint says from
its port asks there before it goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Final

from topology import pipeline
from topology.balancing import first_outer_group
from topology.features.section import Section, SubjectKey, families, on_every_node
from topology.fields import (
    CT_STATE,
    ETH_DST,
    ETH_TYPE,
    IP_PROTO,
    IS_NEW,
    PROTO_ICMP,
    PROTO_ICMPV6,
    TRANSPORT,
    Field,
    family,
)
from topology.flow import DROP, Flow, Match, at, conntrack, known_nat, load, match_fields, output
from topology.matches import from_address, from_prefix, in_space, masked, to_address, to_prefix
from topology.model import (
    HAIRPIN,
    NODE_PORTS,
    SHARED_SPACE,
    TUN_OFPORT,
    Address,
    Cluster,
    Connection,
    EndpointSlice,
    Network,
    Node,
    Prefix,
    Project,
    Service,
    ServiceKey,
)
from topology.pipeline import ANSWERED_BY_NODE, ASKED, FROM_OUTSIDE, NODE_ZONE, OUTPUT_PORT, OUTSIDE, Table
from topology.reach import ranges_seen
from topology.serving import Offer, Way, network_of, next_number, served
from topology.snapshot import Change, Snapshot
from topology.targets import any_place, places_on, targets_on

ID: Final = pipeline.FeatureId.OUTSIDE

# Subjects: what is common to all; of a service, what is common to all nodes, and what is each node's own; what the
# endpoints on a node answer.
_ALL: Final[SubjectKey] = ("",)
_ANSWERS: Final[SubjectKey] = ("", "", "answers")
_ICMP: Final = {4: PROTO_ICMP, 6: PROTO_ICMPV6}
_HERE: Final = "on each node"
_FROM: Final = (OUTSIDE, FROM_OUTSIDE)
_ANSWERED: Final = (OUTSIDE, ANSWERED_BY_NODE)
_WAY: Final = Way(
    pipeline.OUTSIDE_PORT,
    pipeline.BALANCE_OUTSIDE,
    pipeline.OUTSIDE_KNOWN,
    pipeline.OUTSIDE_ANY,
    pipeline.OUTSIDE_LEARNT,
    NODE_ZONE,
    (_FROM,),
)


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The services that have endpoints on the node, and these."""
    if node in snapshot.nodes:
        yield _ANSWERS
        yield from ((*key, _HERE) for key in snapshot.near.get(node, {}))


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """How a service leads to its endpoints on the node; how these answer."""
    this = snapshot.nodes.get(node)
    if this is None:
        return
    if subject == _ANSWERS:
        yield from _answers(this, snapshot)
    elif subject[2:] == (_HERE,) and _key(subject) in snapshot.near.get(node, {}):
        yield from _here(snapshot.services[_key(subject)], node, snapshot)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A service and its endpoints where these are; what networks know concerns whom they are led to."""
    for key in _concerned(change, snapshot):
        for node in _nodes(key, change, snapshot):
            yield Section(node, (*key, _HERE))
            yield Section(node, _ANSWERS)
    if isinstance(change.subject, Cluster):
        yield from on_every_node(_ANSWERS, snapshot)
    if isinstance(change.subject, Node):
        for subject in subjects(change.subject.name, snapshot):
            yield Section(change.subject.name, subject)


def common_subjects(snapshot: Snapshot) -> Iterator[SubjectKey]:
    """What is for all services, and those without any endpoint."""
    yield _ALL
    yield from (key for key, service in snapshot.services_outside.items() if service.external_local)


def common_flows(subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Mark who comes from outside; refuse him where a service has no endpoint at all; answers of the nodes."""
    if subject == _ALL:
        yield from _entrance(snapshot.cluster)
        yield from _answers_of_nodes(snapshot.cluster)
    elif len(subject) == len(ServiceKey._fields):
        service = snapshot.services.get(_key(subject))
        if service is not None and service.external_local:
            yield from _nowhere(service, snapshot)


def common_touched(change: Change, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The cluster's settings; a service, its endpoints, the number of its network."""
    if isinstance(change.subject, Cluster):
        yield _ALL
    yield from _concerned(change, snapshot)


def absent(node: str) -> Iterable[SubjectKey]:
    """Nothing is absent anywhere."""
    return ()


def _key(subject: SubjectKey) -> ServiceKey:
    return ServiceKey(*map(str, subject[:2]))


# --- what a change concerns ----------------------------------------------------------------------


def _concerned(change: Change, snapshot: Snapshot) -> Iterator[ServiceKey]:
    """Return the services of this kind that a change concerns."""
    for key in _changed(change, snapshot):
        service = snapshot.services.get(key)
        if service is not None and service.external_local:
            yield key


def _changed(change: Change, snapshot: Snapshot) -> Iterable[ServiceKey]:
    match change.subject:
        case Service(key=key):
            return (key,)
        case EndpointSlice():
            return {of.service_key for of in (change.before, change.after) if isinstance(of, EndpointSlice)}
        case Project(name=project):
            return snapshot.services_of.get(project, {})
        case Network(name=name):
            return _of_networks((name, *snapshot.peers.get(name, {})), snapshot)
        case Connection(key=names):
            return _of_networks(names, snapshot)
        case Cluster():
            return snapshot.services_outside
        case _:
            return ()


def _of_networks(names: Iterable[str], snapshot: Snapshot) -> Iterator[ServiceKey]:
    for name in names:
        for project in snapshot.projects_of.get(name, {}):
            yield from snapshot.services_of.get(project, {})


def _nodes(key: ServiceKey, change: Change, snapshot: Snapshot) -> set[str]:
    """Return the nodes on which a change concerns a service: where its endpoints are, or those that change."""
    match change.subject:
        case EndpointSlice():
            slices = tuple(of for of in (change.before, change.after) if isinstance(of, EndpointSlice))
        case _:
            slices = tuple(snapshot.slices[name] for name in snapshot.slices_of.get(key, {}))
    named = {endpoint.node for of in slices for endpoint in of.endpoints}
    return {node for node in named if node in snapshot.nodes}


# --- in ------------------------------------------------------------------------------------------


def _entrance(cluster: Cluster) -> Iterator[Flow]:
    """To a service's address, by whom no pod and no node can be."""
    for service_cidr in cluster.service_cidrs:
        version = service_cidr.version
        inside = (*cluster.cluster_cidrs, *cluster.service_cidrs, ip_network(HAIRPIN[version]), NODE_PORTS[version])
        to = (family(version).destination, masked(service_cidr))
        for cidr in inside:
            if cidr.version == version:
                yield at(pipeline.NODE_INSIDE, from_prefix(cidr, to), DROP)
        asked = conntrack(NODE_ZONE, table=Table.SERVICE_CONNECTIONS, nested=(known_nat(),))
        yield at(pipeline.NODE_OUTSIDE, to_prefix(service_cidr), (load(OUTSIDE, FROM_OUTSIDE), asked))
    yield at(pipeline.OUTSIDE_NONE, match_fields(_FROM, (CT_STATE, (IS_NEW, IS_NEW))), DROP)


def _here(service: Service, node: str, snapshot: Snapshot) -> Iterator[Flow]:
    """To the endpoints on this node, if there are any."""
    network = network_of(service.key, snapshot)
    if network is None:
        return
    number = first_outer_group(service.address, snapshot.cluster)
    for offer in _offers(service, network):
        endpoints = targets_on(node, service, offer.port, snapshot)
        if endpoints:
            flows = tuple(served(offer, endpoints, number))
            yield from flows
            yield from _near(offer, snapshot)
            number = next_number(flows, number)


def _nowhere(service: Service, snapshot: Snapshot) -> Iterator[Flow]:
    network = network_of(service.key, snapshot)
    for offer in () if network is None else _offers(service, network):
        if not any_place(service, offer.port, snapshot):
            yield from served(offer, (), 0)


def _offers(service: Service, network: Network) -> Iterator[Offer]:
    for port in service.ports:
        yield Offer(service, port, network, ip_network(service.address), port.port, _WAY)


def _near(offer: Offer, snapshot: Snapshot) -> Iterator[Flow]:
    """Whose address the endpoint's network knows as one of its own, or of a connected network: he got no answer."""
    kind = family(offer.service.address.version)
    for cidr in sorted(_known(offer.network, kind.version, snapshot)):
        terms = offer.terms((CT_STATE, (IS_NEW, IS_NEW)), (kind.source, masked(cidr)))
        yield at(pipeline.OUTSIDE_NEAR, terms, DROP)


def _known(network: Network, version: int, snapshot: Snapshot) -> set[Prefix]:
    return {cidr for cidr in ranges_seen(network.name, snapshot) if cidr.version == version}


# --- and back ------------------------------------------------------------------------------------


def _answers(this: Node, snapshot: Snapshot) -> Iterator[Flow]:
    """What endpoints say from their ports, and errors of theirs: from the service if they answer, as any pod if not."""
    for cidr in snapshot.cluster.service_cidrs:
        out = (load(ETH_DST, this.mac), output(TUN_OFPORT))
        yield at(pipeline.OUTPUT_ANSWER, from_prefix(cidr, (OUTPUT_PORT, TUN_OFPORT)), out)
    asked = conntrack(NODE_ZONE, table=Table.ROUTING, nested=(known_nat(),))
    actions = (load(OUTSIDE, ASKED), asked)
    places = {place for key in snapshot.near.get(this.name, {}) for place in places_on(this.name, key, snapshot)}
    spoken: set[Address] = set()
    for protocol, (address, port) in places:
        number, source, _ = TRANSPORT[protocol]
        yield at(pipeline.ROUTE_ANSWER, _from(address, (IP_PROTO, number), (source, port)), actions)
        spoken.add(address)
    for address in spoken:
        yield at(pipeline.ROUTE_ANSWER, _from(address, (IP_PROTO, _ICMP[address.version])), actions)


def _from(address: Address, *more: tuple[Field, int]) -> Match:
    return from_address(address, in_space(SHARED_SPACE), (OUTSIDE, 0), *more)


def _answers_of_nodes(cluster: Cluster) -> Iterator[Flow]:
    """A node that is an endpoint itself, or refuses, has met the client from the hairpin address."""
    named = conntrack(NODE_ZONE, table=Table.OUTPUT, nested=(known_nat(),))
    for kind in families(cluster):
        nobody = to_address(HAIRPIN[kind.version], _ANSWERED)
        yield at(pipeline.LOCAL_ITSELF, nobody, DROP)
        terms = match_fields((ETH_TYPE, kind.eth_type), in_space(SHARED_SPACE), _ANSWERED)
        yield at(pipeline.LOCAL_ANSWER, terms, (load(OUTPUT_PORT, TUN_OFPORT), named))
