"""Egress: what pods send to the outside leaves by an address of their network's, translated on the node that holds it.

A pod's own node knows which address that is, and says so to the holder, which has a flow for each address and not for
each pod. Wherever a switch does not know an address (yet, or any more), what is to leave by it is dropped: so while it
moves from one node to another, in whichever order their switches learn of it, nothing leaves by another address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from itertools import chain
from typing import Final

from topology import pipeline
from topology.egress import home_of, networks_of, source_of
from topology.features.section import Section, SubjectKey
from topology.fields import CT_MARK, ETH_DST, ETH_SRC, ETH_TYPE, IN_PORT, Field, family
from topology.flow import DROP, Actions, Flow, at, conntrack, goto, known_nat, load, match_fields, nat_from, output
from topology.matches import from_address, in_space, to_address
from topology.model import (
    SHARED_SPACE,
    TUN_OFPORT,
    TUNNEL_OFPORTS,
    Address,
    Egress,
    Held,
    Hosting,
    Move,
    Network,
    Node,
    Pod,
    Port,
    PortKey,
)
from topology.pipeline import EGRESS_ADDRESS, EGRESS_MAC, EGRESS_ZONE, SOURCE_VNID, Table
from topology.snapshot import Change, Snapshot
from topology.tunnelling import to_holder

ID: Final = pipeline.FeatureId.EGRESS

# Subjects: a pod's port, and an address of an egress.
_PORT: Final = "port"
_ADDRESS: Final = "address"


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The ports on the node, and the addresses that it holds or that its pods leave by."""
    if not snapshot.egresses or node not in snapshot.nodes:
        return
    for key in snapshot.ports_on.get(node, {}):
        yield (_PORT, *key)
    homes = {home_of(network, snapshot) for network in snapshot.hosting.get(node, {})}
    for name, egress in snapshot.egresses.items():
        for address in egress.addresses:
            if egress.network in homes or snapshot.held.get(address) == node:
                yield (_ADDRESS, name, str(address))


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """By which address a pod leaves; where an address is, and what becomes of packets there."""
    kind, *rest = map(str, subject)
    this = snapshot.nodes.get(node)
    if this is None:
        return
    if kind == _PORT:
        yield from _chosen(node, PortKey(*rest), snapshot)
        return
    egress, address = snapshot.egresses.get(rest[0]), ip_address(rest[1])
    if egress is not None and address in egress.addresses:
        yield from _known(this, egress, address, snapshot)


def touched(change: Change, snapshot: Snapshot) -> Iterable[Section]:
    """A port, or a pod with its labels; an egress, or who holds an address of it; what pods are of its network."""
    if not snapshot.egresses:
        return ()
    match change.subject:
        case Port(key=key):
            return (_of_port(key),)
        case Pod(key=pod):
            return map(_of_port, snapshot.port_by_pod.get(pod, {}))
        case Hosting(node=node, network=network):
            return _addresses_on((node,), home_of(network, snapshot), snapshot)
        case Node(name=name):
            held = (address for address, holder in snapshot.held.items() if holder == name)
            here = (Section(name, subject) for subject in subjects(name, snapshot))
            return chain(here, *(_of_held(address, (), snapshot) for address in held))
        case Held(address=address):
            sides = (side for side in (change.before, change.after) if isinstance(side, Held))
            return _of_held(address, {side.node for side in sides}, snapshot)
        case Egress() | Move() | Network():
            return chain.from_iterable(_of_home(home, snapshot) for home in _homes(change, snapshot))
    return ()


# --- flows ---------------------------------------------------------------------------------------


def _chosen(node: str, key: PortKey, snapshot: Snapshot) -> Iterator[Flow]:
    port = snapshot.ports.get(key)
    network = None if port is None else snapshot.networks.get(port.network)
    if port is None or network is None or port.node != node or port.ofport is None:
        return
    source = source_of(port, snapshot)
    for known_as in () if source is None else port.cluster_addresses or port.addresses:
        assert source is not None
        own = from_address(known_as, in_space(SHARED_SPACE), (SOURCE_VNID, network.vnid))
        by = (load(EGRESS_ADDRESS, int(source.address)), goto(Table.EGRESS))
        # In a family of which it has no address to leave by, nothing leaves: not by its node's either.
        yield at(pipeline.ROUTE_EGRESS, own, by if known_as.version == source.address.version else DROP)


