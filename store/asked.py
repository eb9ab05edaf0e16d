"""The shapes of what is asked of networks and connections (REST bodies, custom resources), and what requests they are.

What is decided, and kept, is in `store.objects`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from store.connections import Scope, ServicePort
from store.fields import AddressText, Dscp, Label, Mtu, Object, OwnVnid, PrefixText, address, prefix
from topology import model
from topology.model import DEFAULT_PROVIDER
from topology.requests import CreateNetwork, JoinNetworks


class SubnetCreation(Object, frozen=True):
    """A range of addresses of a network's own. Unless given, the gateway is its first address, and it gets a name."""

    cidr: PrefixText
    name: Label | None = None
    gateway: AddressText | None = None

    def value(self, position: int, count: int) -> model.Subnet:
        """Return the subnet that is asked for at a position of `count`. Raises Malformed.

        A single one without a name is called "default", several "s1", "s2", …: the same again means the same.
        """
        path = f"$.subnets[{position}]"
        cidr = prefix(self.cidr, f"{path}.cidr")
        name = self.name or ("default" if count == 1 else f"s{position + 1}")
        if self.gateway is not None:
            return model.Subnet(name, cidr, address(self.gateway, f"{path}.gateway"))
        # A single address has no second one; that it is no subnet is for admission to say.
        return model.Subnet(name, cidr, cidr[min(1, cidr.num_addresses - 1)])


class NetworkCreation(Object, frozen=True):
    """Make a network, with the projects that are to be on it; the VNID is allotted unless given.

    With `subnets` its pods have addresses of those, which may overlap any other network's; `flat`: an address may be on
    any node; `mtu` (bytes) bounds that of its pods; `provider` supplies its specification. `dscp`: what its pods'
    packets carry; null: their own. `multicast`: what its pods send to groups gets to those that joined them.
    """

    name: Label
    vnid: OwnVnid | None = None
    is_global: bool = field(default=False, name="global")
    projects: Annotated[tuple[Label, ...], Meta(max_length=10000)] = ()
    subnets: Annotated[tuple[SubnetCreation, ...], Meta(max_length=64)] = ()
    flat: bool = False
    mtu: Mtu | None = None
    provider: Label = DEFAULT_PROVIDER
    dscp: Dscp | None = None
    multicast: bool = False

    def request(self) -> CreateNetwork:
        """Return the request that this is. Raises Malformed."""
        subnets = tuple(asked.value(position, len(self.subnets)) for position, asked in enumerate(self.subnets))
        return CreateNetwork(
            name=self.name,
            vnid=self.vnid,
            is_global=self.is_global,
            projects=self.projects,
            subnets=subnets,
            flat=self.flat,
            mtu=self.mtu,
            provider=self.provider,
            dscp=self.dscp,
            multicast=self.multicast,
        )


class AskedScope(Scope, frozen=True):
    """What one network is to be allowed to begin towards another: everything, or only services, or these ports."""

    ports: Annotated[tuple[ServicePort, ...], Meta(max_length=1000)] = ()


class ConnectionCreation(Object, frozen=True):
    """Two networks that are to talk; `forward` is what the first may begin towards the second, null for nothing.

    `translated`: each is to know the other's subnets by prefixes that are allotted with the connection, so that their
    ranges may overlap. They stay as long as the connection does, also when this says false later.
    """

    networks: tuple[Label, Label]
    forward: AskedScope | None = AskedScope()
    backward: AskedScope | None = AskedScope()
    translated: bool = False

    def request(self) -> JoinNetworks:
        """Return the request that this is."""
        return JoinNetworks(*self.networks, _ordered(self.forward), _ordered(self.backward), self.translated)


def _ordered(asked: AskedScope | None) -> model.Scope | None:
    """Return a scope with its ports in order: the same ones in another order are no change."""
    scope = None if asked is None else asked.value()
    return None if scope is None else scope._replace(ports=tuple(sorted(scope.ports)))
