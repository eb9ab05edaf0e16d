"""External addresses of services: which ports of them lead where, on every node. No flows: a node's kernel does it.

Whoever may make services in a project may name any address, and so have what others send to it: only addresses are
taken that the cluster's settings allow (`external_cidrs`), and none that is needed by ourselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from topology.endpoints import Fault
from topology.model import Address, NamedPort, Service
from topology.snapshot import Snapshot


class Door(NamedTuple):
    """A port of an external address, and where it leads: to the service's own address, or to the node port if not 0."""

    address: Address
    protocol: str
    port: int
    service: Address
    node_port: int


def doors(snapshot: Snapshot) -> tuple[Door, ...]:
    """Return all of them, each once: of two services that name one, the first in order has it."""
    found: dict[tuple[Address, str, int], Door] = {}
    for _, service in sorted(snapshot.services_outside.items()):
        for door in _of_service(service, snapshot):
            found.setdefault(door[:3], door)
    return tuple(sorted(found.values(), key=lambda door: (door.address.version, door)))


def fault(address: Address, port: NamedPort, service: Service, snapshot: Snapshot) -> Fault | None:
    """Return why a port of a service does not lead in at an external address of it; None if it does."""
    cluster = snapshot.cluster
    if address.version != service.address.version:
        return Fault(f"external address {address} is of another family than {service.address}", "leave it out")
    if not any(address.version == cidr.version and address in cidr for cidr in cluster.external_cidrs):
        allowed = ", ".join(map(str, cluster.external_cidrs)) or "none"
        cause = f"external address {address} is outside the external CIDRs ({allowed})"
        return Fault(cause, "give an address inside them, or allow it by --heddle-external-cidr")
    guarded = {"TCP": cluster.guarded_tcp_ports, "UDP": cluster.guarded_udp_ports}
    ours = address in snapshot.node_by_underlay or address in cluster.control_plane
    if ours and port.port in guarded.get(port.protocol, ()):
        cause = f"port {port.port}/{port.protocol} of {address} is one by which nodes reach controllers or each other"
        return Fault(cause, "give another port, or another external address")
    return None


def _of_service(service: Service, snapshot: Snapshot) -> Iterator[Door]:
    for address in service.external:
        for port in service.ports:
            if fault(address, port, service, snapshot) is None:
                node_port = port.node_port if snapshot.cluster.node_ports is not None else 0
                yield Door(address, port.protocol, port.port, service.address, node_port)
