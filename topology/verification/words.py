"""Findings and their witnesses in words, for refusals, logs and the command line. Nothing is decided here."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from topology import fields
from topology.fields import TRANSPORT
from topology.flow import Flow
from topology.model import ICMP_OFPORT, format_mac
from topology.outcome import Delivered, Outcome, Sent, Shared, Where
from topology.packet import Packet
from topology.specification import FromNode, FromPort, FromTunnel, Ingress
from topology.text import flow_text
from topology.verification.finding import Finding, Witness

_PROTOCOLS: Final = {number: (name, source, destination) for name, (number, source, destination) in TRANSPORT.items()}
_PLACES: Final = {
    Where.NODE: "sent to the node",
    Where.SERVICE: "sent to the node, which refuses it",
    Where.OUTSIDE: "sent outside",
}


def finding_text(finding: Finding) -> str:
    """Return a finding in one line, its witness left out."""
    head = f"{finding.kind.value} on node {finding.node}"
    if finding.key is None:
        return f"{head}: {finding.said}"
    flow = Flow(*finding.key, finding.actions or ())
    text = flow_text(flow, names=True)
    return f"{head}: flow {text.partition(' actions=')[0] if finding.is_missing else text} {finding.said}"


def whole_text(finding: Finding) -> str:
    """Return a finding in one line, with its witness."""
    return finding_text(finding) + ("" if finding.witness is None else f"; witness: {witness_text(finding.witness)}")


def witness_text(witness: Witness) -> str:
    """Return a witness in one line: the packet, where it comes in, what should become of it and what does."""
    earlier = "".join(f"after {packet_text(packet)}, " for packet in witness.said)
    came = f"{earlier}{packet_text(witness.packet)}, {ingress_text(witness.ingress)}"
    seen = "no end" if witness.seen is None else outcome_text(witness.seen)
    if not witness.shows:
        return f"{came}: is {seen}, as it should be; no packet was found that fares wrong"
    if witness.seen == witness.expected:
        return f"{came}: is {seen}, as it should be, but not in a form that is taken there"
    return f"{came}: should be {outcome_text(witness.expected)}, is {seen}"


def ingress_text(ingress: Ingress) -> str:
    """Return where a packet comes in."""
    match ingress:
        case FromPort(node=node, ofport=ofport) if ofport == ICMP_OFPORT:
            return f"by icmp0 of node {node}"
        case FromPort(node=node, ofport=ofport):
            return f"from port {ofport} of node {node}"
        case FromNode(node=node):
            return f"from node {node} itself"
        case FromTunnel(node=node, vtep=vtep, vnid=vnid, space=space):
            return f"by the tunnel to node {node}, from {vtep} with VNID {vnid} to space {space}"


def outcome_text(outcome: Outcome) -> str:
    """Return what becomes of a packet."""
    match outcome:
        case Delivered(node=node, port=port):
            return f"delivered to container {port.container} ({port.interface}) on {node}"
        case Sent(node=node, where=where, source=source):
            return f"{_PLACES[where]} on {node}{'' if source is None else f', from {source}'}"
        case Shared(ports=ports):
            names = ", ".join(f"{port.container} ({port.interface}) on {port.node}" for port in ports)
            return f"delivered to containers {names}"
        case _:
            return f"dropped on {outcome.node}"


def packet_text(packet: Packet) -> str:
    """Return what a packet is: protocol, from whom, to whom."""
    if packet.get(fields.ETH_TYPE) == fields.ETH_ARP:
        ends = (IPv4Address(packet.get(name) or 0) for name in (fields.ARP_TPA, fields.ARP_SPA))
        return f"ARP {'request' if packet.get(fields.ARP_OP) == 1 else 'answer'} for {next(ends)} from {next(ends)}"
    kind = fields.IPV4 if packet.get(fields.ETH_TYPE) == fields.ETH_IPV4 else fields.IPV6
    make = IPv4Address if kind is fields.IPV4 else IPv6Address
    source, destination = (make(packet.get(name) or 0) for name in (kind.source, kind.destination))
    mac = format_mac(packet.get(fields.ETH_SRC) or 0)
    name, from_port, to_port = _PROTOCOLS.get(packet.get(fields.IP_PROTO) or 0, ("ICMP", None, None))
    if from_port is None or to_port is None:
        about = "" if packet.quoted is None else f", an error about {packet_text(packet.quoted)}"
        return f"ICMP {source} > {destination} ({mac}){about}"
    return f"{name} {source}:{packet.get(from_port)} > {destination}:{packet.get(to_port)} ({mac})"
