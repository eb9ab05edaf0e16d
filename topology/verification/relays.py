"""Claims about relays: who is believed in transit and where that goes, who takes which way; and probes of tunnels.

That no packet circles: what is in transit goes straight to its destination, or on over one relay less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from topology import pipeline
from topology.fields import ETH_DST, ETH_TYPE, TUN_IPV4_DST, TUN_IPV4_SRC, TUNNEL_ID
from topology.flow import Action, Actions, Match, Op
from topology.model import TUN_OFPORT, Node
from topology.pipeline import Stage, Table
from topology.verification.claim import About, Claim, Kind, always, of_peers
from topology.verification.shape import ADDRESS_MASK, IS_IP, NO_IN_PORT, W16, Facts, family_of, goto
from topology.verification.world import Peer, View, World

_W64: Final = (1 << 64) - 1
_COPIES: Final = 1
_PROBES: Final = 2
_UPPER: Final = 0xFFFF_FF00_0000  # of a MAC: in transit, what is before the bits that it keeps
_FIRST_TWO: Final = 0xFFFF_0000_0000
_PROBE: Final = (ETH_TYPE, 0x88B5, W16)
_ASKS: Final = (ETH_DST, 0x0A5D_0000_0000, _FIRST_TWO)
_TELLS: Final = (ETH_DST, 0x0A5E_0000_0000, _FIRST_TWO)
_OUT: Final = goto(Table.TUNNEL_OUTPUT)
_LESS: Final[Action] = (Op.DEC_TTL,)


def _label(node: Node, relays: int, *, is_copy: bool) -> int:
    """The MAC in transit: what it is and how many relays it may pass in the first byte, the node in the next two."""
    return ((0xC2 if is_copy else 0x82) | relays << 2) << 40 | node.dpid << 24


def _towards(node: Node) -> Action:
    vtep = node.underlay
    return (Op.SET, family_of(vtep.version).tunnel_destination, int(vtep), ADDRESS_MASK[vtep.version])


# --- everywhere ----------------------------------------------------------------------------------


def _believed(peer: Peer) -> Match:
    return (peer.outer, (ETH_DST, 0x8200_0000_0000, 0x8300_0000_0000))


def _in_transit(world: World, match: Match, actions: Actions) -> str | None:
    peer = world.by_vtep[match[0]]
    known = peer is not None and match == _believed(peer) and actions == (goto(Table.TRANSIT),)
    return peer.name if known and peer is not None else None


def _probed(peer: Peer) -> Match:
    return ((TUNNEL_ID, _PROBES, _W64), peer.outer)


def _probe(world: World, match: Match, actions: Actions) -> str | None:
    peer = world.by_vtep[match[1]]
    known = peer is not None and match == _probed(peer) and actions == (goto(Table.PROBES),)
    return peer.name if known and peer is not None else None


def _last(world: World, node: Node) -> Facts:
    """Over no more relays: to the node itself, as it was before it was in transit."""
    if node.dpid > 0xFFFF:
        return {}
    onwards = (_towards(node), _OUT)
    plain = (ETH_DST, _label(node, 1, is_copy=False), _UPPER)
    facts: Facts = {
        (plain, IS_IP[version]): (NO_IN_PORT, _LESS, (Op.SET, ETH_DST, 0x0A59_0000_0000, _UPPER), *onwards)
        for version in world.versions
    }
    copied = ((ETH_DST, _label(node, 1, is_copy=True), _UPPER),)
    return facts | {copied: (NO_IN_PORT, (Op.SET, ETH_DST, 0x0A5C_0000_0000, _UPPER), *onwards)}


def _to_last(world: World, match: Match, actions: Actions) -> str | None:
    dpid = match[0][1] >> 24 & 0xFFFF
    node = world.snapshot.nodes.get(world.snapshot.node_by_dpid.get(dpid, ""))
    known = node is not None and _last(world, node).get(match) == actions
    return node.name if known and node is not None else None


def _lasts_owed(view: View) -> Iterator[Match]:
    for peer in view.peers:
        yield from _last(view.world, view.snapshot.nodes[peer.name])


# --- the ways of a node --------------------------------------------------------------------------


def _detours(view: View, *, of_copies: bool) -> Facts:
    """Of nodes without a tunnel that is used: by the first relay of a shortest way, nowhere if there is none."""
    ways = view.world.ways
    facts: Facts = {}
    for name in ways.detours(view.node):
        node = view.snapshot.nodes[name]
        hop = view.snapshot.relaying.routes.get(view.node, {}).get(name)
        to_it = (TUN_IPV4_DST, int(node.underlay), ADDRESS_MASK[4])
        if of_copies and hop is not None:
            label = (Op.SET, ETH_DST, _label(node, hop.relays, is_copy=True), _UPPER)
            facts[(TUNNEL_ID, _COPIES, _W64), to_it] = (label, _towards(view.snapshot.nodes[hop.relay]), _OUT)
        elif not of_copies and hop is None:
            if not ways.has_way(view.node, name):
                facts[(to_it,)] = ()
        elif not of_copies and hop is not None and ways.is_way(view.node, name, hop):
            label = (Op.SET, ETH_DST, _label(node, hop.relays, is_copy=False), _UPPER)
            facts[(to_it,)] = (label, _towards(view.snapshot.nodes[hop.relay]), _OUT)
    return facts


def _packets(view: View) -> Facts:
    return _detours(view, of_copies=False)


def _copies(view: View) -> Facts:
    return _detours(view, of_copies=True)


def _passed_on(view: View) -> Facts:
    """What is in transit over more relays: to one that knows what to do with it, and over one less."""
    facts: Facts = {}
    for transit, onwards in view.snapshot.relaying.at(view.node).items():
        if not view.world.ways.is_passed_on(view.node, transit, onwards):
            continue
        node, relay = (view.snapshot.nodes[name] for name in (transit.destination, onwards))
        out = (_towards(relay), _OUT)
        plain, less = (_label(node, relays, is_copy=False) for relays in (transit.relays, transit.relays - 1))
        for version in view.world.versions:
            one_less = (Op.SET, ETH_DST, less, _UPPER)
            facts[(ETH_DST, plain, _UPPER), IS_IP[version]] = (NO_IN_PORT, _LESS, one_less, *out)
        copied, less = (_label(node, relays, is_copy=True) for relays in (transit.relays, transit.relays - 1))
        facts[((ETH_DST, copied, _UPPER),)] = (NO_IN_PORT, (Op.SET, ETH_DST, less, _UPPER), *out)
    return facts


def _of_ways(stage: Stage, make: Callable[[View], Facts]) -> Claim:
    def holds(view: View, match: Match, actions: Actions) -> bool:
        return view.facts(make).get(match) == actions

    def owed(view: View) -> Iterable[Match]:
        return view.facts(make) if view.focus.whole or view.focus.relayed else ()

    return Claim(stage, Kind.LOOP, About.WAYS, holds, owed)


_BACK: Final[Actions] = (
    NO_IN_PORT,
    (Op.SET, ETH_DST, 0x0A5E_0000_0000, _FIRST_TWO),
    (Op.COPY, TUN_IPV4_SRC, 0, TUN_IPV4_DST, 0, 32),
    _OUT,
)
_TO_PEER: Final[Actions] = (
    (Op.SET, TUNNEL_ID, _PROBES, _W64),
    (Op.COPY, ETH_DST, 0, TUN_IPV4_DST, 0, 32),
    _OUT,
)

CLAIMS: Final[tuple[Claim, ...]] = (
    of_peers(
        pipeline.TUNNEL_TRANSIT,
        Kind.SPOOF,
        _in_transit,
        lambda view: (_believed(peer) for peer in view.peers),
        lambda view: view.count_of_peers(lambda peer: 1, len(view.world.every_peer)),
    ),
    of_peers(
        pipeline.TUNNEL_PROBE,
        Kind.SPOOF,
        _probe,
        lambda view: (_probed(peer) for peer in view.peers),
        lambda view: view.count_of_peers(lambda peer: 1, len(view.world.every_peer)),
    ),
    of_peers(pipeline.TRANSIT_LAST, Kind.LEAK, _to_last, _lasts_owed, lambda view: sum(1 for _ in _lasts_owed(view))),
    _of_ways(pipeline.TRANSIT_NEXT, _passed_on),
    _of_ways(pipeline.DETOUR, _packets),
    _of_ways(pipeline.DETOUR_COPY, _copies),
    always(pipeline.ENCAPSULATE, Kind.LEAK, (_OUT,)),
    always(pipeline.NODE_PROBE, Kind.LEAK, _TO_PEER, (_ASKS, _PROBE)),
    always(pipeline.PROBE_BACK, Kind.LEAK, _BACK, (_ASKS, _PROBE)),
    always(pipeline.PROBE_ANSWER, Kind.LEAK, ((Op.OUTPUT, TUN_OFPORT),), (_TELLS, _PROBE)),
)
