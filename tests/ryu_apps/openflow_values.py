"""Hypothesis strategies for matches, actions and flows, and how Ryu 4.34 would encode them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from hypothesis import strategies as st

from ryu_apps import compat  # noqa: F401  # repairs Ryu, so it comes before it

from ryu.ofproto import nicira_ext  # isort: skip
from ryu.ofproto import ofproto_v1_5 as ofp  # isort: skip
from ryu.ofproto import ofproto_v1_5_parser as parser  # isort: skip
from ryu.ofproto.ofproto_protocol import ProtocolDesc  # isort: skip

from ryu_apps.openflow.encode import BUNDLE_ID, flow_xid
from topology import fields
from topology.fields import BY_NAME, FULL_MASK, Field
from topology.flow import NO_TABLE, Action, Actions, Flow, Match, Op, copy, learn, load
from topology.pipeline import LEARNT_PRIORITY, Table

DATAPATH = ProtocolDesc(version=ofp.OFP_VERSION)
REGISTERS = [fields.BY_NAME[f"reg{number}"] for number in range(8)]


# --- strategies --------------------------------------------------------------------------------------


def numbers(bits: int) -> st.SearchStrategy[int]:
    """Numbers of so many bits, small and large ones often."""
    return st.one_of(st.integers(0, (1 << bits) - 1), st.sampled_from([0, 1, (1 << bits) - 1]))


@st.composite
def terms(draw: st.DrawFn, field: Field) -> tuple[Field, int, int]:
    """A term of a match: exact, or with a mask that is not 0."""
    width = fields.spec(field).width
    mask = draw(st.one_of(st.just(FULL_MASK[field]), st.integers(1, FULL_MASK[field])))
    return field, draw(numbers(width)) & mask, mask


@st.composite
def matches(draw: st.DrawFn) -> Match:
    """Any fields together: what an encoding has to take, not what a switch would."""
    chosen = draw(st.lists(st.sampled_from(fields.all_fields()), unique=True, max_size=8))
    return tuple(draw(terms(field)) for field in sorted(chosen))


@st.composite
def sets(draw: st.DrawFn) -> Action:
    """Set a field or some bits of it."""
    return load(*draw(st.sampled_from(fields.all_fields()).flatmap(terms)))


@st.composite
def copies(draw: st.DrawFn) -> Action:
    """Copy bits between any two fields."""
    source, destination = draw(st.tuples(*[st.sampled_from(fields.all_fields())] * 2))
    narrow = min(fields.spec(source).width, fields.spec(destination).width)
    bits = draw(st.integers(1, narrow))
    from_bit = draw(st.integers(0, fields.spec(source).width - bits))
    to_bit = draw(st.integers(0, fields.spec(destination).width - bits))
    return copy(source, destination, bits, from_bit=from_bit, to_bit=to_bit)


@st.composite
def translations(draw: st.DrawFn) -> Action:
    """NAT: as committed, or of source or destination to addresses, ports, or both."""
    side = draw(st.integers(0, 2))
    if side == 2:
        return (Op.NAT, 2, 0, 0, 0, 0, 0)
    version = draw(st.sampled_from([0, 4, 6]))
    bits = 32 if version == 4 else 128
    first = draw(st.integers(1, (1 << bits) - 2)) if version else 0
    last = draw(st.integers(first, (1 << bits) - 1)) if version else 0
    port = draw(st.integers(0, 65534)) if version else 0
    last_port = draw(st.integers(port, 65535)) if port else 0
    return (Op.NAT, side, version, first, draw(st.sampled_from([first, last])), port, last_port)


@st.composite
def tracking(draw: st.DrawFn) -> Action:
    """Connection tracking with actions inside."""
    marks = st.sampled_from([fields.BY_NAME["ct_mark"], fields.BY_NAME["ct_label"]]).flatmap(terms)
    nested = draw(st.lists(st.one_of(translations(), marks.map(lambda term: load(*term))), max_size=3))
    table = draw(st.one_of(st.just(NO_TABLE), st.integers(0, 253)))
    return (Op.CT, draw(st.integers(0, 1)), draw(numbers(16)), table, tuple(nested))


def simple_actions() -> st.SearchStrategy[Action]:
    """All operations but the jump to a table."""
    word = numbers(32)
    return st.one_of(
        sets(),
        copies(),
        tracking(),
        st.tuples(st.just(Op.OUTPUT), word),
        st.tuples(st.just(Op.OUTPUT_FIELD), st.sampled_from(REGISTERS)),
        st.tuples(st.just(Op.RESUBMIT), st.integers(0, 253)),
        st.just((Op.DEC_TTL,)),
        st.tuples(st.just(Op.GROUP), word),
        st.tuples(st.just(Op.METER), word),
        st.tuples(st.just(Op.CONJUNCTION), word, st.integers(0, 63), st.integers(2, 64)),
        st.just((Op.CT_CLEAR,)),
        st.just((Op.NO_IN_PORT,)),
        learning(),
    )


def learning() -> st.SearchStrategy[Action]:
    """What a service whose clients stay with an endpoint lets the switch learn, and the like."""
    named = st.sampled_from([BY_NAME[name] for name in ("ipv4_src", "ipv4_dst", "tcp_dst", "reg4", "eth_dst")])
    exact = st.sampled_from([BY_NAME["eth_type"], BY_NAME["ip_proto"], BY_NAME["reg1"]])
    taken = st.lists(named, max_size=3, unique=True)
    fixed = st.lists(exact, max_size=3, unique=True).flatmap(_with_values)
    return st.builds(learn, st.just(Table.AFFINITY), numbers(16), taken, fixed, taken)


def _with_values(names: list[Field]) -> st.SearchStrategy[Match]:
    each = (st.tuples(st.just(name), numbers(fields.spec(name).width), st.just(FULL_MASK[name])) for name in names)
    return st.tuples(*each)


def action_lists() -> st.SearchStrategy[Actions]:
    """Lists of actions without a jump, as a bucket has them."""
    return st.lists(simple_actions(), max_size=5).map(tuple)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Any flow."""
    jump = draw(st.one_of(st.just(()), st.integers(0, 253).map(lambda table: ((Op.GOTO, table),))))
    return Flow(draw(st.integers(0, 253)), draw(numbers(16)), draw(matches()), (*draw(action_lists()), *jump))


