"""To which endpoints a port of a service must lead, said anew of services and slices; and whether groups lead there.

`topology.targets` says which endpoints those are to whoever makes and traces flows, and `topology.balancing` divides
them into groups. Neither is asked here: a mistake in one must not be the verifier's as well. Of groups nothing is said
but what a packet can tell (where it may go, and how often), and that their numbers are nobody else's. Only the numbers
by which endpoints are learnt are those of `topology.balancing`: they are names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from topology import fields
from topology.balancing import SMALLEST, numbered
from topology.fields import CT_MARK
from topology.flow import Action, Actions, Bucket, Group, Match, MatchTerm, Op
from topology.model import (
    NODE_PORTS,
    TUN_OFPORT,
    Address,
    Cluster,
    Endpoint,
    EndpointSlice,
    NamedPort,
    Network,
    Service,
    ServiceKey,
)
from topology.pipeline import DESTINATION_VNID, NODE_ZONE, OUTPUT_PORT, OUTSIDE, SCRATCH, SERVICE_ZONE, Table
from topology.snapshot import Snapshot
from topology.targets import Target
from topology.verification.shape import IS_IP, W8, W16, W32, goto, in_prefix, is_to, load

Place: TypeAlias = tuple[Address, int]  # an endpoint's address and port
_Ask: TypeAlias = Callable[["Offer", str, Actions], bool]

# Without endpoints, out by tun0: the node's kernel refuses.
_REFUSED: Final[Actions] = (load(OUTPUT_PORT, TUN_OFPORT), (Op.RESUBMIT, int(Table.OUTPUT)))
# What was said of the service must not be taken for the endpoint's.
_FORGET: Final[Actions] = (load(DESTINATION_VNID, 0), load(OUTPUT_PORT, 0))
_THIS_NODE: Final = tuple(in_prefix(cidr) for cidr in NODE_PORTS.values())
_PROTOCOLS: Final = {number: name for name, (number, _, _) in fields.TRANSPORT.items()}
# Of a service whose clients stay: the number of the endpoint that the switch has learnt, 0 if none, and go on by it.
_AS_KNOWN: Final[Actions] = (
    *_FORGET,
    load(SCRATCH, 0),
    (Op.RESUBMIT, int(Table.AFFINITY)),
    goto(Table.ENDPOINTS),
)
FROM_OUTSIDE: Final[MatchTerm] = (OUTSIDE, 1, W32)
_LEARN: Final[Action] = (Op.RESUBMIT, int(Table.LEARNING))
_LAST_ID: Final = 0xFFFF_FF00  # of groups, and of buckets (OpenFlow 1.5.1, 7.3.4.3)
# A group's id: the family in the highest of 32 bits, the service address's place among all of its family in as many as
# these need, and the rest are the service's own.
_FAMILY_BIT: Final = 31
_PLACE_BITS: Final = 20  # at most


class Offer(NamedTuple):
    """One port of a service, the network that it belongs to, and how it is asked for.

    By its node port, or by its address from outside, by whom endpoints see as he is.
    """

    service: Service
    port: NamedPort
    network: Network
    by_node_port: bool = False
    from_outside: bool = False

    @property
    def is_local(self) -> bool:
        """Whether it is only for endpoints on the client's own node."""
        return self.from_outside or (self.service.internal_local and not self.by_node_port)

    @property
    def zone(self) -> int:
        """The conntrack zone that connections are kept in."""
        return NODE_ZONE if self.from_outside else SERVICE_ZONE

    @property
    def match(self) -> Match:
        """The terms of what is sent there."""
        protocol, _, field = fields.TRANSPORT[self.port.protocol]
        address = self.service.address
        kind, to = in_prefix(NODE_PORTS[address.version]) if self.by_node_port else is_to(address)
        number = self.port.node_port if self.by_node_port else self.port.port
        asked = kind, (fields.IP_PROTO, protocol, W8), to, (field, number, W16)
        return (FROM_OUTSIDE, *asked) if self.from_outside else asked


