"""Services: a service address is reachable for networks that may talk to the service's network, and for nobody else.

Here a service leaves by tun0, for the node's own proxy; SERVICES only finds the network it belongs to, and DELIVERY
decides the pair, exactly as for a pod. Flows stand on nodes that have a network that may use the service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey
from topology.fields import IP_PROTO, TRANSPORT
from topology.flow import Flow, at, goto, load
from topology.matches import to_address
from topology.model import TUN_OFPORT, Connection, ConnectionKey, Hosting, Network, Node, Project, Service, ServiceKey
from topology.pipeline import BY_SERVICE, DESTINATION_VNID, OUTPUT_PORT, Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.SERVICES


def subjects(node: str, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """The services of all networks that a network with ports on the node may talk to."""
    hosted: Iterable[str] = snapshot.hosting.get(node, {})
    return {service for network in hosted for service in _usable_from(network, snapshot)}


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Each port of the service: the VNID of its network, out by tun0."""
    service = snapshot.services.get(ServiceKey(*map(str, subject)))
    if service is None or node not in snapshot.nodes:
        return
    network = _network_of(service.key, snapshot)
    if network is None or node not in _audience(network, snapshot):
        return
    for port in service.ports:
        number, _, destination = TRANSPORT[port.protocol]
        terms = to_address(service.address, (IP_PROTO, number), (destination, port.port))
        found = (
            load(DESTINATION_VNID, network.vnid),
            load(OUTPUT_PORT, TUN_OFPORT),
            load(BY_SERVICE, 1),
            goto(Table.DELIVERY),
        )
        yield at(pipeline.SERVICE_PORT, terms, found)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A service where it may be used; a project or network that changes, for its services; who is where."""
    match change.subject:
        case Service(key=key):
            yield from _everywhere(key, snapshot)
        case Project(name=project):
            for key in snapshot.services_of.get(project, {}):
                yield from _everywhere(key, snapshot)
        case Network(name=name):
            yield from _of_network(name, snapshot)
        case Connection(key=ConnectionKey(first=first, second=second)):
            yield from _used_at(first, second, snapshot)
            yield from _used_at(second, first, snapshot)
        case Hosting(node=node, network=network):
            for key in _usable_from(network, snapshot):
                yield Section(node, key)
        case Node(name=name):
            for subject in subjects(name, snapshot):
                yield Section(name, subject)


def _network_of(key: ServiceKey, snapshot: Snapshot) -> Network | None:
    project = snapshot.projects.get(key.project)
    return None if project is None else snapshot.networks.get(project.network)


def _services_of(network: str, snapshot: Snapshot) -> Iterator[ServiceKey]:
    for project in snapshot.projects_of.get(network, {}):
        yield from snapshot.services_of.get(project, {})


def _usable_from(network: str, snapshot: Snapshot) -> Iterable[ServiceKey]:
    """Services that pods of `network` may use: their own, connected and global networks'; all if it is global."""
    if network in snapshot.global_networks:
        return snapshot.services
    reachable = {network, *snapshot.peers.get(network, {}), *snapshot.global_networks}
    return (key for name in reachable for key in _services_of(name, snapshot))


def _audience(network: Network, snapshot: Snapshot) -> Iterable[str]:
    """The nodes that have a network that may talk to `network`; never one without ports."""
    if network.is_global:
        return snapshot.hosting
    users = {network.name, *snapshot.peers.get(network.name, {}), *snapshot.global_networks}
    return {node for name in users for node in snapshot.hosts.get(name, {})}


def _everywhere(key: ServiceKey, snapshot: Snapshot) -> Iterator[Section]:
    network = _network_of(key, snapshot)
    if network is not None:
        for node in _audience(network, snapshot):
            yield Section(node, key)


def _of_network(name: str, snapshot: Snapshot) -> Iterator[Section]:
    """What depends on one network's number and being global: its services, and what its pods may use."""
    for key in _services_of(name, snapshot):
        yield from _everywhere(key, snapshot)
    for node in snapshot.hosts.get(name, {}):
        for key in _usable_from(name, snapshot):
            yield Section(node, key)


def _used_at(user: str, owner: str, snapshot: Snapshot) -> Iterator[Section]:
    for key in _services_of(owner, snapshot):
        for node in snapshot.hosts.get(user, {}):
            yield Section(node, key)
