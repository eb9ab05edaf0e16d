"""Claims about by which address pods leave for the outside, and that nobody else leaves by it.

A pod's own node tells which address it is (ROUTE_EGRESS), by the pod. Every other way to EGRESS is EGRESS_ARRIVES: it
believes what another node tells of itself by the tunnel. In EGRESS an address is known for its own network only; its
holder translates, in a zone where nothing else is committed, and EGRESS_LEAVES lets out what has the address then. So
whatever else conntrack makes of a packet ends there. What comes back has as VNID the mark that was committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from ipaddress import IPv4Address
from typing import Final, NamedTuple

from topology import fields, pipeline
from topology.fields import CT_MARK, CT_STATE, ETH_DST, ETH_SRC, IN_PORT
from topology.flow import Actions, Match, Op
from topology.model import GENEVE_OFPORT, TUN_OFPORT, VXLAN_OFPORT, Address, Egress, PodKey, Port, PortKey
from topology.pipeline import EGRESS_ADDRESS, EGRESS_MAC, EGRESS_ZONE, SOURCE_VNID, SPACE_MAC, Table
from topology.snapshot import Snapshot
from topology.verification.claim import About, Claim, Kind, of_cluster
from topology.verification.shape import (
    ADDRESS_MASK,
    IS_IP,
    SHARED,
    W32,
    W48,
    Facts,
    address_in,
    family_of,
    goto,
    is_from,
    is_to,
    known_ends,
    load,
)
from topology.verification.world import View, World

_BY_WHOM: Final[Actions] = ((Op.COPY, CT_MARK, 0, SOURCE_VNID, 0, 24), goto(Table.ROUTING))


class Place(NamedTuple):
    """An address of an egress, and the node that is to hold it, if any lives."""

    egress: Egress
    address: Address
    holder: str | None


# --- said of the model ---------------------------------------------------------------------------


def _weight(address: Address, who: str) -> tuple[bytes, str]:
    return blake2b(f"{address} {who}".encode(), digest_size=8).digest(), who


def _holder(egress: Egress, address: Address, snapshot: Snapshot) -> str | None:
    names = egress.nodes or tuple(snapshot.nodes)
    living = [name for name in names if name in snapshot.nodes and name not in snapshot.outages]
    return max(living, key=lambda name: _weight(address, name), default=None)


def _home(network: str, snapshot: Snapshot) -> str:
    """Pods that move have the egress of the network that they leave, until they are there."""
    found = snapshot.networks.get(network)
    for move in snapshot.moves.values() if found is not None and found.is_transit else ():
        if move.transit == network and found is not None and move.project == found.transit_for:
            return move.source
    return network


def numbers(egress: Egress, snapshot: Snapshot) -> dict[int, str]:
    """The VNIDs whose pods may leave by an egress, each with its network."""
    names = [egress.network, *(m.transit for m in snapshot.moves.values() if m.source == egress.network)]
    found = (snapshot.networks.get(name) for name in names)
    return {each.vnid: each.name for each in found if each is not None and _home(each.name, snapshot) == egress.network}


def egress_for(port: Port, snapshot: Snapshot) -> Egress | None:
    """The egress that is for a pod; for a gateway, none that leads by a gateway."""
    home, pod = _home(port.network, snapshot), PodKey(port.project, port.pod)
    said = snapshot.pods.get(pod)
    labels = () if said is None else said.labels
    own = [snapshot.egresses[name] for name in sorted(snapshot.egresses_of.get(home, {}))]
    if any(each.via == pod for each in snapshot.egresses.values()):
        own = [each for each in own if each.via is None]
    egress = next((e for e in own if e.pods is not None and e.pods.selects(labels)), None)
    return egress or next((e for e in own if e.pods is None), None)


def _of_pod(port: Port, snapshot: Snapshot) -> Place | None:
    """By which address a pod leaves; None: by its node's own, or by a gateway."""
    egress = egress_for(port, snapshot)
    if egress is None or egress.via is not None:
        return None
    address = max(egress.addresses, key=lambda each: _weight(each, f"{port.project}/{port.pod}"))
    holder = _holder(egress, address, snapshot)
    return None if holder is None and egress.fail_open else Place(egress, address, holder)


# --- pods ----------------------------------------------------------------------------------------


def _chooses(view: View, key: PortKey) -> Iterator[tuple[Match, Actions]]:
    port = view.snapshot.ports.get(key)
    network = None if port is None else view.snapshot.networks.get(port.network)
    if port is None or network is None or port.node != view.node or port.ofport is None:
        return
    place = _of_pod(port, view.snapshot)
    for own in () if place is None else port.cluster_addresses or port.addresses:
        assert place is not None
        by = (load(EGRESS_ADDRESS, int(place.address)), goto(Table.EGRESS))
        match = ((SOURCE_VNID, network.vnid, W32), SHARED, *is_from(own))
        yield match, by if own.version == place.address.version == 4 else ()


def _is_chosen(view: View, match: Match, actions: Actions) -> bool:
    key = view.snapshot.holder.get((0, address_in(match[3])))
    return key is not None and (match, actions) in _chooses(view, key)


def _chosen(view: View) -> Iterator[Match]:
    for key in view.ports() if view.snapshot.egresses else ():
        for match, _ in _chooses(view, key):
            yield match


# --- addresses -----------------------------------------------------------------------------------


