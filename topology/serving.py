"""The flows by which a port of a service leads to endpoints: whoever asks, and by whichever address.

What a port is asked for by is its `Offer`; where such flows stand, and in which conntrack zone connections are kept, is
the `Way` of a kind of clients. Which endpoints they are led to is for the features to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Final, NamedTuple

from topology.balancing import balanced, numbered
from topology.fields import CT_MARK, CT_STATE, ETH_TYPE, IP_PROTO, IS_NEW, PORT_BITS, TRANSPORT, Field, family
from topology.flow import (
    Actions,
    Flow,
    Group,
    Match,
    at,
    conntrack,
    copy,
    goto,
    learn,
    load,
    match_fields,
    nat_to,
    resubmit,
    select,
)
from topology.matches import to_prefix
from topology.model import TUN_OFPORT, NamedPort, Network, Prefix, Service, ServiceKey
from topology.pipeline import BALANCER, BY_SERVICE, DESTINATION_VNID, OUTPUT_PORT, SCRATCH, Stage, Table
from topology.snapshot import Snapshot
from topology.targets import Target

# The registers spoke of the service as of a pod; its endpoint is found by an address of its own.
_DECIDED: Final[Actions] = (load(DESTINATION_VNID, 0), load(OUTPUT_PORT, 0))
_LONGEST_IDLE: Final = 0xFFFF  # seconds: the field has 16 bits (OpenFlow 1.5.1, 7.3.4.2)
_REFUSED: Final[Actions] = (load(OUTPUT_PORT, TUN_OFPORT), resubmit(Table.OUTPUT))
Terms = tuple[tuple[Field, int | tuple[int, int]], ...]


class Way(NamedTuple):
    """How clients of a kind are led: the stages, the zone that knows their connections, and what tells them."""

    begins: Stage
    balance: Stage
    known: Stage
    any: Stage
    learnt: Stage
    zone: int
    clients: Terms = ()


class Offer(NamedTuple):
    """A port of a service, the network that it belongs to, and where it is asked for: by which addresses and number."""

    service: Service
    port: NamedPort
    network: Network
    door: Prefix
    number: int
    way: Way
    is_outer: bool = False

    def terms(self, *more: tuple[Field, int | tuple[int, int]]) -> Match:
        """What is sent there."""
        number, _, destination = TRANSPORT[self.port.protocol]
        return to_prefix(self.door, (IP_PROTO, number), (destination, self.number), *self.way.clients, *more)


def network_of(key: ServiceKey, snapshot: Snapshot) -> Network | None:
    """Return the network that a service belongs to."""
    project = snapshot.projects.get(key.project)
    return None if project is None else snapshot.networks.get(project.network)


def served(offer: Offer, endpoints: Iterable[Target], number: int) -> Iterator[Flow]:
    """Yield the flows by which an offer leads to endpoints; `number` is the first group id that they may have."""
    found = numbered(endpoints)
    groups = balanced(found, number, partial(_bucket, offer))
    yield _begins(offer)
    if offer.service.affinity and groups:
        yield from _kept(offer, found, groups)
    else:
        yield _chosen(offer, groups)


def next_number(flows: Iterable[Flow], number: int) -> int:
    """Return the group id after those of flows."""
    return max((group.group_id + 1 for flow in flows for group in flow.groups), default=number)


def _begins(offer: Offer) -> Flow:
    """What begins a connection is decided as if the service were a pod of its network."""
    decided = (
        load(DESTINATION_VNID, offer.network.vnid),
        load(OUTPUT_PORT, BALANCER),
        load(BY_SERVICE, offer.network.vnid),
        goto(Table.DELIVERY),
    )
    return at(offer.way.begins, offer.terms((CT_STATE, (IS_NEW, IS_NEW))), decided)


def _chosen(offer: Offer, groups: tuple[Group, ...]) -> Flow:
    """Any endpoint; without one, the node's kernel refuses."""
    actions = (*_DECIDED, select(groups[-1].group_id)) if groups else _REFUSED
    return at(offer.way.balance, offer.terms(), actions, groups)


def _kept(offer: Offer, found: Mapping[int, Target], groups: tuple[Group, ...]) -> Iterator[Flow]:
    """The endpoint that the client stays with; where none is known or that one is gone, any, which is learnt."""
    asked = (*_DECIDED, load(SCRATCH, 0), resubmit(Table.AFFINITY), goto(Table.ENDPOINTS))
    yield at(offer.way.balance, offer.terms(), asked)
    for number, target in found.items():
        yield at(offer.way.known, offer.terms((SCRATCH, number)), _to_endpoint(offer, target))
    kind = family(offer.service.address.version)
    protocol, source, destination = TRANSPORT[offer.port.protocol]
    # Looked at, the client's port makes of each connection one that the switch decides anew: what it decided for one
    # before it had learnt would else hold for the next until it revalidates.
    asks_anew = copy(source, SCRATCH, PORT_BITS)
    yield at(offer.way.any, offer.terms(), (asks_anew, select(groups[-1].group_id)), groups)
    of_kind = match_fields((ETH_TYPE, kind.eth_type), (IP_PROTO, protocol))
    same = (kind.source, kind.destination, destination)
    learnt = learn(Table.AFFINITY, min(offer.service.affinity, _LONGEST_IDLE), same, of_kind, (SCRATCH,))
    yield at(offer.way.learnt, offer.terms(), (learnt, resubmit(Table.ENDPOINTS)))


def _bucket(offer: Offer, number: int, target: Target) -> Actions:
    if offer.service.affinity:
        return (load(SCRATCH, number), resubmit(Table.LEARNING))
    return _to_endpoint(offer, target)


def _to_endpoint(offer: Offer, target: Target) -> Actions:
    kept = (nat_to(target.address, target.port), load(CT_MARK, offer.network.vnid))
    return (conntrack(offer.way.zone, commit=True, table=Table.EGRESS_POLICY, nested=kept),)
