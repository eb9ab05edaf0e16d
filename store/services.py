"""The shapes of services and of slices of endpoints. As `store.objects`, which names their kinds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from store.fields import (
    AddressText,
    L4Port,
    Label,
    NodeName,
    Object,
    PortName,
    PrefixText,
    Protocol,
    Subdomain,
    ZoneName,
    address,
    addresses,
    prefixes,
)
from topology import model
from topology.model import (
    MOST_AFFINITY,
    MOST_ENDPOINT_PORTS,
    MOST_ENDPOINTS,
    MOST_EXTERNAL,
    MOST_HINTS,
    MOST_SOURCES,
)

Affinity = Annotated[
    int, Meta(ge=0, le=MOST_AFFINITY, description="Seconds a client stays with its endpoint; 0: none.")
]
NodePort = Annotated[int, Meta(ge=0, le=65535, description="Port on every node's own addresses; 0: none.")]
HealthPort = Annotated[
    int, Meta(ge=0, le=65535, description="Where each node tells how many endpoints it has; 0: nowhere.")
]


class NamedPort(Object, frozen=True):
    """A transport port with its name: by that the endpoints' port for a service's is found."""

    protocol: Protocol
    port: L4Port
    name: PortName = ""


class OfferedPort(NamedPort, frozen=True):
    """A port of a service; by `node_port`, which no other service has, it is there on every node's own addresses."""

    node_port: NodePort = 0


class Service(Object, frozen=True):
    """A service address of a project; who may use it is decided by the project's network.

    `affinity` in seconds is for how long a client stays with its endpoint; `internal_local`: only endpoints on the
    client's own node; `publish_not_ready`: endpoints count whether they are ready or not. `external`: addresses by
    which others reach it, where what is sent to one comes to a node; `sources`: where clients are whom those lead in,
    by default anywhere. `external_local`: from outside, only endpoints on the node that the client came to, who see the
    client's own address. `load_balancer`: it is to have an address of the pool, `load_balancer_address` if that is
    given; which it has is said in `ingress`, and is for nobody to ask.
    """

    name: Label
    project: Label
    address: AddressText
    ports: Annotated[tuple[OfferedPort, ...], Meta(max_length=1000)]
    affinity: Affinity = 0
    internal_local: bool = False
    publish_not_ready: bool = False
    external: Annotated[tuple[AddressText, ...], Meta(max_length=MOST_EXTERNAL)] = ()
    sources: Annotated[tuple[PrefixText, ...], Meta(max_length=MOST_SOURCES)] = ()
    external_local: bool = False
    health_port: HealthPort = 0
    load_balancer: bool = False
    load_balancer_address: AddressText | None = None
    ingress: Annotated[tuple[AddressText, ...], Meta(max_length=MOST_EXTERNAL)] = ()

    @classmethod
    def of(cls, value: model.Service) -> Service:
        """Return the shape of a value."""
        return cls(
            name=value.key.name,
            project=value.key.project,
            address=str(value.address),
            ports=tuple(map(_offered, value.ports)),
            affinity=value.affinity,
            internal_local=value.internal_local,
            publish_not_ready=value.publish_not_ready,
            external=tuple(map(str, value.external)),
            sources=tuple(map(str, value.sources)),
            external_local=value.external_local,
            health_port=value.health_port,
            load_balancer=value.load_balancer,
            load_balancer_address=None if value.load_balancer_address is None else str(value.load_balancer_address),
            ingress=tuple(map(str, value.ingress)),
        )

    def value(self) -> model.Service:
        """Return the value of this shape. Raises Malformed.

        Of several ports, those without a name are named: services that are older than names have none.
        """
        asked = self.load_balancer_address
        return model.Service(
            key=model.ServiceKey(self.project, self.name),
            address=address(self.address, "$.address"),
            ports=tuple(sorted(map(_offer, _all_named(self.ports)))),
            affinity=self.affinity,
            internal_local=self.internal_local,
            publish_not_ready=self.publish_not_ready,
            external=model.in_order(addresses(self.external, "$.external")),
            sources=model.prefixes_in_order(prefixes(self.sources, "$.sources")),
            external_local=self.external_local,
            health_port=self.health_port,
            load_balancer=self.load_balancer,
            load_balancer_address=None if asked is None else address(asked, "$.load_balancer_address"),
            ingress=model.in_order(addresses(self.ingress, "$.ingress")),
        )


class Endpoint(Object, frozen=True):
    """An address that answers for a service; `node` is the node that it is on, "" where nobody said.

    `zones` are hints: if all that are ready have some, clients on nodes of these zones are led to it, and others are
    not, but where no endpoint is for their zone.
    """

    address: AddressText
    node: NodeName = ""
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    zones: Annotated[tuple[ZoneName, ...], Meta(max_length=MOST_HINTS)] = ()

    @classmethod
    def of(cls, value: model.Endpoint) -> Endpoint:
        """Return the shape of a value."""
        where, node, ready, serving, terminating, zones = value
        return cls(address=str(where), node=node, ready=ready, serving=serving, terminating=terminating, zones=zones)

    def value(self, path: str) -> model.Endpoint:
        """Return the value of this shape, which stands at `path`. Raises Malformed."""
        where = address(self.address, f"{path}.address")
        zones = tuple(sorted(set(self.zones)))
        return model.Endpoint(where, self.node, self.ready, self.serving, self.terminating, zones)


class EndpointSlice(Object, frozen=True):
    """Some of the endpoints of a service of the same project; `ports` are their own, by the names of the service's."""

    name: Subdomain
    project: Label
    service: Label
    ports: Annotated[tuple[NamedPort, ...], Meta(max_length=MOST_ENDPOINT_PORTS)]
    endpoints: Annotated[tuple[Endpoint, ...], Meta(max_length=MOST_ENDPOINTS)]

    @classmethod
    def of(cls, value: model.EndpointSlice) -> EndpointSlice:
        """Return the shape of a value."""
        return cls(
            name=value.key.name,
            project=value.key.project,
            service=value.service,
            ports=_shapes(value.ports),
            endpoints=tuple(map(Endpoint.of, value.endpoints)),
        )

    def value(self) -> model.EndpointSlice:
        """Return the value of this shape: what is in it is put in order. Raises Malformed."""
        found = [item.value(f"$.endpoints[{at}]") for at, item in enumerate(self.endpoints)]
        return model.EndpointSlice(
            key=model.SliceKey(self.project, self.name),
            service=self.service,
            ports=_values(self.ports),
            endpoints=tuple(sorted(found, key=lambda endpoint: (endpoint.address.version, endpoint))),
        )


def _shapes(ports: Iterable[model.NamedPort]) -> tuple[NamedPort, ...]:
    return tuple(NamedPort(protocol=port.protocol, port=port.port, name=port.name) for port in ports)


def _values(ports: Iterable[NamedPort]) -> tuple[model.NamedPort, ...]:
    return tuple(sorted(model.NamedPort(port.protocol, port.port, port.name) for port in ports))


def _offered(port: model.NamedPort) -> OfferedPort:
    protocol, number, name, node_port = port
    return OfferedPort(protocol=protocol, port=number, name=name, node_port=node_port)


def _offer(port: OfferedPort) -> model.NamedPort:
    return model.NamedPort(port.protocol, port.port, port.name, port.node_port)


def _all_named(ports: tuple[OfferedPort, ...]) -> Iterable[OfferedPort]:
    if sum(not port.name for port in ports) < 2:
        return ports
    return (
        port if port.name else msgspec.structs.replace(port, name=f"{port.port}-{port.protocol.lower()}")
        for port in ports
    )
