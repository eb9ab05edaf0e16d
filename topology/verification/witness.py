"""Finds the packet that shows a finding: it fares otherwise by the flows than the specification says.

Candidates are made of what the flow names (ports, networks, addresses) and walked through the software switches, until
one fares otherwise or the budget is used up. That is slow beside the proof: it happens when something is wrong only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from itertools import islice, zip_longest
from typing import Final, NamedTuple

from topology import fields
from topology.compiler import Tables
from topology.fields import BY_NAME, IPV4_DST, IPV4_SRC, TRANSPORT
from topology.flow import Op
from topology.model import ICMP_OFPORT, TUN_OFPORT, Address, Node, Port, PortKey
from topology.outcome import Delivered, Dropped, Outcome, Sent, Where
from topology.packet import ICMP_UNREACHABLE, Ends, Packet, arp, arriving, icmp, transport, tunnelled
from topology.pipeline import ARRIVING_MAC, DESTINATION_VNID, ICMP_MAC, LEAVING_MAC, OUTPUT_PORT, SOURCE_VNID, SPACE
from topology.reach import known_as
from topology.snapshot import Snapshot
from topology.specification import FromNode, FromPort, FromTunnel, Ingress, Said, may
from topology.switch import AmbiguousError
from topology.trace import Fabric, Trace
from topology.verification.finding import Finding, Witness

_FEW: Final = 4  # pods of one kind that are tried
_MOST_WALKS: Final = 400
_WORK: Final = 400_000  # walks times ports: the specification looks at every port for each packet
_STRANGER: Final = IPv4Address("198.51.100.7")
_NOBODYS_MAC: Final = 0x0200_0000_0001
_NOBODYS_VNID: Final = (1 << 24) - 2
_PROTOCOLS: Final = {number: name for name, (number, _, _) in TRANSPORT.items()}


_SWAPPED: Final = tuple((f"{of}_src", f"{of}_dst") for of in ("ipv4", "tcp", "udp", "sctp"))


class _Candidate(NamedTuple):
    ingress: Ingress
    packet: Packet


@dataclass(slots=True)
class _Hints:
    """What a flow names."""

    ofports: set[int] = field(default_factory=set)
    vnids: set[int] = field(default_factory=set)
    destinations: set[int] = field(default_factory=set)
    sources: set[int] = field(default_factory=set)
    vteps: set[int] = field(default_factory=set)
    transports: set[tuple[str, int, int]] = field(default_factory=set)  # protocol, source port, destination port


def with_witness(finding: Finding, snapshot: Snapshot, tables: Tables) -> Finding:
    """Return the finding with a witness: a packet that fares wrong, or else one that meets the flow's network."""
    if finding.key is None or finding.node not in snapshot.nodes:
        return finding
    budget = min(_MOST_WALKS, max(20, _WORK // (len(snapshot.ports) + 1)))
    search = _Search(snapshot, Fabric(snapshot, tables))
    first: Witness | None = None
    for candidate in islice(_candidates(finding, snapshot), budget):
        for witness in search.walk(candidate):
            if witness.shows:
                return replace(finding, witness=witness)
            first = first or witness
    return replace(finding, witness=first)


# --- walking -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Search:
    snapshot: Snapshot
    fabric: Fabric

    def walk(self, candidate: _Candidate) -> Iterator[Witness]:
        """Walk a candidate, and what whoever got it answers."""
        trace = self._carry(candidate)
        yield self._compare(candidate, trace, ())
        sender = self._sender(candidate)
        if trace is None or sender is None or candidate.packet.get(IPV4_DST) is None:
            return
        for answer in self._backs(arriving(trace.packet, 0), trace.outcome):
            yield self._compare(answer, self._carry(answer, trace), (Said(sender.key, candidate.packet),))

    def _backs(self, got: Packet, outcome: Outcome) -> Iterator[_Candidate]:
        """Yield what is sent back by whoever got a packet: the answer, and the error that quotes it."""
        if got.quoted is not None:
            return  # nobody answers to an error (RFC 1122, section 3.2.2)
        backs = (_answer(got), _failure(got))
        if isinstance(outcome, Delivered):
            receiver = self.snapshot.ports[outcome.port]
            for back in backs if receiver.ofport is not None else ():
                own = back.set(fields.ETH_SRC, receiver.mac)
                yield _Candidate(FromPort(receiver.node, receiver.ofport or 0), own)
        elif isinstance(outcome, Sent) and outcome.where is not Where.NODE:
            for back in backs:
                yield _Candidate(FromNode(outcome.node, is_answer=True), back)

    def _sender(self, candidate: _Candidate) -> Port | None:
        if not isinstance(candidate.ingress, FromPort):
            return None
        key = self.snapshot.port_by_ofport.get((candidate.ingress.node, candidate.ingress.ofport))
        return None if key is None else self.snapshot.ports[key]

    def _carry(self, candidate: _Candidate, earlier: Trace | None = None) -> Trace | None:
        packet = _at_switch(candidate, self.snapshot)
        trackers = earlier.trackers if earlier is not None else None
        try:
            node = candidate.ingress.node
            return self.fabric.carry(node, packet) if trackers is None else self.fabric.carry(node, packet, trackers)
        except (AmbiguousError, RecursionError, ValueError, KeyError):
            return None  # it comes to no end that one could name

    def _compare(self, candidate: _Candidate, trace: Trace | None, said: tuple[Said, ...]) -> Witness:
        expected = may(self.snapshot, candidate.packet, candidate.ingress, said)
        seen = None if trace is None else _plain(trace.outcome)
        both_dropped = isinstance(expected, Dropped) and isinstance(seen, Dropped)
        shows = (seen != expected and not both_dropped) or (trace is not None and self._is_garbled(trace, candidate))
        return Witness(candidate.ingress, candidate.packet, expected, seen, shows, tuple(each.packet for each in said))

    def _is_garbled(self, trace: Trace, candidate: _Candidate) -> bool:
        """Whether who got a packet does not take it for its own, or for the sender's: another MAC, another address."""
        match trace.outcome:
            case Delivered(port=key):
                port = self.snapshot.ports[key]
                mac, mine = port.mac, {int(address) for address in port.addresses}
                if self._is_misnamed(trace.packet, port, candidate):
                    return True
            case Sent(node=node):
                mac, mine = self.snapshot.nodes[node].mac, set()
            case _:
                return False
        is_arp = trace.packet.get(fields.ETH_TYPE) == fields.ETH_ARP
        address, quoted = trace.packet.get(IPV4_DST), trace.packet.quoted
        # An error is taken by whoever sent what it quotes, and all candidates quote what the receiver could have sent.
        if mine and quoted is not None and quoted.get(IPV4_SRC) not in mine:
            return True
        misnamed = bool(mine) and address is not None and address not in mine
        return not is_arp and (trace.packet.get(fields.ETH_DST) != mac or misnamed)

    def _is_misnamed(self, packet: Packet, receiver: Port, candidate: _Candidate) -> bool:
        """Whether a pod gets a packet of another that is not from where it would answer to."""
        sender = self._sender(candidate)
        if sender is None or sender == receiver or packet.get(IPV4_SRC) is None:
            return False
        names = (*known_as(sender, receiver, self.snapshot), *(sender.cluster_addresses or sender.addresses))
        return packet.get(IPV4_SRC) not in {int(name) for name in names}


def _plain(outcome: Outcome) -> Outcome:
    return Dropped(outcome.node) if isinstance(outcome, Dropped) else outcome


def _at_switch(candidate: _Candidate, snapshot: Snapshot) -> Packet:
    match candidate.ingress:
        case FromPort(ofport=ofport):
            return arriving(candidate.packet, ofport)
        case FromNode():
            return arriving(candidate.packet, TUN_OFPORT)
        case FromTunnel(node=node, vtep=vtep, vnid=vnid, space=space):
            return tunnelled(candidate.packet, vnid, vtep, snapshot.nodes[node].underlay, space)


def _answer(packet: Packet) -> Packet:
    """Return what the other side answers: ends and ports swapped, an echo answered."""
    for one, other in _SWAPPED:
        first, second = packet.get(BY_NAME[one]), packet.get(BY_NAME[other])
        if first is not None and second is not None:
            packet = packet.update(**{one: second, other: first})
    if packet.get(BY_NAME["icmpv4_type"]) == 8:
        packet = packet.update(icmpv4_type=0)
    return packet


def _failure(packet: Packet) -> Packet:
    """Return the ICMP error (port unreachable) of the other side about a packet that it got."""
    source, destination = (IPv4Address(packet.get(name) or 0) for name in (IPV4_SRC, IPV4_DST))
    return icmp(Ends(destination, source, packet.get(fields.ETH_DST)), ICMP_UNREACHABLE, 3, packet)


# --- candidates ----------------------------------------------------------------------------------


def _candidates(finding: Finding, snapshot: Snapshot) -> Iterator[_Candidate]:
    """Yield packets that may meet the flow, of every kind in turn."""
    hints = _hints(finding)
    pods = _pods(finding.node, hints, snapshot)
    node = snapshot.nodes[finding.node]
    kinds = (
        _of_pods(pods, hints, snapshot),
        _of_tunnels(node, pods, hints, snapshot),
        _of_node(node, pods, hints),
        _of_liars(node, pods, hints, snapshot),
        _of_icmp0(node, pods, hints, snapshot),
    )
    for row in zip_longest(*kinds):
        yield from (candidate for candidate in row if candidate is not None)


def _hints(finding: Finding) -> _Hints:
    assert finding.key is not None
    hints = _Hints()
    terms = [(name, value) for name, value, _ in finding.key[2]]
    for action in finding.actions or ():
        if action[0] == Op.SET and isinstance(action[1], int) and isinstance(action[2], int):
            terms.append((fields.Field(action[1]), action[2]))
    wanted = {
        fields.IN_PORT: hints.ofports,
        OUTPUT_PORT: hints.ofports,
        SOURCE_VNID: hints.vnids,
        DESTINATION_VNID: hints.vnids,
        SPACE: hints.vnids,
        IPV4_DST: hints.destinations,
        fields.ARP_TPA: hints.destinations,
        IPV4_SRC: hints.sources,
        fields.ARP_SPA: hints.sources,
        fields.TUN_IPV4_SRC: hints.vteps,
        fields.TUN_IPV4_DST: hints.vteps,
    }
    for name, value in terms:
        if name in wanted:
            wanted[name].add(value)
    _transports(dict(terms), hints)
    return hints


def _transports(terms: dict[fields.Field, int], hints: _Hints) -> None:
    protocol = _PROTOCOLS.get(terms.get(fields.IP_PROTO, 0))
    if protocol is not None:
        _, source, destination = TRANSPORT[protocol]
        hints.transports.add((protocol, terms.get(source, 40000), terms.get(destination, 443)))


def _pods(node: str, hints: _Hints, snapshot: Snapshot) -> list[Port]:
    """Return pods that the flow may be about: named by number, of its networks, and some others here and elsewhere."""
    names = [snapshot.network_by_vnid[vnid] for vnid in sorted(hints.vnids) if vnid in snapshot.network_by_vnid]
    keys = [snapshot.port_by_ofport.get((node, ofport)) for ofport in sorted(hints.ofports)]
    near = [key for name in names for key in islice(_of_network(name, node, snapshot), _FEW)]
    here = islice(snapshot.ports_on.get(node, {}), _FEW)
    others = (key for other in islice(snapshot.nodes, _FEW) for key in islice(snapshot.ports_on.get(other, {}), _FEW))
    found = dict.fromkeys(key for key in (*keys, *near, *here, *others) if key is not None)
    ports = (snapshot.ports[key] for key in found)
    return [port for port in ports if port.ofport is not None]


def _of_network(name: str, node: str, snapshot: Snapshot) -> Iterator[PortKey]:
    for host in (node, *snapshot.hosts.get(name, {})):
        for key in snapshot.ports_on.get(host, {}):
            if snapshot.ports[key].network == name:
                yield key


def _of_pods(pods: list[Port], hints: _Hints, snapshot: Snapshot) -> Iterator[_Candidate]:
    named = [IPv4Address(value + more) for value in sorted(hints.destinations) for more in (0, 2) if value < 0xFFFFFFF0]
    for sender in pods:
        targets = [address for pod in pods if pod is not sender for address in known_as(pod, sender, snapshot)]
        places = [own for node in islice(snapshot.nodes.values(), _FEW) for own in (*node.gateways, node.underlay)]
        services = islice((service.address for service in snapshot.services.values()), _FEW)
        for target in dict.fromkeys(
            (*named, *targets[:_FEW], _STRANGER, *places, *targets, *sender.cluster_addresses, *services)
        ):
            for packet in _packets(Ends(sender.addresses[0], target, sender.mac), hints):
                yield _Candidate(FromPort(sender.node, sender.ofport or 0), packet)


def _packets(ends: Ends, hints: _Hints) -> Iterator[Packet]:
    for protocol, source, destination in sorted(hints.transports):
        yield transport(protocol, ends, destination, source)
    yield transport("TCP", ends, 443)
    yield transport("UDP", ends, 4789)
    yield icmp(ends)
    yield _failure(transport("UDP", Ends(ends.destination, ends.source, None, ends.source_mac), 4789))
    yield arp(ends)


def _of_tunnels(node: Node, pods: list[Port], hints: _Hints, snapshot: Snapshot) -> Iterator[_Candidate]:
    peers = [peer.underlay for peer in snapshot.nodes.values() if peer.name != node.name][:_FEW]
    vteps: list[Address] = [*peers[:1], *(IPv4Address(value) for value in sorted(hints.vteps)), _STRANGER, *peers[1:]]
    vnids = (*sorted(hints.vnids), *(snapshot.networks[pod.network].vnid for pod in pods), _NOBODYS_VNID)
    for pod in pods:
        places = [(pod.space, pod.addresses[0]), *((0, address) for address in pod.cluster_addresses)]
        for space, address in places if pod.node == node.name else ():
            for vtep in dict.fromkeys(vteps):
                for vnid in dict.fromkeys(vnids):
                    packet = transport("TCP", Ends(_STRANGER, address), 443)
                    yield _Candidate(FromTunnel(node.name, vtep, vnid, space), packet)


def _of_node(node: Node, pods: list[Port], hints: _Hints) -> Iterator[_Candidate]:
    sources = (*node.gateways, node.underlay, _STRANGER, *(IPv4Address(value) for value in sorted(hints.sources)))
    for pod in pods:
        for source in dict.fromkeys(sources):
            for target in (pod.cluster_addresses or pod.addresses)[:1]:
                ends = Ends(source, target, node.mac)
                yield _Candidate(FromNode(node.name), transport("TCP", ends, 443))
                yield _Candidate(FromNode(node.name), arp(ends))


def _of_liars(node: Node, pods: list[Port], hints: _Hints, snapshot: Snapshot) -> Iterator[_Candidate]:
    """Pods that say they are somebody else, and ports that are nobody's."""
    here = [pod for pod in pods if pod.node == node.name]
    ofports = (*(pod.ofport or 0 for pod in here), *sorted(hints.ofports - {0, 1, 2}))
    for pod in here:
        for target in [address for other in pods if other is not pod for address in known_as(other, pod, snapshot)]:
            for ofport in dict.fromkeys(ofports):
                for source in dict.fromkeys((*(other.addresses[0] for other in pods), _STRANGER)):
                    for mac in (pod.mac, _NOBODYS_MAC):
                        yield _Candidate(FromPort(node.name, ofport), transport("TCP", Ends(source, target, mac), 443))
                        yield _Candidate(FromPort(node.name, ofport), arp(Ends(source, target, mac)))


def _of_icmp0(node: Node, pods: list[Port], hints: _Hints, snapshot: Snapshot) -> Iterator[_Candidate]:
    """What is no error and comes by icmp0, with the marks that errors have there: nobody may get it."""
    vnids = (*sorted(hints.vnids), *(snapshot.networks[pod.network].vnid for pod in pods))
    for pod in pods:
        places = [(pod.space, pod.addresses[0]), *((0, address) for address in pod.cluster_addresses)]
        for space, address in places if pod.node == node.name else ():
            for vnid in dict.fromkeys(vnids):
                for way in (LEAVING_MAC, ARRIVING_MAC):
                    ends = Ends(_STRANGER, address, way << 40 | space << 16, ICMP_MAC << 40 | vnid << 16)
                    yield _Candidate(FromPort(node.name, ICMP_OFPORT), transport("TCP", ends, 443))
                    yield _Candidate(FromPort(node.name, ICMP_OFPORT), icmp(ends))