# --- the same, by Ryu --------------------------------------------------------------------------------


def ryu_value(field: Field, value: int) -> Any:
    """Return a value as Ryu's classes take it."""
    name = fields.spec(field).name
    if name in ("tun_ipv4_src", "tun_ipv4_dst", "ipv4_src", "ipv4_dst", "arp_spa", "arp_tpa"):
        return str(IPv4Address(value))
    if fields.spec(field).width == 128 and name != "ct_label":
        return str(IPv6Address(value))
    if fields.spec(field).width == 48:
        return ":".join(f"{byte:02x}" for byte in value.to_bytes(6, "big"))
    return value


def ryu_term(term: tuple[Field, int, int]) -> tuple[str, Any]:
    """Return a term as name and value, or name and (value, mask)."""
    field, value, mask = term
    exact = mask == FULL_MASK[field]
    shown = ryu_value(field, value) if exact else (ryu_value(field, value), ryu_value(field, mask))
    return fields.spec(field).name, shown


def ryu_match(match: Match) -> Any:
    """Return OFPMatch with the fields in our order."""
    return parser.OFPMatch(_ordered_fields=[ryu_term(term) for term in match])


def ryu_action(action: Any) -> Any:  # noqa: C901  # one case per operation
    """Return Ryu's object of one action."""
    match action:
        case (Op.SET, field, value, mask):
            name, shown = ryu_term((field, value, mask))
            return parser.OFPActionSetField(**{name: shown})
        case (Op.COPY, source, from_bit, destination, to_bit, bits):
            names = [fields.spec(field).name for field in (source, destination)]
            return parser.OFPActionCopyField(n_bits=bits, src_offset=from_bit, dst_offset=to_bit, oxm_ids=names)
        case (Op.OUTPUT, port):
            return parser.OFPActionOutput(port, max_len=0)
        case (Op.OUTPUT_FIELD, field):
            return parser.NXActionOutputReg(nicira_ext.ofs_nbits(0, 31), fields.spec(field).name, 0xFFFF)
        case (Op.CT, commit, zone, table, nested):
            return parser.NXActionCT(commit, "", zone, table, 0, [ryu_action(each) for each in nested])
        case (Op.NAT, *_):
            return ryu_nat(action)
        case (Op.RESUBMIT, table):
            return parser.NXActionResubmitTable(0xFFF8, table)
        case (Op.DEC_TTL,):
            return parser.OFPActionDecNwTtl()
        case (Op.GROUP, number):
            return parser.OFPActionGroup(number)
        case (Op.METER, number):
            return parser.OFPActionMeter(number)
        case (Op.CONJUNCTION, number, clause, clauses):
            return parser.NXActionConjunction(clause, clauses, number)
        case (Op.CT_CLEAR,):
            return parser.NXActionCTClear()
        case (Op.LEARN, table, idle, cookie, same, exact, kept):
            return ryu_learn(table, idle, cookie, (same, exact, kept))
        case (Op.NO_IN_PORT,):
            return parser.OFPActionSetField(in_port_nxm=0)
    raise AssertionError(action)


