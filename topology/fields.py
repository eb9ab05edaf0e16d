"""Match fields and registers of a packet, by their OpenFlow names, and the address families built from them.

What a field *means* here is decided in `pipeline`; how it looks on the wire is known to `ryu_apps.openflow` alone.
A field is a plain integer, so that a flow is a nested tuple of integers: cheap to make, to compare and to digest.
The numbers are part of no protocol, but of every cookie: changing one rewrites the flows that use it.
"""

from __future__ import annotations

from typing import Final, NamedTuple, NewType

Field = NewType("Field", int)


class FieldSpec(NamedTuple):
    """One match field: its OpenFlow name, what `ovs-ofctl` calls it, and its width in bits."""

    name: str
    ovs: str
    width: int


# The order is canonical for matches: prerequisites (OpenFlow 1.5.1, 7.2.3.6) come before the fields that need them.
_SPECS: Final[tuple[FieldSpec, ...]] = (
    FieldSpec("in_port", "in_port", 32),
    FieldSpec("tunnel_id", "tun_id", 64),
    FieldSpec("tun_ipv4_src", "tun_src", 32),
    FieldSpec("tun_ipv4_dst", "tun_dst", 32),
    FieldSpec("tun_ipv6_src", "tun_ipv6_src", 128),
    FieldSpec("tun_ipv6_dst", "tun_ipv6_dst", 128),
    FieldSpec("reg0", "reg0", 32),
    FieldSpec("reg1", "reg1", 32),
    FieldSpec("reg2", "reg2", 32),
    FieldSpec("reg3", "reg3", 32),
    FieldSpec("reg4", "reg4", 32),
    FieldSpec("reg5", "reg5", 32),
    FieldSpec("reg6", "reg6", 32),
    FieldSpec("reg7", "reg7", 32),
    FieldSpec("reg8", "reg8", 32),
    FieldSpec("reg9", "reg9", 32),
    FieldSpec("pkt_mark", "pkt_mark", 32),
    FieldSpec("ct_state", "ct_state", 32),
    FieldSpec("ct_zone", "ct_zone", 16),
    FieldSpec("ct_mark", "ct_mark", 32),
    FieldSpec("ct_label", "ct_label", 128),
    FieldSpec("eth_dst", "dl_dst", 48),
    FieldSpec("eth_src", "dl_src", 48),
    FieldSpec("eth_type", "dl_type", 16),
    FieldSpec("ip_dscp", "ip_dscp", 6),
    FieldSpec("ip_proto", "nw_proto", 8),
    FieldSpec("ipv4_src", "nw_src", 32),
    FieldSpec("ipv4_dst", "nw_dst", 32),
    FieldSpec("ipv6_src", "ipv6_src", 128),
    FieldSpec("ipv6_dst", "ipv6_dst", 128),
    FieldSpec("arp_op", "arp_op", 16),
    FieldSpec("arp_spa", "arp_spa", 32),
    FieldSpec("arp_tpa", "arp_tpa", 32),
    FieldSpec("arp_sha", "arp_sha", 48),
    FieldSpec("arp_tha", "arp_tha", 48),
    FieldSpec("tcp_src", "tp_src", 16),
    FieldSpec("tcp_dst", "tp_dst", 16),
    FieldSpec("tcp_flags", "tcp_flags", 12),
    FieldSpec("udp_src", "tp_src", 16),
    FieldSpec("udp_dst", "tp_dst", 16),
    FieldSpec("sctp_src", "tp_src", 16),
    FieldSpec("sctp_dst", "tp_dst", 16),
    FieldSpec("icmpv4_type", "icmp_type", 8),
    FieldSpec("icmpv4_code", "icmp_code", 8),
    FieldSpec("icmpv6_type", "icmpv6_type", 8),
    FieldSpec("icmpv6_code", "icmpv6_code", 8),
    FieldSpec("ipv6_nd_target", "nd_target", 128),
    FieldSpec("ipv6_nd_sll", "nd_sll", 48),
    FieldSpec("ipv6_nd_tll", "nd_tll", 48),
    FieldSpec("nd_reserved", "nd_reserved", 32),
    FieldSpec("nd_options_type", "nd_options_type", 8),
)

BY_NAME: Final[dict[str, Field]] = {spec.name: Field(number) for number, spec in enumerate(_SPECS)}
FULL_MASK: Final[tuple[int, ...]] = tuple((1 << spec.width) - 1 for spec in _SPECS)


def spec(field: Field) -> FieldSpec:
    """Return name and width of `field`."""
    return _SPECS[field]


def all_fields() -> tuple[Field, ...]:
    """Return every field, in canonical order."""
    return tuple(Field(number) for number in range(len(_SPECS)))


