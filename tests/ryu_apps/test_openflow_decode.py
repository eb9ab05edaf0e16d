"""Reading is the inverse of writing, and garbage is an error: never a loop, never another exception."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ryu_apps.openflow import decode, errors, messages, wire
from ryu_apps.openflow.decode import FlowStats
from ryu_apps.openflow.decode_flow import decode_actions, decode_instructions, decode_match
from ryu_apps.openflow.encode import Encoder
from ryu_apps.openflow.groups import encode_actions
from ryu_apps.openflow.wire import MessageType, MultipartType, WireError
from tests.ryu_apps.openflow_values import DATAPATH, action_lists, flows, numbers, ofp, parser
from topology.flow import Actions, Entry, Flow, Group, Meter, Op, match, sentinel

REPLY = MessageType.MULTIPART_REPLY


def written(flow: Flow) -> tuple[bytes, bytes]:
    """Return match and instructions of a flow as they stand in our flow-mod, without padding after the match."""
    body = Encoder().add(Entry(1, flow))[16 + 48 :]
    length = struct.unpack_from(">H", body, 2)[0]
    return body[4:length], body[(length + 7) // 8 * 8 :]


def usual_stats(packets: int, octets: int) -> bytes:
    """Return counters as Open vSwitch writes them."""
    return struct.pack(">HHIQIQIQIQ", 0, 52, 0x80020008, 1, 0x80020208, 2, 0x80020808, packets, 0x80020A08, octets)


def other_stats(packets: int, octets: int) -> bytes:
    """Return counters in another order, with one in between that nobody knows."""
    return struct.pack(">HHIQI4sIQ", 0, 36, 0x80020A08, octets, 0x80037F04, b"abcd", 0x80020808, packets)


def described(cookie: int, flow: Flow, stats: bytes) -> bytes:
    """Return a flow as in OFPMP_FLOW_DESC."""
    terms, instructions = written(flow)
    matched = struct.pack(">HH", 1, 4 + len(terms)) + terms
    rest = padded(matched) + padded(stats) + instructions
    return struct.pack(">H2xBxHHHHHQ", 24 + len(rest), flow.table, flow.priority, 0, 0, 0, 0, cookie) + rest


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def reply(kind: MultipartType, body: bytes, flags: int = 0) -> bytes:
    return messages.message(REPLY, 5, struct.pack(">HH4x", kind, flags) + body)


@given(flows())
def test_a_flow_is_read_as_it_was_written(flow: Flow) -> None:
    terms, instructions = written(flow)
    assert decode_match(terms) == flow.match
    assert decode_instructions(instructions) == flow.actions


@given(action_lists())
def test_actions_are_read_as_they_were_written(actions: Actions) -> None:
    assert decode_actions(encode_actions(actions)) == actions


@given(
    st.lists(st.tuples(numbers(64), flows(), numbers(64), numbers(64)), max_size=5),
    st.sampled_from([usual_stats, other_stats]),
)
def test_flows_are_read_with_their_counters(
    found: list[tuple[int, Flow, int, int]], stats: Callable[[int, int], bytes]
) -> None:
    body = b"".join(described(cookie, flow, stats(packets, octets)) for cookie, flow, packets, octets in found)
    read = list(decode.flow_stats(reply(MultipartType.FLOW_DESC, body)))
    cookies = decode.cookies(reply(MultipartType.FLOW_DESC, body))
    assert list(cookies) == [(one[0], one[1].table) for one in found]
    assert [(each.cookie, each.packets, each.bytes) for each in read] == [(one[0], one[2], one[3]) for one in found]
    assert [Flow(each.table, each.priority, each.match, each.actions) for each in read] == [one[1] for one in found]


@given(flows(), numbers(64), numbers(64))
def test_ryu_reads_the_same(flow: Flow, cookie: int, packets: int) -> None:
    """What we read here is not only what we invented: Ryu's parser takes it too."""
    raw = reply(
        MultipartType.FLOW_DESC,
        described(cookie, Flow(flow.table, flow.priority, flow.match, ()), usual_stats(packets, 7)),
    )
    theirs = parser.OFPFlowDescStatsReply.parser(DATAPATH, 6, REPLY, len(raw), 5, bytearray(raw)).body[0]
    (ours,) = decode.flow_stats(raw)
    assert (theirs.cookie, theirs.table_id, theirs.priority) == (ours.cookie, ours.table, ours.priority)
    assert len(theirs.match.items()) == len(ours.match)
    assert theirs.stats["packet_count"] == ours.packets


