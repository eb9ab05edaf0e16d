"""How matches and actions look that claims allow: written out as tuples, so that one comparison tells.

On purpose not what `topology.matches` and `topology.flow` build: a mistake there must not be the verifier's as well. No
model and no stages here.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

from topology import fields
from topology.fields import IPV4, IPV6, Family, Field
from topology.flow import NO_TABLE, Action, Actions, Match, MatchTerm, Op
from topology.model import Address, Prefix
from topology.pipeline import (
    BY_SERVICE,
    CLUSTER_SOURCE,
    DESTINATION_VNID,
    OUTPUT_PORT,
    SCRATCH,
    SERVICE_MAC,
    SOURCE_VNID,
    SPACE,
    SPACE_MAC,
    Table,
)

Facts: TypeAlias = dict[Match, Actions]  # what a stage must hold: actions by match

W6: Final = 0x3F
W8: Final = 0xFF
W16: Final = 0xFFFF
W32: Final = 0xFFFF_FFFF
W48: Final = 0xFFFF_FFFF_FFFF
W128: Final = (1 << 128) - 1

IS_IP: Final[dict[int, MatchTerm]] = {
    4: (fields.ETH_TYPE, fields.ETH_IPV4, W16),
    6: (fields.ETH_TYPE, fields.ETH_IPV6, W16),
}
IS_ARP: Final[MatchTerm] = (fields.ETH_TYPE, fields.ETH_ARP, W16)
IS_ICMPV6: Final[MatchTerm] = (fields.IP_PROTO, 58, W8)
SOLICITS: Final[Match] = ((fields.ICMPV6_TYPE, 135, W8), (fields.ICMPV6_CODE, 0, W8))
ADVERTISES: Final[Match] = ((fields.ICMPV6_TYPE, 136, W8), (fields.ICMPV6_CODE, 0, W8))
SHARED: Final[MatchTerm] = (SPACE, 0, W32)
ADDRESS_MASK: Final = {4: W32, 6: W128}


def solicits(source: Field, address: int, mac: int) -> Match:
    """Return the terms of a neighbour solicitation (RFC 4861, 4.3) from an address, whose option has a MAC."""
    of_source, option = (source, address, W128), (fields.ND_SLL, mac, W48)
    return (IS_IP[6], IS_ICMPV6, of_source, *SOLICITS, option)


def family_of(version: int) -> Family:
    """Return the address family of IP version 4 or 6."""
    return IPV4 if version == 4 else IPV6


def goto(table: Table) -> Action:
    """Continue in a table."""
    return (Op.GOTO, int(table))


def load(field: Field, value: int, mask: int = W32) -> Action:
    """Set a field, all of whose bits `mask` has."""
    return (Op.SET, field, value, mask)


def ask(zone: int, table: Table) -> Action:
    """Look up in a conntrack zone and continue in a table."""
    return (Op.CT, 0, zone, int(table), ())


def commit(zone: int, table: Table | None = None) -> Action:
    """Commit in a conntrack zone, and continue in a table if one is given."""
    return (Op.CT, 1, zone, NO_TABLE if table is None else int(table), ())


def known_ends(zone: int, table: Table) -> Action:
    """Give a packet the ends that its connection has in a conntrack zone, if it has one there, and continue."""
    return (Op.CT, 0, zone, int(table), ((Op.NAT, 2, 0, 0, 0, 0, 0),))


def begun_from(address: Address, zone: int, table: Table) -> Action:
    """Commit in a conntrack zone as coming from an address, by whichever port is free there, and continue."""
    value = int(address)
    return (Op.CT, 1, zone, int(table), ((Op.NAT, 0, address.version, value, value, 0, 0),))


def in_prefix(cidr: Prefix) -> tuple[MatchTerm, MatchTerm]:
    """Return the terms that say that a packet is to a prefix."""
    return IS_IP[cidr.version], (family_of(cidr.version).destination, int(cidr.network_address), int(cidr.netmask))


def is_to(address: Address) -> tuple[MatchTerm, MatchTerm]:
    """Return the terms that say that a packet is to an address."""
    version = address.version
    return IS_IP[version], (family_of(version).destination, int(address), ADDRESS_MASK[version])


def is_from(address: Address) -> tuple[MatchTerm, MatchTerm]:
    """Return the terms that say that a packet is from an address."""
    version = address.version
    return IS_IP[version], (family_of(version).source, int(address), ADDRESS_MASK[version])


def address_in(term: MatchTerm) -> Address:
    """Return the address that a term about one of IPv4 or IPv6 names."""
    return IPv6Address(term[1]) if fields.spec(term[0]).width == 128 else IPv4Address(term[1])


def pair(source: int, destination: int) -> tuple[MatchTerm, MatchTerm]:
    """Return the terms of a source and a destination VNID."""
    return (SOURCE_VNID, source, W32), (DESTINATION_VNID, destination, W32)


NO_IN_PORT: Final[Action] = (Op.NO_IN_PORT,)
TO_OUTPUT: Final[Actions] = (goto(Table.OUTPUT),)
TO_EGRESS_POLICY: Final[Actions] = (goto(Table.EGRESS_POLICY),)
TO_LOCAL: Final[Actions] = (goto(Table.LOCAL),)
TO_SERVICE_REPLIES: Final[Actions] = (goto(Table.SERVICE_REPLIES),)
TO_TUNNEL: Final[Actions] = (goto(Table.TUNNEL_EGRESS),)
TO_GUARD: Final[Actions] = (goto(Table.NODE_GUARD),)
# What an error quotes is in the sender's own address, so that is kept where it is changed.
KEEP_SOURCE: Final[Action] = (Op.COPY, fields.IPV4_SRC, 0, SCRATCH, 0, 32)
TO_LEAVING_ERRORS: Final[Action] = goto(Table.LEAVING_ERRORS)
LEAVE_SPACE: Final[Actions] = (
    KEEP_SOURCE,
    (Op.COPY, CLUSTER_SOURCE, 0, fields.IPV4_SRC, 0, 32),
    load(SPACE, 0),
    TO_LEAVING_ERRORS,
)
# Both inner MACs are such as a node writes.
ENVELOPED: Final[Match] = (
    (fields.ETH_DST, 0x0A59_0000_0000, 0xFFFF_FF00_0000),
    (fields.ETH_SRC, 0x0A5A_0000_0000, 0xFFFE_0000_0000),  # by a service, or to leave by an egress
)
# Of a tunnel packet the VNID is the tunnel id; the low bits of the inner MACs are the destination's space and the VNID
# of the service by which it was named.
FROM_PEER: Final[Actions] = (
    (Op.COPY, fields.TUNNEL_ID, 0, SOURCE_VNID, 0, 24),
    (Op.COPY, fields.ETH_DST, 0, SPACE, 0, 24),
    (Op.COPY, fields.ETH_SRC, 0, BY_SERVICE, 0, 24),
    goto(Table.SERVICE_REPLIES),
)
_ENVELOPE: Final[Actions] = (
    (Op.COPY, SOURCE_VNID, 0, fields.TUNNEL_ID, 0, 24),
    (Op.SET, fields.ETH_DST, SPACE_MAC, W48),
    (Op.COPY, SPACE, 0, fields.ETH_DST, 0, 24),
    (Op.SET, fields.ETH_SRC, SERVICE_MAC, W48),
    (Op.COPY, BY_SERVICE, 0, fields.ETH_SRC, 0, 24),
)
TO_TUN: Final[Actions] = (load(OUTPUT_PORT, 2), goto(Table.OUTPUT))


def to_peer(vtep: Address) -> Actions:
    """Return what hands a packet to another node: VNID, space and service in the envelope, out by the tunnel.

    Both inner MACs are written in full: nothing that a pod put there arrives.
    """
    kind = family_of(vtep.version)
    return (
        *_ENVELOPE,
        (Op.SET, kind.tunnel_destination, int(vtep), ADDRESS_MASK[vtep.version]),
        goto(Table.ENCAPSULATION),
    )


_SWAP: Final = Field(10)  # reg4
assert fields.spec(_SWAP).name == "reg4"
# A request turned into its answer (RFC 826): the MAC is 0a:58 and the address that was asked for.
ANSWER_ARP: Final[Actions] = (
    (Op.COPY, fields.ETH_SRC, 0, fields.ETH_DST, 0, 48),
    (Op.COPY, fields.ARP_SHA, 0, fields.ARP_THA, 0, 48),
    (Op.SET, fields.ARP_SHA, 0x0A58_0000_0000, W48),
    (Op.COPY, fields.ARP_TPA, 0, fields.ARP_SHA, 0, 32),
    (Op.COPY, fields.ARP_SHA, 0, fields.ETH_SRC, 0, 48),
    (Op.SET, fields.ARP_OP, 2, W16),
    (Op.COPY, fields.ARP_TPA, 0, _SWAP, 0, 32),
    (Op.COPY, fields.ARP_SPA, 0, fields.ARP_TPA, 0, 32),
    (Op.COPY, _SWAP, 0, fields.ARP_SPA, 0, 32),
    (Op.OUTPUT, 0xFFFF_FFF8),
)
# A solicitation turned into its advertisement (RFC 4861, 4.4), from the MAC of its target: 0a:58, and of the address
# bits 64 to 79 and 0 to 15.
ADVERTISE: Final[Actions] = (
    (Op.COPY, fields.ETH_SRC, 0, fields.ETH_DST, 0, 48),
    (Op.SET, fields.ETH_SRC, 0x0A58_0000_0000, W48),
    (Op.COPY, fields.ND_TARGET, 0, fields.ETH_SRC, 0, 16),
    (Op.COPY, fields.ND_TARGET, 64, fields.ETH_SRC, 16, 16),
    (Op.COPY, fields.IPV6_SRC, 0, fields.IPV6_DST, 0, 128),
    (Op.COPY, fields.ND_TARGET, 0, fields.IPV6_SRC, 0, 128),
    (Op.SET, fields.ND_OPTIONS_TYPE, 2, W8),
    (Op.SET, fields.ND_RESERVED, 0x6000_0000, W32),
    (Op.SET, fields.ICMPV6_TYPE, 136, W8),
    (Op.GOTO, int(Table.ND_ANSWERS)),
)
ANSWER_ND: Final[Actions] = ((Op.COPY, fields.ETH_SRC, 0, fields.ND_TLL, 0, 48), (Op.OUTPUT, 0xFFFF_FFF8))
