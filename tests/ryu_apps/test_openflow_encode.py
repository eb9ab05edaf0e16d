"""Our bytes are Ryu's bytes, for every field and every operation."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ryu_apps.openflow import messages, wire
from ryu_apps.openflow.encode import Encoder, delete
from ryu_apps.openflow.groups import delete_group, insert_buckets, put_group, remove_bucket
from tests.ryu_apps.openflow_values import (
    DATAPATH,
    action_lists,
    flows,
    numbers,
    ofp,
    parser,
    ryu_action,
    ryu_bundled,
    ryu_flow_add,
    terms,
)
from topology import fields
from topology.compiler import Delta
from topology.fields import Field
from topology.flow import Entry, Flow, Group, Op, learn, load, match
from topology.groups import BucketChange, GroupChanges
from topology.pipeline import Table

COOKIES = numbers(64)


def cut(data: bytes) -> list[bytes]:
    """Cut a stream into messages."""
    found = []
    while data:
        length = struct.unpack_from(">H", data, 2)[0]
        found.append(data[:length])
        data = data[length:]
    return found


def serialized(message: Any, xid: int) -> bytes:
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


@given(COOKIES, flows())
def test_a_flow_is_encoded_as_by_ryu(cookie: int, flow: Flow) -> None:
    assert Encoder().add(Entry(cookie, flow)) == ryu_flow_add(cookie, flow)


@pytest.mark.parametrize("field", fields.all_fields(), ids=lambda field: fields.spec(field).name)
@given(st.data())
def test_every_field_is_matched_and_set_as_by_ryu(field: Field, data: st.DataObject) -> None:
    term = data.draw(terms(field))
    flow = Flow(0, 1, (term,), (load(*term),))
    assert Encoder().add(Entry(5, flow)) == ryu_flow_add(5, flow)


@given(st.lists(st.tuples(COOKIES, flows()), max_size=6), st.integers(1, 4))
def test_templates_and_remembered_bytes_change_nothing(entries: list[tuple[int, Flow]], remembered: int) -> None:
    encoder = Encoder(remembered)
    for _ in range(3):
        for cookie, flow in entries:
            assert encoder.add(Entry(cookie, flow)) == Encoder().add(Entry(cookie, flow))


def test_the_bytes_of_two_flows_with_one_cookie_are_not_mixed_up() -> None:
    encoder = Encoder()
    one, other = (Entry(7, Flow(0, 1, match(in_port=port), ())) for port in (1, 2))
    first = encoder.add(one)
    assert encoder.add(other) == ryu_flow_add(7, other.flow) != first
    assert encoder.add(one) == first


def test_bytes_are_made_once_for_many_switches() -> None:
    encoder = Encoder()
    flow = Flow(0, 1, match(in_port=1), ())
    assert encoder.add(Entry(7, flow)) is encoder.add(Entry(7, Flow(*flow)))


@given(COOKIES)
@example(0)
def test_a_deletion_is_encoded_as_by_ryu(cookie: int) -> None:
    message = parser.OFPFlowMod(
        DATAPATH,
        cookie=cookie,
        cookie_mask=0xFFFFFFFFFFFFFFFF,
        table_id=ofp.OFPTT_ALL,
        command=ofp.OFPFC_DELETE,
        priority=0,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
    )
    assert delete(cookie) == ryu_bundled(message, wire.flow_xid(cookie))


@st.composite
def groups(draw: st.DrawFn) -> Group:
    bucket = st.tuples(numbers(32), numbers(16), action_lists())
    return Group(draw(st.integers(0, 1 << 29)), tuple(draw(st.lists(bucket, max_size=4))), draw(st.booleans()))


class _Padded(parser.OFPGroupPropExperimenter):  # type: ignore[misc]
    """Ryu writes whole words and counts them all, where the length of a property leaves out the padding."""

    def serialize(self) -> bytearray:
        written: bytearray = super().serialize()
        written[2:4] = (self.length - self.padding).to_bytes(2, "big")
        return written


def _selection(group: Group) -> Any:
    """Netronome's property, which Ryu knows as an experimenter's words; IPv4 and IPv6 source and three ports, whole."""
    hashed = b"".join(
        struct.pack(">I", header) + b"\xff" * (header & 0xFF)
        for header in (0x80001604, 0x80003410, 0x80001A02, 0x80001E02, 0x80002202)
    )
    body = struct.pack(">I16sQ", 0, b"hash" if group.is_lower else b"dp_hash", group.group_id)
    body += hashed + bytes(2) if group.is_lower else b""
    words = struct.unpack(f">{len(body) // 4}I", body)
    made = _Padded(ofp.OFPGPT_EXPERIMENTER, experimenter=0x154D, exp_type=1, data=words)
    made.padding = 2 * group.is_lower
    return made


def ryu_group_mod(command: int, group: Group, bucket_id: int = 0xFFFFFFFF) -> bytes:
    buckets = [
        parser.OFPBucket(
            bucket_id=number,
            actions=[ryu_action(action) for action in actions],
            properties=[parser.OFPGroupBucketPropWeight(type_=ofp.OFPGBPT_WEIGHT, weight=weight)],
        )
        for number, weight, actions in group.buckets
    ]
    properties = [_selection(group)] if command == ADD_OR_MODIFY else []
    message = parser.OFPGroupMod(DATAPATH, command, ofp.OFPGT_SELECT, group.group_id, bucket_id, buckets, properties)
    return ryu_bundled(message, wire.group_xid(group.group_id))


ADD_OR_MODIFY = 0x8000  # Open vSwitch's own, which Ryu has no name for


@given(groups(), numbers(32))
@example(Group(5, ((1, 1, (learn(Table.AFFINITY, 60, (), (), (fields.REG4,)),)),)), 1)
def test_groups_are_encoded_as_by_ryu(group: Group, bucket_id: int) -> None:
    empty = Group(group.group_id, ())
    assert put_group(group) == ryu_group_mod(ADD_OR_MODIFY, group)
    assert delete_group(group.group_id) == ryu_group_mod(ofp.OFPGC_DELETE, empty)
    assert insert_buckets(group.group_id, group.buckets, bucket_id) == ryu_group_mod(
        ofp.OFPGC_INSERT_BUCKET, group, bucket_id
    )
    assert remove_bucket(group.group_id, bucket_id) == ryu_group_mod(ofp.OFPGC_REMOVE_BUCKET, empty, bucket_id)


def test_a_bundle_is_open_messages_commit() -> None:
    encoder = Encoder()
    entry = Entry(7, Flow(0, 1, (), ()))
    flags = ofp.OFPBF_ATOMIC | ofp.OFPBF_ORDERED
    opening = parser.OFPBundleCtrlMsg(DATAPATH, wire.BUNDLE_ID, ofp.OFPBCT_OPEN_REQUEST, flags, [])
    commit = parser.OFPBundleCtrlMsg(DATAPATH, wire.BUNDLE_ID, ofp.OFPBCT_COMMIT_REQUEST, flags, [])
    delta = Delta((entry,), (8,))
    whole = [serialized(opening, wire.OPEN_XID), encoder.add(entry), delete(8), serialized(commit, wire.COMMIT_XID)]
    barrier = messages.barrier(wire.BARRIER_XID)
    assert cut(encoder.bundle(delta)) == whole
    assert cut(encoder.bundle(delta, barrier=True)) == [*whole[:-1], barrier, whole[-1]]
    assert cut(encoder.prepared(delta)) == [*whole[:-1], barrier]


@pytest.mark.parametrize("count", [0, 1, 1999, 2000, 2001, 4000, 40001])
def test_a_large_bundle_comes_in_few_parts(count: int) -> None:
    flows = tuple(Entry(number, Flow(0, 1, match(reg0=number), ())) for number in range(count))
    delta = Delta(flows, (7, 8), GroupChanges((Group(1, ()),), (), (2,)))
    encoder = Encoder()
    parts = list(encoder.parts(delta, barrier=True))
    assert len(parts) == (1 if count <= 2000 else 2 if count <= 4000 else 8)
    order = [messages.bundle_open(), put_group(Group(1, ())), *map(encoder.add, delta.adds), delete(7), delete(8)]
    assert b"".join(parts) == b"".join(
        [*order, delete_group(2), messages.barrier(wire.BARRIER_XID), messages.bundle_commit()]
    )


def test_groups_surround_the_flows_of_a_bundle() -> None:
    encoder = Encoder()
    entry = Entry(7, Flow(0, 1, (), ((Op.GROUP, 1),)))
    change = BucketChange(3, (5, 6), ((7, 1, ()),))
    groups = GroupChanges((Group(1, ()),), (change,), (2, 4))
    found = cut(encoder.bundle(Delta((entry,), (8,), groups)))
    before = [put_group(Group(1, ())), remove_bucket(3, 5), remove_bucket(3, 6), insert_buckets(3, change.inserted)]
    assert found[1:-1] == [*before, encoder.add(entry), delete(8), delete_group(2), delete_group(4)]


@pytest.mark.parametrize(
    "flow",
    [
        Flow(0, 1, match(in_port=1 << 32), ()),
        Flow(0, 1, match(eth_src=1 << 48), ()),
        Flow(0, 1, (), (load(fields.REG0, 1 << 32),)),
        Flow(0, 1, (), ((Op.GOTO, 10), (Op.OUTPUT, 1))),
        Flow(0, 1, (), ((99,),)),
        Flow(0, 1, (), ((Op.CT, 0, 1, 255, ((Op.GOTO, 3),)),)),
        Flow(0, 1, (), ((Op.DEC_TTL,),) * 9000),
        Flow(0, 1, (), ((Op.DEC_TTL,),) * 8188),
        Flow(0, 1, (), ((Op.CT, 0, 1, 255, ((Op.DEC_TTL,),) * 9000),)),
    ],
)
def test_what_does_not_fit_is_refused(flow: Flow) -> None:
    with pytest.raises(ValueError, match=r"fit|bytes|no action"):
        Encoder().add(Entry(1, flow))


def test_a_group_that_does_not_fit_one_message_is_refused() -> None:
    with pytest.raises(ValueError, match="65535"):
        put_group(Group(1, tuple((number, 1, ((Op.OUTPUT, 1),)) for number in range(2100))))
    with pytest.raises(ValueError, match="a number does not fit"):
        put_group(Group(1, ((1, 1, ((Op.DEC_TTL,),) * 9000),)))


def test_requests_are_encoded_as_by_ryu() -> None:
    everything = {"out_port": ofp.OFPP_ANY, "out_group": ofp.OFPG_ANY}
    assert messages.flow_desc_request(3, 250, 5, 7) == serialized(
        parser.OFPFlowDescStatsRequest(DATAPATH, 0, 250, cookie=5, cookie_mask=7, **everything), 3
    )
    assert messages.port_desc_request(4) == serialized(parser.OFPPortDescStatsRequest(DATAPATH, 0, ofp.OFPP_ANY), 4)
    assert messages.group_desc_request(5) == serialized(parser.OFPGroupDescStatsRequest(DATAPATH, 0, ofp.OFPG_ALL), 5)
    assert messages.table_stats_request(6) == serialized(parser.OFPTableStatsRequest(DATAPATH, 0), 6)
    assert messages.barrier(7) == serialized(parser.OFPBarrierRequest(DATAPATH), 7)
    assert messages.role_request(8, messages.Role.MASTER, 99) == serialized(
        parser.OFPRoleRequest(DATAPATH, ofp.OFPCR_ROLE_MASTER, None, 99), 8
    )
    assert messages.echo_reply(9, b"abc") == serialized(parser.OFPEchoReply(DATAPATH, b"abc"), 9)
    assert messages.bundle_discard()[8:] == struct.pack(">IHH", wire.BUNDLE_ID, ofp.OFPBCT_DISCARD_REQUEST, 3)