def ryu_learn(table: int, idle: int, cookie: int, what: Any) -> Any:
    """NXAST_LEARN by Ryu."""
    same, exact, kept = what
    width = {field: fields.spec(field).width for (field, *_) in (*same, *exact, *kept)}
    name = {field: fields.spec(field).name for field in width}
    specs = [parser.NXFlowSpecMatch(src=value, dst=(name[field], 0), n_bits=width[field]) for field, value in exact]
    specs += [parser.NXFlowSpecMatch(src=(name[f], 0), dst=(name[f], 0), n_bits=width[f]) for (f,) in same]
    specs += [parser.NXFlowSpecLoad(src=(name[f], 0), dst=(name[f], 0), n_bits=width[f]) for (f,) in kept]
    return PaddedLearn(table, specs, idle_timeout=idle, priority=LEARNT_PRIORITY, cookie=cookie)


class Padded:
    """Before an action of Ryu's that counts the padding into its length, and then writes none."""

    def serialize(self, buf: bytearray, offset: int) -> None:
        super().serialize(buf, offset)  # type: ignore[misc]
        buf += bytes(offset + self.len - len(buf))  # type: ignore[attr-defined]


class PaddedNat(Padded, parser.NXActionNAT):  # type: ignore[misc]
    """NAT as Ryu means it."""


class PaddedLearn(Padded, parser.NXActionLearn):  # type: ignore[misc]
    """NXAST_LEARN as Ryu means it."""


def ryu_nat(action: Any) -> Any:
    """Return Ryu's object of NAT."""
    _, side, version, first, last, port, last_port = action
    given: dict[str, Any] = {}
    address = IPv4Address if version == 4 else IPv6Address
    if version:
        given[f"range_ipv{version}_min"] = str(address(first))
        if last != first:
            given[f"range_ipv{version}_max"] = str(address(last))
    if port:
        given["range_proto_min"] = port
        if last_port != port:
            given["range_proto_max"] = last_port
    return PaddedNat((1, 2, 0)[side], **given)  # NX_NAT_F_SRC, NX_NAT_F_DST


def ryu_bundled(message: Any, xid: int) -> bytes:
    """Return the bytes of OFPBundleAddMsg around a message."""
    bundled = parser.OFPBundleAddMsg(DATAPATH, BUNDLE_ID, ofp.OFPBF_ATOMIC | ofp.OFPBF_ORDERED, message, [])
    bundled.set_xid(xid)
    bundled.serialize()
    return bytes(bundled.buf)


def ryu_flow_add(cookie: int, flow: Flow) -> bytes:
    """Return what Ryu makes of a flow."""
    jumps = bool(flow.actions) and flow.actions[-1][0] == Op.GOTO
    applied = flow.actions[:-1] if jumps else flow.actions
    instructions = []
    if applied:
        actions = [ryu_action(action) for action in applied]
        instructions.append(parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions))
    if jumps:
        instructions.append(parser.OFPInstructionGotoTable(flow.actions[-1][1]))
    message = parser.OFPFlowMod(
        DATAPATH,
        cookie=cookie,
        table_id=flow.table,
        priority=flow.priority,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=ryu_match(flow.match),
        instructions=instructions,
    )
    return ryu_bundled(message, flow_xid(cookie))
