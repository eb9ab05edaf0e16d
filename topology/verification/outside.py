"""Claims about who comes from outside by his own address: to which services, and to endpoints on this node alone.

What these endpoints say to the outside leaves as what any pod says, but that conntrack is asked before whom it answers.
As for other services, nothing here lets a packet to anybody: DELIVERY decides, as for the node itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from ipaddress import ip_network
from typing import Final

from topology import fields, pipeline
from topology.fields import CT_STATE
from topology.flow import Actions, Match, MatchTerm, Op
from topology.model import HAIRPIN, NODE_PORTS, TUN_OFPORT, ConnectionKey, Prefix, Service, ServiceKey
from topology.pipeline import NODE_ZONE, OUTPUT_PORT, OUTSIDE, SCRATCH, Table
from topology.snapshot import Snapshot
from topology.verification.claim import (
    EVERYWHERE,
    UNSAID,
    About,
    Claim,
    Holds,
    Kind,
    Spread,
    always,
    of_cluster,
    of_node,
)
from topology.verification.endpoints import FROM_OUTSIDE, Offer, eligible, is_deserted, outer_offers, to_endpoint
from topology.verification.services import decides, learns
from topology.verification.shape import (
    ADDRESS_MASK,
    IS_IP,
    SHARED,
    W8,
    W16,
    W32,
    W48,
    Facts,
    family_of,
    in_prefix,
    is_to,
    known_ends,
    load,
)
from topology.verification.world import Focus, View, World

_BEGINS: Final[MatchTerm] = (CT_STATE, fields.IS_NEW, fields.IS_NEW)
_ANSWERED: Final[MatchTerm] = (OUTSIDE, 2, W32)
_ICMP: Final = {4: fields.PROTO_ICMP, 6: fields.PROTO_ICMPV6}


# --- in ------------------------------------------------------------------------------------------


def _inside(world: World) -> Facts:
    """No pod, no service and no node is outside."""
    cluster, facts = world.snapshot.cluster, Facts()
    for to in cluster.service_cidrs:
        version = to.version
        kind, destination = in_prefix(to)
        own: tuple[Prefix, ...] = (ip_network(HAIRPIN[version]), NODE_PORTS[version])
        for cidr in (*cluster.cluster_cidrs, *cluster.service_cidrs, *own):
            if cidr.version == version:
                facts[kind, _from(cidr), destination] = ()
    return facts


def _outside(world: World) -> Facts:
    asked = (load(OUTSIDE, 1), known_ends(NODE_ZONE, Table.SERVICE_CONNECTIONS))
    return {in_prefix(cidr): asked for cidr in world.snapshot.cluster.service_cidrs}


def _from(cidr: Prefix) -> MatchTerm:
    return family_of(cidr.version).source, int(cidr.network_address), int(cidr.netmask)


# --- to endpoints here ---------------------------------------------------------------------------


def _is_offered(offer: Offer | None, view: View) -> bool:
    """Whether a node has flows of a port: it has endpoints, or nobody has."""
    if offer is None or not offer.from_outside:
        return False
    return bool(eligible(offer, view.snapshot, view.node)) or is_deserted(offer, view.snapshot)


def _offered(view: View) -> Iterator[Offer]:
    """Yield the ports in focus that a node has flows of."""
    for service in _services(view):
        for offer in outer_offers(service, view.snapshot):
            if _is_offered(offer, view) and not (view.focus.whole and is_deserted(offer, view.snapshot)):
                yield offer
    if view.focus.whole:
        yield from view.world.deserted


def _services(view: View) -> Iterator[Service]:
    here: Iterable[ServiceKey] = view.snapshot.near.get(view.node, {})
    for key in here if view.focus.whole else view.focus.services:
        service = view.snapshot.services.get(key)
        if service is not None and service.external_local:
            yield service


def _begins(view: View, match: Match, actions: Actions) -> bool:
    asked, begins, *rest = match
    offer = view.world.offers[asked, *rest]
    return begins == _BEGINS and offer is not None and _is_offered(offer, view) and actions == decides(offer.network)


def _begins_owed(view: View) -> Iterator[Match]:
    for offer in _offered(view):
        yield FROM_OUTSIDE, _BEGINS, *offer.match[1:]


def _leads(view: View, match: Match, actions: Actions) -> bool:
    offer = view.world.offers[match]
    leads = _is_offered(offer, view) and offer is not None
    return leads and offer is not None and view.world.balances.lead(offer, match, view.node, actions)


def _owed(view: View) -> Iterator[Match]:
    for offer in _offered(view):
        yield offer.match


def _near(view: View, match: Match, actions: Actions) -> bool:
    """Who would not be answered is not led in."""
    asked, begins, kind, protocol, source, *rest = match
    offer = view.world.offers[asked, kind, protocol, *rest]
    if offer is None or begins != _BEGINS or actions or not eligible(offer, view.snapshot, view.node):
        return False
    return source in _known(offer, view.snapshot)


def _near_owed(view: View) -> Iterator[Match]:
    for offer in _offered(view):
        asked, kind, protocol, *rest = offer.match
        known = _known(offer, view.snapshot) if eligible(offer, view.snapshot, view.node) else ()
        for source in known:
            yield asked, _BEGINS, kind, protocol, source, *rest


def _known(offer: Offer, snapshot: Snapshot) -> Collection[MatchTerm]:
    """Return the ranges by which pods of a service's network know it and connected ones, if it has any."""
    home = offer.network
    cidrs = [subnet.cidr for subnet in home.subnets]
    near: Iterable[str] = snapshot.peers.get(home.name, {})
    for peer in map(snapshot.networks.__getitem__, near if home.subnets else ()):
        pair = (home.name, peer.name) if home.name < peer.name else (peer.name, home.name)
        connection = snapshot.connections[ConnectionKey(*pair)]
        cidrs += [connection.seen_as(peer.name, subnet.cidr) for subnet in peer.subnets]
    return {_from(cidr) for cidr in cidrs if cidr.version == offer.service.address.version}


