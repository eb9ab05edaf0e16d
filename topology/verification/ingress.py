"""Claims about where packets come in: who is believed, and as whom. Answers to ARP as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from topology import fields, pipeline
from topology.fields import IN_PORT
from topology.flow import Actions, Match
from topology.model import TUN_OFPORT, VXLAN_OFPORT, Address, Prefix
from topology.pipeline import NODE_ZONE, Table
from topology.verification import attachment
from topology.verification.claim import About, Claim, Kind, always, of_cluster, of_node
from topology.verification.shape import (
    ADDRESS_MASK,
    ANSWER_ARP,
    FROM_PEER,
    IS_ARP,
    IS_IP,
    SHARED,
    TO_LOCAL,
    W16,
    W32,
    Facts,
    ask,
    family_of,
    goto,
    in_prefix,
)
from topology.verification.world import View, World

_ASKS: Final = (fields.ARP_OP, 1, W16)


def _from_peer(view: View, match: Match, actions: Actions) -> bool:
    outer, kind = match
    peer = view.world.by_vtep[outer]
    is_source = outer[0] in (fields.TUN_IPV4_SRC, fields.TUN_IPV6_SRC)
    known = peer is not None and peer.name != view.node
    return known and is_source and kind in view.world.kinds and actions == FROM_PEER


def _peers(view: View) -> Iterator[Match]:
    for peer in view.peers:
        yield from peer.sources


def _count_peers(view: View) -> int:
    return sum(len(peer.sources) for peer in view.peers)


def own_addresses(view: View, version: int) -> list[Address]:
    """Return the node's own addresses of one IP version, the underlay's where the node has a subnet of that version."""
    gateways = [cidr[1] for cidr in view.this.subnets if cidr.version == version]
    underlay = view.this.underlay
    return [*gateways, underlay] if gateways and underlay.version == version else gateways


def _cidrs(view: View, version: int) -> tuple[Prefix, ...]:
    return tuple(cidr for cidr in view.snapshot.cluster.cluster_cidrs if cidr.version == version)


def _own_arp(view: View) -> Facts:
    to = (goto(Table.ARP_RESPONDER),)
    return {(IS_ARP, _ASKS, (fields.ARP_SPA, int(own), W32)): to for own in own_addresses(view, 4)}


def _own_source(view: View) -> Facts:
    facts: Facts = {}
    for version in view.world.versions:
        source, mask = family_of(version).source, ADDRESS_MASK[version]
        for own in own_addresses(view, version):
            for cidr in _cidrs(view, version):
                kind, destination = in_prefix(cidr)
                facts[kind, (source, int(own), mask), destination] = (goto(Table.ROUTING),)
    return facts


def _tracked(view: View) -> Facts:
    return {in_prefix(cidr): (ask(NODE_ZONE, Table.NODE_REPLIES),) for cidr in view.this.subnets}


def _in_state(view: View, bits: int) -> Facts:
    state = (fields.CT_STATE, bits, bits)
    return {(state, IS_IP[cidr.version]): TO_LOCAL for cidr in view.this.subnets}


def _replies(view: View) -> Facts:
    return _in_state(view, fields.IS_REPLY)


def _related(view: View) -> Facts:
    return _in_state(view, fields.IS_RELATED)


def _answers(view: View, match: Match, actions: Actions) -> bool:
    space, kind, asks, target = match
    if actions != ANSWER_ARP or kind != IS_ARP or asks != _ASKS:
        return False
    name, value, mask = target
    network = view.world.by_vnid[space[1]]
    cidrs: tuple[Prefix, ...] = ()
    if space == SHARED:
        cidrs = view.snapshot.cluster.cluster_cidrs
    elif network is not None and network.name in view.hosting and space[0] == SHARED[0] and space[2] == W32:
        cidrs = tuple(subnet.cidr for subnet in network.subnets)
    named = any((int(cidr.network_address), int(cidr.netmask)) == (value, mask) for cidr in cidrs)
    return name == fields.ARP_TPA and named


def _answers_owed(view: View) -> Iterator[Match]:
    if view.focus.whole:
        for cidr in view.snapshot.cluster.cluster_cidrs:
            yield from _answer(0, cidr)
    for network in view.networks:
        for subnet in network.subnets:
            yield from _answer(network.vnid, subnet.cidr)


def _answer(space: int, cidr: Prefix) -> Iterator[Match]:
    if cidr.version == 4:
        target = (fields.ARP_TPA, int(cidr.network_address), int(cidr.netmask))
        yield (SHARED[0], space, W32), IS_ARP, _ASKS, target


def _misses(world: World) -> Facts:
    return {(): ()}


CLAIMS: Final[tuple[Claim, ...]] = (
    always(
        pipeline.DISPATCH_TUNNEL,
        Kind.SPOOF,
        (goto(Table.TUNNEL_INGRESS),),
        ((IN_PORT, VXLAN_OFPORT, W32),),
    ),
    always(pipeline.DISPATCH_NODE, Kind.SPOOF, (goto(Table.NODE_INGRESS),), ((IN_PORT, TUN_OFPORT, W32),)),
    always(pipeline.DISPATCH_POD, Kind.SPOOF, (goto(Table.POD_INGRESS),)),
    Claim(pipeline.TUNNEL_PEER, Kind.SPOOF, About.PEERS, _from_peer, _peers, _count_peers),
    of_node(pipeline.NODE_ARP, Kind.SPOOF, _own_arp),
    of_node(pipeline.NODE_SOURCE, Kind.SPOOF, _own_source),
    of_node(pipeline.NODE_TRACK, Kind.LEAK, _tracked),
    of_node(pipeline.NODE_REPLY, Kind.LEAK, _replies),
    of_node(pipeline.NODE_RELATED, Kind.LEAK, _related),
    attachment.claim(pipeline.POD_ADDRESS, Kind.SPOOF, 0, attachment.at_address),
    attachment.claim(pipeline.POD_ARP, Kind.SPOOF, 1, attachment.at_arp),
    Claim(pipeline.ARP_ANSWER, Kind.LEAK, About.NETWORKS, _answers, _answers_owed),
    *(of_cluster(stage, Kind.LEAK, _misses) for stage in pipeline.TABLE_MISS.values()),
)