@pytest.mark.parametrize(
    ("header", "value", "mask", "terms"),
    [
        (0x80010008, 5 << 32 | 7, None, match(reg0=5, reg1=7)),
        (0x80010110, 5 << 32, 0xFFFFFFFF << 32, match(reg0=5)),
        (0x80010710, 9, 0xF, match(reg7=(9, 0xF))),
        (0x80010110, 0, 0, ()),
    ],
)
def test_registers_that_are_told_in_pairs(header: int, value: int, mask: int | None, terms: Any) -> None:
    body = struct.pack(">IQ", header, value) + (b"" if mask is None else struct.pack(">Q", mask))
    assert decode_match(body) == terms


def test_sentinels_are_sums_by_owner() -> None:
    entries = [sentinel(0x0701, 12345), sentinel(0x0102, (1 << 48) - 1)]
    body = b"".join(described(entry.cookie, entry.flow, usual_stats(0, 0)) for entry in entries)
    assert decode.sentinels(reply(MultipartType.FLOW_DESC, body)) == {0x0701: 12345, 0x0102: (1 << 48) - 1}


def test_more_parts_follow_where_the_flag_says_so() -> None:
    assert decode.part(reply(MultipartType.FLOW_DESC, b"", 1)) == decode.Part(5, MultipartType.FLOW_DESC, True)
    assert not decode.part(reply(MultipartType.FLOW_DESC, b"", 0)).more


def port(number: int, name: str, mac: int, config: int = 0, state: int = 0) -> bytes:
    """Return a port with a property behind it."""
    head = struct.pack(">IH2x6s2x16sII", number, 72, mac.to_bytes(6, "big"), name.encode(), config, state)
    return head + struct.pack(">HH28x", 0, 32)


def test_ports_are_read_by_name() -> None:
    raw = reply(MultipartType.PORT_DESC, port(1, "vxlan0", 5) + port(0xFFFFFFFE, "v0123456789abcd", 6, 1, 1))
    assert decode.ports(raw) == {"vxlan0": 1, "v0123456789abcd": 0xFFFFFFFE}
    assert [(one.mac, one.config_down, one.link_down) for one in decode.port_descs(raw)] == [
        (5, False, False),
        (6, True, True),
    ]


def test_port_status_tells_reason_and_port() -> None:
    raw = messages.message(MessageType.PORT_STATUS, 0, struct.pack(">B7x", ofp.OFPPR_DELETE) + port(3, "vabc", 9))
    status = decode.port_status(raw)
    assert (status.reason, status.port.number, status.port.name) == (decode.PORT_DELETED, 3, "vabc")


def test_table_statistics_tell_the_number_of_flows() -> None:
    body = struct.pack(">B3xIQQ", 0, 3, 9, 9) + struct.pack(">B3xIQQ", 250, 7, 0, 0)
    assert decode.flow_counts(reply(MultipartType.TABLE_STATS, body)) == {0: 3, 250: 7}


def test_replies_without_a_body_of_their_own() -> None:
    assert decode.barrier_reply(messages.message(MessageType.BARRIER_REPLY, 9)) == 9
    answer = decode.bundle_reply(messages.message(MessageType.BUNDLE_CONTROL, 3, struct.pack(">IHH", 1, 5, 3)))
    assert (answer.xid, answer.bundle, answer.committed) == (3, 1, True)
    role = decode.role_reply(messages.message(MessageType.ROLE_REPLY, 4, struct.pack(">I4xQ", 2, 77)))
    assert role == decode.RoleReply(4, messages.Role.MASTER, 77)


