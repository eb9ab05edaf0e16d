"""Claims about services: whose network decides about one, to which endpoints it leads, and by whom answers are.

The same on every node, for the node itself may use every service; but for services whose endpoints are to be on the
client's own node or in its zone. What reaches an endpoint goes on from EGRESS_POLICY like anything else, so that
nothing here lets a packet to anybody: DELIVERY decides, about the service's network first and about the endpoint's
then.

Some ways lead back here, and none of them twice: to EGRESS_POLICY, before which alone OUTPUT_PORT becomes the load
balancer; to OUTPUT from BALANCING with tun0 as the port; to OUTPUT from itself for what came by tun0, which then
came by no port; to AFFINITY, which does nothing but load a number; to ROUTING from itself, which a register tells from
then on; and from LEARNING to ENDPOINTS, with the number of an endpoint that is known there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from topology import fields, pipeline
from topology.fields import CT_MARK, CT_STATE, IN_PORT
from topology.flow import Actions, Match, MatchTerm, Op
from topology.model import HAIRPIN, NODE_PORTS, TUN_OFPORT, Network, ServiceKey
from topology.pipeline import (
    BALANCER,
    BY_SERVICE,
    DESTINATION_VNID,
    HAIRPIN_ZONE,
    NODE_HAIRPIN_ZONE,
    OUTPUT_PORT,
    SCRATCH,
    SERVICE_ZONE,
    FeatureId,
    Table,
)
from topology.verification import attachment
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
from topology.verification.endpoints import Offer, offers, to_endpoint
from topology.verification.shape import (
    IS_IP,
    NO_IN_PORT,
    SHARED,
    TO_EGRESS_POLICY,
    TO_LOCAL,
    TO_TUN,
    W16,
    W32,
    Facts,
    begun_from,
    goto,
    in_prefix,
    is_to,
    known_ends,
    load,
)
from topology.verification.world import Focus, View, World

_BEGINS: Final[MatchTerm] = (CT_STATE, fields.IS_NEW, fields.IS_NEW)
_TRANSLATED: Final[MatchTerm] = (CT_STATE, fields.IS_DNATTED, fields.IS_DNATTED)
# Whatever a connection leads to, it is by the service that it was begun by.
_AS_BEGUN: Final[Actions] = ((Op.COPY, CT_MARK, 0, BY_SERVICE, 0, 24), *TO_EGRESS_POLICY)

# --- to a service --------------------------------------------------------------------------------


def _ranges(world: World) -> Facts:
    ask = (known_ends(SERVICE_ZONE, Table.SERVICE_CONNECTIONS),)
    return {in_prefix(cidr): ask for cidr in world.snapshot.cluster.service_cidrs}


def _node_ports(world: World) -> Facts:
    """What stands for a node is asked for by the node alone: pods have services' own addresses."""
    ask = (known_ends(SERVICE_ZONE, Table.SERVICE_CONNECTIONS),)
    return {((IN_PORT, TUN_OFPORT, W32), *in_prefix(NODE_PORTS[version])): ask for version in world.versions}


def _no_node_ports(world: World) -> Facts:
    """Whatever no service has, the node's kernel refuses."""
    return {(_BEGINS, *in_prefix(NODE_PORTS[version])): TO_TUN for version in world.versions}


def decides(network: Network) -> Actions:
    """As to a pod of the service's network, whose port is the load balancer."""
    return (
        load(DESTINATION_VNID, network.vnid),
        load(OUTPUT_PORT, BALANCER),
        load(BY_SERVICE, network.vnid),
        goto(Table.DELIVERY),
    )


def _inner(world: World, match: Match) -> Offer | None:
    """Return the port that is asked for in this way, by pods and nodes."""
    offer = world.offers[match]
    return None if offer is None or offer.from_outside else offer


def _begins(view: View, match: Match, actions: Actions) -> bool:
    offer = _inner(view.world, match[1:])
    return offer is not None and match[0] == _BEGINS and actions == decides(offer.network)


def _leads(view: View, match: Match, actions: Actions) -> bool:
    offer = _inner(view.world, match)
    return offer is not None and view.world.balances.lead(offer, match, view.node, actions)


# --- to the endpoint that a client stays with ----------------------------------------------------


def _known(view: View, match: Match, actions: Actions) -> bool:
    number, offer = match[0], _inner(view.world, match[1:])
    if offer is None or number[0] != SCRATCH or number[2] != W32:
        return False
    endpoint = view.world.balances.known(offer, view.node).get(number[1])
    return endpoint is not None and actions == to_endpoint(endpoint, offer)


def _chooses(view: View, match: Match, actions: Actions) -> bool:
    offer = _inner(view.world, match)
    return offer is not None and view.world.balances.choose(offer, match, view.node, actions)


def _learns(view: View, match: Match, actions: Actions) -> bool:
    offer = _inner(view.world, match)
    return offer is not None and learns(view, offer, match, actions)


def learns(view: View, offer: Offer, match: Match, actions: Actions) -> bool:
    """Whether who sent a packet stays with the endpoint that was just chosen, towards this address and port."""
    if not view.world.balances.known(offer, view.node):
        return False
    (kind, protocol, to, port), family = match[-4:], fields.family(offer.service.address.version)
    learnt = (
        Op.LEARN,
        int(Table.AFFINITY),
        min(offer.service.affinity, W16),
        FeatureId.LEARNT << 56,
        ((family.source,), (to[0],), (port[0],)),
        (kind[:2], protocol[:2]),
        ((SCRATCH,),),
    )
    return actions == (learnt, (Op.RESUBMIT, int(Table.ENDPOINTS)))


