"""Which endpoints a port of a service has now: what Kubernetes says of ready, serving and terminating ones.

Its documentation of EndpointSlices, "Conditions", and of services, "Internal Traffic Policy" and "Topology Aware
Routing". No flows here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from topology.model import Address, Endpoint, EndpointSlice, NamedPort, Service, ServiceKey
from topology.snapshot import Snapshot


class Target(NamedTuple):
    """Where an endpoint listens."""

    address: Address
    port: int


def targets(
    service: Service, port: NamedPort, snapshot: Snapshot, node: str, *, from_outside: bool = False
) -> tuple[Target, ...]:
    """Return where a connection to a port of a service may go, for a client on `node`: each once, in their order.

    What comes from outside, by a node port, has no node that its endpoint should be on; but it has a zone, the node's.
    """
    if service.internal_local and not from_outside:
        return _found(service, port, snapshot, node)
    this = snapshot.nodes.get(node)
    return _found(service, port, snapshot, None, "" if this is None else this.zone)


def targets_on(node: str, service: Service, port: NamedPort, snapshot: Snapshot) -> tuple[Target, ...]:
    """Return where a connection to a port of a service may go among the endpoints on a node."""
    return _found(service, port, snapshot, node)


def any_place(service: Service, port: NamedPort, snapshot: Snapshot) -> bool:
    """Whether a port of a service has an endpoint, on whichever node, that a connection may go to."""
    return bool(_found(service, port, snapshot, None))


def differs_by_node(key: ServiceKey, snapshot: Snapshot) -> bool:
    """Whether clients on different nodes may be led to different endpoints of a service."""
    service = snapshot.services.get(key)
    return service is not None and (service.internal_local or key in snapshot.hinted)


def _found(
    service: Service, port: NamedPort, snapshot: Snapshot, near: str | None, zone: str = ""
) -> tuple[Target, ...]:
    """Return where those on a node listen, or on any (None), for clients in a zone: each once, in their order."""
    found = [
        (Target(endpoint.address, number), endpoint)
        for each in _slices(service, snapshot)
        for number in _numbers(each, port)
        for endpoint in each.endpoints
        if endpoint.address.version == service.address.version and near in (None, endpoint.node)
    ]
    return tuple(sorted(_usable(service, found, zone)))


class Gone(NamedTuple):
    """Where nobody listens for a service any more; `from_outside`: for those who come by addresses of their own."""

    protocol: str
    target: Target
    from_outside: bool = False


def gone(before: EndpointSlice, after: Snapshot) -> frozenset[Gone]:
    """Return what a slice as it was has of endpoints that its service does not have any more, ready or not."""
    key = before.service_key
    present = {each for name in after.slices_of.get(key, {}) for each in _places(after.slices[name])}
    absent = frozenset(each for each in _places(before) if each not in present)
    service = after.services.get(key)
    if service is None or not service.external_local:
        return absent
    return absent | {each._replace(from_outside=True) for each in absent}


def places_on(node: str, key: ServiceKey, snapshot: Snapshot) -> frozenset[tuple[str, Target]]:
    """Return where the endpoints of a service on a node listen, ready or not, each with its protocol."""
    service = snapshot.services[key]
    return frozenset(
        (port.protocol, Target(endpoint.address, port.port))
        for each in _slices(service, snapshot)
        for port in each.ports
        for endpoint in each.endpoints
        if endpoint.node == node and endpoint.address.version == service.address.version
    )


def _places(of: EndpointSlice) -> Iterator[Gone]:
    for port in of.ports:
        for endpoint in of.endpoints:
            yield Gone(port.protocol, Target(endpoint.address, port.port))


def _slices(service: Service, snapshot: Snapshot) -> Iterator[EndpointSlice]:
    for key in snapshot.slices_of.get(service.key, {}):
        yield snapshot.slices[key]


def _numbers(of: EndpointSlice, port: NamedPort) -> Iterator[int]:
    """Return the endpoints' own number of a port, which goes by its name; it may be another in each slice."""
    for each in of.ports:
        if (each.name, each.protocol) == (port.name, port.protocol):
            yield each.port


def _usable(service: Service, found: Collection[tuple[Target, Endpoint]], zone: str) -> set[Target]:
    """Return where endpoints are ready; where none of this port and family is, those that go away and still serve.

    Of those that are ready, clients in a zone have those that are for it, if every one says for which zones it is and
    one says that zone; else all.
    """
    ready = [(target, endpoint.zones) for target, endpoint in found if endpoint.ready or service.publish_not_ready]
    in_zone = {target for target, zones in ready if zone in zones}
    if in_zone and all(zones for _, zones in ready):
        return in_zone
    return {target for target, _ in ready} or {
        target for target, endpoint in found if endpoint.serving and endpoint.terminating
    }
