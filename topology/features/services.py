"""Services: what begins a connection to a service's address is decided for its network, and sent to an endpoint.

SERVICE_CONNECTIONS finds the network that a service belongs to, DELIVERY decides the pair, exactly as for a pod, and
BALANCING chooses the endpoint. The flows stand on every node, for the node itself may use every service; but for
services whose endpoints are to be on the client's own node they are the same on all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from ipaddress import ip_network
from typing import Final, NamedTuple

from topology import pipeline
from topology.balancing import balanced, first_group, numbered
from topology.features.section import Section, SubjectKey, on_every_node
from topology.fields import CT_MARK, CT_STATE, ETH_TYPE, IP_PROTO, IS_NEW, PORT_BITS, TRANSPORT, Field, family
from topology.flow import (
    Actions,
    Flow,
    Group,
    Match,
    at,
    conntrack,
    copy,
    goto,
    learn,
    load,
    match_fields,
    nat_to,
    resubmit,
    select,
)
from topology.matches import to_prefix
from topology.model import (
    NODE_PORTS,
    TUN_OFPORT,
    Cluster,
    EndpointSlice,
    NamedPort,
    Network,
    Node,
    Prefix,
    Project,
    Service,
    ServiceKey,
)
from topology.pipeline import BALANCER, BY_SERVICE, DESTINATION_VNID, OUTPUT_PORT, SCRATCH, SERVICE_ZONE, Table
from topology.snapshot import Change, Snapshot
from topology.targets import Target, targets

ID: Final = pipeline.FeatureId.SERVICES

# A service can change from one kind to the other, and a subject is common or a node's own for ever.
_LOCAL: Final = "on each node"
# The registers spoke of the service as of a pod; its endpoint is found by an address of its own.
_DECIDED: Final[Actions] = (load(DESTINATION_VNID, 0), load(OUTPUT_PORT, 0))
_LONGEST_IDLE: Final = 0xFFFF  # seconds: the field has 16 bits (OpenFlow 1.5.1, 7.3.4.2)
_REFUSED: Final[Actions] = (load(OUTPUT_PORT, TUN_OFPORT), resubmit(Table.OUTPUT))


class _Offer(NamedTuple):
    """A port of a service, the network that it belongs to, and where it is asked for: by which addresses and number."""

    service: Service
    port: NamedPort
    network: Network
    door: Prefix
    number: int
    is_outer: bool = False


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The services whose endpoints are to be on the client's own node; all others are common."""
    if node in snapshot.nodes:
        yield from ((*key, _LOCAL) for key, service in snapshot.services.items() if service.internal_local)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """For each port of the service, wherever it is asked for: its network, and an endpoint."""
    service = snapshot.services.get(_key(subject))
    if service is not None and service.internal_local and subject[2:] and node in snapshot.nodes:
        yield from _of_service(service, node, snapshot)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A service, its endpoints, the number of its network: on every node."""
    for key in _concerned(change, snapshot):
        if _is_local(key, snapshot):
            yield from on_every_node((*key, _LOCAL), snapshot)
    if isinstance(change.subject, Node):
        for subject in subjects(change.subject.name, snapshot):
            yield Section(change.subject.name, subject)


def common_subjects(snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The services that lead clients on all nodes to the same endpoints."""
    yield from (key for key, service in snapshot.services.items() if not service.internal_local)


