"""The shapes of connections: scopes, and prefixes of translated ones. As `store.objects`, which names their kind."""

from __future__ import annotations

from store.fields import L4Port, Label, Malformed, Object, PrefixText, Protocol, prefix
from topology import model


class ServicePort(Object, frozen=True):
    """A transport port."""

    protocol: Protocol
    port: L4Port


def service_ports(ports: tuple[model.ServicePort, ...]) -> tuple[ServicePort, ...]:
    """Return the shapes of transport ports."""
    return tuple(ServicePort(protocol=item.protocol, port=item.port) for item in ports)


class Scope(Object, frozen=True):
    """What one network may begin towards another: everything, unless only services, or only these ports."""

    services_only: bool = False
    ports: tuple[ServicePort, ...] = ()

    @classmethod
    def of(cls, value: model.Scope) -> Scope:
        """Return the shape of a value."""
        return cls(services_only=value.services_only, ports=service_ports(value.ports))

    def value(self) -> model.Scope:
        """Return the value of this shape."""
        return model.Scope(
            self.services_only, tuple(model.ServicePort(item.protocol, item.port) for item in self.ports)
        )


class Translation(Object, frozen=True):
    """That the other network of a connection knows a subnet of `network` by the prefix `seen_as`."""

    network: Label
    cidr: PrefixText
    seen_as: PrefixText

    @classmethod
    def of(cls, value: model.Translation) -> Translation:
        """Return the shape of a value."""
        return cls(network=value.network, cidr=str(value.cidr), seen_as=str(value.seen_as))

    def value(self, path: str) -> model.Translation:
        """Return the value of this shape, which stands at `path`. Raises Malformed."""
        cidr, seen_as = prefix(self.cidr, f"{path}.cidr"), prefix(self.seen_as, f"{path}.seen_as")
        if (cidr.version, cidr.prefixlen) != (seen_as.version, seen_as.prefixlen):
            raise Malformed(f"{path}.seen_as", f"{seen_as} is not as long as {cidr}", "give prefixes of equal length")
        return model.Translation(self.network, cidr, seen_as)


class Connection(Object, frozen=True):
    """Two networks that may talk; `forward` is what the first may begin towards the second, null for nothing."""

    networks: tuple[Label, Label]
    forward: Scope | None = Scope()
    backward: Scope | None = Scope()
    translations: tuple[Translation, ...] = ()

    @classmethod
    def of(cls, value: model.Connection) -> Connection:
        """Return the shape of a value."""
        forward, backward = (None if scope is None else Scope.of(scope) for scope in (value.forward, value.backward))
        translations = tuple(map(Translation.of, value.translations))
        first, second = value.key
        return cls(networks=(first, second), forward=forward, backward=backward, translations=translations)

    def value(self) -> model.Connection:
        """Return the value of this shape: the names are put in order, and the scopes with them."""
        key = model.ConnectionKey.between(*self.networks)
        scopes = [None if scope is None else scope.value() for scope in (self.forward, self.backward)]
        forward, backward = scopes if key.first == self.networks[0] else reversed(scopes)
        translations = tuple(item.value(f"$.translations[{at}]") for at, item in enumerate(self.translations))
        return model.Connection(key, forward, backward, translations)
