"""The model as claims look at it: the whole network, remembered once for all nodes, and one node's part of it.

`World` answers by what stands in flows (a VNID, a VTEP, a prefix), `View` by what one node has (its ports). `Focus`
says which objects the node owes flows for: all, or those that a change concerns. No flows of a table come here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from topology import fields
from topology.flow import Actions, Match, MatchTerm
from topology.model import AddressBlock, ConnectionKey, Network, Node, PortKey, Prefix, ServiceKey
from topology.pipeline import SPACE
from topology.snapshot import Snapshot
from topology.verification.endpoints import Balances, Offer, Offers, is_deserted, offers, outer_offers
from topology.verification.lazily import lazily
from topology.verification.shape import (
    ADDRESS_MASK,
    ENVELOPED,
    IS_IP,
    SHARED,
    W32,
    Facts,
    family_of,
    in_prefix,
    is_to,
    to_peer,
)
from topology.verification.translation import Translations

if TYPE_CHECKING:
    from topology.verification.attachment import Attachment
    from topology.verification.delivery import Talk


@dataclass(slots=True)
class Focus:
    """What a node owes flows for. `whole`: everything, then the sets mean nothing."""

    whole: bool = False
    ports: set[PortKey] = field(default_factory=set)
    networks: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)  # networks: what they may send to, and what is sent to them
    connections: set[ConnectionKey] = field(default_factory=set)
    blocks: set[tuple[str, Prefix]] = field(default_factory=set)
    services: set[ServiceKey] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)
    egresses: set[str] = field(default_factory=set)
    mirrors: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)  # networks that send to groups


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node, as flows towards and from it look: believed by `sources`, sent to by `routes`, guarded."""

    name: str
    sources: tuple[Match, ...]
    routes: tuple[Match, ...]
    guarded: Match
    envelope: Actions


class _ByName(dict[str, Peer | None]):
    def __init__(self, snapshot: Snapshot, kinds: tuple[MatchTerm, ...]) -> None:
        super().__init__()
        self._snapshot, self._kinds = snapshot, kinds

    def __missing__(self, name: str) -> Peer | None:
        node = self._snapshot.nodes.get(name)
        self[name] = peer = None if node is None else self._describe(node)
        return peer

    def _describe(self, node: Node) -> Peer:
        vtep = node.underlay
        outer = (family_of(vtep.version).tunnel_source, int(vtep), ADDRESS_MASK[vtep.version])
        routes = tuple((SHARED, *in_prefix(cidr)) for cidr in node.subnets)
        sources = tuple((outer, *ENVELOPED, kind) for kind in self._kinds)
        return Peer(node.name, sources, routes, (SHARED, *is_to(vtep)), to_peer(vtep))