def _places(view: View) -> Iterator[Place]:
    """The addresses in focus."""
    names: Iterable[str] = view.snapshot.egresses if view.focus.whole else view.focus.egresses
    for name in names:
        egress = view.snapshot.egresses.get(name)
        for address in () if egress is None else egress.addresses:
            assert egress is not None
            yield Place(egress, address, _holder(egress, address, view.snapshot))


def _place(view: View, value: int) -> Place | None:
    address = IPv4Address(value)
    egress = view.snapshot.egresses.get(view.snapshot.egress_by_address.get(address, ""))
    return None if egress is None else Place(egress, address, _holder(egress, address, view.snapshot))


def _by(vnid: int, address: Address) -> Match:
    return (SOURCE_VNID, vnid, W32), (EGRESS_ADDRESS, int(address), W32), IS_IP[address.version]


def _ways(view: View, place: Place) -> Facts:
    """By an address: translated where it is held; sent there from where its network's pods are."""
    egress, address, holder = place
    facts: Facts = {}
    peer = None if holder is None else view.world.peers[holder]
    for vnid, network in numbers(egress, view.snapshot).items():
        if holder == view.node:
            value, width = int(address), address.version
            kept = ((Op.NAT, 0, width, value, value, 0, 0), (Op.SET, CT_MARK, vnid, W32))
            facts[_by(vnid, address)] = ((Op.CT, 1, EGRESS_ZONE, int(Table.EGRESS_OUTPUT), kept),)
        elif peer is not None and network in view.hosting:
            vtep = view.snapshot.nodes[peer.name].underlay
            facts[_by(vnid, address)] = (
                (Op.COPY, SOURCE_VNID, 0, fields.TUNNEL_ID, 0, 24),
                (Op.SET, ETH_DST, SPACE_MAC, W48),
                (Op.SET, ETH_SRC, EGRESS_MAC | int(address), W48),
                (Op.SET, family_of(vtep.version).tunnel_destination, int(vtep), ADDRESS_MASK[vtep.version]),
                goto(Table.ENCAPSULATION),
            )
    return facts


def _closed(view: View, place: Place) -> Facts:
    """By an address that no node holds: nowhere, unless its pods may leave without."""
    egress, address, holder = place
    if holder is not None or egress.fail_open:
        return {}
    known = numbers(egress, view.snapshot)
    return {_by(vnid, address): () for vnid, network in known.items() if network in view.hosting}


def _arrivals(view: View, place: Place) -> Facts:
    egress, address, holder = place
    if holder != view.node:
        return {}
    told = (ETH_SRC, EGRESS_MAC | int(address), W48)
    onwards = (load(EGRESS_ADDRESS, int(address)), goto(Table.EGRESS))
    return {
        ((IN_PORT, by, W32), (SOURCE_VNID, vnid, W32), told, IS_IP[address.version]): onwards
        for vnid in numbers(egress, view.snapshot)
        for by in (VXLAN_OFPORT, GENEVE_OFPORT)
    }


def _departures(view: View, place: Place) -> Facts:
    address = place.address
    if place.holder != view.node:
        return {}
    width = ADDRESS_MASK[address.version]
    own = (family_of(address.version).source, int(address), width)
    match = ((EGRESS_ADDRESS, int(address), W32), IS_IP[address.version], own)
    return {match: ((Op.SET, ETH_DST, view.this.mac, W48), (Op.OUTPUT, TUN_OFPORT))}


def _returns(view: View, place: Place) -> Facts:
    if place.holder != view.node:
        return {}
    return {is_to(place.address): (known_ends(EGRESS_ZONE, Table.EGRESS_REPLIES),)}


def _claim(stage: pipeline.Stage, position: int, facts: Callable[[View, Place], Facts]) -> Claim:
    """Return the claim of a stage about addresses; the address stands in the term at `position` of its matches."""

    def holds(view: View, match: Match, actions: Actions) -> bool:
        place = _place(view, match[position][1] & W32)
        found: Facts = {} if place is None else facts(view, place)
        return found.get(match) == actions

    def owed(view: View) -> Iterator[Match]:
        for place in _places(view):
            yield from facts(view, place)

    return Claim(stage, Kind.LEAK, About.EGRESSES, holds, owed)


# --- answers -------------------------------------------------------------------------------------


def _in_state(world: World, bits: int) -> Facts:
    state = (CT_STATE, bits, bits)
    return {(state, kind): _BY_WHOM for kind in world.kinds}


def _replies(world: World) -> Facts:
    return _in_state(world, fields.IS_REPLY)


def _related(world: World) -> Facts:
    return _in_state(world, fields.IS_RELATED)


CLAIMS: Final[tuple[Claim, ...]] = (
    Claim(pipeline.ROUTE_EGRESS, Kind.LEAK, About.PORTS, _is_chosen, _chosen),
    _claim(pipeline.EGRESS_BY, 1, _ways),
    _claim(pipeline.EGRESS_CLOSED, 1, _closed),
    _claim(pipeline.EGRESS_ARRIVES, 2, _arrivals),
    _claim(pipeline.EGRESS_LEAVES, 0, _departures),
    _claim(pipeline.EGRESS_BACK, 1, _returns),
    of_cluster(pipeline.EGRESS_REPLY, Kind.LEAK, _replies),
    of_cluster(pipeline.EGRESS_RELATED, Kind.LEAK, _related),
)
