"""Packets that find out who reaches whom: every pod to everything it could mean, honest and not, and nodes and tunnels.

What a fault changes is decided here, by walking all of them through the software switches with and without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from immutables import Map

from tests.topology.strategies import Sending, answer, failure
from topology import fields
from topology.fields import BY_NAME, ETH_DST, IPV4_DST, IPV4_SRC
from topology.model import NODE_PORTS, TUN_OFPORT, Address, Port, mac_of
from topology.outcome import Delivered, Dropped, Outcome
from topology.packet import Ends, Packet, arp, arriving, icmp, transport
from topology.reach import known_as
from topology.snapshot import Snapshot
from topology.specification import FromNode, FromPort, FromTunnel
from topology.switch import AmbiguousError
from topology.trace import Fabric, Trace
from topology.tracker import Tracker

STRANGER = IPv4Address("198.51.100.7")
PORTS = tuple(field for _, *fields_of in fields.TRANSPORT.values() for field in fields_of)
TRANSPORTS = (("TCP", 443), ("TCP", 80), ("UDP", 53), ("SCTP", 53), ("UDP", 4789), ("TCP", 6653))


@dataclass(frozen=True)
class Walk:
    """How a packet fared, and by which tables of which nodes it went."""

    fared: tuple[object, ...]
    places: frozenset[tuple[str, int]]


def attached(snapshot: Snapshot) -> list[Port]:
    return [snapshot.ports[key] for key in sorted(snapshot.ports) if snapshot.ports[key].ofport is not None]


def probes(snapshot: Snapshot) -> tuple[Sending, ...]:
    """Return all probes of a network."""
    return tuple({probe: None for make in (_of_pods, _of_liars, _of_nodes, _of_tunnels) for probe in make(snapshot)})


def _destinations(snapshot: Snapshot, source: Port) -> set[Address]:
    return {
        *(address for port in attached(snapshot) for address in (*known_as(port, source, snapshot), *port.addresses)),
        *source.cluster_addresses,
        *(gateway for node in snapshot.nodes.values() for gateway in node.gateways),
        *(node.underlay for node in snapshot.nodes.values()),
        *(service.address for service in snapshot.services.values()),
        STRANGER,
        IPv4Address("224.0.0.251"),
        *(group for each in snapshot.memberships.values() for group in each.groups),
        IPv4Address("10.128.1.200"),
    }


def _of_pods(snapshot: Snapshot) -> Iterator[Sending]:
    for port in attached(snapshot):
        assert port.ofport is not None
        ingress = FromPort(port.node, port.ofport)
        for destination in sorted(_destinations(snapshot, port)):
            ends = Ends(port.addresses[0], destination, port.mac)
            yield Sending(ingress, icmp(ends))
            for protocol, number in TRANSPORTS:
                yield Sending(ingress, transport(protocol, ends, number))
            yield Sending(ingress, transport("TCP", ends, 40000, 443))  # looks like an answer
            yield Sending(ingress, arp(ends))


def _of_liars(snapshot: Snapshot) -> Iterator[Sending]:
    ports = attached(snapshot)
    for port in ports:
        assert port.ofport is not None
        ingress = FromPort(port.node, port.ofport)
        targets = [address for target in ports for address in known_as(target, port, snapshot)]
        names = {*(target.addresses[0] for target in ports), *port.cluster_addresses, STRANGER}
        for target in targets:
            for name in sorted(names):
                yield Sending(ingress, transport("TCP", Ends(name, target, port.mac), 443))
            for mac in {mac_of(target), 0x0200_0000_0001}:
                yield Sending(ingress, transport("TCP", Ends(port.addresses[0], target, mac), 443))
            asks = arp(Ends(port.addresses[0], target, port.mac))
            yield Sending(ingress, asks.update(arp_sha=0x0200_0000_0001))
            yield Sending(ingress, asks.update(arp_spa=int(STRANGER)))
            yield Sending(ingress, asks.update(arp_op=2))
        for target in targets[:2]:  # by a port that nobody has
            yield Sending(FromPort(port.node, 77), transport("TCP", Ends(port.addresses[0], target, port.mac), 443))


def _addresses(snapshot: Snapshot) -> list[Address]:
    held = {address for port in attached(snapshot) for address in (*port.addresses, *port.cluster_addresses)}
    gateways = {gateway for node in snapshot.nodes.values() for gateway in node.gateways}
    return sorted(held | gateways | {STRANGER, IPv4Address("10.128.1.200")})


def _of_nodes(snapshot: Snapshot) -> Iterator[Sending]:
    for node in snapshot.nodes.values():
        for source in (*node.gateways, node.underlay, STRANGER):
            for target in _addresses(snapshot):
                ends = Ends(source, target, node.mac)
                yield Sending(FromNode(node.name), transport("TCP", ends, 443))
                yield Sending(FromNode(node.name), arp(ends))
            for service in snapshot.services.values():
                for port in service.ports:
                    asks = transport(port.protocol, Ends(source, service.address, node.mac), port.port)
                    yield Sending(FromNode(node.name), asks)
                    asks = transport(port.protocol, Ends(source, NODE_PORTS[4][1], node.mac), port.node_port or 30999)
                    yield Sending(FromNode(node.name), asks)


def _of_tunnels(snapshot: Snapshot) -> Iterator[Sending]:
    vnids = sorted({*(network.vnid for network in snapshot.networks.values()), 4711})
    spaces = sorted({network.space for network in snapshot.networks.values()})
    for node in snapshot.nodes.values():
        for vtep in (*(peer.underlay for peer in snapshot.nodes.values()), STRANGER):
            for target in _addresses(snapshot):
                for vnid in vnids:
                    for space in spaces:
                        packet = transport("TCP", Ends(IPv4Address("10.128.0.2"), target), 443)
                        yield Sending(FromTunnel(node.name, vtep, vnid, space), packet)


# --- walking -------------------------------------------------------------------------------------


def walk(fabric: Fabric, probe: Sending) -> Walk:
    """Return how a probe fares, and how the answer to it does."""
    there = _carry(fabric, probe.node, probe.at_switch(fabric.snapshot))
    if isinstance(there, str):
        return Walk((there,), frozenset())
    fared: tuple[object, ...] = _fared(there)
    places = {(step.node, step.table) for step in there.steps}
    for node, packet in _back(fabric.snapshot, probe, there):
        back = _carry(fabric, node, packet, there.trackers)
        fared += (back,) if isinstance(back, str) else _fared(back)
        places |= set() if isinstance(back, str) else {(step.node, step.table) for step in back.steps}
    return Walk(fared, frozenset(places))


def _back(snapshot: Snapshot, probe: Sending, there: Trace) -> Iterator[tuple[str, Packet]]:
    """What whoever got a packet sends back: the answer, an error, and something that is neither.

    And what is sent to a service again, which then knows the connection.
    """
    if any(probe.packet.get(IPV4_DST) == int(service.address) for service in snapshot.services.values()):
        yield probe.node, probe.at_switch(snapshot)
    if probe.packet.get(IPV4_DST) is None or probe.packet.get(fields.ETH_TYPE) == fields.ETH_ARP:
        return
    if isinstance(there.outcome, Delivered):
        receiver = snapshot.ports[there.outcome.port]
        if receiver.ofport is not None:
            got = arriving(there.packet, 0)
            for packet in (answer(got), failure(got, receiver), _unasked(answer(got))):
                own = packet.set(fields.ETH_SRC, receiver.mac)
                yield receiver.node, arriving(own, receiver.ofport)
    elif not isinstance(there.outcome, Dropped) and isinstance(probe.ingress, FromPort):
        yield there.outcome.node, arriving(answer(there.packet), TUN_OFPORT)


def _unasked(packet: Packet) -> Packet:
    for name in ("tcp_dst", "udp_dst", "sctp_dst"):
        number = packet.get(BY_NAME[name])
        if number is not None:
            return packet.set(BY_NAME[name], number ^ 1)
    return packet.update(icmpv4_type=13)


def _carry(fabric: Fabric, node: str, packet: Packet, trackers: Map[str, Tracker] = Map()) -> Trace | str:
    try:
        return fabric.carry(node, packet, trackers)
    except AmbiguousError:
        return "contradiction"
    except (RecursionError, ValueError, KeyError) as error:
        return type(error).__name__


def _fared(trace: Trace) -> tuple[object, ...]:
    """Who got it and how it looked there, ports as well, and who copies; where it was dropped is no matter."""
    copies = sorted(repr(copy) for copy in trace.copies)
    if isinstance(trace.outcome, Dropped):
        return ("dropped", *copies)
    seen: tuple[Outcome, ...] = (trace.outcome,)
    ends = (IPV4_SRC, IPV4_DST)
    quoted = () if trace.packet.quoted is None else tuple(trace.packet.quoted.get(field) for field in ends)
    looked = (trace.packet.get(field) for field in (ETH_DST, fields.IP_DSCP, *ends, *PORTS))
    return (*seen, *looked, quoted, *copies)