class _Ranges(dict[str, tuple[Match, ...]]):
    """The matches of a network's subnets within its space, by its name."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot

    def __missing__(self, name: str) -> tuple[Match, ...]:
        network = self._snapshot.networks.get(name)
        subnets = () if network is None else network.subnets
        vnid = 0 if network is None else network.vnid
        self[name] = made = tuple(((SPACE, vnid, W32), *in_prefix(subnet.cidr)) for subnet in subnets)
        return made


class _ByVnid(dict[int, Network | None]):
    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot

    def __missing__(self, vnid: int) -> Network | None:
        name = self._snapshot.network_by_vnid.get(vnid)
        network = None if name is None else self._snapshot.networks.get(name)
        self[vnid] = found = network if network is not None and network.vnid == vnid else None
        return found


class _ByVtep(dict[MatchTerm, Peer | None]):
    """By the outer address, as a term of its field: (field, value, mask)."""

    def __init__(self, snapshot: Snapshot, by_name: _ByName) -> None:
        super().__init__()
        self._snapshot, self._by_name = snapshot, by_name

    def __missing__(self, term: MatchTerm) -> Peer | None:
        self[term] = peer = self._find(*term)
        return peer

    def _find(self, name: int, value: int, mask: int) -> Peer | None:
        version = 4 if name in (fields.TUN_IPV4_SRC, fields.TUN_IPV4_DST) else 6
        if name not in _OUTER or mask != fields.FULL_MASK[name]:
            return None
        address = IPv4Address(value) if version == 4 else IPv6Address(value)
        node = self._snapshot.nodes.get(self._snapshot.node_by_underlay.get(address, ""))
        if node is None or node.underlay != address:
            return None
        return self._by_name[node.name]


_OUTER = (fields.TUN_IPV4_SRC, fields.TUN_IPV4_DST, fields.TUN_IPV6_SRC, fields.TUN_IPV6_DST)


class _ByPrefix(dict[tuple[int, MatchTerm], AddressBlock | None]):
    """Blocks by address space and the term that matches them."""

    def __init__(self, snapshot: Snapshot, by_vnid: _ByVnid) -> None:
        super().__init__()
        self._snapshot, self._by_vnid = snapshot, by_vnid

    def __missing__(self, key: tuple[int, MatchTerm]) -> AddressBlock | None:
        space, term = key
        network = self._by_vnid[space]
        prefix = prefix_of(term)
        found = None
        if network is not None and network.subnets and prefix is not None:
            found = self._snapshot.blocks.get((network.name, prefix))
        self[key] = found
        return found


class World:
    """The network of one snapshot, with what was asked about it before. Nothing is worked out that nobody asks for."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._facts: dict[Callable[[World], Facts], Facts] = {}

    @lazily
    def versions(self) -> tuple[int, ...]:
        """The IP versions that the cluster has addresses of."""
        return tuple(sorted({cidr.version for cidr in self.snapshot.cluster.cluster_cidrs}))

    @lazily
    def kinds(self) -> tuple[MatchTerm, ...]:
        """The terms that tell packets of these versions."""
        return tuple(IS_IP[version] for version in self.versions)

    @lazily
    def by_vnid(self) -> _ByVnid:
        """Networks by VNID, None where there is none."""
        return _ByVnid(self.snapshot)

    @lazily
    def peers(self) -> _ByName:
        """Nodes as others see them, by name."""
        return _ByName(self.snapshot, self.kinds)

    @lazily
    def by_vtep(self) -> _ByVtep:
        """The same by the term of their underlay address."""
        return _ByVtep(self.snapshot, self.peers)

    @lazily
    def by_prefix(self) -> _ByPrefix:
        """Blocks by address space and term."""
        return _ByPrefix(self.snapshot, self.by_vnid)

    @lazily
    def ranges(self) -> _Ranges:
        """The matches of networks' own ranges, by name."""
        return _Ranges(self.snapshot)

    @lazily
    def translations(self) -> Translations:
        """What translated connections must have in CROSSING, by the sender's and the receiver's network."""
        return Translations(self.snapshot)

    @lazily
    def offers(self) -> Offers:
        """Ports of services, by the terms of what is sent there."""
        return Offers(self.snapshot)

    @lazily
    def offered(self) -> tuple[Match, ...]:
        """These terms, of all services."""
        services = self.snapshot.services.values()
        return tuple(offer.match for service in services for offer in offers(service, self.snapshot))

    @lazily
    def deserted(self) -> tuple[Offer, ...]:
        """Ports without any endpoint, as they are for who comes from outside by his own address."""
        services = self.snapshot.services_outside.values()
        found = (offer for service in services for offer in outer_offers(service, self.snapshot))
        return tuple(offer for offer in found if is_deserted(offer, self.snapshot))

    @lazily
    def staying(self) -> tuple[Match, ...]:
        """Those of services whose clients stay with an endpoint."""
        services = (service for service in self.snapshot.services.values() if service.affinity)
        return tuple(offer.match for service in services for offer in offers(service, self.snapshot))

    @lazily
    def balances(self) -> Balances:
        """Whether services lead to their endpoints."""
        return Balances(self.snapshot)

    @lazily
    def guarded(self) -> _Guarded:
        """Whether a term names a node or a controller."""
        return _Guarded(self.snapshot)

    @lazily
    def every_guarded(self) -> frozenset[Match]:
        """The matches of all addresses of nodes and controllers."""
        addresses = {*self.snapshot.node_by_underlay, *self.snapshot.cluster.control_plane}
        return frozenset((SHARED, *is_to(address)) for address in addresses)

    @lazily
    def every_peer(self) -> tuple[Peer, ...]:
        """All nodes as others see them."""
        peers = (self.peers[name] for name in self.snapshot.nodes)
        return tuple(peer for peer in peers if peer is not None)

    @lazily
    def every_source(self) -> int:
        """By how many matches all nodes are believed."""
        return sum(len(peer.sources) for peer in self.every_peer)

    @lazily
    def every_route(self) -> int:
        """By how many matches is sent to all nodes."""
        return sum(len(peer.routes) for peer in self.every_peer)

    def facts(self, make: Callable[[World], Facts]) -> Facts:
        """Return what every node must hold by the cluster's settings."""
        found = self._facts.get(make)
        if found is None:
            found = self._facts[make] = make(self)
        return found


