"""Networks, their subnets and blocks, and their connections: who may begin what towards whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from topology.model.addressing import DEFAULT_PROVIDER, SHARED_SPACE, Address, Prefix

MOST_DSCP: Final = 63  # RFC 2474, section 3: six bits


class Subnet(NamedTuple):
    """A range of addresses of a network's own; the gateway is answered for on every node, and nobody's address."""

    name: str
    cidr: Prefix
    gateway: Address


@dataclass(frozen=True, slots=True)
class Network:
    """A tenant's network. It keeps its VNID for life; being global is an attribute of it.

    Without subnets its pods have addresses of the cluster CIDR, in the shared address space. With subnets they have
    addresses of those, in a space of their own that may overlap any other, and each has a *cluster address* from the
    shared space besides. `flat`: an address may be on any node; otherwise nodes hold blocks of addresses.
    `mtu` in bytes bounds that of its pods; None: what the node offers. `zone` is its conntrack zone, if it needs one.
    `dscp` (0 to 63) is what its pods' packets carry; None: what they have written there themselves.
    `multicast`: what its pods send to a group gets to those that joined it.
    `provider` supplies its specification. `terminating`: it takes nobody new, and goes when nobody uses it any more.
    `transit_for` names the project whose pods pass through it on their way to another network (see `Move`).
    """

    name: str
    vnid: int
    is_global: bool = False
    subnets: tuple[Subnet, ...] = ()
    flat: bool = False
    mtu: int | None = None
    zone: int | None = None
    provider: str = DEFAULT_PROVIDER
    terminating: bool = False
    transit_for: str | None = None
    dscp: int | None = None
    multicast: bool = False

    @property
    def is_transit(self) -> bool:
        """Whether it exists only for the length of a move."""
        return self.transit_for is not None

    @property
    def space(self) -> int:
        """The address space its pods' addresses are in: the shared one, or one of its own with its VNID as number."""
        return self.vnid if self.subnets else SHARED_SPACE


class AddressBlock(NamedTuple):
    """A range of a network's subnet whose addresses are on one node. A flat network's are single addresses."""

    network: str
    prefix: Prefix
    node: str


class ServicePort(NamedTuple):
    """A transport port: protocol is TCP, UDP or SCTP."""

    protocol: str
    port: int


class ConnectionKey(NamedTuple):
    """Two different networks; the names are in order."""

    first: str
    second: str

    @classmethod
    def between(cls, a: str, b: str) -> ConnectionKey:
        """Return the key for two networks, whichever is named first."""
        return cls(*sorted((a, b)))

    def other(self, network: str) -> str:
        """Return the network that `network` is connected to."""
        return self.second if network == self.first else self.first


class Scope(NamedTuple):
    """What one network may begin towards another. `ports` empty: everything, or only services if `services_only`.

    With both, which only a transit network's has: services, and these ports. Replies to what it may begin always pass.
    """

    services_only: bool = False
    ports: tuple[ServicePort, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.services_only and not self.ports


EVERYTHING: Final = Scope()


def either(one: Scope | None, other: Scope | None) -> Scope | None:
    """Return the scope that allows what one of two allows; it may be for services and for ports."""
    if one is None or other is None:
        return one if other is None else other
    if one.is_everything or other.is_everything:
        return EVERYTHING
    return Scope(one.services_only or other.services_only, tuple(sorted({*one.ports, *other.ports})))


class Translation(NamedTuple):
    """That the other network of a connection knows a subnet of `network` by another prefix, of equal length."""

    network: str
    cidr: Prefix
    seen_as: Prefix


@dataclass(frozen=True, slots=True)
class Connection:
    """Two networks that may talk. Not transitive; each direction has a scope, None where nothing may begin.

    `translations` are of all subnets of both, or none: then each knows the other's pods by their own addresses, if
    both have ranges of their own. They stay as they are as long as the connection is there.

    `is_tracked`: what either begins is committed, though nothing asks for it yet; the connection is narrowed next.
    """

    key: ConnectionKey
    forward: Scope | None = EVERYTHING  # from the first to the second
    backward: Scope | None = EVERYTHING  # from the second to the first
    translations: tuple[Translation, ...] = ()
    is_tracked: bool = False  # not stored: whoever narrows asks again after a restart

    @classmethod
    def between(cls, a: str, b: str) -> Connection:
        """Return the symmetric connection of two networks with everything allowed."""
        return cls(ConnectionKey.between(a, b))

    def scope(self, source: str) -> Scope | None:
        """Return what `source`, one of the two networks, may begin."""
        return self.forward if source == self.key.first else self.backward

    def seen_as(self, network: str, cidr: Prefix) -> Prefix:
        """Return the prefix by which the other network knows a subnet of `network`, one of the two."""
        return next((item.seen_as for item in self.translations if item[:2] == (network, cidr)), cidr)
