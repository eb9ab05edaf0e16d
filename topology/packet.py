"""A packet as the pipeline sees it: field values, and builders for the usual protocols. Nothing happens to it here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from immutables import Map

from topology import fields
from topology.fields import BY_NAME, FULL_MASK, Field
from topology.model import VXLAN_OFPORT, Address, mac_of
from topology.pipeline import SERVICE_MAC, SPACE_MAC

ICMP_ECHO_REPLY: Final = 0  # IANA, ICMP type numbers
ICMP_UNREACHABLE: Final = 3
ICMP_ECHO: Final = 8
ICMPV6_UNREACHABLE: Final = 1  # IANA, ICMPv6 type numbers
ICMPV6_ECHO: Final = 128

ND_TYPES: Final = range(133, 138)  # router and neighbour solicitation and advertisement, redirect (RFC 4861)
DHCPV6_CLIENT: Final = 546  # RFC 8415, section 7.2

_BROADCAST: Final = FULL_MASK[fields.ETH_DST]
# What a switch keeps beside a packet, 0 unless set; other fields exist only if the packet has them.
_BESIDE: Final = frozenset(
    BY_NAME[name]
    for name in (
        *("in_port", "tunnel_id", "tun_ipv4_src", "tun_ipv4_dst", "tun_ipv6_src", "tun_ipv6_dst", "pkt_mark"),
        *(f"reg{number}" for number in range(10)),
        *("ct_state", "ct_zone", "ct_mark", "ct_label"),
    )
)


@dataclass(frozen=True, slots=True)
class Packet:
    """Field values in host order; an ICMP error also has the packet that it quotes."""

    values: Map[Field, int]
    quoted: Packet | None = None

    def get(self, field: Field) -> int | None:
        """Return a field's value; None when a packet of this kind has no such field."""
        return self.values.get(field, 0 if field in _BESIDE else None)

    def set(self, field: Field, value: int) -> Packet:
        """Return the packet with one field changed."""
        return Packet(self.values.set(field, value), self.quoted)

    def update(self, **values: int) -> Packet:
        """Return the packet with fields changed, by their OpenFlow names."""
        return Packet(self.values.update({BY_NAME[name]: value for name, value in values.items()}), self.quoted)


def arriving(packet: Packet, port: int) -> Packet:
    """Return a packet as a switch gets it by a port: without what another switch kept beside it."""
    own = {field: value for field, value in packet.values.items() if field not in _BESIDE}
    return Packet(Map({**own, fields.IN_PORT: port}), packet.quoted)


def requoted(packet: Packet) -> Packet | None:
    """Return an ICMP error as the translator of quotes sends it back by icmp0 (`pipeline` has what its MACs say).

    Who gets an error sent what it quotes; and what it quotes was sent to the error's sender, if to the address that the
    MACs name. An error that quotes no IPv4 packet does not come back: None.
    """
    quoted = packet.quoted
    if quoted is None or quoted.get(fields.IPV4_SRC) is None:
        return None
    high, low = (packet.get(field) or 0 for field in (fields.ETH_DST, fields.ETH_SRC))
    before, source = (high & 0xFFFF) << 16 | low & 0xFFFF, packet.get(fields.IPV4_SRC) or 0
    quoted = quoted.set(fields.IPV4_SRC, packet.get(fields.IPV4_DST) or 0)
    if quoted.get(fields.IPV4_DST) == before:
        quoted = quoted.set(fields.IPV4_DST, source)
    return Packet(packet.values, quoted)


def tunnelled(packet: Packet, vnid: int, source: Address, destination: Address, space: int | None = None) -> Packet:
    """Return a packet as a switch gets it by vxlan0, from one VTEP to another of one family.

    `space` is the address space that the inner destination MAC is to name, by no service; None leaves both MACs as they
    are.
    """
    outer = fields.family(source.version)
    around = {
        fields.TUNNEL_ID: vnid,
        outer.tunnel_source: int(source),
        outer.tunnel_destination: int(destination),
    }
    plain = arriving(packet, VXLAN_OFPORT)
    if space is not None:
        around |= {fields.ETH_DST: SPACE_MAC | space, fields.ETH_SRC: SERVICE_MAC}
    return Packet(plain.values.update(around), packet.quoted)