def _known(this: Node, egress: Egress, address: Address, snapshot: Snapshot) -> Iterator[Flow]:
    holder = snapshot.nodes.get(snapshot.held.get(address, ""))
    here = holder is not None and holder.name == this.name
    for network in networks_of(egress.network, snapshot):
        if here:
            yield at(pipeline.EGRESS_BY, _by(network, address), _translated(network, address))
            yield from _arrives(network, address)
        elif (this.name, network.name) not in snapshot.hosted:
            continue
        elif holder is not None:
            yield at(pipeline.EGRESS_BY, _by(network, address), to_holder(holder.underlay, address))
        elif not egress.fail_open:
            yield at(pipeline.EGRESS_CLOSED, _by(network, address), DROP)
    if here:
        own = from_address(address, (EGRESS_ADDRESS, int(address)))
        yield at(pipeline.EGRESS_LEAVES, own, (load(ETH_DST, this.mac), output(TUN_OFPORT)))
        back = conntrack(EGRESS_ZONE, table=Table.EGRESS_REPLIES, nested=(known_nat(),))
        yield at(pipeline.EGRESS_BACK, to_address(address), (back,))


def _by(network: Network, address: Address) -> tuple[tuple[Field, int, int], ...]:
    kind = family(address.version)
    return match_fields((ETH_TYPE, kind.eth_type), (SOURCE_VNID, network.vnid), (EGRESS_ADDRESS, int(address)))


def _translated(network: Network, address: Address) -> Actions:
    """The mark says whose connection it is: its answers go to pods of that network only."""
    kept = (nat_from(address), load(CT_MARK, network.vnid))
    return (conntrack(EGRESS_ZONE, commit=True, table=Table.EGRESS_OUTPUT, nested=kept),)


def _arrives(network: Network, address: Address) -> Iterator[Flow]:
    kind = family(address.version)
    for ofport in TUNNEL_OFPORTS.values():
        terms = match_fields(
            (IN_PORT, ofport),
            (ETH_TYPE, kind.eth_type),
            (SOURCE_VNID, network.vnid),
            (ETH_SRC, EGRESS_MAC | int(address)),
        )
        yield at(pipeline.EGRESS_ARRIVES, terms, (load(EGRESS_ADDRESS, int(address)), goto(Table.EGRESS)))


# --- sections ------------------------------------------------------------------------------------


def _of_port(key: PortKey) -> Section:
    return Section(key.node, (_PORT, *key))


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


def _of_home(home: str, snapshot: Snapshot) -> Iterator[Section]:
    """Everything about the egresses of a network: its pods, wherever they are, and its addresses."""
    if home not in snapshot.egresses_of:
        return
    nodes = _hosts(home, snapshot)
    yield from _ports(home, snapshot)
    yield from _addresses_on(nodes, home, snapshot)
    for name in snapshot.egresses_of[home]:
        for address in snapshot.egresses[name].addresses:
            holder = snapshot.held.get(address)
            if holder is not None:
                yield Section(holder, (_ADDRESS, name, str(address)))


def _of_held(address: Address, nodes: Iterable[str], snapshot: Snapshot) -> Iterator[Section]:
    """An address where its network has pods, and on nodes that held or hold it; the pods, if they may leave without."""
    name = snapshot.egress_by_address.get(address)
    if name is None:
        return
    egress = snapshot.egresses[name]
    for node in {*nodes, *_hosts(egress.network, snapshot)}:
        yield Section(node, (_ADDRESS, name, str(address)))
    if egress.fail_open:
        yield from _ports(egress.network, snapshot)


def _addresses_on(nodes: Iterable[str], home: str, snapshot: Snapshot) -> Iterator[Section]:
    for node in nodes:
        for name in snapshot.egresses_of.get(home, {}):
            for address in snapshot.egresses[name].addresses:
                yield Section(node, (_ADDRESS, name, str(address)))


def _hosts(home: str, snapshot: Snapshot) -> set[str]:
    return {node for network in networks_of(home, snapshot) for node in snapshot.hosts.get(network.name, {})}


def _ports(home: str, snapshot: Snapshot) -> Iterator[Section]:
    names = {network.name for network in networks_of(home, snapshot)}
    for node in _hosts(home, snapshot):
        for key in snapshot.ports_on.get(node, {}):
            if snapshot.ports[key].network in names:
                yield _of_port(key)