@given(numbers(32), st.sampled_from(messages.Role), numbers(64), st.integers(0, 2))
def test_a_role_that_changed_is_read_as_ryu_reads_it(xid: int, role: messages.Role, newest: int, reason: int) -> None:
    raw = messages.message(MessageType.ROLE_STATUS, xid, struct.pack(">IB3xQ", role, reason, newest))
    read = parser.OFPRoleStatus.parser(DATAPATH, 6, ofp.OFPT_ROLE_STATUS, len(raw), xid, raw)
    assert decode.role_status(raw) == decode.RoleReply(xid, read.role, read.generation_id) == (xid, role, newest)


def refusal(xid: int, kind: int, code: int, data: bytes = b"") -> decode.Refusal:
    return decode.error(messages.message(MessageType.ERROR, xid, struct.pack(">HH", kind, code) + data))


def test_an_error_names_what_it_is_about() -> None:
    about_flow = refusal(wire.flow_xid(0x1234567887654321), 2, 9, b"abc")
    assert about_flow.about_flow == 0x07654321
    assert about_flow.about_group is None
    assert about_flow.data == b"abc"
    assert about_flow.text == "BAD_ACTION/BAD_OUT_GROUP, about the flow whose cookie ends in 07654321"
    about_group = refusal(wire.group_xid(77), 6, 3)
    assert (about_group.about_flow, about_group.about_group) == (None, 77)
    assert about_group.text == "GROUP_MOD_FAILED/OUT_OF_GROUPS, about group 77"
    commit = refusal(wire.COMMIT_XID, 17, 13)
    assert commit.ends_bundle
    assert commit.text == "BUNDLE_FAILED/MSG_FAILED, about the bundle"
    assert not refusal(5, 1, 9).ends_bundle
    assert not about_flow.is_slave
    assert not about_flow.is_stale_role
    strange = refusal(5, 0xFFFF, 9, struct.pack(">I", 0x2320) + b"x")
    assert (strange.experimenter, strange.data) == (0x2320, b"x")
    assert strange.text == "experimenter 0x2320, error 9, about a request"


def test_errors_about_roles_are_told_from_others() -> None:
    slave = refusal(wire.COMMIT_XID, ofp.OFPET_BAD_REQUEST, ofp.OFPBRC_IS_SLAVE)
    stale = refusal(5, ofp.OFPET_ROLE_REQUEST_FAILED, ofp.OFPRRFC_STALE)
    assert (slave.is_slave, slave.is_stale_role) == (True, False)
    assert (stale.is_slave, stale.is_stale_role) == (False, True)
    for code in (ofp.OFPRRFC_UNSUP, ofp.OFPRRFC_BAD_ROLE):
        assert not refusal(5, ofp.OFPET_ROLE_REQUEST_FAILED, code).is_stale_role
    experimental = refusal(5, 0xFFFF, ofp.OFPBRC_IS_SLAVE, struct.pack(">I", 0x2320))
    assert not experimental.is_slave


def test_error_names_are_the_specifications() -> None:
    kinds = {name: getattr(ofp, name) for name in dir(ofp) if name.startswith("OFPET_")}
    prefixes = {
        "BAD_REQUEST": "OFPBRC_",
        "BAD_ACTION": "OFPBAC_",
        "BAD_INSTRUCTION": "OFPBIC_",
        "BAD_MATCH": "OFPBMC_",
        "FLOW_MOD_FAILED": "OFPFMFC_",
        "GROUP_MOD_FAILED": "OFPGMFC_",
        "ROLE_REQUEST_FAILED": "OFPRRFC_",
        "BAD_PROPERTY": "OFPBPC_",
        "BUNDLE_FAILED": "OFPBFC_",
    }
    for kind, prefix in prefixes.items():
        codes = {name.removeprefix(prefix): getattr(ofp, name) for name in dir(ofp) if name.startswith(prefix)}
        assert codes
        for name, code in codes.items():
            assert errors.name(kinds[f"OFPET_{kind}"], code) == f"{kind}/{name}"
    assert errors.name(99, 1) == "error 99/1"


# --- garbage -----------------------------------------------------------------------------------------


