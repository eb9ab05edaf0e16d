"""Connection tracking as a value: which connections a switch knows, by zone, and what a packet is to them.

What ovs-fields(7) says of ct_state and ovs-actions(7) of nat, without time-outs and TCP sequence numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from immutables import Map

from topology import fields
from topology.fields import BY_NAME, Field
from topology.packet import Packet

_PORTS: Final[dict[int, tuple[Field, Field]]] = {
    number: (source, destination) for number, source, destination in fields.TRANSPORT.values()
}
_ICMP_TYPE: Final = {
    fields.PROTO_ICMP: BY_NAME["icmpv4_type"],
    fields.PROTO_ICMPV6: BY_NAME["icmpv6_type"],
}
# Queries and their answers; a query of the other side is another connection. (IANA, ICMP and ICMPv6 type numbers.)
_ICMP_ANSWER: Final = {
    fields.PROTO_ICMP: {8: 0, 0: 8, 13: 14, 14: 13},
    fields.PROTO_ICMPV6: {128: 129, 129: 128},
}
_ICMP_QUERY: Final = {fields.PROTO_ICMP: frozenset({8, 13}), fields.PROTO_ICMPV6: frozenset({128})}
_ICMP_ERROR: Final = {fields.PROTO_ICMP: frozenset({3, 4, 5, 11, 12}), fields.PROTO_ICMPV6: frozenset({1, 2, 3, 4})}


class Talk(NamedTuple):
    """A connection, as its first packet names it. ICMP has the types of query and answer in place of ports."""

    zone: int
    eth_type: int
    protocol: int
    source: int
    destination: int
    source_port: int
    destination_port: int

    def reverse(self) -> Talk:
        """Return the same connection as the other side names it."""
        ends = (self.destination, self.source, self.destination_port, self.source_port)
        return Talk(self.zone, self.eth_type, self.protocol, *ends)


class Known(NamedTuple):
    """A connection that was committed: as its first packet named it, how answers look, and what was kept with it."""

    begun: Talk
    answer: Talk
    mark: int = 0
    is_answered: bool = False

    @property
    def nat(self) -> int:
        """The bits of ct_state that a translated packet of its direction has."""
        there, meant = self.answer.reverse(), self.begun
        source = (there.source, there.source_port) != (meant.source, meant.source_port)
        destination = (there.destination, there.destination_port) != (meant.destination, meant.destination_port)
        return source * fields.CT_SOURCE_CHANGED | destination * fields.CT_DESTINATION_CHANGED


class Nat(NamedTuple):
    """How a connection that is committed is translated: one end of it. A port of 0 stays as it is."""

    is_source: bool
    address: int
    port: int


class Look(NamedTuple):
    """What a look-up found: ct_state, ct_mark, and the packet, translated as its connection is."""

    state: int
    mark: int
    translated: Packet


@dataclass(frozen=True, slots=True)
class Tracker:
    """The connections that were committed, each by its first packet's talk and by its answers'."""

    talks: Map[Talk, Known] = Map()

    def look_up(self, packet: Packet, zone: int) -> tuple[Look, Tracker]:
        """Return what a packet is in a zone, and the tracker that has seen it."""
        if _is_error(packet):
            return self._look_up_error(packet, zone), self
        talk = talk_of(packet, zone)
        if talk is None:
            return Look(fields.CT_TRACKED | fields.CT_INVALID, 0, packet), self
        known = self.talks.get(talk)
        if known is None:
            state = fields.CT_NEW if begins(packet) else fields.CT_INVALID
            return Look(fields.CT_TRACKED | state, 0, packet), self
        if known.answer == talk:
            seen = self._with(known._replace(is_answered=True))
            state = fields.CT_ESTABLISHED | fields.CT_REPLY | _turned(known.nat)
            return Look(fields.CT_TRACKED | state, known.mark, _named(packet, known.begun.reverse())), seen
        state = (fields.CT_ESTABLISHED if known.is_answered else fields.CT_NEW) | known.nat
        return Look(fields.CT_TRACKED | state, known.mark, _named(packet, known.answer.reverse())), self

    def commit(self, packet: Packet, zone: int, nat: Nat | None = None, mark: int = 0) -> Tracker:
        """Return the tracker that knows a packet's connection from now on; one that it knows stays as it is."""
        talk = talk_of(packet, zone)
        if talk is None or talk in self.talks or not begins(packet):
            return self
        answer = talk.reverse() if nat is None else self._free(_moved(talk, nat), is_source=nat.is_source).reverse()
        return self._with(Known(talk, answer, mark))

    def _free(self, there: Talk, *, is_source: bool) -> Talk:
        """Return a translated connection from a port at which nobody else is answered; only a source may move."""
        while is_source and there.reverse() in self.talks:
            there = there._replace(source_port=there.source_port % 0xFFFF + 1)
        return there

    def _with(self, known: Known) -> Tracker:
        return Tracker(self.talks.set(known.begun, known).set(known.answer, known))

    def _look_up_error(self, packet: Packet, zone: int) -> Look:
        """An error belongs to the connection of what it quotes, and goes against the direction of that."""
        quoted = packet.quoted
        about = None if quoted is None else talk_of(quoted, zone)
        known = None if about is None else self.talks.get(about.reverse())
        if quoted is None or about is None or known is None:
            return Look(fields.CT_TRACKED | fields.CT_INVALID, 0, packet)
        state = fields.CT_TRACKED | fields.CT_RELATED
        if about.reverse() == known.answer:
            meant, nat = known.begun, _turned(known.nat) | fields.CT_REPLY
        else:
            meant, nat = known.answer, known.nat
        if not known.nat:
            return Look(state | nat, known.mark, packet)
        # Whoever sent the error, it comes from the other end then.
        ends = _named(packet, meant.reverse(), ports=False)
        return Look(state | nat, known.mark, Packet(ends.values, _named(quoted, meant)))


