"""Which endpoints a port of a service has now: what Kubernetes says of ready, serving and terminating ones.

Its documentation of EndpointSlices, "Conditions", and of services, "Internal Traffic Policy". No flows here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from topology.model import Address, Endpoint, EndpointSlice, NamedPort, Service
from topology.snapshot import Snapshot


class Target(NamedTuple):
    """Where an endpoint listens."""

    address: Address
    port: int


def targets(
    service: Service, port: NamedPort, snapshot: Snapshot, node: str, *, from_outside: bool = False
) -> tuple[Target, ...]:
    """Return where a connection to a port of a service may go, for a client on `node`: each once, in their order.

    What comes from outside, by a node port, has no node that its endpoint should be on.
    """
    slices = tuple(_slices(service, snapshot))
    near = node if service.internal_local and not from_outside else None
    usable = _usable(service, (endpoint for each in slices for endpoint in each.endpoints), near)
    found = {
        Target(endpoint.address, number)
        for each in slices
        for number in _numbers(each, port)
        for endpoint in each.endpoints
        if endpoint in usable and endpoint.address.version == service.address.version
    }
    return tuple(sorted(found))


class Gone(NamedTuple):
    """Where nobody listens for a service any more."""

    protocol: str
    target: Target


def gone(before: EndpointSlice, after: Snapshot) -> frozenset[Gone]:
    """Return what a slice as it was has of endpoints that its service does not have any more, ready or not."""
    key = before.service_key
    present = {each for name in after.slices_of.get(key, {}) for each in _places(after.slices[name])}
    return frozenset(each for each in _places(before) if each not in present)


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


def _usable(service: Service, endpoints: Iterable[Endpoint], node: str | None) -> frozenset[Endpoint]:
    """Return the ready ones on a node, or on any (None); where there is none, those that go away and still serve."""
    near = [endpoint for endpoint in endpoints if node is None or endpoint.node == node]
    ready = frozenset(endpoint for endpoint in near if endpoint.ready or service.publish_not_ready)
    return ready or frozenset(endpoint for endpoint in near if endpoint.serving and endpoint.terminating)
