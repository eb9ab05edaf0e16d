"""Claims about external VTEPs: what is sent to hosts behind them, in whose name, and as whom they are believed.

To their subnets, and to these alone, packets leave by ROUTE_EXTERNAL with the VNID of the VTEP's network, which is also
the destination's for DELIVERY: so nobody gets there who may not get to that network's pods. Both inner MACs and the
source VNID of what comes are written there, so that neither can be chosen by who sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from topology import fields, pipeline
from topology.fields import ETH_DST, ETH_SRC, IN_PORT
from topology.flow import Action, Actions, Match, MatchTerm, Op
from topology.model import GENEVE_OFPORT, VXLAN_OFPORT, ExternalVtep, Network, Prefix
from topology.pipeline import DESTINATION_VNID, OUTPUT_PORT, SOURCE_VNID, Stage, Table
from topology.verification.claim import EVERYWHERE, About, Claim, Kind
from topology.verification.shape import (
    ADDRESS_MASK,
    ANSWER_ARP,
    IS_ARP,
    SHARED,
    TO_GUARD,
    W16,
    W32,
    W48,
    Facts,
    family_of,
    goto,
    in_prefix,
    is_to,
    load,
)
from topology.verification.world import View, World

_DERIVED: Final = 0x0A58_0000_0000  # of a MAC, before the address that it follows from
_W64: Final = (1 << 64) - 1

Make = Callable[[ExternalVtep, Network], Facts]
MakeHere = Callable[[View, ExternalVtep, Network], Facts]


def _by(external: ExternalVtep) -> int:
    return GENEVE_OFPORT if external.encapsulation == "geneve" else VXLAN_OFPORT


def _vtep(external: ExternalVtep, *, is_source: bool) -> MatchTerm:
    kind, version = family_of(external.address.version), external.address.version
    field = kind.tunnel_source if is_source else kind.tunnel_destination
    return field, int(external.address), ADDRESS_MASK[version]


def _outer(external: ExternalVtep, network: Network) -> Match:
    """By which port it comes, from where, with which VNID: all three are told before a host is believed."""
    came = (IN_PORT, _by(external), W32)
    return came, (fields.TUNNEL_ID, network.vnid, _W64), _vtep(external, is_source=True)


def _from(subnet: Prefix) -> Match:
    kind, (_, value, mask) = in_prefix(subnet)
    return kind, (family_of(subnet.version).source, value, mask)


def _source_mac(subnet: Prefix) -> Actions:
    own = family_of(subnet.version).source
    return (Op.SET, ETH_SRC, _DERIVED, W48), (Op.COPY, own, 0, ETH_SRC, 0, 32)


# --- the same on every node ----------------------------------------------------------------------


def _guarded(external: ExternalVtep, network: Network) -> Facts:
    """Pods send it no tunnel packets themselves: these would come from a node."""
    return {(SHARED, *is_to(external.address)): TO_GUARD}


def _believed(external: ExternalVtep, network: Network) -> Facts:
    return {
        tuple(sorted((*_outer(external, network), *_from(subnet)))): (
            load(SOURCE_VNID, network.vnid),
            *_source_mac(subnet),
            goto(Table.SERVICE_REPLIES),
        )
        for subnet in external.subnets
    }


def _by_tun(external: ExternalVtep, network: Network) -> Facts:
    return {tuple(sorted(_from(subnet))): () for subnet in external.subnets}


def _sent(external: ExternalVtep, network: Network) -> Facts:
    facts: Facts = {}
    for subnet in external.subnets:
        to = family_of(subnet.version).destination
        derived: tuple[Action, ...] = (Op.SET, ETH_DST, _DERIVED, W48), (Op.COPY, to, 0, ETH_DST, 0, 32)
        mac = derived if external.mac is None else ((Op.SET, ETH_DST, external.mac, W48),)
        facts[SHARED, *in_prefix(subnet)] = (
            *_source_mac(subnet),
            *mac,
            (Op.SET, fields.TUNNEL_ID, network.vnid, _W64),
            (Op.SET, *_vtep(external, is_source=False)),
            load(DESTINATION_VNID, network.vnid),
            load(OUTPUT_PORT, _by(external)),
            goto(Table.DELIVERY),
        )
    return facts


# --- of each node --------------------------------------------------------------------------------


def _asked(view: View, external: ExternalVtep, network: Network) -> Facts:
    """ARP of its hosts is answered for what is on the node."""
    facts: Facts = {}
    back: Action = (Op.SET, *_vtep(external, is_source=False))
    for own in view.this.subnets:
        for subnet in external.subnets:
            if own.version == subnet.version == 4:
                asks = (fields.ARP_OP, 1, W16)
                source = (fields.ARP_SPA, int(subnet.network_address), int(subnet.netmask))
                target = (fields.ARP_TPA, int(own.network_address), int(own.netmask))
                terms = (*_outer(external, network), IS_ARP, asks, source, target)
                facts[tuple(sorted(terms))] = (back, *ANSWER_ARP)
    return facts


# --- claims --------------------------------------------------------------------------------------


def _known(world: World, names: Iterable[str]) -> Iterator[tuple[ExternalVtep, Network]]:
    for name in names:
        external = world.snapshot.externals.get(name)
        network = None if external is None else world.snapshot.networks.get(external.network)
        if external is not None and network is not None:
            yield external, network


def _common(stage: Stage, kind: Kind, make: Make) -> Claim:
    def every(world: World) -> Facts:
        return _of(world, sorted(world.snapshot.externals))

    def _of(world: World, names: Iterable[str]) -> Facts:
        return {match: actions for each in _known(world, names) for match, actions in make(*each).items()}

    def holds(view: View, match: Match, actions: Actions) -> bool:
        return view.world.facts(every).get(match) == actions

    def owed(view: View) -> Iterable[Match]:
        return view.world.facts(every) if view.focus.whole else _of(view.world, sorted(view.focus.externals))

    def spread(world: World, match: Match, actions: Actions) -> str | None:
        return EVERYWHERE if world.facts(every).get(match) == actions else None

    return Claim(stage, kind, About.EXTERNALS, holds, owed, spread=spread)


def _here(stage: Stage, kind: Kind, make: MakeHere) -> Claim:
    def every(view: View) -> Facts:
        return _of(view, sorted(view.snapshot.externals))

    def _of(view: View, names: Iterable[str]) -> Facts:
        return {match: actions for each in _known(view.world, names) for match, actions in make(view, *each).items()}

    def holds(view: View, match: Match, actions: Actions) -> bool:
        return view.facts(every).get(match) == actions

    def owed(view: View) -> Iterable[Match]:
        return view.facts(every) if view.focus.whole else _of(view, sorted(view.focus.externals))

    return Claim(stage, kind, About.EXTERNALS, holds, owed)


CLAIMS: Final[tuple[Claim, ...]] = (
    _common(pipeline.TUNNEL_EXTERNAL, Kind.SPOOF, _believed),
    _here(pipeline.TUNNEL_EXTERNAL_ARP, Kind.SPOOF, _asked),
    _common(pipeline.NODE_EXTERNAL, Kind.SPOOF, _by_tun),
    _common(pipeline.ROUTE_EXTERNAL_VTEP, Kind.LEAK, _guarded),
    _common(pipeline.ROUTE_EXTERNAL, Kind.LEAK, _sent),
)