# --- to the endpoint that a client stays with ----------------------------------------------------


def _stays(view: View, match: Match, actions: Actions) -> bool:
    number, *asked = match
    offer = view.world.offers[tuple(asked)]
    if offer is None or not offer.from_outside or (number[0], number[2]) != (SCRATCH, W32):
        return False
    endpoint = view.world.balances.known(offer, view.node).get(number[1])
    return endpoint is not None and actions == to_endpoint(endpoint, offer)


def _stays_owed(view: View) -> Iterator[Match]:
    for offer in _offered(view):
        for number in view.world.balances.known(offer, view.node):
            yield (SCRATCH, number, W32), *offer.match


def _chooses(view: View, match: Match, actions: Actions) -> bool:
    offer = view.world.offers[match]
    if offer is None or not offer.from_outside:
        return False
    return view.world.balances.choose(offer, match, view.node, actions)


def _learns(view: View, match: Match, actions: Actions) -> bool:
    offer = view.world.offers[match]
    return offer is not None and offer.from_outside and learns(view, offer, match, actions)


def _kept_owed(view: View) -> Iterator[Match]:
    for offer in _offered(view):
        if view.world.balances.known(offer, view.node):
            yield offer.match


# --- and back ------------------------------------------------------------------------------------


def _answers(view: View) -> Facts:
    """What endpoints on this node say from their ports, ready or not, and their errors: named, if they answer."""
    facts = Facts()
    named: Actions = (load(OUTSIDE, 3), known_ends(NODE_ZONE, Table.ROUTING))
    for key in view.snapshot.near.get(view.node, {}):
        facts.update((match, named) for match in _spoken(view, view.snapshot.services[key]))
    return facts


