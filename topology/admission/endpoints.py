"""Requests about slices of endpoints. A slice may be there before its service, and stay when that is gone."""

from __future__ import annotations

from dataclasses import replace

from topology import names
from topology.admission.checks import known_project, require
from topology.crowding import crowding
from topology.endpoints import of_services, slice_fault
from topology.model import EndpointSlice, SliceKey
from topology.requests import DeleteEndpoints, PutEndpoints, Reason, Refused
from topology.snapshot import Event, Put, Remove, Snapshot


def put_endpoints(snapshot: Snapshot, request: PutEndpoints) -> tuple[Event, ...]:
    """Make or replace a slice of endpoints."""
    given = request.slice
    require(names.subdomain_fault, "slice of endpoints", given.key.name)
    known_project(snapshot, given.key.project)
    fault = slice_fault(given) or next(iter(of_services(given, snapshot.cluster.service_cidrs).values()), None)
    if fault is not None:
        raise Refused(Reason.INVALID, _named(given.key), *fault)
    _check_room(snapshot, given)
    endpoints = (each._replace(zones=tuple(sorted(set(each.zones)))) for each in given.endpoints)
    found = replace(given, ports=tuple(sorted(given.ports)), endpoints=tuple(sorted(endpoints)))
    return () if snapshot.slices.get(found.key) == found else (Put(found),)


def _check_room(snapshot: Snapshot, given: EndpointSlice) -> None:
    """Raise Refused when the service would have more groups than it can."""
    service = snapshot.services.get(given.service_key)
    others = (key for key in snapshot.slices_of.get(given.service_key, {}) if key != given.key)
    slices = (given, *(snapshot.slices[key] for key in others))
    fault = None if service is None else crowding(service, slices, snapshot.cluster)
    if fault is not None:
        subject = f'service "{given.service_key.project}/{given.service_key.name}", with {_named(given.key)},'
        raise Refused(Reason.INVALID, subject, *fault)


def delete_endpoints(snapshot: Snapshot, request: DeleteEndpoints) -> tuple[Event, ...]:
    """Remove a slice of endpoints."""
    found = snapshot.slices.get(request.key)
    if found is None:
        raise Refused(Reason.UNKNOWN, _named(request.key), "does not exist", "correct project and name")
    return (Remove(found),)


def _named(key: SliceKey) -> str:
    return f'endpoints "{key.project}/{key.name}"'
