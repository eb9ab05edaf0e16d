"""What nodes' kernels do for services, without flows: which ports of external addresses lead where, on every node; whom
they lead in by his own address; and at which ports each node tells how many endpoints it has.

Whoever may make services in a project may name any address, and so have what others send to it: only addresses are
taken that the cluster's settings allow (`external_cidrs`), and none that is needed by ourselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import NamedTuple

from topology.endpoints import Fault
from topology.model import Address, Endpoint, NamedPort, Prefix, Service, ServiceKey
from topology.pool import is_pooled
from topology.snapshot import Snapshot


class Door(NamedTuple):
    """A port of an external address, and where it leads: to the service's own address, or to the node port if not 0.

    `sources`: where clients are whom it leads in; None: anywhere.
    """

    address: Address
    protocol: str
    port: int
    service: Address
    node_port: int
    sources: tuple[Prefix, ...] | None = None


def doors(snapshot: Snapshot) -> tuple[Door, ...]:
    """Return all of them, each once: of two services that name one, the first in order has it."""
    found: dict[tuple[Address, str, int], Door] = {}
    for _, service in sorted(snapshot.services_outside.items()):
        for door in _of_service(service, snapshot):
            found.setdefault(door[:3], door)
    return tuple(sorted(found.values(), key=lambda door: (door.address.version, door)))


class LocalPort(NamedTuple):
    """A port of a service to which clients from outside come by their own addresses; and its node port, if not 0."""

    service: Address
    protocol: str
    port: int
    node_port: int


def local_ports(snapshot: Snapshot) -> tuple[LocalPort, ...]:
    """Return those of all services."""
    has_node_ports = snapshot.cluster.node_ports is not None
    found = (
        LocalPort(service.address, port.protocol, port.port, port.node_port if has_node_ports else 0)
        for service in snapshot.services_outside.values()
        if service.external_local
        for port in service.ports
    )
    return tuple(sorted(found, key=lambda port: (port.service.version, port)))


class Health(NamedTuple):
    """At a port of a node is told how many endpoints of a service it has that take new connections."""

    port: int
    service: ServiceKey
    endpoints: int


def health(node: str, snapshot: Snapshot) -> tuple[Health, ...]:
    """Return what a node is to tell."""
    near = snapshot.near.get(node)
    asked = (service for service in snapshot.services_outside.values() if service.health_port)
    found = ((each, () if near is None else near.get(each.key, ())) for each in asked)
    return tuple(sorted(Health(service.health_port, service.key, _taking(service, there)) for service, there in found))


def _taking(service: Service, endpoints: Iterable[Endpoint]) -> int:
    return len({each.address for each in endpoints if each.ready or service.publish_not_ready})


def fault(address: Address, port: NamedPort, service: Service, snapshot: Snapshot) -> Fault | None:
    """Return why a port of a service does not lead in at an external address of it; None if it does."""
    cluster = snapshot.cluster
    if address.version != service.address.version:
        return Fault(f"external address {address} is of another family than {service.address}", "leave it out")
    if not any(address.version == cidr.version and address in cidr for cidr in cluster.external_cidrs):
        allowed = ", ".join(map(str, cluster.external_cidrs)) or "none"
        cause = f"external address {address} is outside the external CIDRs ({allowed})"
        return Fault(cause, "give an address inside them, or allow it by --heddle-external-cidr")
    if is_pooled(address, cluster) and address not in service.ingress:
        cause = f"external address {address} is one of the load balancers' pool"
        return Fault(cause, "give another one, or let the service have one of the pool")
    guarded = {"TCP": cluster.guarded_tcp_ports, "UDP": cluster.guarded_udp_ports}
    ours = address in snapshot.node_by_underlay or address in cluster.control_plane
    if ours and port.port in guarded.get(port.protocol, ()):
        cause = f"port {port.port}/{port.protocol} of {address} is one by which nodes reach controllers or each other"
        return Fault(cause, "give another port, or another external address")
    return None


def _of_service(service: Service, snapshot: Snapshot) -> Iterator[Door]:
    for address in service.outer:
        clients = sources(service, address.version)
        for port in service.ports:
            if fault(address, port, service, snapshot) is None:
                node_port = port.node_port if snapshot.cluster.node_ports is not None else 0
                yield Door(address, port.protocol, port.port, service.address, node_port, clients)


def sources(service: Service, version: int) -> tuple[Prefix, ...] | None:
    """Return the ranges of an IP version from which clients are led in, none within another; None: from anywhere."""
    if not service.sources:
        return None
    found: list[Prefix] = []
    if version == 4:
        found += collapse_addresses(each for each in service.sources if isinstance(each, IPv4Network))
    else:
        found += collapse_addresses(each for each in service.sources if isinstance(each, IPv6Network))
    return None if any(each.prefixlen == 0 for each in found) else tuple(found)