def offers(service: Service, snapshot: Snapshot) -> Iterator[Offer]:
    """Yield the ports of a service whose network exists."""
    project = snapshot.projects.get(service.key.project)
    network = None if project is None else snapshot.networks.get(project.network)
    for port in service.ports if network is not None else ():
        assert network is not None
        yield Offer(service, port, network)
        if port.node_port:
            yield Offer(service, port, network, by_node_port=True)


def outer_offers(service: Service, snapshot: Snapshot) -> Iterator[Offer]:
    """Yield them as they are for who comes from outside by his own address."""
    for offer in offers(service, snapshot) if service.external_local else ():
        if not offer.by_node_port:
            yield offer._replace(from_outside=True)


class Offers(dict[Match, Offer | None]):
    """Ports of services by the terms of what is sent there, None where there is none."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot

    def __missing__(self, match: Match) -> Offer | None:
        self[match] = offer = self._find(match)
        return offer

    def _find(self, match: Match) -> Offer | None:
        kind, protocol, to, port = match[-4:]
        address: Address = IPv4Address(to[1]) if kind == IS_IP[4] else IPv6Address(to[1])
        key = self._snapshot.service_by_address.get(address)
        if (kind, to) in _THIS_NODE:
            key = self._snapshot.service_by_node_port.get((_PROTOCOLS[protocol[1]], port[1]))
        service = None if key is None else self._snapshot.services.get(key)
        make = outer_offers if match[:-4] == (FROM_OUTSIDE,) else offers
        found = () if service is None else make(service, self._snapshot)
        return next((offer for offer in found if offer.match == match), None)


class Balances:
    """Whether what is done for a service leads to its endpoints; what was found right is known at the next node."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._right: dict[tuple[str, Match, str], Actions] = {}
        self._numbers: dict[tuple[Match, str], Mapping[int, Target]] = {}
        self._differing: dict[ServiceKey, bool] = {}

    def differ(self, service: Service) -> bool:
        """Whether nodes may owe different endpoints to their clients: by themselves, or by their zones."""
        if service.internal_local:
            return True
        found = self._differing.get(service.key)
        if found is None:
            found = self._differing[service.key] = has_hints(service.key, self._snapshot)
        return found

    def lead(self, offer: Offer, match: Match, node: str, said: Actions) -> bool:
        """Whether `said`, actions and groups, is what a client on `node` must meet; `match` is the offer's."""
        return self._is_right("", offer, match, node, said, self._leads)

    def choose(self, offer: Offer, match: Match, node: str, said: Actions) -> bool:
        """The same of a service whose clients stay, for a client that no endpoint is known of."""
        return self._is_right("any", offer, match, node, said, self._chooses)

    def known(self, offer: Offer, node: str) -> Mapping[int, Target]:
        """Return the endpoints of a service whose clients stay, by the numbers that they are known by.

        Which number stands for which endpoint is of no account, if no two have one.
        """
        if not offer.service.affinity:
            return {}
        place = offer.match, self._whose(offer, node)
        numbers = self._numbers.get(place)
        if numbers is None:
            found = eligible(offer, self._snapshot, node)
            numbers = numbered(Target(*each) for each in found)
            numbers = self._numbers[place] = numbers if set(numbers.values()) == found else {}
        return numbers

    def _is_right(self, kind: str, offer: Offer, match: Match, node: str, said: Actions, ask: _Ask) -> bool:  # noqa: PLR0913
        place = kind, match, self._whose(offer, node)
        if self._right.get(place) == said:
            return True
        right = ask(offer, node, said)
        if right:
            self._right[place] = said
        return right

    def _whose(self, offer: Offer, node: str) -> str:
        """Return what the endpoints of clients on a node depend on: it, or its zone; services are of either kind."""
        return node if offer.is_local else _zone_of(node, self._snapshot)

    def _leads(self, offer: Offer, node: str, said: Actions) -> bool:
        found = eligible(offer, self._snapshot, node)
        if not found:
            return said == _REFUSED
        if offer.service.affinity:
            return said == _AS_KNOWN
        ends = {to_endpoint(each, offer) for each in found}
        return said[:2] == _FORGET and _spreads(said[2:], ends, self._ids(offer))

    def _chooses(self, offer: Offer, node: str, said: Actions) -> bool:
        ends: set[Actions] = {(load(SCRATCH, number), _LEARN) for number in self.known(offer, node)}
        source = fields.TRANSPORT[offer.port.protocol][1]
        anew = said[:1] == ((Op.COPY, source, 0, SCRATCH, 0, 16),)
        return bool(ends) and anew and _spreads(said[1:], ends, self._ids(offer))

    def _ids(self, offer: Offer) -> range:
        return _own_ids(offer.service.address, self._snapshot.cluster)


