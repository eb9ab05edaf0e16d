"""What services and slices of endpoints may look like, each by itself.

For admission, and for those who take over what is decided elsewhere. Each function returns None for a good one, and
otherwise what is wrong with it, to be read after its name, and what to do about it. Whether it fits the rest of the
network is a question to `admission`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from typing import Final, NamedTuple

from topology.fields import TRANSPORT
from topology.model import (
    MOST_AFFINITY,
    MOST_ENDPOINT_PORTS,
    MOST_ENDPOINTS,
    MOST_EXTERNAL,
    MOST_HINTS,
    MOST_SOURCES,
    Address,
    Cluster,
    Endpoint,
    EndpointSlice,
    NamedPort,
    Prefix,
    Service,
)
from topology.names import label_fault, subdomain_fault, zone_fault

_LAST_PORT: Final = 0xFFFF
_BROADCAST: Final = IPv4Address("255.255.255.255")


class Fault(NamedTuple):
    """What is wrong with an object, and what to do about it."""

    cause: str
    remedy: str


def service_fault(service: Service) -> Fault | None:
    """Check a service's ports, node ports and affinity."""
    return next(_of_service(service), None)


def range_fault(service: Service, cluster: Cluster) -> Fault | None:
    """Check that a service's address is one of those that lead to services."""
    if any(service.address in cidr for cidr in cluster.service_cidrs if cidr.version == service.address.version):
        return None
    ranges = ", ".join(map(str, cluster.service_cidrs))
    cause = f"address {service.address} is outside the service CIDRs {ranges}"
    return Fault(
        cause, "give an address inside them, or give the controllers the API server's ranges (--heddle-service-cidr)"
    )


def slice_fault(found: EndpointSlice) -> Fault | None:
    """Check a slice of endpoints."""
    return next(_of_slice(found), None)


def of_services(found: EndpointSlice, ranges: Iterable[Prefix]) -> dict[Address, Fault]:
    """Return the endpoints of a slice that have addresses of services, each with what is wrong: nobody is there."""
    remedy = "give the addresses of those who answer; a service leads to no other service"
    return {
        endpoint.address: Fault(f"endpoint {endpoint.address} is inside the service CIDR {cidr}", remedy)
        for cidr in ranges
        for endpoint in found.endpoints
        if endpoint.address.version == cidr.version and endpoint.address in cidr
    }


def _of_service(service: Service) -> Iterator[Fault]:
    if not service.ports:
        yield Fault("has no ports", "give at least one")
    if len({port[:2] for port in service.ports}) != len(service.ports):
        yield Fault("names one port twice", "give each protocol and port once")
    yield from _of_ports(service.ports)
    if len(set(service.node_ports)) != len(service.node_ports):
        yield Fault("names one node port twice", "give each protocol and node port once")
    for protocol, number in service.node_ports:
        if not 1 <= number <= _LAST_PORT:
            remedy = f"give a number from 1 to {_LAST_PORT}, or none"
            yield Fault(f"node port {number}/{protocol} is out of range", remedy)
    yield from _of_health_port(service)
    if len(service.external) > MOST_EXTERNAL:
        yield Fault(f"has {len(service.external)} external addresses", f"give at most {MOST_EXTERNAL}")
    if len(service.sources) > MOST_SOURCES:
        yield Fault(f"has {len(service.sources)} ranges of clients", f"give at most {MOST_SOURCES}")
    if not 0 <= service.affinity <= MOST_AFFINITY:
        remedy = f"give 1 to {MOST_AFFINITY}, or 0 for none"
        yield Fault(f"affinity of {service.affinity} seconds is out of range", remedy)


