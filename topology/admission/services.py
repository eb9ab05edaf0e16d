"""Requests about services: their addresses, ports and node ports, and external addresses."""

from __future__ import annotations

from dataclasses import replace

from topology import doors, names
from topology.admission.checks import known_project, require
from topology.crowding import crowding
from topology.endpoints import range_fault, service_fault
from topology.model import Address, Service, ServiceKey, in_order, prefixes_in_order
from topology.pool import allotted, held_of_pool
from topology.requests import CreateService, DeleteService, Reason, Refused
from topology.snapshot import Event, Put, Remove, Snapshot


def create_service(snapshot: Snapshot, request: CreateService) -> tuple[Event, ...]:
    """Make or replace a service."""
    given = request.service
    service = replace(
        given,
        ports=tuple(sorted(given.ports)),
        external=in_order(given.external),
        sources=prefixes_in_order(given.sources),
    )
    require(names.label_fault, "service", service.key.name)
    known_project(snapshot, service.key.project)
    _check_address(snapshot, service)
    service = _balanced(snapshot, service)
    if snapshot.services.get(service.key) == service:
        return ()
    fault = service_fault(service)
    if fault is not None:
        raise Refused(Reason.INVALID, _named(service.key), *fault)
    slices = [snapshot.slices[key] for key in snapshot.slices_of.get(service.key, {})]
    fault = crowding(service, slices, snapshot.cluster)
    if fault is not None:
        raise Refused(Reason.INVALID, _named(service.key), *fault)
    _check_node_ports(snapshot, service)
    _check_external(snapshot, service)
    return (Put(service),)


def _balanced(snapshot: Snapshot, service: Service) -> Service:
    """Return a service with the address of the pool that it is given, its own if it has one, whatever it says."""
    present = snapshot.services.get(service.key)
    own = held_of_pool(replace(service, ingress=() if present is None else present.ingress), snapshot.cluster)
    if not service.load_balancer:
        return replace(service, ingress=())
    return replace(service, ingress=own[:1] or (allotted(service, snapshot),))


def delete_service(snapshot: Snapshot, request: DeleteService) -> tuple[Event, ...]:
    """Remove a service."""
    service = snapshot.services.get(request.key)
    if service is None:
        raise Refused(Reason.UNKNOWN, _named(request.key), "does not exist", "correct project and name")
    return (Remove(service),)


def _check_address(snapshot: Snapshot, service: Service) -> None:
    subject, fault = _named(service.key), range_fault(service, snapshot.cluster)
    if fault is not None:
        raise Refused(Reason.INVALID, subject, *fault)
    holder = snapshot.service_by_address.get(service.address)
    if holder is not None and holder != service.key:
        cause = f"address {service.address} belongs to {_named(holder)}"
        raise Refused(Reason.TAKEN, subject, cause, "give another address")


def _check_node_ports(snapshot: Snapshot, service: Service) -> None:
    subject, offered = _named(service.key), snapshot.cluster.node_ports
    for protocol, number in service.held_ports:
        if offered is None or not offered.first <= number <= offered.last:
            there = "there are none in this cluster" if offered is None else f"they are {offered.first}-{offered.last}"
            cause = f"node port {number}/{protocol} is outside the node ports: {there}"
            raise Refused(Reason.INVALID, subject, cause, "give another, or none, or change --heddle-node-ports")
        holder = snapshot.service_by_node_port.get((protocol, number))
        if holder is not None and holder != service.key:
            cause = f"node port {number}/{protocol} belongs to {_named(holder)}"
            raise Refused(Reason.TAKEN, subject, cause, "give another node port")


def _check_external(snapshot: Snapshot, service: Service) -> None:
    holders = _holders(snapshot, service)
    for address in service.outer:
        for port in service.ports:
            wrong = doors.fault(address, port, service, snapshot)
            if wrong is not None:
                raise Refused(Reason.INVALID, _named(service.key), *wrong)
            holder = holders.get((address, port.protocol, port.port))
            if holder is not None and holder != service.key:
                cause = f"port {port.port}/{port.protocol} of {address} belongs to {_named(holder)}"
                raise Refused(Reason.TAKEN, _named(service.key), cause, "give another port or external address")


def _holders(snapshot: Snapshot, service: Service) -> dict[tuple[Address, str, int], ServiceKey]:
    """Return to which services ports of this one's external addresses belong: of two, to the first in order."""
    found: dict[tuple[Address, str, int], ServiceKey] = {}
    wanted = frozenset(service.outer)
    for key, other in sorted(snapshot.services_outside.items()) if wanted else ():
        for address in wanted.intersection(other.outer):
            for port in other.ports:
                found.setdefault((address, port.protocol, port.port), key)
    return found


def _named(key: ServiceKey) -> str:
    return f'service "{key.project}/{key.name}"'
