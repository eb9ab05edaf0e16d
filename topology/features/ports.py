"""Ports: a pod's packets are believed if they carry its own MAC and address, and its address leads to its port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey
from topology.fields import ETH_ARP, ETH_DST, ETH_SRC, IN_PORT
from topology.flow import Actions, Flow, at, goto, load, match
from topology.matches import from_address, in_space, to_address
from topology.model import SHARED_SPACE, Address, Network, Node, Port, PortKey
from topology.pipeline import DESTINATION_VNID, OUTPUT_PORT, SOURCE_VNID, SPACE, Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.PORTS


def subjects(node: str, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """The ports on the node."""
    return snapshot.ports_on.get(node, {})


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Anti-spoofing and tagging at ingress, the look-up at delivery; nothing until the switch has the port."""
    port = snapshot.ports.get(PortKey(*map(str, subject)))
    if port is None or port.node != node or port.ofport is None:
        return
    network = snapshot.networks.get(port.network)
    if network is None:
        return
    for address in port.addresses:
        yield from _address(port, port.ofport, address, network)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A port itself; a network's number concerns its ports, a node those on it."""
    match change.subject:
        case Port(key=key):
            yield Section(key.node, key)
        case Network(name=name):
            if _number(change.before) != _number(change.after):
                for node in snapshot.hosts.get(name, {}):
                    for key in snapshot.ports_on[node]:
                        yield Section(node, key)
        case Node(name=name):
            for subject in subjects(name, snapshot):
                yield Section(name, subject)


def _number(network: object) -> int | None:
    return network.vnid if isinstance(network, Network) else None


def _address(port: Port, ofport: int, address: Address, network: Network) -> Iterator[Flow]:
    own = ((IN_PORT, ofport), (ETH_SRC, port.mac))
    tag = (load(SOURCE_VNID, network.vnid), *_enter_space(port.space))
    yield at(pipeline.POD_ADDRESS, from_address(address, *own), (*tag, goto(Table.SERVICES)))
    if address.version == 4:
        request = match(
            in_port=ofport, eth_src=port.mac, eth_type=ETH_ARP, arp_op=1, arp_spa=int(address), arp_sha=port.mac
        )
        yield at(pipeline.POD_ARP, request, (*_enter_space(port.space), goto(Table.ARP_RESPONDER)))
    found = (
        load(DESTINATION_VNID, network.vnid),
        load(OUTPUT_PORT, ofport),
        load(ETH_DST, port.mac),
        goto(Table.INGRESS_POLICY),
    )
    yield at(pipeline.LOCAL_POD, to_address(address, in_space(port.space)), found)


def _enter_space(space: int) -> Actions:
    # Registers are zero when a packet comes in, and so is the shared space.
    return () if space == SHARED_SPACE else (load(SPACE, space),)
