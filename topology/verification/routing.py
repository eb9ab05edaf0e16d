"""Claims about where a destination is: here, on another node, a node itself, outside; and about the nodes' guard."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from topology import fields, pipeline
from topology.flow import Actions, Match, Op
from topology.model import GENEVE_OFPORT, NODE_PORTS, VXLAN_OFPORT, AddressBlock, Prefix
from topology.pipeline import SPACE
from topology.verification import attachment
from topology.verification.claim import EVERYWHERE, About, Claim, Kind, always, of_cluster, of_node, of_peers
from topology.verification.shape import (
    IS_IP,
    SHARED,
    TO_GUARD,
    TO_LOCAL,
    TO_SERVICE_REPLIES,
    TO_TUN,
    TO_TUNNEL,
    W8,
    W16,
    W32,
    Facts,
    in_prefix,
    is_to,
    to_peer,
)
from topology.verification.world import View, World

_NOBODY: Final[dict[int, tuple[Prefix, ...]]] = {
    4: (IPv4Network("224.0.0.0/4"), IPv4Network("255.255.255.255/32")),
    6: (IPv6Network("fe80::/10"), IPv6Network("ff00::/8")),
}

# --- routing -------------------------------------------------------------------------------------


def _nobody(world: World) -> Facts:
    return {in_prefix(cidr): () for version in world.versions for cidr in _NOBODY[version]}


def _guarded(world: World, match: Match, actions: Actions) -> str | None:
    space, kind, to = match
    of_family = IS_IP[4] if to[0] == fields.IPV4_DST else IS_IP[6]
    known = space == SHARED and kind == of_family and actions == TO_GUARD and world.guarded[to]
    return EVERYWHERE if known else None


def _guarded_owed(view: View) -> Collection[Match]:
    if view.focus.whole:
        return view.world.every_guarded
    peers = (view.world.peers[name] for name in view.focus.nodes)
    return tuple(peer.guarded for peer in peers if peer is not None)


def _here(view: View) -> Facts:
    return {(SHARED, *in_prefix(cidr)): TO_SERVICE_REPLIES for cidr in view.this.subnets}


def _block(view: View, match: Match) -> AddressBlock | None:
    """Return the block that a flow is about, where the node may send to it."""
    space, kind, to = match
    block = view.world.by_prefix[space[1], to]
    if block is None or space[0] != SPACE or space[2] != W32 or kind != IS_IP[block.prefix.version]:
        return None
    return block if view.reaches(block.network) else None


def _block_here(view: View, match: Match, actions: Actions) -> bool:
    block = _block(view, match)
    return block is not None and block.node == view.node and actions == TO_LOCAL


def _block_there(view: View, match: Match, actions: Actions) -> bool:
    block = _block(view, match)
    holder = None if block is None else view.snapshot.nodes.get(block.node)
    return holder is not None and holder.name != view.node and actions == to_peer(holder.underlay)


def _blocks_owed(view: View, *, here: bool) -> Iterator[Match]:
    keys: Iterable[tuple[str, Prefix]] = view.focus.blocks
    if view.focus.whole:
        keys = [(net.name, cidr) for net in view.ranges for cidr in view.snapshot.blocks_of.get(net.name, {})]
    for key in keys:
        block, network = view.snapshot.blocks.get(key), view.snapshot.networks.get(key[0])
        if block is None or network is None or not view.reaches(network.name):
            continue
        is_here = block.node == view.node
        if is_here == here and (here or block.node in view.snapshot.nodes):
            yield (SPACE, network.space, W32), *in_prefix(block.prefix)


def _cluster(world: World) -> Facts:
    return {(SHARED, *in_prefix(cidr)): TO_TUNNEL for cidr in world.snapshot.cluster.cluster_cidrs}


def _range(view: View, match: Match, actions: Actions) -> bool:
    network = view.world.by_vnid[match[0][1]]
    known = network is not None and bool(network.subnets) and view.reaches(network.name)
    return known and network is not None and match in view.world.ranges[network.name] and actions == TO_TUNNEL


def _range_owed(view: View) -> Iterator[Match]:
    for network in view.ranges:
        yield from view.world.ranges[network.name]


def _for_nodes(world: World) -> Facts:
    """What stands for a node is no outside: its kernel refuses it."""
    return {(SHARED, *in_prefix(NODE_PORTS[version])): TO_TUN for version in world.versions}


def _outside(world: World) -> Facts:
    return {(SHARED, kind): TO_TUN for kind in world.kinds}


# --- local ---------------------------------------------------------------------------------------


def _gateways(view: View) -> Facts:
    return {(SHARED, *is_to(cidr[1])): TO_GUARD for cidr in view.this.subnets}


def _guarded_ports(world: World) -> Facts:
    cluster = world.snapshot.cluster
    facts: Facts = {}
    for kind in world.kinds:
        for protocol, ports in (("TCP", cluster.guarded_tcp_ports), ("UDP", cluster.guarded_udp_ports)):
            number, _, field = fields.TRANSPORT[protocol]
            facts.update({(kind, (fields.IP_PROTO, number, W8), (field, port, W16)): () for port in ports})
    return facts


# --- tunnels -------------------------------------------------------------------------------------


def _route(world: World, match: Match, actions: Actions) -> str | None:
    peer = world.by_vtep[actions[5][1:]]  # type: ignore[index]
    return peer.name if peer is not None and match in peer.routes and actions == peer.envelope else None


def _routes_owed(view: View) -> Iterator[Match]:
    for peer in view.peers:
        yield from peer.routes


def sends_by(view: View) -> int:
    """Return the tunnel port of the node's encapsulation: its own, else the cluster's."""
    chosen = view.this.encapsulation or view.snapshot.cluster.encapsulation
    return GENEVE_OFPORT if chosen == "geneve" else VXLAN_OFPORT


def _encapsulated(view: View) -> Facts:
    return {(): ((Op.OUTPUT, sends_by(view)),)}


def _count_routes(view: View) -> int:
    return view.count_of_peers(lambda peer: len(peer.routes), view.world.every_route)


CLAIMS: Final[tuple[Claim, ...]] = (
    of_cluster(pipeline.ROUTE_MULTICAST, Kind.LEAK, _nobody),
    of_peers(pipeline.ROUTE_GUARDED, Kind.LEAK, _guarded, _guarded_owed, lambda view: len(_guarded_owed(view))),
    of_node(pipeline.ROUTE_LOCAL, Kind.LEAK, _here),
    Claim(pipeline.ROUTE_BLOCK, Kind.LEAK, About.BLOCKS, _block_here, lambda view: _blocks_owed(view, here=True)),
    of_cluster(pipeline.ROUTE_CLUSTER, Kind.LEAK, _cluster),
    Claim(pipeline.ROUTE_SPACE, Kind.LEAK, About.REACHED, _range, _range_owed),
    of_cluster(pipeline.ROUTE_NODE_PORTS, Kind.LEAK, _for_nodes),
    of_cluster(pipeline.ROUTE_OUTSIDE, Kind.LEAK, _outside),
    of_node(pipeline.LOCAL_GATEWAY, Kind.LEAK, _gateways),
    attachment.claim(pipeline.LOCAL_POD, Kind.LEAK, 2, attachment.found),
    of_cluster(pipeline.GUARDED_PORT, Kind.LEAK, _guarded_ports),
    always(pipeline.GUARD_PASS, Kind.LEAK, TO_TUN),
    of_peers(pipeline.TUNNEL_ROUTE, Kind.LEAK, _route, _routes_owed, _count_routes),
    Claim(pipeline.TUNNEL_BLOCK, Kind.LEAK, About.BLOCKS, _block_there, lambda view: _blocks_owed(view, here=False)),
    of_node(pipeline.ENCAPSULATE, Kind.LEAK, _encapsulated),
)