READERS: list[tuple[Callable[[bytes], Any], MessageType, MultipartType | None]] = [
    (lambda raw: [(flow.match, flow.actions) for flow in decode.flow_stats(raw)], REPLY, MultipartType.FLOW_DESC),
    (lambda raw: list(decode.cookies(raw)), REPLY, MultipartType.FLOW_DESC),
    (decode.sentinels, REPLY, MultipartType.FLOW_DESC),
    (decode.ports, REPLY, MultipartType.PORT_DESC),
    (lambda raw: list(decode.groups(raw)), REPLY, MultipartType.GROUP_DESC),
    (lambda raw: list(decode.meters(raw)), REPLY, MultipartType.METER_DESC),
    (decode.flow_counts, REPLY, MultipartType.TABLE_STATS),
    (decode.part, REPLY, None),
    (decode.port_status, MessageType.PORT_STATUS, None),
    (decode.error, MessageType.ERROR, None),
    (decode.bundle_reply, MessageType.BUNDLE_CONTROL, None),
    (decode.barrier_reply, MessageType.BARRIER_REPLY, None),
    (decode.role_reply, MessageType.ROLE_REPLY, None),
    (decode.role_status, MessageType.ROLE_STATUS, None),
]


def survives(read: Callable[[bytes], Any], raw: bytes) -> None:
    with contextlib.suppress(WireError):
        read(raw)


@given(st.sampled_from(READERS), st.binary(max_size=300), st.booleans())
def test_random_bytes_are_read_or_refused(
    reader: tuple[Callable[[bytes], Any], MessageType, MultipartType | None], body: bytes, headed: bool
) -> None:
    read, kind, part = reader
    inner = body if part is None else struct.pack(">HH4x", part, 0) + body
    survives(read, messages.message(kind, 1, inner) if headed else body)


@st.composite
def damaged(draw: st.DrawFn, whole: Iterable[bytes]) -> bytes:
    """A message of which some bytes are changed, and the end perhaps cut off; its header tells the new length."""
    data = bytearray(draw(st.sampled_from(list(whole))))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(8, len(data) - 1))] = draw(st.integers(0, 255))
    data = data[: draw(st.integers(8, len(data)))]
    data[2:4] = len(data).to_bytes(2, "big")
    return bytes(data)


BUCKET = struct.pack(">HHI", 32, 16, 1) + struct.pack(">HHIH6x", 0, 16, 3, 0) + struct.pack(">HHH2x", 0, 8, 5)
SELECTION = struct.pack(">HHIII16sQ", 0xFFFF, 40, 0x154D, 1, 0, b"dp_hash", 7)
GROUP = reply(MultipartType.GROUP_DESC, struct.pack(">HBxIH6x", 120, 1, 7, 64) + BUCKET * 2 + SELECTION)
BAND = struct.pack(">HHII4x", 1, 16, 1000, 1100)
METERS = reply(MultipartType.METER_DESC, struct.pack(">HHI", 24, 5, 6) + BAND + struct.pack(">HHI", 24, 13, 7) + BAND)
EVERY_ACTION: Actions = (
    (Op.CT, 1, 5, 20, ((Op.NAT, 0, 4, 5, 9, 10, 20), (Op.NAT, 1, 6, 5, 5, 0, 0))),
    *((Op.OUTPUT, 1), (Op.OUTPUT_FIELD, 6), (Op.COPY, 1, 0, 7, 0, 24), (Op.SET, 20, 5, (1 << 48) - 1)),
    *((Op.RESUBMIT, 5), (Op.DEC_TTL,), (Op.GROUP, 4), (Op.METER, 4), (Op.CONJUNCTION, 4, 0, 2), (Op.CT_CLEAR,)),
    *((Op.NO_IN_PORT,), (Op.GOTO, 40)),
)
FLOWS = reply(
    MultipartType.FLOW_DESC,
    described(
        9, Flow(30, 5, match(in_port=3, eth_type=0x800, ipv4_src=(5, 255), reg0=5), EVERY_ACTION), usual_stats(1, 2)
    )
    + described(9, Flow(0, 0, (), ()), other_stats(1, 2)),
)