IN_PORT: Final = BY_NAME["in_port"]
TUNNEL_ID: Final = BY_NAME["tunnel_id"]
TUN_IPV4_SRC: Final = BY_NAME["tun_ipv4_src"]
TUN_IPV4_DST: Final = BY_NAME["tun_ipv4_dst"]
TUN_IPV6_SRC: Final = BY_NAME["tun_ipv6_src"]
TUN_IPV6_DST: Final = BY_NAME["tun_ipv6_dst"]
REG0: Final = BY_NAME["reg0"]
REG1: Final = BY_NAME["reg1"]
REG2: Final = BY_NAME["reg2"]
REG3: Final = BY_NAME["reg3"]
REG4: Final = BY_NAME["reg4"]
REG5: Final = BY_NAME["reg5"]
REG6: Final = BY_NAME["reg6"]
REG7: Final = BY_NAME["reg7"]
REG8: Final = BY_NAME["reg8"]
CT_STATE: Final = BY_NAME["ct_state"]
CT_ZONE: Final = BY_NAME["ct_zone"]
CT_MARK: Final = BY_NAME["ct_mark"]
ETH_DST: Final = BY_NAME["eth_dst"]
ETH_SRC: Final = BY_NAME["eth_src"]
ETH_TYPE: Final = BY_NAME["eth_type"]
IP_DSCP: Final = BY_NAME["ip_dscp"]
IP_PROTO: Final = BY_NAME["ip_proto"]
ICMP_TYPE: Final = BY_NAME["icmpv4_type"]
ICMPV6_TYPE: Final = BY_NAME["icmpv6_type"]
ICMPV6_CODE: Final = BY_NAME["icmpv6_code"]
ND_TARGET: Final = BY_NAME["ipv6_nd_target"]
ND_SLL: Final = BY_NAME["ipv6_nd_sll"]
ND_TLL: Final = BY_NAME["ipv6_nd_tll"]
ND_RESERVED: Final = BY_NAME["nd_reserved"]
ND_OPTIONS_TYPE: Final = BY_NAME["nd_options_type"]
IPV4_SRC: Final = BY_NAME["ipv4_src"]
IPV4_DST: Final = BY_NAME["ipv4_dst"]
IPV6_SRC: Final = BY_NAME["ipv6_src"]
IPV6_DST: Final = BY_NAME["ipv6_dst"]
ARP_OP: Final = BY_NAME["arp_op"]
ARP_SPA: Final = BY_NAME["arp_spa"]
ARP_TPA: Final = BY_NAME["arp_tpa"]
ARP_SHA: Final = BY_NAME["arp_sha"]
ARP_THA: Final = BY_NAME["arp_tha"]

# EtherTypes (IEEE 802) and IP protocol numbers (IANA).
ETH_IPV4: Final = 0x0800
ETH_ARP: Final = 0x0806
ETH_IPV6: Final = 0x86DD
PROTO_ICMP: Final = 1
PROTO_TCP: Final = 6
PROTO_UDP: Final = 17
PROTO_ICMPV6: Final = 58
PROTO_SCTP: Final = 132
# ICMPv6 types of neighbour discovery (RFC 4861, 4.3 and 4.4).
ND_SOLICITATION: Final = 135
ND_ADVERTISEMENT: Final = 136

# Bits of ct_state (ovs-fields(7)).
CT_NEW: Final = 0x01
CT_ESTABLISHED: Final = 0x02
CT_RELATED: Final = 0x04
CT_REPLY: Final = 0x08
CT_INVALID: Final = 0x10
CT_TRACKED: Final = 0x20
CT_SOURCE_CHANGED: Final = 0x40
CT_DESTINATION_CHANGED: Final = 0x80
IS_REPLY: Final = CT_TRACKED | CT_ESTABLISHED | CT_REPLY  # of an established connection, against its direction
IS_DNATTED: Final = CT_TRACKED | CT_DESTINATION_CHANGED  # sent on to where its connection was, or an error about it
IS_NEW: Final = CT_TRACKED | CT_NEW
IS_ANSWER: Final = CT_TRACKED | CT_REPLY  # against a connection's direction, errors about it too
IS_RELATED: Final = CT_TRACKED | CT_RELATED  # an error that belongs to a connection


class Family(NamedTuple):
    """An address family: how a packet of it is recognised and where its addresses stand."""

    version: int
    eth_type: int
    bits: int
    source: Field
    destination: Field
    tunnel_source: Field
    tunnel_destination: Field


IPV4: Final = Family(4, ETH_IPV4, 32, IPV4_SRC, IPV4_DST, TUN_IPV4_SRC, TUN_IPV4_DST)
IPV6: Final = Family(6, ETH_IPV6, 128, IPV6_SRC, IPV6_DST, TUN_IPV6_SRC, TUN_IPV6_DST)


def family(version: int) -> Family:
    """Return the address family with IP version 4 or 6."""
    return IPV4 if version == 4 else IPV6


PORT_BITS: Final = 16  # of a transport protocol's port
# Protocol numbers, source-port and destination-port fields of the transport protocols that Kubernetes names.
TRANSPORT: Final[dict[str, tuple[int, Field, Field]]] = {
    "TCP": (PROTO_TCP, BY_NAME["tcp_src"], BY_NAME["tcp_dst"]),
    "UDP": (PROTO_UDP, BY_NAME["udp_src"], BY_NAME["udp_dst"]),
    "SCTP": (PROTO_SCTP, BY_NAME["sctp_src"], BY_NAME["sctp_dst"]),
}