# --- endpoints -----------------------------------------------------------------------------------


def eligible(offer: Offer, snapshot: Snapshot, node: str) -> frozenset[Place]:
    """Return where what a client on `node` begins may go.

    What Kubernetes says: to endpoints that are ready, or to all if the service publishes those that are not; where none
    is that has this port, to those that still serve while they terminate; and of a service with local policy, on the
    client's node only, unless it comes from outside. Of any other, where all that are ready have hints for zones, and
    some for the client's, to these.
    The port is the slice's, of the same protocol and name; the family is that of the service's address.
    """
    service = offer.service
    ready: dict[Place, set[frozenset[str]]] = {}  # with the hints of each time that one is there
    going: set[Place] = set()
    for of in (snapshot.slices[key] for key in snapshot.slices_of.get(service.key, {})):
        for each in of.endpoints:
            if each.address.version != service.address.version or (offer.is_local and each.node != node):
                continue
            places = {(each.address, listens) for listens in _listens(of, offer.port)}
            for place in places if _takes_new(each, service) else ():
                ready.setdefault(place, set()).add(frozenset(each.zones))
            going |= places if each.serving and each.terminating else set()
    if offer.is_local:
        return frozenset(ready or going)
    zone, hints = _zone_of(node, snapshot), [one for several in ready.values() for one in several]
    near = {place for place, several in ready.items() if any(zone in one for one in several)}
    is_narrowed = zone != "" and bool(near) and frozenset() not in hints
    return frozenset(near if is_narrowed else ready or going)


def has_hints(key: ServiceKey, snapshot: Snapshot) -> bool:
    """Whether an endpoint of a service says for which zones it is."""
    return any(each.zones for name in snapshot.slices_of.get(key, {}) for each in snapshot.slices[name].endpoints)


def _zone_of(node: str, snapshot: Snapshot) -> str:
    this = snapshot.nodes.get(node)
    return "" if this is None else this.zone


def _takes_new(endpoint: Endpoint, service: Service) -> bool:
    return service.publish_not_ready or endpoint.ready


def _listens(of: EndpointSlice, port: NamedPort) -> Iterable[int]:
    return (own.port for own in of.ports if own.protocol == port.protocol and own.name == port.name)


def is_deserted(offer: Offer, snapshot: Snapshot) -> bool:
    """Whether a port has no endpoint on any node, nor elsewhere, that could be used."""
    slices = [snapshot.slices[key] for key in snapshot.slices_of.get(offer.service.key, {})]
    version = offer.service.address.version
    return not any(
        _takes_new(each, offer.service) or (each.serving and each.terminating)
        for of in slices
        for each in (of.endpoints if [*_listens(of, offer.port)] else ())
        if each.address.version == version
    )


