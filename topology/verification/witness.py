"""Finds the packet that shows a finding: it fares otherwise by the flows than the specification says.

Candidates (`candidates`) are walked through the software switches, until one fares otherwise or the budget is used up.
That is slow beside the proof: it happens when something is wrong only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from typing import Final

from topology import fields
from topology.compiler import Tables
from topology.model import HAIRPIN, NODE_PORTS, TUN_OFPORT, Port, PortKey
from topology.outcome import Delivered, Dropped, Outcome, Sent, Where
from topology.packet import Packet, arriving, is_discovery, tunnelled
from topology.pipeline import SERVICE_ZONE
from topology.reach import known_as
from topology.snapshot import Snapshot
from topology.specification import FromNode, FromPort, FromTunnel, Said, copies, dscp, may
from topology.switch import AmbiguousError
from topology.targets import Target
from topology.trace import Fabric, Trace
from topology.tracker import NOTHING_TRACKED, talk_of
from topology.verification.candidates import Candidate, answer, candidates, failure
from topology.verification.finding import Finding, Witness

_MOST_WALKS: Final = 400
_WORK: Final = 400_000  # walks times ports: the specification looks at every port for each packet


def with_witness(finding: Finding, snapshot: Snapshot, tables: Tables) -> Finding:
    """Return the finding with a witness: a packet that fares wrong, or else one that meets the flow's network."""
    if finding.key is None or finding.node not in snapshot.nodes:
        return finding
    budget = min(_MOST_WALKS, max(20, _WORK // (len(snapshot.ports) + 1)))
    search = _Search(snapshot, Fabric(snapshot, tables))
    first: Witness | None = None
    for candidate in islice(candidates(finding, snapshot), budget):
        for witness in search.walk(candidate):
            if witness.shows:
                return replace(finding, witness=witness)
            first = first or witness
    return replace(finding, witness=first)


@dataclass(slots=True)
class _Choice:
    """Takes for the specification the endpoint that a switch chose, and knows whether there was that choice."""

    made: Target | None
    options: tuple[Target, ...] = ()

    def __call__(self, options: tuple[Target, ...]) -> Target:
        self.options = options
        return options[0] if self.made is None or self.is_astray else self.made

    @property
    def is_astray(self) -> bool:
        """Whether an endpoint had to be chosen, and none of them was."""
        return bool(self.options) and self.made not in self.options


@dataclass(frozen=True, slots=True)
class _Search:
    snapshot: Snapshot
    fabric: Fabric

    def walk(self, candidate: Candidate) -> Iterator[Witness]:
        """Walk a candidate, what whoever got it answers, and what its sender sends to a service again."""
        trace = self._carry(candidate)
        yield self._compare(candidate, trace, ())
        sender = self._sender(candidate)
        if trace is None or sender is None or candidate.packet.get(_kind(candidate.packet).destination) is None:
            return
        endpoint = self._endpoint(candidate, trace)
        said = (Said(sender.key, candidate.packet, endpoint),)
        later = [*self._backs(arriving(trace.packet, 0), trace.outcome), *([candidate] if endpoint is not None else ())]
        for each in later:
            yield self._compare(each, self._carry(each, trace), said)

    def _backs(self, got: Packet, outcome: Outcome) -> Iterator[Candidate]:
        """Yield what is sent back by whoever got a packet: the answer, and the error that quotes it."""
        if got.quoted is not None:
            return  # nobody answers to an error (RFC 1122, section 3.2.2)
        backs = (answer(got), failure(got))
        if isinstance(outcome, Delivered):
            receiver = self.snapshot.ports[outcome.port]
            for back in backs if receiver.ofport is not None else ():
                own = back.set(fields.ETH_SRC, receiver.mac)
                yield Candidate(FromPort(receiver.node, receiver.ofport or 0), own)
        elif isinstance(outcome, Sent) and outcome.where is not Where.NODE:
            for back in backs:
                yield Candidate(FromNode(outcome.node, is_answer=True), back)

    def _sender(self, candidate: Candidate) -> Port | None:
        if not isinstance(candidate.ingress, FromPort):
            return None
        key = self.snapshot.port_by_ofport.get((candidate.ingress.node, candidate.ingress.ofport))
        return None if key is None else self.snapshot.ports[key]

    def _endpoint(self, candidate: Candidate, trace: Trace) -> Target | None:
        """Return where a service led a packet, as the tracker of its switch knows it, in whichever zone by a fault."""
        sender, asked = self._sender(candidate), talk_of(candidate.packet, SERVICE_ZONE)
        if asked is None or not self._is_to_service(candidate):
            return None
        for address in () if sender is None else sender.cluster_addresses:
            asked = asked._replace(source=int(address))
        talks = trace.trackers.get(candidate.ingress.node, NOTHING_TRACKED).talks
        for known in talks.values():
            if known.begun._replace(zone=SERVICE_ZONE) == asked and known.nat & fields.CT_DESTINATION_CHANGED:
                make = IPv4Address if known.answer.eth_type == fields.ETH_IPV4 else IPv6Address
                return Target(make(known.answer.source), known.answer.source_port)
        return None

    def _is_to_service(self, candidate: Candidate) -> bool:
        kind = _kind(candidate.packet)
        value = candidate.packet.get(kind.destination) or 0
        named = IPv4Address(value) if kind is fields.IPV4 else IPv6Address(value)
        return named in self.snapshot.service_by_address or named in NODE_PORTS[kind.version]

    def _carry(self, candidate: Candidate, earlier: Trace | None = None) -> Trace | None:
        packet = _at_switch(candidate, self.snapshot)
        trackers = earlier.trackers if earlier is not None else None
        try:
            node = candidate.ingress.node
            return self.fabric.carry(node, packet) if trackers is None else self.fabric.carry(node, packet, trackers)
        except (AmbiguousError, RecursionError, ValueError, KeyError):
            return None  # it comes to no end that one could name

    def _compare(self, candidate: Candidate, trace: Trace | None, said: tuple[Said, ...]) -> Witness:
        choice = _Choice(None if trace is None else self._endpoint(candidate, trace))
        expected = self._may(candidate, said, choice)
        seen = None if trace is None else _plain(trace.outcome)
        if choice.is_astray:  # to no endpoint at all: right is that only where one of them would not get it either
            others = (self._may(candidate, said, _Choice(each)) for each in choice.options)
            fits = isinstance(seen, Dropped) and any(isinstance(each, Dropped) for each in others)
        else:
            fits = seen == expected or (isinstance(expected, Dropped) and isinstance(seen, Dropped))
        shows = not fits or (trace is not None and self._is_garbled(trace, candidate, said))
        shows = shows or (trace is not None and _copied(trace) != self._copies(candidate, trace.outcome))
        return Witness(candidate.ingress, candidate.packet, expected, seen, shows, tuple(each.packet for each in said))

    def _copies(self, candidate: Candidate, outcome: Outcome) -> list[PortKey]:
        return list(copies(self.snapshot, candidate.packet, candidate.ingress, outcome))

    def _may(self, candidate: Candidate, said: tuple[Said, ...], choice: _Choice) -> Outcome:
        return may(self.snapshot, candidate.packet, candidate.ingress, said, choice)

    def _is_garbled(self, trace: Trace, candidate: Candidate, said: tuple[Said, ...]) -> bool:
        """Whether who got a packet does not take it for its own, or for the sender's: another MAC, another address.

        Or it has another DSCP than it is to have.
        """
        match trace.outcome:
            case Delivered(port=key):
                port = self.snapshot.ports[key]
                mac, mine = port.mac, {int(address) for address in port.addresses}
                if self._is_misnamed(trace.packet, port, candidate, said):
                    return True
            case Sent(node=node):
                mac, mine = self.snapshot.nodes[node].mac, set()
                if self._is_own_again(trace, candidate):
                    return True
            case _:
                return False
        if trace.packet.get(fields.IP_DSCP) != dscp(self.snapshot, candidate.packet, candidate.ingress):
            return True
        if trace.packet.get(fields.ETH_TYPE) == fields.ETH_ARP or is_discovery(trace.packet):
            return False
        kind, quoted = _kind(trace.packet), trace.packet.quoted
        address = trace.packet.get(kind.destination)
        # An error is taken by whoever sent what it quotes, and all candidates quote what the receiver could have sent.
        if mine and quoted is not None and quoted.get(kind.source) not in mine:
            return True
        misnamed = bool(mine) and address is not None and address not in mine
        return trace.packet.get(fields.ETH_DST) != mac or misnamed

    def _is_own_again(self, trace: Trace, candidate: Candidate) -> bool:
        """Whether a node gets back what it sent, but from its own address: that is a forgery to its kernel."""
        sent_here = isinstance(candidate.ingress, FromNode) and candidate.ingress.node == trace.outcome.node
        kind = _kind(trace.packet)
        source = trace.packet.get(kind.source)
        is_asked = is_discovery(trace.packet)  # an advertisement is what it asked for
        return sent_here and not is_asked and source is not None and source != int(HAIRPIN[kind.version])

    def _is_misnamed(self, packet: Packet, receiver: Port, candidate: Candidate, said: tuple[Said, ...]) -> bool:
        """Whether a pod gets a packet of another that is not from where it would answer to, or from whom it asked."""
        sender = self._sender(candidate)
        kind = _kind(packet)
        source = packet.get(kind.source)
        if sender is None or source is None or is_discovery(packet):
            return False
        asked = {
            each.packet.get(kind.destination)
            for each in said
            if each.port == receiver.key and each.endpoint is not None and each.packet != candidate.packet
        }
        if asked:
            return source not in asked
        if sender == receiver:  # by a service, it meets itself from another address
            return self._is_to_service(candidate) and source != int(HAIRPIN[kind.version])
        names = (*known_as(sender, receiver, self.snapshot), *(sender.cluster_addresses or sender.addresses))
        return source not in {int(name) for name in names if name.version == kind.version}


def _kind(packet: Packet) -> fields.Family:
    """The family of a packet's addresses; of ARP, IPv4."""
    return fields.IPV6 if packet.get(fields.ETH_TYPE) == fields.ETH_IPV6 else fields.IPV4


def _copied(trace: Trace) -> list[PortKey]:
    """Who got copies; those that nobody got count as well, as nobody's."""
    return sorted(copy.port if isinstance(copy, Delivered) else PortKey("", "", "") for copy in trace.copies)


def _plain(outcome: Outcome) -> Outcome:
    return Dropped(outcome.node) if isinstance(outcome, Dropped) else outcome


def _at_switch(candidate: Candidate, snapshot: Snapshot) -> Packet:
    match candidate.ingress:
        case FromPort(ofport=ofport):
            return arriving(candidate.packet, ofport)
        case FromNode():
            return arriving(candidate.packet, TUN_OFPORT)
        case FromTunnel(node=node, vtep=vtep, vnid=vnid, space=space):
            return tunnelled(candidate.packet, vnid, vtep, snapshot.nodes[node].underlay, space)
