"""Claims about where packets come in: who is believed, and as whom. Answers to ARP as well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import fields, pipeline
from topology.fields import IN_PORT
from topology.flow import Actions, Match
from topology.model import GENEVE_OFPORT, HAIRPIN, NODE_PORTS, TUN_OFPORT, VXLAN_OFPORT, Address, Prefix
from topology.pipeline import NODE_HAIRPIN_ZONE, NODE_ZONE, OUTSIDE, Table
from topology.verification import attachment
from topology.verification.claim import About, Claim, Kind, always, of_cluster, of_node, of_peers
from topology.verification.shape import (
    ADDRESS_MASK,
    ANSWER_ARP,
    ENVELOPED,
    FROM_PEER,
    IS_ARP,
    IS_IP,
    NO_IN_PORT,
    SHARED,
    TO_SERVICE_REPLIES,
    W16,
    W32,
    Facts,
    ask,
    family_of,
    goto,
    in_prefix,
    is_to,
    known_ends,
    load,
)
from topology.verification.world import View, World

_ASKS: Final = (fields.ARP_OP, 1, W16)


def _from_peer(world: World, match: Match, actions: Actions) -> str | None:
    outer, *ours, kind = match
    peer = world.by_vtep[outer]
    is_source = outer[0] in (fields.TUN_IPV4_SRC, fields.TUN_IPV6_SRC)
    is_ours = tuple(ours) == ENVELOPED
    known = peer is not None and is_source and is_ours and kind in world.kinds and actions == FROM_PEER
    return peer.name if known and peer is not None else None


def _peers(view: View) -> Iterator[Match]:
    for peer in view.peers:
        yield from peer.sources


def _count_peers(view: View) -> int:
    return view.count_of_peers(lambda peer: len(peer.sources), view.world.every_source)


def own_addresses(view: View, version: int) -> list[Address]:
    """Return the node's own addresses of one IP version, the underlay's where the node has a subnet of that version."""
    gateways = [cidr[1] for cidr in view.this.subnets if cidr.version == version]
    underlay = view.this.underlay
    return [*gateways, underlay] if gateways and underlay.version == version else gateways


def _own_arp(view: View) -> Facts:
    """From whichever address: who asks by tun0 is the node, and is answered there."""
    return {(IS_ARP, _ASKS): (goto(Table.ARP_RESPONDER),)} if own_addresses(view, 4) else {}


def _from_itself(view: View, cidrs: Iterable[Prefix], table: Table) -> Facts:
    """What the node sends by addresses of its own to some ranges."""
    facts: Facts = {}
    for cidr in cidrs:
        kind, destination = in_prefix(cidr)
        source, mask = family_of(cidr.version).source, ADDRESS_MASK[cidr.version]
        for own in own_addresses(view, cidr.version):
            facts[kind, (source, int(own), mask), destination] = (goto(table),)
    return facts


def _to_pods(view: View) -> Facts:
    return _from_itself(view, view.snapshot.cluster.cluster_cidrs, Table.ROUTING)


def _to_services(view: View) -> Facts:
    node_ports = (NODE_PORTS[cidr.version] for cidr in view.this.subnets)
    return _from_itself(view, (*view.snapshot.cluster.service_cidrs, *node_ports), Table.SERVICES)


def _to_itself(view: View) -> Facts:
    """What answers to the node's hairpin address gets its own again; to whom that leads, LOCAL says."""
    again = known_ends(NODE_HAIRPIN_ZONE, Table.SERVICE_REPLIES)
    return {is_to(HAIRPIN[cidr.version]): (NO_IN_PORT, load(OUTSIDE, 2), again) for cidr in view.this.subnets}


def _tracked(view: View) -> Facts:
    return {in_prefix(cidr): (ask(NODE_ZONE, Table.NODE_REPLIES),) for cidr in view.this.subnets}


def _in_state(view: View, bits: int) -> Facts:
    state = (fields.CT_STATE, bits, bits)
    return {(state, IS_IP[cidr.version]): TO_SERVICE_REPLIES for cidr in view.this.subnets}


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


def _tunnels(world: World) -> Facts:
    """A node sends by one of them; it is sent to by both."""
    return {((IN_PORT, by, W32),): (goto(Table.TUNNEL_INGRESS),) for by in (VXLAN_OFPORT, GENEVE_OFPORT)}


def _misses(world: World) -> Facts:
    return {(): ()}


CLAIMS: Final[tuple[Claim, ...]] = (
    of_cluster(pipeline.DISPATCH_TUNNEL, Kind.SPOOF, _tunnels),
    always(pipeline.DISPATCH_NODE, Kind.SPOOF, (goto(Table.NODE_INGRESS),), ((IN_PORT, TUN_OFPORT, W32),)),
    always(pipeline.DISPATCH_POD, Kind.SPOOF, (goto(Table.POD_INGRESS),)),
    of_peers(pipeline.TUNNEL_PEER, Kind.SPOOF, _from_peer, _peers, _count_peers),
    of_node(pipeline.NODE_ARP, Kind.SPOOF, _own_arp),
    of_node(pipeline.NODE_HAIRPIN, Kind.SPOOF, _to_itself),
    of_node(pipeline.NODE_SOURCE, Kind.SPOOF, _to_pods),
    of_node(pipeline.NODE_SERVICE, Kind.SPOOF, _to_services),
    of_node(pipeline.NODE_TRACK, Kind.LEAK, _tracked),
    of_node(pipeline.NODE_REPLY, Kind.LEAK, _replies),
    of_node(pipeline.NODE_RELATED, Kind.LEAK, _related),
    attachment.claim(pipeline.POD_ADDRESS, Kind.SPOOF, 0, attachment.at_address),
    attachment.claim(pipeline.POD_ARP, Kind.SPOOF, 1, attachment.at_arp),
    Claim(pipeline.ARP_ANSWER, Kind.LEAK, About.NETWORKS, _answers, _answers_owed),
    *(of_cluster(stage, Kind.LEAK, _misses) for stage in pipeline.TABLE_MISS.values()),
)