def _of_health_port(service: Service) -> Iterator[Fault]:
    port = service.health_port
    if not 0 <= port <= _LAST_PORT:
        yield Fault(f"health port {port} is out of range", f"give a number from 1 to {_LAST_PORT}, or none")
    if port and not service.external_local:
        remedy = "give none, or let clients from outside get to endpoints on the node that they come to"
        yield Fault(f"has health port {port}, but leads to all nodes' endpoints from each", remedy)
    if ("TCP", port) in service.node_ports:
        yield Fault(f"health port {port} is one of its node ports", "give another one")


def _of_slice(found: EndpointSlice) -> Iterator[Fault]:
    wrong = label_fault(found.service)
    if wrong is not None:
        yield Fault(f'service name "{found.service}" {wrong}', "give the name of a service of the same project")
    for what, has, most in (
        ("endpoints", len(found.endpoints), MOST_ENDPOINTS),
        ("ports", len(found.ports), MOST_ENDPOINT_PORTS),
    ):
        if has > most:
            yield Fault(f"has {has} {what}", f"give at most {most}, and the others in another slice of the service")
    yield from _of_ports(found.ports)
    if any(port.node_port for port in found.ports):
        yield Fault("has node ports", "give them to its service")
    yield from _of_endpoints(found.endpoints)
    yield from _of_hints(found.endpoints)


def _of_hints(endpoints: Iterable[Endpoint]) -> Iterator[Fault]:
    known: set[tuple[str, ...]] = {()}  # few zones, many endpoints
    for endpoint in endpoints:
        if endpoint.zones in known:
            continue
        known.add(endpoint.zones)
        if len(endpoint.zones) > MOST_HINTS:
            cause = f"endpoint {endpoint.address} is for {len(endpoint.zones)} zones"
            yield Fault(cause, f"give at most {MOST_HINTS}, or none for all")
        for zone in endpoint.zones:
            wrong = zone_fault(zone)
            if wrong is not None:
                cause = f'zone "{zone}" of endpoint {endpoint.address} {wrong}'
                yield Fault(cause, "write it as nodes' label topology.kubernetes.io/zone has it, as europe-west4-a")


def _of_ports(ports: Iterable[NamedPort]) -> Iterator[Fault]:
    names: set[str] = set()
    for port in ports:
        if port.protocol not in TRANSPORT:
            yield Fault(f'protocol "{port.protocol}" is unknown', f"give one of {', '.join(TRANSPORT)}")
        if not 1 <= port.port <= _LAST_PORT:
            yield Fault(f"port {port.port} is out of range", f"give a number from 1 to {_LAST_PORT}")
        wrong = label_fault(port.name) if port.name else None
        if wrong is not None:
            yield Fault(f'port name "{port.name}" {wrong}', "choose another name")
        if port.name in names:
            called = f'named "{port.name}"' if port.name else "without a name"
            yield Fault(f"has two ports {called}", "give each of several ports a name of its own")
        names.add(port.name)


def _of_endpoints(endpoints: tuple[Endpoint, ...]) -> Iterator[Fault]:
    if len({endpoint.address.version for endpoint in endpoints}) > 1:
        yield Fault("has endpoints of both address families", "make a slice for each family")
    known: set[Address] = set()
    for address, node, *_ in endpoints:
        kind = _kind(address)
        if kind is not None:
            yield Fault(f"endpoint {address} is {kind} address", "give addresses that other nodes can reach")
        if address in known:
            yield Fault(f"names endpoint {address} twice", "give each address once")
        wrong = subdomain_fault(node) if node else None
        if wrong is not None:
            yield Fault(f'node name "{node}" of endpoint {address} {wrong}', "correct it, or leave it out")
        known.add(address)


def _kind(address: Address) -> str | None:
    """Return what kind of address it is, of those that lead to no endpoint."""
    for is_one, kind in (
        (address.is_unspecified, "the unspecified"),
        (address.is_loopback, "a loopback"),
        (address.is_link_local, "a link-local"),
        (address.is_multicast, "a multicast"),
        (address == _BROADCAST, "the broadcast"),
    ):
        if is_one:
            return kind
    return None