def _spoken(view: View, service: Service) -> Iterator[Match]:
    version = service.address.version
    for key in view.snapshot.slices_of.get(service.key, {}):
        of = view.snapshot.slices[key]
        for each in of.endpoints if of.ports else ():
            if each.node != view.node or each.address.version != version:
                continue
            source = (family_of(version).source, int(each.address), ADDRESS_MASK[version])
            sent = SHARED, (OUTSIDE, 0, W32), IS_IP[version]
            yield *sent, (fields.IP_PROTO, _ICMP[version], W8), source
            for port in of.ports:
                number, field, _ = fields.TRANSPORT[port.protocol]
                yield *sent, (fields.IP_PROTO, number, W8), source, (field, port.port, W16)


def _says(view: View, match: Match, actions: Actions) -> bool:
    return view.facts(_answers).get(match) == actions


def _says_owed(view: View) -> Iterable[Match]:
    if view.focus.whole:
        return view.facts(_answers)
    return {match for service in _services(view) for match in _spoken(view, service)}


def _leaves(view: View) -> Facts:
    """What is from a service goes to the node's kernel, which knows who asked; nothing new begins by it."""
    out: Actions = ((Op.SET, fields.ETH_DST, view.this.mac, W48), (Op.OUTPUT, TUN_OFPORT))
    cidrs = view.snapshot.cluster.service_cidrs
    return {((OUTPUT_PORT, TUN_OFPORT, W32), IS_IP[cidr.version], _from(cidr)): out for cidr in cidrs}


def _of_nodes(world: World) -> Facts:
    """From the hairpin address it came to, and goes on to whoever asked, from the service."""
    named = (load(OUTPUT_PORT, TUN_OFPORT), known_ends(NODE_ZONE, Table.OUTPUT))
    return {(SHARED, _ANSWERED, kind): named for kind in world.kinds}


def _of_nobody(world: World) -> Facts:
    return {(_ANSWERED, *is_to(HAIRPIN[version])): () for version in world.versions}


# --- where it is so ------------------------------------------------------------------------------


def _deserted(holds: Holds, of: Callable[[Match], Match]) -> Spread:
    """Only where no node has an endpoint do nodes have the same for a service."""

    def spread(world: World, match: Match, actions: Actions) -> str | None:
        offer = world.offers[of(match)]
        if offer is None or not offer.from_outside:
            return None
        if not is_deserted(offer, world.snapshot):
            return UNSAID
        this = next(iter(world.snapshot.nodes.values()))
        return EVERYWHERE if holds(View(world, this, Focus()), match, actions) else None

    return spread


def _each(world: World, match: Match, actions: Actions) -> str | None:
    return UNSAID


def _claim(stage: pipeline.Stage, holds: Holds, owed: Callable[[View], Iterable[Match]], spread: Spread) -> Claim:
    return Claim(stage, Kind.LEAK, About.SERVICES, holds, owed, spread=spread)


CLAIMS: Final[tuple[Claim, ...]] = (
    of_cluster(pipeline.NODE_INSIDE, Kind.SPOOF, _inside),
    of_cluster(pipeline.NODE_OUTSIDE, Kind.SPOOF, _outside),
    _claim(pipeline.OUTSIDE_NEAR, _near, _near_owed, _each),
    _claim(pipeline.OUTSIDE_PORT, _begins, _begins_owed, _deserted(_begins, lambda match: (match[0], *match[2:]))),
    always(pipeline.OUTSIDE_NONE, Kind.LEAK, (), (FROM_OUTSIDE, _BEGINS)),
    _claim(pipeline.BALANCE_OUTSIDE, _leads, _owed, _deserted(_leads, lambda match: match)),
    _claim(pipeline.OUTSIDE_KNOWN, _stays, _stays_owed, _each),
    _claim(pipeline.OUTSIDE_ANY, _chooses, _kept_owed, _each),
    _claim(pipeline.OUTSIDE_LEARNT, _learns, _kept_owed, _each),
    of_cluster(pipeline.LOCAL_ITSELF, Kind.LEAK, _of_nobody),
    of_cluster(pipeline.LOCAL_ANSWER, Kind.LEAK, _of_nodes),
    _claim(pipeline.ROUTE_ANSWER, _says, _says_owed, _each),
    of_node(pipeline.OUTPUT_ANSWER, Kind.LEAK, _leaves),
)