def to_endpoint(endpoint: Place, offer: Offer) -> Actions:
    """Send to an endpoint: in conntrack with the VNID of the service, and on from EGRESS_POLICY as to any address."""
    address, port = endpoint
    value = int(address)
    kept: Actions = (
        (Op.NAT, 1, address.version, value, value, port, port),
        (Op.SET, CT_MARK, offer.network.vnid, W32),
    )
    return ((Op.CT, 1, offer.zone, int(Table.EGRESS_POLICY), kept),)


# --- groups --------------------------------------------------------------------------------------


def _own_ids(address: Address, cluster: Cluster) -> range:
    """Return the ids of groups that belong to a service address: no other address has one of them."""
    ranges = [cidr for cidr in cluster.service_cidrs if cidr.version == address.version]
    sizes = [cidr.num_addresses for cidr in ranges]
    at = next((number for number, cidr in enumerate(ranges) if address in cidr), None)
    if at is None or sum(sizes) > 1 << _PLACE_BITS:
        return range(0)  # nobody's address: it would have the ids of another
    place = sum(sizes[:at]) + int(address) - int(ranges[at].network_address)
    own = (1 << _FAMILY_BIT) >> (sum(sizes) - 1).bit_length()
    first = ((address.version == 6) << _FAMILY_BIT) + place * own
    return range(first, min(first + own, _LAST_ID + 1))


def _spreads(said: Actions, wanted: set[Actions], own: range) -> bool:
    """Whether a packet goes to each of the wanted ends equally often, and nowhere else.

    Groups stand in the order in which they are made, each before the one that leads to it. Whatever one leads to counts
    as its own from then on, so that in the end one group is left: the one that is asked.
    """
    asked, *groups = said
    ends: dict[int, list[Actions]] = {}
    ids: set[int] = set()
    lower: set[int] = set()
    for group in groups:
        if not isinstance(group, Group) or group.group_id not in own or group.group_id in ids:
            return False
        ids.add(group.group_id)
        if group.is_lower:
            lower.add(group.group_id)
        if not _are_in_order(group.buckets):
            return False
        below = [_below(bucket, ends) for bucket in group.buckets]
        found = _alike(group, below)
        if not found:
            return False
        ends[group.group_id] = found
    ((last, found),) = ends.items()
    # One that chooses by the hash by which it was chosen itself does so among a part of its buckets only.
    return asked == _select(last) and lower == ids - {last} and len(found) == len(wanted) and set(found) == wanted


def _alike(group: Group, below: list[list[Actions]]) -> list[Actions]:
    """Return the ends below a group's buckets, if all are chosen equally often; none if they are not.

    One of them may have its share in two parts, the smaller of which says how finely the hash is to be shared, where it
    is the data path's.
    """
    shares: Counter[Actions] = Counter()
    for (_, weight, _), found in zip(group.buckets, below, strict=True):
        if weight % len(found):
            return []
        shares.update(dict.fromkeys(found, weight // len(found)))
    different, parts = set(shares.values()), sum(map(len, below))
    if parts == len(shares):
        return list(shares) if different == {1} else []
    of_smallest = [weight for number, weight, _ in group.buckets if number == SMALLEST]
    in_two_parts = of_smallest == [1] and parts == len(shares) + 1 > 2 and not group.is_lower
    return list(shares) if in_two_parts and len(different) == 1 else []


def _are_in_order(buckets: tuple[Bucket, ...]) -> bool:
    """Whether each has an id of its own: by it, one is changed without the others."""
    ids = [bucket[0] for bucket in buckets]
    return all(0 <= one <= _LAST_ID for one in ids) and all(one < other for one, other in pairwise(ids))


def _below(bucket: Bucket, ends: dict[int, list[Actions]]) -> list[Actions]:
    """Return where a bucket leads; a group that it leads to is its own from now on (KeyError: it is not there)."""
    match bucket[2]:
        case ((Op.GROUP, int(lower)),):
            return ends.pop(lower)
        case actions:
            return [actions]


def _select(group_id: int) -> Action:
    return (Op.GROUP, group_id)