def _known_owed(view: View) -> Iterator[Match]:
    for match in _staying(view):
        for number in _numbers(view, match):
            yield (SCRATCH, number, W32), *match


def _count_known(view: View) -> int:
    return sum(len(_numbers(view, match)) for match in _staying(view))


def _kept_owed(view: View) -> Iterator[Match]:
    for match in _staying(view):
        if _numbers(view, match):
            yield match


def _staying(view: View) -> Iterable[Match]:
    """Return the terms of what is sent to services whose clients stay."""
    return view.world.staying if view.focus.whole else _of(view, view.focus.services)


def _numbers(view: View, match: Match) -> Collection[int]:
    offer = _inner(view.world, match)
    return () if offer is None else view.world.balances.known(offer, view.node)


def _alike(holds: Holds) -> Spread:
    """Of a service that leads clients on all nodes to the same endpoints, what holds on one node holds on each."""

    def spread(world: World, match: Match, actions: Actions) -> str | None:
        offer = world.offers[match[-4:]]
        if offer is None:
            return None
        if world.balances.differ(offer.service):
            return UNSAID
        this = next(iter(world.snapshot.nodes.values()))
        return EVERYWHERE if holds(View(world, this, Focus()), match, actions) else None

    return spread


def _owed(view: View) -> Iterable[Match]:
    return view.world.offered if view.focus.whole else _of(view, view.focus.services)


def _of(view: View, keys: Iterable[ServiceKey]) -> Iterator[Match]:
    for key in keys:
        service = view.snapshot.services.get(key)
        for offer in () if service is None else offers(service, view.snapshot):
            yield offer.match


def _begins_owed(view: View) -> Iterator[Match]:
    for match in _owed(view):
        yield _BEGINS, *match


def _count(view: View) -> int:
    return len(view.world.offered) if view.focus.whole else sum(1 for _ in _owed(view))


# --- answers, and who meets itself ---------------------------------------------------------------


def _answers(world: World) -> Facts:
    """Before anything else looks at it, what an endpoint answers is from the service again."""
    return {(SHARED, kind): (known_ends(SERVICE_ZONE, Table.HAIRPIN),) for kind in world.kinds}


def _to_itself(world: World) -> Facts:
    """What a pod answers to the hairpin address goes to its own again: no other has the connection by its address."""
    again = known_ends(HAIRPIN_ZONE, Table.SERVICE_REPLIES)
    return {(SHARED, *is_to(HAIRPIN[version])): (NO_IN_PORT, again) for version in world.versions}


def _by_tun_again(view: View) -> Facts:
    """What the node sent and gets back is from an address that its kernel does not take for its own."""
    again = (IN_PORT, TUN_OFPORT, W32), (OUTPUT_PORT, TUN_OFPORT, W32)
    return {
        (*again, IS_IP[version]): (NO_IN_PORT, begun_from(HAIRPIN[version], NODE_HAIRPIN_ZONE, Table.OUTPUT))
        for version in {cidr.version for cidr in view.this.subnets}
    }


CLAIMS: Final[tuple[Claim, ...]] = (
    of_cluster(pipeline.SERVICE_RANGE, Kind.LEAK, _ranges),
    of_cluster(pipeline.SERVICE_NODE_PORT, Kind.LEAK, _node_ports),
    of_cluster(pipeline.NODE_PORT_NONE, Kind.LEAK, _no_node_ports),
    always(pipeline.NO_SERVICE, Kind.LEAK, TO_EGRESS_POLICY),
    always(pipeline.SERVICE_KNOWN, Kind.LEAK, _AS_BEGUN, (_TRANSLATED,)),
    Claim(pipeline.SERVICE_PORT, Kind.LEAK, About.SERVICES, _begins, _begins_owed, _count, _alike(_begins)),
    of_cluster(pipeline.ROUTE_HAIRPIN, Kind.LEAK, _to_itself),
    of_cluster(pipeline.SERVICE_REPLY, Kind.SPOOF, _answers),
    always(pipeline.SERVICE_REPLY_NONE, Kind.LEAK, TO_LOCAL),
    attachment.claim(pipeline.HAIRPIN_SELF, Kind.SPOOF, 4, attachment.at_hairpin),
    always(pipeline.HAIRPIN_NONE, Kind.LEAK, TO_LOCAL),
    always(pipeline.OUTPUT_BALANCER, Kind.LEAK, (goto(Table.BALANCING),), ((OUTPUT_PORT, BALANCER, W32),)),
    of_node(pipeline.OUTPUT_HAIRPIN, Kind.SPOOF, _by_tun_again),
    Claim(pipeline.BALANCE, Kind.LEAK, About.SERVICES, _leads, _owed, _count, _alike(_leads)),
    Claim(pipeline.ENDPOINT_KNOWN, Kind.LEAK, About.SERVICES, _known, _known_owed, _count_known, _alike(_known)),
    Claim(pipeline.ENDPOINT_ANY, Kind.LEAK, About.SERVICES, _chooses, _kept_owed, spread=_alike(_chooses)),
    Claim(pipeline.ENDPOINT_LEARNT, Kind.LEAK, About.SERVICES, _learns, _kept_owed, spread=_alike(_learns)),
)
