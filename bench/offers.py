"""Services of a benchmark's network: thousands with two endpoints each, and among them some with many.

Endpoints are in slices of a hundred, as Kubernetes makes them; the last one has room for one more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from bench.world import Draft, Plan, network_name, node_name, with_ports
from topology.model import Endpoint, EndpointSlice, NamedPort, Service, ServiceKey, SliceKey
from topology.requests import CreateService, PutEndpoints
from topology.snapshot import Snapshot

PORT: Final = NamedPort("TCP", 80, "http")
TARGET: Final = NamedPort("TCP", 8080, "http")
_FIRST: Final = IPv4Address("172.30.1.0")
_IN_A_SLICE: Final = 100
_FEW: Final = 2
_PODS: Final = 400  # addresses of each node that endpoints have


@dataclass(frozen=True, slots=True)
class Offers:
    """`services` in all: one of each of `sizes` in endpoints, the others with two."""

    services: int
    sizes: tuple[int, ...]

    def of_size(self, size: int) -> Service:
        """The service with so many endpoints."""
        return _service(f"wide{size}", self.sizes.index(size))

    def others(self) -> Iterator[Service]:
        """Those with two."""
        for number in range(len(self.sizes), self.services):
            yield _service(f"s{number}", number)

    def endpoints(self, snapshot: Snapshot) -> Iterator[tuple[Service, tuple[Endpoint, ...]]]:
        """Every service with its endpoints."""
        for size in self.sizes:
            yield self.of_size(size), tuple(endpoint(snapshot, number) for number in range(size))
        for number, service in enumerate(self.others()):
            first = number * _FEW
            yield service, tuple(endpoint(snapshot, first + each) for each in range(_FEW))

    def changed(self, snapshot: Snapshot, size: int, *, more: bool) -> EndpointSlice:
        """The last slice of the service with so many endpoints, as it is or with one endpoint more."""
        every = [endpoint(snapshot, number) for number in range(size + more)]
        number = (size - 1) // _IN_A_SLICE
        return _slice(self.of_size(size).key, number, every[number * _IN_A_SLICE :])


def seed_services(path: Path, plan: Plan, offers: Offers) -> Snapshot:
    """Make a store file for `plan` and services, and return what is in it."""
    draft = _drafted(plan, offers)
    draft.write(path)
    return draft.snapshot


def offered(plan: Plan, offers: Offers) -> Snapshot:
    """The same network without a file; its switches have all ports."""
    return with_ports(_drafted(plan, offers).snapshot)


def endpoint(snapshot: Snapshot, number: int) -> Endpoint:
    """The `number`-th endpoint (from 0): in turn on all nodes."""
    place, node = divmod(number, len(snapshot.nodes))
    name = node_name(node + 1)
    return Endpoint(snapshot.nodes[name].subnets[0].network_address + place % _PODS + 2, name)


def _drafted(plan: Plan, offers: Offers) -> Draft:
    draft = Draft()
    draft.plan(plan)
    for service, endpoints in offers.endpoints(draft.snapshot):
        draft.request(CreateService(service))
        for number, first in enumerate(range(0, len(endpoints), _IN_A_SLICE)):
            draft.request(PutEndpoints(_slice(service.key, number, endpoints[first : first + _IN_A_SLICE])))
    return draft


def _service(name: str, number: int) -> Service:
    return Service(ServiceKey(network_name(0), name), _FIRST + number, (PORT,))


def _slice(service: ServiceKey, number: int, endpoints: Sequence[Endpoint]) -> EndpointSlice:
    key = SliceKey(service.project, f"{service.name}-{number}")
    return EndpointSlice(key, service.name, (TARGET,), tuple(sorted(endpoints)))
