"""Gateways: what pods send to the outside goes to a pod that forwards it; it may send back answers to that alone.

As with addresses of an egress, a pod's own node knows by which gateway it leaves, and the gateway's node knows the
gateway for the VNIDs of the networks that it serves. What it gives to the gateway it commits with its VNID; so what the
gateway sends by addresses that are not its own is believed as far as it answers to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from topology import pipeline
from topology.egress import egress_of, home_of, networks_of
from topology.features.section import Section, SubjectKey
from topology.fields import (
    CT_MARK,
    CT_STATE,
    ETH_DST,
    ETH_IPV4,
    ETH_SRC,
    ETH_TYPE,
    IN_PORT,
    IS_RELATED,
    IS_REPLY,
    Field,
)
from topology.flow import DROP, Flow, at, conntrack, goto, load, match_fields
from topology.gateways import known_as, port_of, served_by
from topology.matches import from_address, in_space
from topology.model import (
    SHARED_SPACE,
    TUNNEL_OFPORTS,
    Address,
    Egress,
    Hosting,
    Move,
    Network,
    Node,
    Pod,
    PodKey,
    Port,
    PortKey,
)
from topology.pipeline import EGRESS_ADDRESS, EGRESS_MAC, GATEWAY_ZONE, OUTPUT_PORT, SOURCE_VNID, Table
from topology.snapshot import Change, Snapshot
from topology.tunnelling import to_holder

ID: Final = pipeline.FeatureId.GATEWAYS

# Subjects: a pod's port, and a pod that is a gateway.
_PORT: Final = "port"
_GATEWAY: Final = "gateway"
_NOBODY: Final = 0  # in EGRESS_ADDRESS, a gateway that is not there: EGRESS drops


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The ports on the node, and every gateway."""
    if not snapshot.egresses_via or node not in snapshot.nodes:
        return
    for key in snapshot.ports_on.get(node, {}):
        yield (_PORT, *key)
    for pod in snapshot.egresses_via:
        yield (_GATEWAY, *pod)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """By which gateway a pod leaves; where a gateway is, and what it may send there."""
    kind, *rest = map(str, subject)
    if node not in snapshot.nodes:
        return
    if kind == _PORT:
        yield from _chosen(node, PortKey(*rest), snapshot)
        return
    pod = PodKey(*rest)
    port = port_of(pod, snapshot) if pod in snapshot.egresses_via else None
    address = None if port is None else known_as(port)
    if port is None or address is None:
        return
    if port.node == node:
        yield from _here(port, address, snapshot)
    else:
        yield from _there(node, port, address, snapshot)


def touched(change: Change, snapshot: Snapshot) -> Iterable[Section]:
    """A port, or a pod with its labels; a gateway's port; an egress by one; where its networks' pods are."""
    if not snapshot.egresses_via:
        return ()
    match change.subject:
        case Port(key=key):
            homes = {home for pod in change.pods for home in _homes_by(pod, snapshot)}
            return chain((_of_port(key),), _of_homes(homes, snapshot))
        case Pod(key=pod):
            return map(_of_port, snapshot.port_by_pod.get(pod, {}))
        case Hosting(node=node):
            return (Section(node, (_GATEWAY, *pod)) for pod in snapshot.egresses_via)
        case Node(name=name):
            here = (Section(name, subject) for subject in subjects(name, snapshot))
            return chain(here, _gateways(snapshot.egresses_via, snapshot))
        case Egress() | Move() | Network():
            return chain(_of_homes(_homes(change, snapshot), snapshot), _of_pods(change, snapshot))
    return ()


# --- flows ---------------------------------------------------------------------------------------


def _chosen(node: str, key: PortKey, snapshot: Snapshot) -> Iterator[Flow]:
    port = snapshot.ports.get(key)
    network = None if port is None else snapshot.networks.get(port.network)
    if port is None or network is None or port.node != node or port.ofport is None:
        return
    egress = egress_of(port, snapshot)
    if egress is None or egress.via is None:
        return
    gateway = port_of(egress.via, snapshot)
    by = None if gateway is None else known_as(gateway)
    if by is None and egress.fail_open:
        return
    onwards = (load(EGRESS_ADDRESS, _NOBODY if by is None else int(by)), goto(Table.EGRESS))
    for own in port.cluster_addresses or port.addresses:
        terms = from_address(own, in_space(SHARED_SPACE), (SOURCE_VNID, network.vnid))
        yield at(pipeline.ROUTE_GATEWAY, terms, onwards if own.version == 4 else DROP)


