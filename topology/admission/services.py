"""Requests about services: their addresses and ports."""

from __future__ import annotations

from ipaddress import ip_network

from topology import names
from topology.admission.checks import inside, known_project, require
from topology.fields import TRANSPORT
from topology.model import Service, ServiceKey
from topology.requests import CreateService, DeleteService, Reason, Refused
from topology.snapshot import Event, Put, Remove, Snapshot


def create_service(snapshot: Snapshot, request: CreateService) -> tuple[Event, ...]:
    """Make or replace a service."""
    service = request.service
    require(names.label_fault, "service", service.key.name)
    known_project(snapshot, service.key.project)
    if snapshot.services.get(service.key) == service:
        return ()
    _check_address(snapshot, service)
    _check_ports(service)
    return (Put(service),)


def delete_service(snapshot: Snapshot, request: DeleteService) -> tuple[Event, ...]:
    """Remove a service."""
    service = snapshot.services.get(request.key)
    if service is None:
        raise Refused(Reason.UNKNOWN, _named(request.key), "does not exist", "correct project and name")
    return (Remove(service),)


def _check_address(snapshot: Snapshot, service: Service) -> None:
    subject, cidrs = _named(service.key), snapshot.cluster.service_cidrs
    if not inside(ip_network(service.address), cidrs):
        cause = f"address {service.address} is outside the service CIDRs {', '.join(map(str, cidrs))}"
        raise Refused(Reason.INVALID, subject, cause, "give an address inside them")
    holder = snapshot.service_by_address.get(service.address)
    if holder is not None and holder != service.key:
        cause = f"address {service.address} belongs to {_named(holder)}"
        raise Refused(Reason.TAKEN, subject, cause, "give another address")


def _check_ports(service: Service) -> None:
    subject = _named(service.key)
    if not service.ports:
        raise Refused(Reason.INVALID, subject, "has no ports", "give at least one")
    for port in service.ports:
        if port.protocol not in TRANSPORT:
            cause = f'protocol "{port.protocol}" is unknown'
            raise Refused(Reason.INVALID, subject, cause, f"give one of {', '.join(TRANSPORT)}")
        if not 1 <= port.port <= 0xFFFF:
            raise Refused(Reason.INVALID, subject, f"port {port.port} is out of range", "give a number from 1 to 65535")
    if len(set(service.ports)) != len(service.ports):
        raise Refused(Reason.INVALID, subject, "names one port twice", "give each protocol and port once")


def _named(key: ServiceKey) -> str:
    return f'service "{key.project}/{key.name}"'