@given(damaged([FLOWS, GROUP, METERS, reply(MultipartType.PORT_DESC, port(1, "vxlan0", 5) * 2)]))
@example(FLOWS)
def test_damaged_messages_are_read_or_refused(raw: bytes) -> None:
    for read, _, _ in READERS:
        survives(read, raw)


@given(
    damaged([b"\0" * 8 + part for part in written(Flow(0, 0, match(reg0=5, in_port=3, eth_src=(1, 1)), EVERY_ACTION))])
)
def test_damaged_matches_and_actions_are_read_or_refused(raw: bytes) -> None:
    for read in (decode_match, decode_actions, decode_instructions):
        survives(read, raw[8:])


@pytest.mark.parametrize("length", [0, 3, 23, 1000])
@pytest.mark.parametrize(
    ("raw", "place", "read"),
    [
        (FLOWS, 16, decode.flow_stats),
        (FLOWS, 16, decode.cookies),
        (GROUP, 16, decode.groups),
        (GROUP, 32, decode.groups),
        (GROUP, 98, decode.groups),
        (METERS, 16, decode.meters),
        (reply(MultipartType.PORT_DESC, port(1, "a", 5)), 20, decode.port_descs),
    ],
)
def test_lengths_that_lie_are_refused(
    raw: bytes, place: int, read: Callable[[bytes], Iterable[Any]], length: int
) -> None:
    """A length of 0 must not be read for ever, and one beyond the end not at all."""
    with pytest.raises(WireError):
        list(read(raw[:place] + length.to_bytes(2, "big") + raw[place + 2 :]))


def test_a_group_is_read() -> None:
    (found,) = decode.groups(GROUP)
    assert found == Group(7, ((1, 5, ((Op.OUTPUT, 3),)),) * 2)


def test_meters_are_read() -> None:
    assert list(decode.meters(METERS)) == [Meter(6, 1000, 1100), Meter(7, 1000, 1100)]


def test_a_switchs_own_meters_are_left_alone() -> None:
    body = struct.pack(">HHI", 24, 5, 0xFFFFFFFD) + BAND  # OFPM_SLOWPATH
    assert list(decode.meters(reply(MultipartType.METER_DESC, body))) == []


@pytest.mark.parametrize(
    ("flags", "bands"),
    [(6, BAND), (1, BAND), (5, b""), (5, BAND * 2), (5, b"\0\2" + BAND[2:])],
    ids=["in packets", "any burst", "no band", "two bands", "it remarks"],
)
def test_a_meter_of_another_form_is_none_of_ours(flags: int, bands: bytes) -> None:
    body = struct.pack(">HHI", 8 + len(bands), flags, 9) + bands
    assert list(decode.meters(reply(MultipartType.METER_DESC, body))) == [Meter(9, 0, 0)]


@pytest.mark.parametrize(
    "selection",
    [b"", SELECTION[:16] + b"iter_hash"[:8] + SELECTION[24:], SELECTION[:-1] + b"\0", b"\0\0" + SELECTION[2:]],
    ids=["none", "another method", "another parameter", "another property"],
)
def test_a_group_that_chooses_in_another_way_is_none_of_ours(selection: bytes) -> None:
    body = struct.pack(">HBxIH6x", 80 + len(selection), 1, 7, 64) + BUCKET * 2 + selection
    assert list(decode.groups(reply(MultipartType.GROUP_DESC, body))) == [Group(7, ())]


def test_a_flow_of_somebody_else_is_listed_and_its_match_refused_only_when_asked_for() -> None:
    vlan = struct.pack(">IH2x", 0x80000C02, 5)
    matched = struct.pack(">HH", 1, 10) + vlan[:6] + bytes(6)
    rest = matched + padded(usual_stats(1, 2))
    body = struct.pack(">H2xBxHHHHHQ", 24 + len(rest), 3, 4, 0, 0, 0, 0, 77) + rest
    (found,) = decode.flow_stats(reply(MultipartType.FLOW_DESC, body))
    assert found == FlowStats(77, 3, 4, 1, 2, vlan[:6], b"")
    with pytest.raises(WireError):
        _ = found.match
