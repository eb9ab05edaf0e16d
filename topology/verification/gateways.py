"""Claims about by which gateway pod others leave for the outside, and what that pod may send back.

Who leaves by which gateway is told by the pod's own node (ROUTE_GATEWAY), or by another node through the tunnel
(GATEWAY_ARRIVES). Either way it is given to the gateway for the VNIDs of the networks that it serves alone, and
committed with them. By addresses that are not its own, the gateway sends only what conntrack knows as the answer, with
a VNID that it serves: so to whom it goes, DELIVERY decides as for that network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from topology import fields, pipeline
from topology.fields import CT_MARK, CT_STATE, ETH_DST, ETH_SRC, IN_PORT
from topology.flow import NO_TABLE, Actions, Match, Op
from topology.model import GENEVE_OFPORT, VXLAN_OFPORT, Egress, PodKey, Port, PortKey
from topology.pipeline import EGRESS_ADDRESS, EGRESS_MAC, GATEWAY_ZONE, OUTPUT_PORT, SOURCE_VNID, SPACE_MAC, Table
from topology.snapshot import Snapshot
from topology.verification.claim import About, Claim, Kind
from topology.verification.egress import egress_for, numbers
from topology.verification.shape import (
    ADDRESS_MASK,
    IS_IP,
    SHARED,
    W32,
    W48,
    Facts,
    address_in,
    ask,
    family_of,
    goto,
    is_from,
    load,
)
from topology.verification.world import View

Make = Callable[[View, Egress, Port, int], Facts]


def _port(pod: PodKey, snapshot: Snapshot) -> Port | None:
    ports = [port for key in snapshot.port_by_pod.get(pod, {}) if (port := snapshot.ports[key]).ofport is not None]
    return min((port for port in ports if not port.is_secondary), key=lambda port: port.key, default=None)


def _address(port: Port | None) -> int | None:
    own = () if port is None else port.cluster_addresses or port.addresses
    return next((int(each) for each in own if each.version == 4), None)


# --- pods ----------------------------------------------------------------------------------------


def _chooses(view: View, key: PortKey) -> Facts:
    port = view.snapshot.ports.get(key)
    network = None if port is None else view.snapshot.networks.get(port.network)
    if port is None or network is None or port.node != view.node or port.ofport is None:
        return {}
    egress = egress_for(port, view.snapshot)
    if egress is None or egress.via is None:
        return {}
    by = _address(_port(egress.via, view.snapshot))
    if by is None and egress.fail_open:
        return {}
    onwards = (load(EGRESS_ADDRESS, by or 0), goto(Table.EGRESS))
    own = port.cluster_addresses or port.addresses
    tag = (SOURCE_VNID, network.vnid, W32)
    return {(tag, SHARED, *is_from(each)): onwards if each.version == 4 else () for each in own}


def _is_chosen(view: View, match: Match, actions: Actions) -> bool:
    key = view.snapshot.holder.get((0, address_in(match[3])))
    return key is not None and _chooses(view, key).get(match) == actions


def _chosen(view: View) -> Iterator[Match]:
    for key in view.ports() if view.snapshot.egresses_via else ():
        yield from _chooses(view, key)


# --- gateways ------------------------------------------------------------------------------------


def _ways(view: View, egress: Egress, port: Port, address: int) -> Facts:
    """Given to the gateway where it is; sent there from where its networks' pods are."""
    facts: Facts = {}
    node = view.snapshot.nodes.get(port.node)
    for vnid, network in numbers(egress, view.snapshot).items():
        match = (SOURCE_VNID, vnid, W32), (EGRESS_ADDRESS, address, W32), IS_IP[4]
        if port.node == view.node and port.ofport is not None:
            kept = ((Op.SET, CT_MARK, vnid, W32),)
            known = (Op.CT, 1, GATEWAY_ZONE, NO_TABLE, kept)
            to_it = ((Op.SET, ETH_DST, port.mac, W48), load(OUTPUT_PORT, port.ofport), goto(Table.OUTPUT))
            facts[match] = (known, *to_it)
        elif node is not None and network in view.hosting:
            vtep = node.underlay
            facts[match] = (
                (Op.COPY, SOURCE_VNID, 0, fields.TUNNEL_ID, 0, 24),
                (Op.SET, ETH_DST, SPACE_MAC, W48),
                (Op.SET, ETH_SRC, EGRESS_MAC | address, W48),
                (Op.SET, family_of(vtep.version).tunnel_destination, int(vtep), ADDRESS_MASK[vtep.version]),
                goto(Table.ENCAPSULATION),
            )
    return facts


def _arrivals(view: View, egress: Egress, port: Port, address: int) -> Facts:
    if port.node != view.node:
        return {}
    told = (ETH_SRC, EGRESS_MAC | address, W48)
    onwards = (load(EGRESS_ADDRESS, address), goto(Table.EGRESS))
    vnids = numbers(egress, view.snapshot)
    return {
        ((IN_PORT, by, W32), (SOURCE_VNID, vnid, W32), told, IS_IP[4]): onwards
        for vnid in vnids
        for by in (VXLAN_OFPORT, GENEVE_OFPORT)
    }


def _forwards(view: View, egress: Egress, port: Port, address: int) -> Facts:
    """Whatever it sends with its MAC: conntrack is asked before anything else."""
    if port.node != view.node or port.ofport is None:
        return {}
    match = (IN_PORT, port.ofport, W32), (ETH_SRC, port.mac, W48), IS_IP[4]
    return {match: (ask(GATEWAY_ZONE, Table.GATEWAY_REPLIES),)}


def _in_state(bit: int) -> Make:
    def facts(view: View, egress: Egress, port: Port, address: int) -> Facts:
        if port.node != view.node or port.ofport is None:
            return {}
        by, state = (IN_PORT, port.ofport, W32), (CT_STATE, bit, bit)
        return {
            (by, state, (CT_MARK, vnid, W32), IS_IP[4]): (load(SOURCE_VNID, vnid), goto(Table.ROUTING))
            for vnid in numbers(egress, view.snapshot)
        }

    return facts


def _of(view: View, names: Iterable[str], make: Make) -> Facts:
    facts: Facts = {}
    for name in names:
        egress = view.snapshot.egresses.get(name)
        port = None if egress is None or egress.via is None else _port(egress.via, view.snapshot)
        address = _address(port)
        if egress is not None and port is not None and address is not None:
            facts.update(make(view, egress, port, address))
    return facts


def _claim(stage: pipeline.Stage, kind: Kind, make: Make) -> Claim:
    def every(view: View) -> Facts:
        return _of(view, sorted(view.snapshot.egresses), make)

    def holds(view: View, match: Match, actions: Actions) -> bool:
        return view.facts(every).get(match) == actions

    def owed(view: View) -> Iterable[Match]:
        return view.facts(every) if view.focus.whole else _of(view, sorted(view.focus.egresses), make)

    return Claim(stage, kind, About.EGRESSES, holds, owed)


CLAIMS: Final[tuple[Claim, ...]] = (
    Claim(pipeline.ROUTE_GATEWAY, Kind.LEAK, About.PORTS, _is_chosen, _chosen),
    _claim(pipeline.GATEWAY_BY, Kind.LEAK, _ways),
    _claim(pipeline.GATEWAY_ARRIVES, Kind.LEAK, _arrivals),
    _claim(pipeline.POD_GATEWAY, Kind.SPOOF, _forwards),
    _claim(pipeline.GATEWAY_REPLY, Kind.LEAK, _in_state(fields.IS_REPLY)),
    _claim(pipeline.GATEWAY_RELATED, Kind.LEAK, _in_state(fields.IS_RELATED)),
)