@dataclass(frozen=True, slots=True)
class Ends:
    """From whom to whom: addresses of one family, and MACs, by default those derived from the addresses."""

    source: Address
    destination: Address
    source_mac: int | None = None
    destination_mac: int | None = None

    def ethernet(self) -> Map[Field, int]:
        """Return the fields up to the IP addresses."""
        kind = fields.family(self.source.version)
        return Map(
            {
                fields.ETH_SRC: mac_of(self.source) if self.source_mac is None else self.source_mac,
                fields.ETH_DST: mac_of(self.destination) if self.destination_mac is None else self.destination_mac,
                fields.ETH_TYPE: kind.eth_type,
                kind.source: int(self.source),
                kind.destination: int(self.destination),
            }
        )


def transport(protocol: str, ends: Ends, destination_port: int, source_port: int = 40000) -> Packet:
    """Return a TCP, UDP or SCTP packet; of TCP, the first one of a connection. Raises KeyError for another protocol."""
    number, source, destination = fields.TRANSPORT[protocol]
    values = {fields.IP_PROTO: number, source: source_port, destination: destination_port}
    if number == fields.PROTO_TCP:
        values[BY_NAME["tcp_flags"]] = 0x002  # SYN (RFC 9293, 3.1)
    return Packet(ends.ethernet().update(values))


def icmp(ends: Ends, kind: int | None = None, code: int = 0, quoted: Packet | None = None) -> Packet:
    """Return an ICMP or ICMPv6 packet, an echo request unless its type is given; errors quote what they are about."""
    if ends.source.version == 4:
        number, prefix, echo = fields.PROTO_ICMP, "icmpv4", ICMP_ECHO
    else:
        number, prefix, echo = fields.PROTO_ICMPV6, "icmpv6", ICMPV6_ECHO
    values = {
        fields.IP_PROTO: number,
        BY_NAME[f"{prefix}_type"]: echo if kind is None else kind,
        BY_NAME[f"{prefix}_code"]: code,
    }
    return Packet(ends.ethernet().update(values), quoted)


def arp(ends: Ends, operation: int = 1) -> Packet:
    """Return an ARP packet (RFC 826) over IPv4 addresses: a request, unless `operation` says otherwise.

    The Ethernet source is the sender hardware address; a request goes to all. `update` changes either.
    """
    sender = mac_of(ends.source) if ends.source_mac is None else ends.source_mac
    target = mac_of(ends.destination) if ends.destination_mac is None else ends.destination_mac
    is_request = operation == 1
    return Packet(
        Map(
            {
                fields.ETH_SRC: sender,
                fields.ETH_DST: _BROADCAST if is_request else target,
                fields.ETH_TYPE: fields.ETH_ARP,
                fields.ARP_OP: operation,
                fields.ARP_SPA: int(ends.source),
                fields.ARP_TPA: int(ends.destination),
                fields.ARP_SHA: sender,
                fields.ARP_THA: 0 if is_request else target,
            }
        )
    )


def solicitation(ends: Ends, target: Address | None = None, link_address: int | None = None) -> Packet:
    """Return a neighbour solicitation (RFC 4861, 4.3): for `target`, or else whom it is sent to, in the usual way.

    The option has the Ethernet source unless `link_address` is given; without a target, it goes to the group of those
    who may have the address (RFC 4291, 2.7.1).
    """
    asked = int(ends.destination if target is None else target)
    around = ends.ethernet()
    if target is None:
        group, low = 0xFF02 << 112 | 0x1_FF00_0000, asked & 0xFF_FFFF
        around = around.update({fields.IPV6_DST: group | low, fields.ETH_DST: 0x3333_FF00_0000 | low})
    values = {
        fields.IP_PROTO: fields.PROTO_ICMPV6,
        fields.ICMPV6_TYPE: fields.ND_SOLICITATION,
        fields.ICMPV6_CODE: 0,
        fields.ND_TARGET: asked,
        fields.ND_SLL: around[fields.ETH_SRC] if link_address is None else link_address,
        fields.ND_RESERVED: 0,
        fields.ND_OPTIONS_TYPE: 1,
    }
    return Packet(around.update(values))


def is_discovery(packet: Packet) -> bool:
    """Whether a packet is of neighbour or router discovery."""
    return packet.get(fields.ICMPV6_TYPE) in ND_TYPES


def is_solicitation(packet: Packet) -> bool:
    """Whether a packet is a neighbour solicitation."""
    return packet.get(fields.ICMPV6_TYPE) == fields.ND_SOLICITATION and packet.get(fields.ICMPV6_CODE) == 0
