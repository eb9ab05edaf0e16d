"""Ports: a pod's packets are believed if they carry its own MAC and address, and its address leads to its port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey
from topology.fields import ETH_ARP, ETH_DST, ETH_IPV6, ETH_SRC, IN_PORT, IP_DSCP, ND_SOLICITATION, PROTO_ICMPV6, family
from topology.flow import IN_PORT_NUMBER, Actions, Flow, Match, at, conntrack, goto, load, match, nat_from, no_in_port
from topology.matches import from_address, in_space, to_address
from topology.model import HAIRPIN, SHARED_SPACE, Address, Network, Node, Port, PortKey, link_local_of, mac_of
from topology.pipeline import (
    CLUSTER_SOURCE,
    DESTINATION_VNID,
    HAIRPIN_ZONE,
    OUTPUT_PORT,
    SCRATCH,
    SOURCE_VNID,
    SPACE,
    Table,
)
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
    for position, address in enumerate(port.addresses):
        known_as = port.cluster_addresses[position] if port.cluster_addresses else None
        yield from _ingress(port, port.ofport, address, network, known_as)
        yield from _delivery(port, port.ofport, network.vnid, address, known_as)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A port itself; a network's number and DSCP concern its ports, a node those on it."""
    match change.subject:
        case Port(key=key):
            yield Section(key.node, key)
        case Network(name=name):
            if _marks(change.before) != _marks(change.after):
                for node in snapshot.hosts.get(name, {}):
                    for key in snapshot.ports_on[node]:
                        yield Section(node, key)
        case Node(name=name):
            for subject in subjects(name, snapshot):
                yield Section(name, subject)


def _marks(network: object) -> tuple[int, int | None] | None:
    return (network.vnid, network.dscp) if isinstance(network, Network) else None


def _ingress(port: Port, ofport: int, address: Address, network: Network, known_as: Address | None) -> Iterator[Flow]:
    own = ((IN_PORT, ofport), (ETH_SRC, port.mac))
    space = _enter_space(port.space)
    name = () if known_as is None else (load(CLUSTER_SOURCE, int(known_as)),)
    mark = () if network.dscp is None else (load(IP_DSCP, network.dscp),)
    tag = (load(SOURCE_VNID, network.vnid), *space, *name, *mark)
    yield at(pipeline.POD_ADDRESS, from_address(address, *own), (*tag, goto(Table.SENT)))
    if address.version == 4:
        request = match(
            in_port=ofport, eth_src=port.mac, eth_type=ETH_ARP, arp_op=1, arp_spa=int(address), arp_sha=port.mac
        )
        yield at(pipeline.POD_ARP, request, (*space, goto(Table.ARP_RESPONDER)))
    else:
        for source in (address, link_local_of(port.mac)):  # kernels ask from either
            yield at(pipeline.POD_ND, _solicitation(port, ofport, source), (*space, goto(Table.ARP_RESPONDER)))


def _solicitation(port: Port, ofport: int, source: Address) -> Match:
    return match(
        in_port=ofport,
        eth_src=port.mac,
        eth_type=ETH_IPV6,
        ip_proto=PROTO_ICMPV6,
        ipv6_src=int(source),
        icmpv6_type=ND_SOLICITATION,
        icmpv6_code=0,
        ipv6_nd_sll=port.mac,
    )


def _delivery(port: Port, ofport: int, vnid: int, address: Address, known_as: Address | None) -> Iterator[Flow]:
    found = (load(DESTINATION_VNID, vnid), load(OUTPUT_PORT, ofport), load(ETH_DST, port.mac))
    onwards = goto(Table.INGRESS_POLICY)
    yield at(pipeline.LOCAL_POD, to_address(address, in_space(port.space)), (*found, onwards))
    if port.space == SHARED_SPACE or known_as is not None:
        yield _hairpin(ofport, known_as or address)
    if known_as is not None:
        kind = family(address.version)
        inside = load(kind.destination, int(address))
        arrived = (*found, inside, load(SPACE, port.space), goto(Table.ARRIVING_ERRORS))
        yield at(pipeline.LOCAL_POD, to_address(known_as, in_space(SHARED_SPACE)), arrived)
        # What a pod sends to an address that it has itself does not leave it; its cluster address it has not.
        himself = to_address(known_as, in_space(port.space), (CLUSTER_SOURCE, int(known_as)))
        ends = (load(SCRATCH, int(address)), load(kind.source, int(known_as)), inside)
        back = (load(ETH_SRC, mac_of(known_as)), load(ETH_DST, port.mac), load(OUTPUT_PORT, IN_PORT_NUMBER))
        yield at(pipeline.CROSS_SELF, himself, (*ends, *back, goto(Table.LEAVING_ERRORS)))


def _hairpin(ofport: int, shared: Address) -> Flow:
    """Return the flow for a pod that a service leads to itself: it meets itself from another address, or drops it."""
    kind = family(shared.version)
    himself = to_address(shared, (IN_PORT, ofport), (kind.source, int(shared)), in_space(SHARED_SPACE))
    nat = nat_from(HAIRPIN[shared.version])
    again = conntrack(HAIRPIN_ZONE, commit=True, table=Table.LOCAL, nested=(nat,))
    return at(pipeline.HAIRPIN_SELF, himself, (no_in_port(), again))


def _enter_space(space: int) -> Actions:
    # Registers are zero when a packet comes in, and so is the shared space.
    return () if space == SHARED_SPACE else (load(SPACE, space),)
