"""The fake switch speaks as a switch does: held against the decoder, a session, and a real Open vSwitch."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fake_switch import FakeSwitch
from bench.framing import whole_messages
from rest.control import SwitchPhase
from ryu_apps.controller import OpenFlowWire
from ryu_apps.openflow import decode, messages, wire
from ryu_apps.openflow.encode import Encoder, delete_everything
from ryu_apps.openflow.wire import MessageType, MultipartType
from ryu_apps.session import SwitchSession
from tests.ryu_apps.openflow_network import small_table
from tests.ryu_apps.openflow_switch import DummySwitch, running
from topology.compiler import Delta, FlowTable, diff
from topology.flow import Group
from topology.groups import by_id, changes

FEATURES_REQUEST = 5
DESCRIPTION = struct.pack(">HH4x", 0, 0)  # OFPMP_DESC, which nobody of ours asks for


def fake(flows: int = 0) -> FakeSwitch:
    """A fake switch with two ports, and with so many flows of the small network."""
    switch = FakeSwitch(7, {1: "vxlan0", 3: "v1"})
    if flows:
        entries = tuple(small_table().entries())[:flows]
        switch.receive(Encoder().bundle(Delta(entries, (), changes({}, by_id(entries)))))
    return switch


def answers(switch: FakeSwitch, request: bytes) -> list[bytes]:
    """What it answers, message by message."""
    return [raw for _, _, raw in whole_messages(bytearray(switch.receive(request)))]


def cookies(switch: FakeSwitch, table: int = wire.ALL_TABLES, cookie: int = 0, mask: int = 0) -> list[int]:
    """The cookies that it tells when it is asked."""
    replies = answers(switch, messages.flow_desc_request(9, table, cookie, mask))
    assert [decode.part(raw).more for raw in replies] == [True] * (len(replies) - 1) + [False]
    return [flow.cookie for raw in replies for flow in decode.flow_stats(raw)]


def test_it_says_hello_and_who_it_is() -> None:
    switch = fake()
    assert decode.header(switch.connect()).kind == MessageType.HELLO
    assert not answers(switch, messages.message(MessageType.HELLO, 0))
    (features,) = answers(switch, struct.pack(">BBHI", wire.VERSION, FEATURES_REQUEST, 8, 3))
    assert decode.header(features) == (wire.VERSION, MessageType.FEATURES_REPLY, 32, 3)
    assert int.from_bytes(features[8:16]) == 7


def test_it_tells_its_ports_and_that_they_come_and_go() -> None:
    switch = fake()
    (reply,) = answers(switch, messages.port_desc_request(1))
    assert decode.ports(reply) == {"vxlan0": 1, "v1": 3}
    added = decode.port_status(switch.add_port(4, "v2"))
    assert (added.reason, added.port.number, added.port.name) == (decode.PORT_ADDED, 4, "v2")
    removed = decode.port_status(switch.remove_port(3))
    assert (removed.reason, removed.port.number, removed.port.name) == (decode.PORT_DELETED, 3, "v1")
    (reply,) = answers(switch, messages.port_desc_request(2))
    assert decode.ports(reply) == {"vxlan0": 1, "v2": 4}


def test_flows_are_told_as_they_were_sent() -> None:
    switch = fake(flows=1000)
    (reply,) = answers(switch, messages.flow_desc_request(1))
    expected = {entry.cookie: entry.flow for entry in small_table().entries()}
    found = list(decode.flow_stats(reply))
    assert {flow.cookie for flow in found} == set(expected)
    for flow in found:
        wanted = expected[flow.cookie]
        assert (flow.table, flow.priority, flow.match, flow.actions) == wanted[:4]
        assert (flow.packets, flow.bytes) == (0, 0)


def test_flows_are_told_by_table_and_cookie_and_counted() -> None:
    switch = fake(flows=1000)
    entries = list(small_table().entries())
    table, cookie = entries[0].flow.table, entries[0].cookie
    assert sorted(cookies(switch, table)) == sorted(one.cookie for one in entries if one.flow.table == table)
    owner = cookie >> 48
    found = cookies(switch, cookie=owner << 48, mask=0xFFFF << 48)
    assert sorted(found) == sorted(one.cookie for one in entries if one.cookie >> 48 == owner)
    counts = [decode.flow_counts(raw) for raw in answers(switch, messages.table_stats_request(1))]
    assert sum(sum(count.values()) for count in counts) == len(entries) == len(switch.flows)


def groups(switch: FakeSwitch, group: int = wire.ALL_GROUPS) -> dict[int, Group]:
    """The groups that it tells when it is asked."""
    replies = answers(switch, messages.group_desc_request(9, group))
    return {found.group_id: found for raw in replies for found in decode.groups(raw)}


def test_groups_are_told_as_they_were_sent() -> None:
    switch, wanted = fake(flows=1000), by_id(small_table().entries())
    assert groups(switch) == wanted
    one = next(iter(wanted))
    assert groups(switch, one) == {one: wanted[one]}


def test_buckets_come_and_go_and_groups_too() -> None:
    switch = fake(flows=1000)
    before = by_id(small_table().entries())
    (number, group), (other, _), *_ = before.items()
    fewer = {**before, number: group._replace(buckets=group.buckets[1:])}
    encoder = Encoder()
    for old, new in ((before, fewer), (fewer, before)):
        told = changes(old, new)
        assert [change.group_id for change in told.buckets] == [number]
        switch.receive(encoder.bundle(Delta((), (), told)))
        assert {key: set(one.buckets) for key, one in groups(switch).items()} == {
            key: set(one.buckets) for key, one in new.items()
        }
    del fewer[other]
    switch.receive(encoder.bundle(Delta((), (), changes(before, fewer))))
    assert groups(switch) == fewer
    switch.receive(delete_everything())
    assert not groups(switch)
    assert not switch.flows


def test_a_long_answer_has_several_parts() -> None:
    switch = fake(flows=1000)
    held = dict(switch.flows)
    (key, flow), *_ = held.items()
    switch.flows = {(key[0], number, key[2]): flow for number in range(2000)}
    assert len(cookies(switch)) == 2000


def test_nothing_is_in_force_before_the_commit() -> None:
    bundle = Encoder().bundle(Delta(tuple(small_table().entries()), ()))
    commit = messages.bundle_commit()
    switch = fake()
    (opened,) = answers(switch, bundle.removesuffix(commit))
    assert decode.bundle_reply(opened).kind == wire.BundleControl.OPEN_REPLY
    assert not switch.flows
    (committed,) = answers(switch, commit)
    assert decode.bundle_reply(committed).committed
    assert switch.flows


def test_a_bundle_is_forgotten_with_its_connection_and_by_discarding() -> None:
    bundle = Encoder().bundle(Delta(tuple(small_table().entries()), ()))
    switch = fake()
    switch.receive(bundle.removesuffix(messages.bundle_commit()))
    switch.connect()
    switch.receive(messages.bundle_commit())
    switch.receive(bundle.removesuffix(messages.bundle_commit()) + messages.bundle_discard())
    switch.receive(messages.bundle_commit())
    assert not switch.flows


def test_echo_barrier_and_role_are_answered_what_it_does_not_know_is_refused() -> None:
    switch = fake()
    request = messages.message(MessageType.ECHO_REQUEST, 4, b"hello")
    assert answers(switch, request) == [messages.echo_reply(4, b"hello")]
    assert [decode.barrier_reply(raw) for raw in answers(switch, messages.barrier(5))] == [5]
    role = messages.role_request(6, messages.Role.MASTER, 8)
    assert [decode.role_reply(raw) for raw in answers(switch, role)] == [(6, messages.Role.MASTER, 8)]
    for unknown in (
        messages.message(MessageType.MULTIPART_REQUEST, 7, DESCRIPTION),
        messages.message(MessageType.PORT_STATUS, 7),
    ):
        (refusal,) = answers(switch, unknown)
        assert decode.error(refusal).xid == 7


@given(st.data())
def test_it_does_not_matter_how_its_input_is_cut(data: st.DataObject) -> None:
    sent = Encoder().bundle(Delta(tuple(small_table().entries())[:5], (1, 2))) + messages.barrier(3)
    cuts = sorted({0, len(sent), *data.draw(st.sets(st.integers(0, len(sent)), max_size=6))})
    at_once, in_pieces = fake(), fake()
    expected = at_once.receive(sent)
    found = b"".join(in_pieces.receive(sent[a:b]) for a, b in pairwise(cuts))
    assert found == expected
    assert in_pieces.flows == at_once.flows


class Link:
    """A connection to a fake switch: its answers reach the session when `settle` is called."""

    def __init__(self, switch: FakeSwitch, session: SwitchSession) -> None:
        self._switch, self._session = switch, session
        self._unread = bytearray()
        self.flow_mods = 0  # group-mods are counted too

    def send(self, data: bytes) -> None:
        self.flow_mods += sum(kind == MessageType.BUNDLE_ADD for kind, _, _ in whole_messages(bytearray(data)))
        self._unread += self._switch.receive(data)

    def close(self) -> None:
        self._unread.clear()

    def settle(self) -> None:
        while self._unread:
            for kind, xid, raw in list(whole_messages(self._unread)):
                if kind == MessageType.MULTIPART_REPLY and decode.part(raw).kind == MultipartType.TABLE_STATS:
                    self._session.counts_read(decode.flow_counts(raw))
                elif kind == MessageType.MULTIPART_REPLY and decode.part(raw).kind == MultipartType.GROUP_DESC:
                    self._session.groups_read(decode.groups(raw))
                elif kind == MessageType.MULTIPART_REPLY and decode.part(raw).kind == MultipartType.METER_DESC:
                    self._session.meters_read(decode.meters(raw))
                elif kind == MessageType.MULTIPART_REPLY:
                    self._session.flows_read(xid, list(decode.flow_stats(raw)), decode.part(raw).more)
                elif kind == MessageType.BUNDLE_CONTROL and decode.bundle_reply(raw).committed:
                    self._session.committed_reply()


def connected(switch: FakeSwitch, table: FlowTable) -> Link:
    """A new session that wants `table` has connected to the switch and is in sync."""
    session = SwitchSession("n1", switch.dpid, OpenFlowWire())
    session.want(table, 1, ())
    link = Link(switch, session)
    session.connect(link)
    link.settle()
    assert session.phase is SwitchPhase.IN_SYNC
    return link


def test_a_session_programs_it_and_a_second_one_finds_nothing_to_do() -> None:
    switch, table = fake(), small_table()
    assert connected(switch, table).flow_mods
    before = dict(switch.flows)
    assert connected(switch, table).flow_mods == 0
    assert switch.flows == before


def test_a_session_repairs_what_differs() -> None:
    switch, table = fake(), small_table()
    connected(switch, FlowTable())
    half = diff(FlowTable(), table)
    switch.receive(Encoder().bundle(Delta(half.adds[::2], (), changes({}, by_id(half.adds[::2])))))
    connected(switch, table)
    wanted = {entry.cookie for entry in table.entries()}
    assert wanted <= {flow.cookie for flow in switch.flows.values()}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DummySwitch]:
    """A real Open vSwitch."""
    yield from running(tmp_path_factory.mktemp("ovs"))


@pytest.mark.ovs
def test_it_holds_what_open_vswitch_holds(real: DummySwitch) -> None:
    table = small_table()
    entries = tuple(table.entries())
    steps = [
        Delta(entries, (), changes({}, by_id(entries))),
        Delta(entries[::3], tuple(one.cookie for one in entries[1::2])),
        Delta(entries[:9], ()),
    ]
    switch, encoder = fake(), Encoder()
    with real.bridge("compared") as bridge, real.connect(bridge) as connection:
        for step in steps:
            sent = encoder.bundle(step)
            assert connection.commit(sent) == []
            switch.receive(sent)
            assert sorted(cookies(switch)) == sorted(flow.cookie for flow in connection.flows())
            there = connection.multipart(messages.group_desc_request(9))
            assert groups(switch) == {found.group_id: found for raw in there for found in decode.groups(raw)}
