"""Services, and the slices of endpoints that stand behind them: what Kubernetes' Service and EndpointSlice say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from topology.model.addressing import Address, Prefix, in_order

MOST_AFFINITY: Final = 86400  # seconds: a day, as Kubernetes has it
MOST_EXTERNAL: Final = 100  # external addresses of one service; a node has a rule for each port of each
MOST_SOURCES: Final = 1000  # ranges of clients of one service
MOST_ENDPOINTS: Final = 1000  # of one slice, as Kubernetes has it
MOST_HINTS: Final = 8  # zones of one endpoint, as Kubernetes has it
MOST_ENDPOINT_PORTS: Final = 100  # of one slice; an endpoint has as many flows


class NamedPort(NamedTuple):
    """A transport port of a service or of a slice of endpoints: protocol is TCP, UDP or SCTP.

    By its name, "" for one without, a service's port finds the port that its endpoints have for it. By its node port,
    which is 0 for none and always for endpoints', a service's port is there on every node's own addresses.
    """

    protocol: str
    port: int
    name: str = ""
    node_port: int = 0


class ServiceKey(NamedTuple):
    """What identifies a service."""

    project: str
    name: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service address of a project; who may use it is decided by the project's network.

    `ports` are in order; protocol and port are unique among them, and so is the name; protocol and node port are, among
    those of all services. `affinity` in seconds is for how long a client stays with its endpoint after it used it last
    (0: each connection by itself). `internal_local`: only endpoints on the client's own node are used.
    `publish_not_ready`: endpoints count whether they are ready or not. `external` are addresses by which others reach
    it, where what is sent to one of them comes to a node and the cluster allows it (see `topology.doors`); in order.
    `sources`, in order, are where clients are whom an external address leads in; none: anywhere. `external_local`: who
    comes from outside, by such an address or a node port, gets to endpoints on the node that he came to, and is seen by
    his own address; at `health_port` (0: none), which is a node port of TCP, each node tells how many it has.
    `load_balancer`: it is to have an address of the cluster's pool, `load_balancer_address` if that is free. `ingress`
    are addresses that a load balancer has given it, this one or another, by which it is reached as by `external` ones.
    """

    key: ServiceKey
    address: Address
    ports: tuple[NamedPort, ...]
    affinity: int = 0
    internal_local: bool = False
    publish_not_ready: bool = False
    external: tuple[Address, ...] = ()
    sources: tuple[Prefix, ...] = ()
    external_local: bool = False
    health_port: int = 0
    load_balancer: bool = False
    load_balancer_address: Address | None = None
    ingress: tuple[Address, ...] = ()

    @property
    def node_ports(self) -> tuple[tuple[str, int], ...]:
        """Its node ports, each with its protocol."""
        return tuple((port.protocol, port.node_port) for port in self.ports if port.node_port)

    @property
    def held_ports(self) -> tuple[tuple[str, int], ...]:
        """What no other service can have: its node ports and its health port, each with its protocol."""
        return (*self.node_ports, *((("TCP", self.health_port),) if self.health_port else ()))

    @property
    def is_told(self) -> bool:
        """Whether nodes have to be told of it: their kernels lead in what flows do not know of."""
        return bool(self.outer) or self.external_local

    @property
    def outer(self) -> tuple[Address, ...]:
        """The addresses by which others reach it."""
        return in_order((*self.external, *self.ingress))


class SliceKey(NamedTuple):
    """What identifies a slice of endpoints."""

    project: str
    name: str


class Endpoint(NamedTuple):
    """An address that answers for a service. `node` is the name of the node it is on, "" where nobody said.

    `ready`: it takes new connections. `serving`: it answers, even while it is `terminating`. `zones`, in order and each
    once, are hints: clients on nodes of these zones are to be led to it, if all endpoints have hints.
    """

    address: Address
    node: str = ""
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """Some of the endpoints of a service of the same project, all of one address family. The service may come later.

    `ports` are the endpoints' own, one for each of the service's with its name and protocol; the names are unique.
    `ports` and `endpoints`, by address, are in order, and no address is there twice.
    """

    key: SliceKey
    service: str
    ports: tuple[NamedPort, ...]
    endpoints: tuple[Endpoint, ...]

    @property
    def service_key(self) -> ServiceKey:
        """The service whose endpoints these are, whether it exists or not."""
        return ServiceKey(self.key.project, self.service)

    @property
    def is_hinted(self) -> bool:
        """Whether it says of an endpoint for which zones it is."""
        return any(endpoint.zones for endpoint in self.endpoints)
