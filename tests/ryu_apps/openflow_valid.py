"""Hypothesis strategies for flows that Open vSwitch takes: prerequisites are there, masks only where it allows them."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.ryu_apps.openflow_values import numbers
from topology import fields
from topology.fields import BY_NAME, FULL_MASK, Field
from topology.flow import NO_TABLE, Action, Actions, Flow, Match, Op, copy, load, match_fields

# ovs-fields(7): fields without a mask.
EXACT = {
    BY_NAME[name]
    for name in (
        *("in_port", "ct_zone", "eth_type", "ip_dscp", "ip_proto", "arp_op"),
        *("icmpv4_type", "icmpv4_code", "icmpv6_type", "icmpv6_code", "nd_reserved", "nd_options_type"),
    )
}
READ_ONLY = {BY_NAME[name] for name in ("in_port", "ct_state", "ct_zone", "eth_type", "ip_proto", "tcp_flags")}
# ct_mark and ct_label are set only inside ct().
IN_CT = {BY_NAME["ct_mark"], BY_NAME["ct_label"]}
ANY_PACKET = [
    BY_NAME[name]
    for name in (
        *("in_port", "tunnel_id", "pkt_mark", "ct_zone", "ct_mark", "ct_label", "eth_dst", "eth_src"),
        *(f"reg{number}" for number in range(8)),
        *("tun_ipv4_src", "tun_ipv4_dst", "tun_ipv6_src", "tun_ipv6_dst"),
    )
]
_IP = ("ip_dscp",)
_V4 = (*_IP, "ipv4_src", "ipv4_dst")
_V6 = (*_IP, "ipv6_src", "ipv6_dst")


def _kind(terms: dict[str, int], *names: str) -> tuple[Match, list[Field]]:
    return match_fields(*((BY_NAME[name], value) for name, value in terms.items())), [BY_NAME[name] for name in names]


# What a packet is, and the fields that it then has.
KINDS = [
    _kind({}),
    _kind({"eth_type": 0x0806}, "arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"),
    _kind({"eth_type": 0x0800}, *_V4),
    _kind({"eth_type": 0x86DD}, *_V6),
    _kind({"eth_type": 0x0800, "ip_proto": 6}, *_V4, "tcp_src", "tcp_dst", "tcp_flags"),
    _kind({"eth_type": 0x86DD, "ip_proto": 6}, *_V6, "tcp_src", "tcp_dst", "tcp_flags"),
    _kind({"eth_type": 0x0800, "ip_proto": 17}, *_V4, "udp_src", "udp_dst"),
    _kind({"eth_type": 0x0800, "ip_proto": 132}, *_V4, "sctp_src", "sctp_dst"),
    _kind({"eth_type": 0x0800, "ip_proto": 1}, *_V4, "icmpv4_type", "icmpv4_code"),
    _kind({"eth_type": 0x86DD, "ip_proto": 58}, *_V6, "icmpv6_type", "icmpv6_code"),
    _kind(
        {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 135, "icmpv6_code": 0},
        *(*_V6, "ipv6_nd_target", "ipv6_nd_sll", "nd_reserved", "nd_options_type"),
    ),
    _kind(
        {"eth_type": 0x86DD, "ip_proto": 58, "icmpv6_type": 136, "icmpv6_code": 0},
        *(*_V6, "ipv6_nd_target", "ipv6_nd_tll", "nd_reserved", "nd_options_type"),
    ),
]


@st.composite
def valid_terms(draw: st.DrawFn, field: Field) -> tuple[Field, int, int]:
    """A term that a match may have."""
    if field == fields.IN_PORT:
        return field, draw(st.integers(1, 0xFEFF)), FULL_MASK[field]
    if field == fields.ARP_OP:  # Open vSwitch keeps 8 bits of it
        return field, draw(st.integers(1, 0xFF)), FULL_MASK[field]
    full = FULL_MASK[field]
    mask = full if field in EXACT or draw(st.booleans()) else draw(st.integers(1, full))
    return field, draw(numbers(fields.spec(field).width)) & mask, mask


def ct_states() -> st.SearchStrategy[tuple[Field, int, int]]:
    """Tracked, and some of the other bits; a packet that is invalid cannot be committed."""
    return st.integers(0, 0xFF).flatmap(
        lambda mask: st.integers(0, 0xFF).map(
            lambda value: (
                fields.CT_STATE,
                (value & mask & ~fields.CT_INVALID) | fields.CT_TRACKED,
                mask | fields.CT_TRACKED,
            )
        )
    )


@st.composite
def valid_actions(draw: st.DrawFn, present: list[Field], table: int) -> Actions:
    """Actions on a packet that has the fields `present`, in a table."""
    writable = [field for field in (*ANY_PACKET, *present) if field not in READ_ONLY | IN_CT]
    later = st.integers(table + 1, 253)
    word = st.integers(1, 0xFFFFFF00)
    one: st.SearchStrategy[Action] = st.one_of(
        st.sampled_from(writable).flatmap(valid_terms).map(lambda term: load(*term)),
        _copies(writable),
        st.sampled_from([1, 2, 7, 0xFEFF, 0xFFFFFFF8, 0xFFFFFFFE]).map(lambda port: (Op.OUTPUT, port)),
        st.tuples(st.just(Op.OUTPUT_FIELD), st.sampled_from([BY_NAME[f"reg{number}"] for number in range(8)])),
        st.tuples(st.just(Op.RESUBMIT), st.integers(0, 253)),
        st.just((Op.CT_CLEAR,)),
        st.just((Op.NO_IN_PORT,)),
    )
    one = st.one_of(one, st.lists(one, min_size=1, max_size=3).map(lambda nested: (Op.CLONE, tuple(nested))))
    if BY_NAME["ip_dscp"] in present:
        one = st.one_of(one, st.just((Op.DEC_TTL,)), _tracking(4 if BY_NAME["ipv4_src"] in present else 6))
    actions = draw(st.lists(one, max_size=4))
    if not actions and draw(st.booleans()):
        return ((Op.CONJUNCTION, draw(word), draw(st.integers(0, 1)), draw(st.integers(2, 64))),)
    jump = draw(st.one_of(st.just(()), later.map(lambda number: ((Op.GOTO, number),)))) if table < 250 else ()
    return (*actions, *jump)


@st.composite
def _copies(draw: st.DrawFn, writable: list[Field]) -> Action:
    source = draw(st.sampled_from(writable))
    destination = draw(st.sampled_from(writable))
    bits = draw(st.integers(1, min(fields.spec(source).width, fields.spec(destination).width)))
    from_bit = draw(st.integers(0, fields.spec(source).width - bits))
    to_bit = draw(st.integers(0, fields.spec(destination).width - bits))
    return copy(source, destination, bits, from_bit=from_bit, to_bit=to_bit)


@st.composite
def _tracking(draw: st.DrawFn, version: int) -> Action:
    commit = draw(st.integers(0, 1))
    table = draw(st.one_of(st.just(NO_TABLE), st.integers(0, 253)))
    nested: list[Action] = []
    if commit:
        marks = st.sampled_from(sorted(IN_CT)).flatmap(valid_terms).map(lambda term: load(*term))
        nested = draw(st.lists(marks, max_size=2))
    if draw(st.booleans()):
        nested.append(draw(_nat(version, commit)))
    return (Op.CT, commit, draw(numbers(16)), table, tuple(nested))


@st.composite
def _nat(draw: st.DrawFn, version: int, commit: int) -> Action:
    if not commit:
        return (Op.NAT, 2, 0, 0, 0, 0, 0)
    bits = 32 if version == 4 else 128
    first = draw(st.integers(1, (1 << bits) - 2))
    last = draw(st.one_of(st.just(first), st.integers(first, (1 << bits) - 1)))
    port = draw(st.one_of(st.just(0), st.integers(1, 65534)))
    last_port = draw(st.one_of(st.just(port), st.integers(port, 65535))) if port else 0
    return (Op.NAT, draw(st.integers(0, 1)), version, first, last, port, last_port)


@st.composite
def valid_flows(draw: st.DrawFn) -> Flow:
    """A flow that Open vSwitch takes and gives back as it is."""
    what, more = draw(st.sampled_from(KINDS))
    chosen = draw(st.lists(st.sampled_from([*ANY_PACKET, *more]), unique=True, max_size=5))
    state = draw(st.one_of(st.just(()), ct_states().map(lambda term: (term,))))
    terms = tuple(sorted((*what, *(draw(valid_terms(field)) for field in chosen), *state)))
    table = draw(st.integers(0, 253))
    present = [field for field, _, _ in what] + more
    return Flow(table, draw(numbers(16)), terms, draw(valid_actions(present, table)))
