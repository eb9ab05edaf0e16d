"""Services, and the slices of endpoints that stand behind them: what Kubernetes' Service and EndpointSlice say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from topology.model.addressing import Address

MOST_AFFINITY: Final = 86400  # seconds: a day, as Kubernetes has it
MOST_EXTERNAL: Final = 100  # external addresses of one service; a node has a rule for each port of each
MOST_ENDPOINTS: Final = 1000  # of one slice, as Kubernetes has it
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
    """

    key: ServiceKey
    address: Address
    ports: tuple[NamedPort, ...]
    affinity: int = 0
    internal_local: bool = False
    publish_not_ready: bool = False
    external: tuple[Address, ...] = ()

    @property
    def node_ports(self) -> tuple[tuple[str, int], ...]:
        """Its node ports, each with its protocol."""
        return tuple((port.protocol, port.node_port) for port in self.ports if port.node_port)


class SliceKey(NamedTuple):
    """What identifies a slice of endpoints."""

    project: str
    name: str


class Endpoint(NamedTuple):
    """An address that answers for a service. `node` is the name of the node it is on, "" where nobody said.

    `ready`: it takes new connections. `serving`: it answers, even while it is `terminating`.
    """

    address: Address
    node: str = ""
    ready: bool = True
    serving: bool = True
    terminating: bool = False


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