NOTHING_TRACKED: Final = Tracker()


def talk_of(packet: Packet, zone: int) -> Talk | None:
    """Return the connection that a packet would begin; None for what is not tracked."""
    eth_type, protocol = packet.get(fields.ETH_TYPE), packet.get(fields.IP_PROTO)
    if eth_type not in (fields.ETH_IPV4, fields.ETH_IPV6) or protocol is None:
        return None
    kind = fields.IPV4 if eth_type == fields.ETH_IPV4 else fields.IPV6
    source, destination = packet.get(kind.source), packet.get(kind.destination)
    ports = _ports(packet, protocol)
    if source is None or destination is None or ports is None:
        return None
    return Talk(zone, eth_type, protocol, source, destination, *ports)


def begins(packet: Packet) -> bool:
    """Tell whether a packet can be the first of a connection: an answer to a query that nobody asked is not."""
    protocol = packet.get(fields.IP_PROTO)
    return protocol not in _ICMP_TYPE or packet.get(_ICMP_TYPE[protocol]) in _ICMP_QUERY[protocol]


def _turned(nat: int) -> int:
    """Return the bits of ct_state of the other direction: where one is translated to, the other comes from."""
    source, destination = fields.CT_SOURCE_CHANGED, fields.CT_DESTINATION_CHANGED
    return bool(nat & source) * destination | bool(nat & destination) * source


def _moved(talk: Talk, nat: Nat) -> Talk:
    if nat.is_source:
        return talk._replace(source=nat.address, source_port=nat.port or talk.source_port)
    return talk._replace(destination=nat.address, destination_port=nat.port or talk.destination_port)


def _named(packet: Packet, talk: Talk, *, ports: bool = True) -> Packet:
    """Return the packet with the ends of a connection of its protocol."""
    kind = fields.IPV4 if talk.eth_type == fields.ETH_IPV4 else fields.IPV6
    packet = packet.set(kind.source, talk.source).set(kind.destination, talk.destination)
    if ports and talk.protocol in _PORTS:
        source, destination = _PORTS[talk.protocol]
        packet = packet.set(source, talk.source_port).set(destination, talk.destination_port)
    return packet


def _ports(packet: Packet, protocol: int) -> tuple[int, int] | None:
    if protocol in _PORTS:
        first, second = (packet.get(name) for name in _PORTS[protocol])
        return None if first is None or second is None else (first, second)
    if protocol in _ICMP_TYPE:
        query = packet.get(_ICMP_TYPE[protocol])
        answer = None if query is None else _ICMP_ANSWER[protocol].get(query)
        return None if query is None or answer is None else (query, answer)
    return None


def _is_error(packet: Packet) -> bool:
    protocol = packet.get(fields.IP_PROTO)
    return protocol in _ICMP_TYPE and packet.get(_ICMP_TYPE[protocol]) in _ICMP_ERROR[protocol]
