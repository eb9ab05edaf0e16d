"""Services: what begins a connection to a service's address is decided for its network, and sent to an endpoint.

SERVICE_CONNECTIONS finds the network that a service belongs to, DELIVERY decides the pair, exactly as for a pod, and
BALANCING chooses the endpoint. The flows stand on every node, for the node itself may use every service. They are the
same on all, but for services whose endpoints are to be on the client's own node or in its zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Final

from topology import pipeline
from topology.balancing import first_group, room_for
from topology.features.section import Section, SubjectKey, on_every_node
from topology.flow import Flow
from topology.model import (
    NODE_PORTS,
    Cluster,
    EndpointSlice,
    Network,
    Node,
    Project,
    Service,
    ServiceKey,
)
from topology.pipeline import SERVICE_ZONE
from topology.serving import Offer, Way, network_of, next_number, served
from topology.snapshot import Change, Snapshot
from topology.targets import differs_by_node, targets

ID: Final = pipeline.FeatureId.SERVICES

# A service can change from one kind to the other, and a subject is common or a node's own for ever.
_LOCAL: Final = "on each node"
_WAY: Final = Way(
    pipeline.SERVICE_PORT,
    pipeline.BALANCE,
    pipeline.ENDPOINT_KNOWN,
    pipeline.ENDPOINT_ANY,
    pipeline.ENDPOINT_LEARNT,
    SERVICE_ZONE,
)


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The services whose endpoints are to be on the client's own node or in its zone; all others are common."""
    if node in snapshot.nodes:
        yield from ((*key, _LOCAL) for key in snapshot.internal)
        yield from ((*key, _LOCAL) for key in snapshot.hinted if key not in snapshot.internal)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """For each port of the service, wherever it is asked for: its network, and an endpoint."""
    service = snapshot.services.get(_key(subject))
    is_own = differs_by_node(_key(subject), snapshot) and subject[2:] == (_LOCAL,) and node in snapshot.nodes
    if service is not None and is_own:
        yield from _of_service(service, node, snapshot)


def alike(node: str, subject: SubjectKey, snapshot: Snapshot) -> str | None:
    """By its zone, nodes put the same for a service whose endpoints are not to be on the client's own node."""
    return None if _key(subject) in snapshot.internal else snapshot.nodes[node].zone


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A service, its endpoints, the number of its network: on every node. A node's zone: all such services there."""
    for key in _concerned(change, snapshot):
        if differs_by_node(key, snapshot):
            yield from on_every_node((*key, _LOCAL), snapshot)
    if isinstance(change.subject, Node):
        for subject in subjects(change.subject.name, snapshot):
            yield Section(change.subject.name, subject)


def common_subjects(snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The services that lead clients on all nodes to the same endpoints."""
    yield from (key for key in snapshot.services if not differs_by_node(key, snapshot))


def common_flows(subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """The same for each port of such a service."""
    service = snapshot.services.get(_key(subject))
    if service is not None and not subject[2:] and not differs_by_node(service.key, snapshot):
        yield from _of_service(service, "", snapshot)


def common_touched(change: Change, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """Such a service, its endpoints, the number of its network."""
    yield from (key for key in _concerned(change, snapshot) if not differs_by_node(key, snapshot))


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


def _of_service(service: Service, node: str, snapshot: Snapshot) -> Iterator[Flow]:
    network = network_of(service.key, snapshot)
    if network is None:
        return
    number = first_group(service.address, snapshot.cluster)
    end = number + room_for(service, snapshot.cluster)
    for offer in _offers(service, network):
        endpoints = targets(service, offer.port, snapshot, node, from_outside=offer.is_outer)
        flows = tuple(served(offer, endpoints, number))
        number = next_number(flows, number)
        if number > end:
            return  # these numbers are for others; that something is missing is noticed by the proof
        yield from flows


def _offers(service: Service, network: Network) -> Iterator[Offer]:
    """By the service's address, and by node ports; what belongs to a port of one is the same whatever else there is."""
    here, node = ip_network(service.address), NODE_PORTS[service.address.version]
    for port in service.ports:
        yield Offer(service, port, network, here, port.port, _WAY)
    for port in service.ports:
        if port.node_port:
            yield Offer(service, port, network, node, port.node_port, _WAY, is_outer=True)
