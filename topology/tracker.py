"""Connection tracking as a value: which connections a switch knows, by zone, and what a packet is to them.

What ovs-fields(7) says of ct_state, without time-outs, TCP sequence numbers and NAT.
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


@dataclass(frozen=True, slots=True)
class Tracker:
    """The connections that were committed, and whether a reply to each was seen."""

    talks: Map[Talk, bool] = Map()

    def look_up(self, packet: Packet, zone: int) -> tuple[int, Tracker]:
        """Return a packet's ct_state in a zone, and the tracker that has seen it."""
        if _is_error(packet):
            quoted = None if packet.quoted is None else talk_of(packet.quoted, zone)
            known = quoted is not None and (quoted in self.talks or quoted.reverse() in self.talks)
            return fields.CT_TRACKED | (fields.CT_RELATED if known else fields.CT_INVALID), self
        talk = talk_of(packet, zone)
        if talk is None:
            return fields.CT_TRACKED | fields.CT_INVALID, self
        if talk.reverse() in self.talks:
            seen = Tracker(self.talks.set(talk.reverse(), True))
            return fields.CT_TRACKED | fields.CT_ESTABLISHED | fields.CT_REPLY, seen
        if talk not in self.talks and not begins(packet):
            return fields.CT_TRACKED | fields.CT_INVALID, self
        state = fields.CT_ESTABLISHED if self.talks.get(talk, False) else fields.CT_NEW
        return fields.CT_TRACKED | state, self

    def commit(self, packet: Packet, zone: int) -> Tracker:
        """Return the tracker that knows a packet's connection from now on."""
        talk = talk_of(packet, zone)
        if talk is None or talk in self.talks or talk.reverse() in self.talks or not begins(packet):
            return self
        return Tracker(self.talks.set(talk, False))


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