class View:
    """One node in a world."""

    def __init__(self, world: World, node: Node, focus: Focus) -> None:
        self.world = world
        self.snapshot = world.snapshot
        self.node = node.name
        self.this = node
        self.focus = focus
        hosting: Mapping[str, None] = world.snapshot.hosting.get(node.name, {})
        # Asked of every flow: worth a set if all of them are.
        self.hosting: Collection[str] = frozenset(hosting) if focus.whole else hosting
        self._facts: dict[Callable[[View], Facts], Facts] = {}
        # See `attachment`: what ports must have, by ofport, and of those in focus.
        self.attachments: dict[int, Attachment] = {}
        self.talks: tuple[Talk, ...] | None = None
        self.attached: tuple[Attachment, ...] | None = None

    def facts(self, make: Callable[[View], Facts]) -> Facts:
        """Return what this node must hold by its own addresses."""
        found = self._facts.get(make)
        if found is None:
            found = self._facts[make] = make(self)
        return found

    def hosts_any(self, names: Iterable[str]) -> bool:
        """Whether the node has ports of one of these networks."""
        return any(name in self.hosting for name in names)

    def reaches(self, network: str) -> bool:
        """Whether the node has ports of a network or of one connected to it."""
        return network in self.hosting or self.hosts_any(self.snapshot.peers.get(network, {}))

    # --- what it owes flows for ----------------------------------------------------------------

    def ports(self) -> Iterable[PortKey]:
        """The ports on the node that are in focus."""
        return self.snapshot.ports_on.get(self.node, {}) if self.focus.whole else self.focus.ports

    @lazily
    def peers(self) -> tuple[Peer, ...]:
        """The other nodes in focus."""
        names: Iterable[str] = self.snapshot.nodes if self.focus.whole else self.focus.nodes
        peers = (self.world.peers[name] for name in names if name != self.node)
        return tuple(peer for peer in peers if peer is not None)

    def count_of_peers(self, of: Callable[[Peer], int], of_all: int) -> int:
        """Return how many of something the other nodes in focus have, of which all nodes have `of_all`."""
        if not self.focus.whole:
            return sum(map(of, self.peers))
        this = self.world.peers[self.node]
        return of_all - (0 if this is None else of(this))

    @lazily
    def networks(self) -> tuple[Network, ...]:
        """The networks in focus that the node has ports of."""
        return self._hosted(self.focus.networks)

    @lazily
    def senders(self) -> tuple[Network, ...]:
        """The networks in focus, by whom they reach, that the node has ports of."""
        return self.networks if self.focus.whole else self._hosted(self.focus.reached)

    def _hosted(self, focused: Iterable[str]) -> tuple[Network, ...]:
        names: Iterable[str] = self.hosting if self.focus.whole else focused
        networks = (self.snapshot.networks.get(name) for name in names if name in self.hosting)
        return tuple(network for network in networks if network is not None)

    @lazily
    def ranges(self) -> tuple[Network, ...]:
        """The networks in focus with ranges of their own that the node has ports of or may send to by a connection."""
        names: Iterable[str] = self.focus.reached
        if self.focus.whole:
            names = {*self.hosting, *(peer for name in self.hosting for peer in self.snapshot.peers.get(name, {}))}
        networks = (self.snapshot.networks.get(name) for name in names)
        return tuple(each for each in networks if each is not None and each.subnets and self.reaches(each.name))

    @lazily
    def connections(self) -> Iterable[ConnectionKey]:
        """The connections in focus; a node has flows of those that it has a network of."""
        if not self.focus.whole:
            return self.focus.connections
        peers = self.snapshot.peers
        return {
            ConnectionKey(name, peer) if name < peer else ConnectionKey(peer, name)
            for name in self.hosting
            for peer in peers.get(name, {})
        }


class _Guarded(dict[MatchTerm, bool]):
    """Whether a term names the address of a node or a controller as the destination."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot

    def __missing__(self, term: MatchTerm) -> bool:
        prefix = prefix_of(term)
        address = None if prefix is None or prefix.num_addresses != 1 else prefix.network_address
        nodes, control = self._snapshot.node_by_underlay, self._snapshot.cluster.control_plane
        self[term] = known = address is not None and (address in nodes or address in control)
        return known


def prefix_of(term: MatchTerm) -> Prefix | None:
    """Return the prefix that a term about a destination address names; None when it is none."""
    name, value, mask = term
    width = {fields.IPV4_DST: 32, fields.IPV6_DST: 128}.get(name)
    if width is None:
        return None
    length = mask.bit_count()
    if mask != ((1 << length) - 1) << (width - length) or value & ~mask:
        return None
    return IPv4Network((value, length)) if width == 32 else IPv6Network((value, length))
