"""Claims about neighbour discovery: who is answered, by what, and what nobody may say. None where there is no IPv6."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from topology import fields, pipeline
from topology.flow import Actions, Match
from topology.model import Prefix
from topology.pipeline import Table
from topology.verification import attachment
from topology.verification.claim import About, Claim, Kind, of_cluster, of_node
from topology.verification.shape import (
    ADVERTISE,
    ADVERTISES,
    ANSWER_ND,
    IS_ICMPV6,
    IS_IP,
    SHARED,
    SOLICITS,
    W8,
    W16,
    W32,
    Facts,
    goto,
)
from topology.verification.world import View, World

_TO_CLIENTS: Final[Match] = (IS_IP[6], (fields.IP_PROTO, 17, W8), (fields.TRANSPORT["UDP"][2], 546, W16))
# Solicitation and advertisement of routers and of neighbours, and redirect.
_KINDS: Final = (133, 134, 135, 136, 137)


def _is_there(world: World) -> bool:
    return 6 in world.versions


def _of_node(view: View) -> Facts:
    has_any = any(cidr.version == 6 for cidr in view.this.subnets)
    return {(IS_IP[6], IS_ICMPV6, *SOLICITS): (goto(Table.ARP_RESPONDER),)} if has_any else {}


def _nobodys(world: World) -> Facts:
    if not _is_there(world):
        return {}
    facts: Facts = {(IS_IP[6], IS_ICMPV6, (fields.ICMPV6_TYPE, kind, W8)): () for kind in _KINDS}
    return {**facts, _TO_CLIENTS: ()}


def _advertised(world: World) -> Facts:
    return {(IS_IP[6], IS_ICMPV6, *ADVERTISES): ANSWER_ND} if _is_there(world) else {}


def _miss(world: World) -> Facts:
    return {(): ()} if _is_there(world) else {}


def _answers(view: View, match: Match, actions: Actions) -> bool:
    space, *kind, target = match
    network = view.world.by_vnid[space[1]]
    cidrs: tuple[Prefix, ...] = ()
    if space == SHARED:
        cidrs = view.snapshot.cluster.cluster_cidrs
    elif network is not None and network.name in view.hosting and space[0] == SHARED[0] and space[2] == W32:
        cidrs = tuple(subnet.cidr for subnet in network.subnets)
    named = any(_target(cidr) == target for cidr in cidrs if cidr.version == 6)
    return named and tuple(kind) == (IS_IP[6], IS_ICMPV6, *SOLICITS) and actions == ADVERTISE


def _answers_owed(view: View) -> Iterator[Match]:
    if view.focus.whole:
        for cidr in view.snapshot.cluster.cluster_cidrs:
            yield from _answer(0, cidr)
    for network in view.networks:
        for subnet in network.subnets:
            yield from _answer(network.vnid, subnet.cidr)


def _answer(space: int, cidr: Prefix) -> Iterator[Match]:
    if cidr.version == 6:
        yield (SHARED[0], space, W32), IS_IP[6], IS_ICMPV6, *SOLICITS, _target(cidr)


def _target(cidr: Prefix) -> tuple[fields.Field, int, int]:
    return (fields.ND_TARGET, int(cidr.network_address), int(cidr.netmask))


CLAIMS: Final[tuple[Claim, ...]] = (
    of_node(pipeline.NODE_ND, Kind.SPOOF, _of_node),
    attachment.claim(pipeline.POD_ND, Kind.SPOOF, 5, attachment.at_discovery),
    of_cluster(pipeline.POD_NO_ND, Kind.SPOOF, _nobodys),
    Claim(pipeline.ND_SOLICITED, Kind.LEAK, About.NETWORKS, _answers, _answers_owed),
    of_cluster(pipeline.ND_ADVERTISED, Kind.LEAK, _advertised),
    of_cluster(pipeline.ND_MISS, Kind.LEAK, _miss),
)