def _there(node: str, port: Port, address: Address, snapshot: Snapshot) -> Iterator[Flow]:
    """On other nodes: to the gateway's, from those of its networks that are here."""
    holder = snapshot.nodes.get(port.node)
    for network in served_by(PodKey(port.project, port.pod), snapshot):
        if holder is not None and (node, network.name) in snapshot.hosted:
            yield at(pipeline.GATEWAY_BY, _by(network, address), to_holder(holder.underlay, address))


def _here(port: Port, address: Address, snapshot: Snapshot) -> Iterator[Flow]:
    """On the gateway's node: to it, and back from it."""
    assert port.ofport is not None
    own = match_fields((IN_PORT, port.ofport), (ETH_SRC, port.mac), (ETH_TYPE, ETH_IPV4))
    yield at(pipeline.POD_GATEWAY, own, (conntrack(GATEWAY_ZONE, table=Table.GATEWAY_REPLIES),))
    for network in served_by(PodKey(port.project, port.pod), snapshot):
        known = conntrack(GATEWAY_ZONE, commit=True, nested=(load(CT_MARK, network.vnid),))
        given = (known, load(ETH_DST, port.mac), load(OUTPUT_PORT, port.ofport), goto(Table.OUTPUT))
        yield at(pipeline.GATEWAY_BY, _by(network, address), given)
        yield from _arrives(network, address)
        for stage, bit in ((pipeline.GATEWAY_REPLY, IS_REPLY), (pipeline.GATEWAY_RELATED, IS_RELATED)):
            answers = match_fields(
                (IN_PORT, port.ofport), (ETH_TYPE, ETH_IPV4), (CT_STATE, (bit, bit)), (CT_MARK, network.vnid)
            )
            yield at(stage, answers, (load(SOURCE_VNID, network.vnid), goto(Table.ROUTING)))


def _arrives(network: Network, address: Address) -> Iterator[Flow]:
    for ofport in TUNNEL_OFPORTS.values():
        told = match_fields(
            (IN_PORT, ofport),
            (ETH_TYPE, ETH_IPV4),
            (SOURCE_VNID, network.vnid),
            (ETH_SRC, EGRESS_MAC | int(address)),
        )
        yield at(pipeline.GATEWAY_ARRIVES, told, (load(EGRESS_ADDRESS, int(address)), goto(Table.EGRESS)))


def _by(network: Network, address: Address) -> tuple[tuple[Field, int, int], ...]:
    return match_fields((ETH_TYPE, ETH_IPV4), (SOURCE_VNID, network.vnid), (EGRESS_ADDRESS, int(address)))


# --- sections ------------------------------------------------------------------------------------


def _of_port(key: PortKey) -> Section:
    return Section(key.node, (_PORT, *key))


def _homes_by(pod: PodKey, snapshot: Snapshot) -> set[str]:
    return {snapshot.egresses[name].network for name in snapshot.egresses_via.get(pod, {})}


def _homes(change: Change, snapshot: Snapshot) -> set[str]:
    """Return the networks whose egresses a change is about."""
    found: set[str] = set()
    for side in (change.before, change.after):
        match side:
            case Egress(network=network):
                found.add(network)
            case Move(source=source):
                found.add(source)
            case Network(name=name):
                found.add(home_of(name, snapshot))
    return found


def _of_pods(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A pod that becomes a gateway, or is none any more, leaves otherwise itself."""
    for side in (change.before, change.after):
        if isinstance(side, Egress) and side.via is not None:
            yield from map(_of_port, snapshot.port_by_pod.get(side.via, {}))
            yield from _gateways((side.via,), snapshot)


def _of_homes(homes: Iterable[str], snapshot: Snapshot) -> Iterator[Section]:
    """The pods of networks, wherever they are, and the gateways that they have."""
    for home in homes:
        names = {network.name for network in networks_of(home, snapshot)}
        for node in {node for name in names for node in snapshot.hosts.get(name, {})}:
            for key in snapshot.ports_on.get(node, {}):
                if snapshot.ports[key].network in names:
                    yield _of_port(key)
        egresses = (snapshot.egresses[name] for name in snapshot.egresses_of.get(home, {}))
        yield from _gateways({each.via for each in egresses if each.via is not None}, snapshot)


def _gateways(pods: Iterable[PodKey], snapshot: Snapshot) -> Iterator[Section]:
    for pod in pods:
        for node in snapshot.nodes:
            yield Section(node, (_GATEWAY, *pod))