def common_flows(subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """The same for each port of such a service."""
    service = snapshot.services.get(_key(subject))
    if service is not None and not service.internal_local and not subject[2:]:
        yield from _of_service(service, "", snapshot)


def common_touched(change: Change, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """Such a service, its endpoints, the number of its network."""
    yield from (key for key in _concerned(change, snapshot) if not _is_local(key, snapshot))


def absent(node: str) -> Iterable[SubjectKey]:
    """Nothing is absent anywhere: the node itself may use every service."""
    return ()


def _key(subject: SubjectKey) -> ServiceKey:
    return ServiceKey(*map(str, subject[:2]))


def _concerned(change: Change, snapshot: Snapshot) -> Iterable[ServiceKey]:
    """Return the services that a change concerns."""
    match change.subject:
        case Service(key=key):
            return (key,)
        case EndpointSlice():  # it may have passed from one service to another
            return {of.service_key for of in (change.before, change.after) if isinstance(of, EndpointSlice)}
        case Project(name=project):
            return snapshot.services_of.get(project, {})
        case Network(name=name):
            return _of_network(name, snapshot)
        case Cluster():
            return snapshot.services
        case _:
            return ()


def _of_network(network: str, snapshot: Snapshot) -> Iterator[ServiceKey]:
    for project in snapshot.projects_of.get(network, {}):
        yield from snapshot.services_of.get(project, {})


def _is_local(key: ServiceKey, snapshot: Snapshot) -> bool:
    service = snapshot.services.get(key)
    return service is not None and service.internal_local


def _of_service(service: Service, node: str, snapshot: Snapshot) -> Iterator[Flow]:
    network = _network_of(service.key, snapshot)
    if network is None:
        return
    number = first_group(service.address, snapshot.cluster)
    for offer in _offers(service, network):
        found = numbered(targets(service, offer.port, snapshot, node, from_outside=offer.is_outer))
        groups = balanced(found, number, partial(_bucket, offer))
        yield _begins(offer)
        if service.affinity and groups:
            yield from _kept(offer, found, groups)
        else:
            yield _chosen(offer, groups)
        number = max((group.group_id + 1 for group in groups), default=number)


def _network_of(key: ServiceKey, snapshot: Snapshot) -> Network | None:
    project = snapshot.projects.get(key.project)
    return None if project is None else snapshot.networks.get(project.network)


def _offers(service: Service, network: Network) -> Iterator[_Offer]:
    """By the service's address, and by node ports; what belongs to a port of one is the same whatever else there is."""
    here, node = ip_network(service.address), NODE_PORTS[service.address.version]
    for port in service.ports:
        yield _Offer(service, port, network, here, port.port)
    for port in service.ports:
        if port.node_port:
            yield _Offer(service, port, network, node, port.node_port, is_outer=True)


def _terms(offer: _Offer, *more: tuple[Field, int | tuple[int, int]]) -> Match:
    number, _, destination = TRANSPORT[offer.port.protocol]
    return to_prefix(offer.door, (IP_PROTO, number), (destination, offer.number), *more)


def _begins(offer: _Offer) -> Flow:
    """What begins a connection is decided as if the service were a pod of its network."""
    decided = (
        load(DESTINATION_VNID, offer.network.vnid),
        load(OUTPUT_PORT, BALANCER),
        load(BY_SERVICE, offer.network.vnid),
        goto(Table.DELIVERY),
    )
    return at(pipeline.SERVICE_PORT, _terms(offer, (CT_STATE, (IS_NEW, IS_NEW))), decided)


def _chosen(offer: _Offer, groups: tuple[Group, ...]) -> Flow:
    """Any endpoint; without one, the node's kernel refuses."""
    actions = (*_DECIDED, select(groups[-1].group_id)) if groups else _REFUSED
    return at(pipeline.BALANCE, _terms(offer), actions, groups)


def _kept(offer: _Offer, found: Mapping[int, Target], groups: tuple[Group, ...]) -> Iterator[Flow]:
    """The endpoint that the client stays with; where none is known or that one is gone, any, which is learnt."""
    asked = (*_DECIDED, load(SCRATCH, 0), resubmit(Table.AFFINITY), goto(Table.ENDPOINTS))
    yield at(pipeline.BALANCE, _terms(offer), asked)
    for number, target in found.items():
        yield at(pipeline.ENDPOINT_KNOWN, _terms(offer, (SCRATCH, number)), _to_endpoint(offer, target))
    kind = family(offer.service.address.version)
    protocol, source, destination = TRANSPORT[offer.port.protocol]
    # Looked at, the client's port makes of each connection one that the switch decides anew: what it decided for one
    # before it had learnt would else hold for the next until it revalidates.
    asks_anew = copy(source, SCRATCH, PORT_BITS)
    yield at(pipeline.ENDPOINT_ANY, _terms(offer), (asks_anew, select(groups[-1].group_id)), groups)
    of_kind = match_fields((ETH_TYPE, kind.eth_type), (IP_PROTO, protocol))
    same = (kind.source, kind.destination, destination)
    learnt = learn(Table.AFFINITY, min(offer.service.affinity, _LONGEST_IDLE), same, of_kind, (SCRATCH,))
    yield at(pipeline.ENDPOINT_LEARNT, _terms(offer), (learnt, resubmit(Table.ENDPOINTS)))


def _bucket(offer: _Offer, number: int, target: Target) -> Actions:
    if offer.service.affinity:
        return (load(SCRATCH, number), resubmit(Table.LEARNING))
    return _to_endpoint(offer, target)


def _to_endpoint(offer: _Offer, target: Target) -> Actions:
    kept = (nat_to(target.address, target.port), load(CT_MARK, offer.network.vnid))
    return (conntrack(SERVICE_ZONE, commit=True, table=Table.EGRESS_POLICY, nested=kept),)
