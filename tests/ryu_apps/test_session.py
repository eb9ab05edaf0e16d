"""A switch's session against a model of a switch: whatever happens in between, it ends with what it must have."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rest.control import SwitchPhase
from ryu_apps.session import SwitchSession
from tests.ryu_apps.switches import Count, DeleteMeters, FakeWire, ModelSwitch, ReadMeters
from tests.topology.faults import table_of
from topology.compiler import Delta, FlowTable, SectionKey, compile_node, diff
from topology.flow import Bucket, Entry, Flow, Group, Meter, Op, entries, match
from topology.groups import BucketChange, GroupChanges
from topology.meters import MeterChanges
from topology.model import Connection, Network, Node, Port, PortKey, Project, mac_of
from topology.pipeline import FeatureId, Table
from topology.snapshot import Put, apply_all, empty
from topology.targets import Gone, Target


def tables() -> list[FlowTable]:
    """Some states of one node: empty, with pods, with another's pods, joined."""
    n1 = Node("n1", 1, IPv4Address("192.0.2.11"), (IPv4Network("10.128.0.0/23"),))
    n2 = Node("n2", 2, IPv4Address("192.0.2.12"), (IPv4Network("10.128.2.0/23"),))
    red, blue = Network("red", 10), Network("blue", 11)

    def port(name: str, network: str, host: int, ofport: int) -> Put:
        address = IPv4Address("10.128.0.0") + host
        key = PortKey("n1", name, "eth0")
        return Put(Port(key, network, name, network, f"v{name}", mac_of(address), (address,), ofport=ofport))

    base = [Put(n1), Put(red), Put(blue), Put(Project("red", "red")), Put(Project("blue", "blue"))]
    states = [
        base,
        [*base, Put(n2)],
        [*base, Put(n2), port("a", "red", 2, 3)],
        [*base, Put(n2), port("a", "red", 2, 4), port("b", "blue", 3, 5)],
        [*base, port("a", "red", 2, 3), port("b", "blue", 3, 5), Put(Connection.between("red", "blue"))],
        [*base, port("c", "blue", 2, 3)],
    ]
    return [compile_node("n1", apply_all(empty(), tuple(state))[0]) for state in states]


def with_groups(table: FlowTable, *groups: Group) -> FlowTable:
    """The table with a flow that uses groups, as a service has one."""
    flow = Flow(int(Table.SERVICES), 7, match(reg0=1), ((Op.GROUP, groups[-1].group_id),), groups)
    return table_of(table.sections.set(SectionKey(int(FeatureId.SERVICES), ("red", "web")), entries(9, 0, (flow,))))


def with_meters(table: FlowTable, *meters: Meter) -> FlowTable:
    """The table with a flow for each meter, as pods with limits have them."""
    flows = tuple(
        Flow(int(Table.OUTPUT), 20, match(reg2=meter.meter_id), ((Op.METER, meter.meter_id),), meters=(meter,))
        for meter in meters
    )
    return table_of(table.sections.set(SectionKey(int(FeatureId.LIMITS), ("a",)), entries(30, 0, flows)))


def buckets(*numbers: int) -> tuple[Bucket, ...]:
    return tuple((number, 10, ((Op.OUTPUT, number),)) for number in numbers)


TABLES = tables()
TABLES += [
    with_groups(TABLES[3], Group(1, buckets(1, 2, 3, 4, 5, 6))),
    with_groups(TABLES[3], Group(1, buckets(1, 2, 4, 5, 6, 7))),
    with_groups(TABLES[3], Group(2, buckets(1)), Group(3, buckets(2)), Group(1, ((1, 1, ((Op.GROUP, 2),)),))),
]
FEW_BUCKETS, OTHER_BUCKETS, LEVELS = len(TABLES) - 3, len(TABLES) - 2, len(TABLES) - 1
SLOW, FAST = Meter(6, 1000, 1100), Meter(6, 9000, 2250)
TABLES += [with_meters(TABLES[3], SLOW, Meter(7, 1, 1100)), with_meters(TABLES[3], FAST)]
TWO_METERS, ONE_METER = len(TABLES) - 2, len(TABLES) - 1


def session_with(table: FlowTable, switch: ModelSwitch) -> SwitchSession:
    session = SwitchSession("n1", 1, FakeWire())
    session.want(table, 1, ())
    session.connect(switch)
    return session


def change(session: SwitchSession, before: FlowTable, after: FlowTable, revision: int) -> None:
    session.want(after, revision, {*before.sections, *after.sections})


def test_an_empty_switch_gets_everything_in_one_bundle() -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[3], switch)
    switch.answer_all(session)
    assert session.phase is SwitchPhase.IN_SYNC
    assert switch.holds(TABLES[3])
    assert session.status.committed_revision == 1


def test_reconnecting_with_nothing_changed_costs_three_small_requests_and_no_flow_mod() -> None:
    switch = ModelSwitch()
    switch.answer_all(session_with(TABLES[3], switch))
    switch.flow_mods = 0
    again = session_with(TABLES[3], switch)
    requests = list(switch.inbox)
    switch.answer_all(again)
    assert again.phase is SwitchPhase.IN_SYNC
    assert switch.flow_mods == 0
    assert [type(request) for request in requests[:2]] == [ReadMeters, Count]
    assert [request.table for request in requests[2:]] == [Table.SENTINELS]


def test_reconnecting_after_a_change_sends_only_what_differs() -> None:
    switch = ModelSwitch()
    switch.answer_all(session_with(TABLES[2], switch))
    switch.flow_mods = 0
    switch.answer_all(session_with(TABLES[3], switch))
    assert switch.holds(TABLES[3])
    assert switch.flow_mods <= len(diff(TABLES[2], TABLES[3]).adds) + len(diff(TABLES[2], TABLES[3]).deletes) + 8


def test_one_bundle_is_in_flight_and_changes_meanwhile_go_as_one() -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[0], switch)
    switch.answer_all(session)
    change(session, TABLES[0], TABLES[2], 2)
    change(session, TABLES[2], TABLES[3], 3)
    change(session, TABLES[3], TABLES[4], 4)
    assert len(switch.inbox) == 1
    switch.answer(session)
    assert len(switch.inbox) == 1
    assert session.status.committed_revision == 2
    switch.answer(session)
    assert session.phase is SwitchPhase.IN_SYNC
    assert session.status.committed_revision == 4
    assert switch.holds(TABLES[4])


def test_a_refused_message_makes_the_sentinel_tell_and_the_switch_is_read_again() -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[1], switch)
    switch.answer_all(session)
    change(session, TABLES[1], TABLES[2], 2)
    delta = switch.inbox.pop()
    lost = delta.adds[0]
    switch.apply(delta, leave_out=lambda entry: entry == lost)  # it failed to decode: the rest is committed
    session.error("bad match", ends_bundle=False)
    session.committed_reply()
    assert session.phase is SwitchPhase.ERROR
    assert session.status.last_error == "bad match"
    assert session.status.committed_revision == 1
    # A controller that starts now must not believe the sentinels of that bundle.
    switch.answer(session)
    successor = session_with(TABLES[2], switch)
    switch.answer_all(successor)
    assert switch.holds(TABLES[2])


def test_after_an_error_a_retry_repairs() -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[1], switch)
    switch.answer_all(session)
    change(session, TABLES[1], TABLES[2], 2)
    switch.inbox.clear()
    session.error("no such group", ends_bundle=True)
    switch.answer_all(session)
    session.retry()
    switch.answer_all(session)
    assert session.phase is SwitchPhase.IN_SYNC
    assert session.status.last_error is None
    assert switch.holds(TABLES[2])


def test_an_audit_finds_what_was_edited_by_hand() -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[3], switch)
    switch.answer_all(session)
    victim, edited = list(TABLES[3].entries())[:2]
    del switch.flows[victim.flow.key]
    switch.flows[edited.flow.key] = Entry(0, edited.flow)
    session.audit()
    switch.answer_all(session)
    assert switch.holds(TABLES[3])
    assert session.phase is SwitchPhase.IN_SYNC


def test_connections_to_an_endpoint_that_is_gone_are_forgotten_when_none_is_led_there_any_more() -> None:
    switch, gone = ModelSwitch(), Gone("UDP", Target(IPv4Address("10.128.0.5"), 53))
    session = session_with(TABLES[FEW_BUCKETS], switch)
    switch.answer_all(session)
    change(session, TABLES[FEW_BUCKETS], TABLES[OTHER_BUCKETS], 2)
    session.forget([gone])
    assert [isinstance(message, Delta) for message in switch.inbox] == [True]
    switch.answer_all(session)
    assert switch.forgotten == [gone]
    session.forget([gone])
    switch.answer_all(session)
    assert switch.forgotten == [gone, gone]


def test_what_is_to_be_forgotten_waits_for_a_switch_that_is_away_as_long_as_it_is_not_too_much() -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[FEW_BUCKETS], switch)
    many = [Gone("UDP", Target(IPv4Address("10.128.0.0") + number, 53)) for number in range(5000)]
    session.forget(many)
    switch.answer_all(session)
    assert switch.forgotten == many[-4096:]


def test_a_bucket_comes_and_goes_by_itself() -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[FEW_BUCKETS], switch)
    switch.answer_all(session)
    change(session, TABLES[FEW_BUCKETS], TABLES[OTHER_BUCKETS], 2)
    groups = switch.inbox[0].groups
    assert (groups.puts, groups.gone) == ((), ())
    assert groups.buckets == (BucketChange(1, (3,), buckets(7)),)
    switch.answer_all(session)
    assert switch.holds(TABLES[OTHER_BUCKETS])


def test_groups_go_with_the_flow_that_they_are_for() -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[LEVELS], switch)
    switch.answer_all(session)
    change(session, TABLES[LEVELS], TABLES[3], 2)
    assert switch.inbox[0].groups == GroupChanges(gone=(1, 3, 2))
    switch.answer_all(session)
    assert switch.holds(TABLES[3])


@pytest.mark.parametrize("edit", ["gone", "emptied", "strange"])
def test_an_audit_finds_groups_that_were_edited_by_hand(edit: str) -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[LEVELS], switch)
    switch.answer_all(session)
    if edit == "gone":
        del switch.groups[2]
    elif edit == "emptied":
        switch.groups[2] = Group(2, ())
    else:
        switch.groups[99] = Group(99, ())
    session.audit()
    switch.answer_all(session)
    assert switch.holds(TABLES[LEVELS])


def test_meters_change_before_the_bundle_and_go_when_it_is_committed() -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[TWO_METERS], switch)
    switch.answer_all(session)
    change(session, TABLES[TWO_METERS], TABLES[ONE_METER], 2)
    (delta,) = switch.inbox
    assert delta.meters == MeterChanges(changed=(FAST,), gone=(7,))
    switch.answer(session)
    assert switch.inbox == [DeleteMeters((7,))]
    switch.answer_all(session)
    assert switch.holds(TABLES[ONE_METER])


def test_meters_stay_when_the_bundle_without_their_flows_is_refused() -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[TWO_METERS], switch)
    switch.answer_all(session)
    change(session, TABLES[TWO_METERS], TABLES[3], 2)
    switch.inbox.clear()
    session.error("no", ends_bundle=True)
    assert not any(isinstance(message, DeleteMeters) for message in switch.inbox)


@pytest.mark.parametrize("edit", ["gone", "changed", "strange"])
@pytest.mark.parametrize("audited", [False, True])
def test_meters_that_were_edited_by_hand_are_found(edit: str, audited: bool) -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[TWO_METERS], switch)
    switch.answer_all(session)
    if edit == "gone":
        switch.delete_meters((6,))
    elif edit == "changed":
        switch.meters[6] = FAST
    else:
        switch.meters[99] = Meter(99, 0, 0)
    if audited:
        session.audit()
    else:
        session.disconnect()
        session.connect(switch)
    switch.answer_all(session)
    assert switch.holds(TABLES[TWO_METERS])


@pytest.mark.parametrize("added", [False, True])
def test_a_reconnect_finds_flows_that_were_added_or_deleted_by_hand(added: bool) -> None:
    switch = ModelSwitch()
    switch.answer_all(session_with(TABLES[3], switch))
    victim = next(TABLES[3].entries())
    if added:
        stranger = victim.flow._replace(priority=7)
        switch.flows[stranger.key] = Entry(12, stranger)
    else:
        del switch.flows[victim.flow.key]
    again = session_with(TABLES[3], switch)
    switch.answer_all(again)
    assert again.phase is SwitchPhase.IN_SYNC
    assert switch.holds(TABLES[3])


def test_an_audit_that_finds_nothing_sends_nothing() -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[3], switch)
    switch.answer_all(session)
    switch.flow_mods = 0
    session.audit()
    switch.answer_all(session)
    assert switch.flow_mods == 0
    assert session.phase is SwitchPhase.IN_SYNC


def test_a_switch_that_is_away_answers_no_question() -> None:
    answers: list[Any] = []
    session = SwitchSession("n1", 1, FakeWire())
    session.ask(answers.append)
    switch = ModelSwitch()
    session.connect(switch)
    session.ask(answers.append)
    session.disconnect()
    assert answers == [None, None]


def test_questions_to_a_slow_switch_are_one_request() -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[3], switch)
    switch.answer_all(session)
    answers: list[Any] = []
    for _ in range(50):
        session.ask(answers.append)
    assert len(switch.inbox) == 1
    switch.answer(session)
    assert len(answers) == 50
    assert all(len(answer) == len(switch.flows) for answer in answers)
    session.ask(answers.append)
    switch.answer(session)
    assert len(answers) == 51


@pytest.mark.parametrize("phase", ["connect", "sentinels", "bundle"])
def test_a_disconnection_at_any_moment_is_made_good(phase: str) -> None:
    switch = ModelSwitch()
    session = session_with(TABLES[3], switch)
    if phase != "connect":
        switch.answer(session)
    if phase == "bundle":
        switch.answer(session)
    session.disconnect()
    switch.inbox.clear()
    session.connect(switch)
    switch.answer_all(session)
    assert switch.holds(TABLES[3])


class AnyOrder(RuleBasedStateMachine):
    """Changes, answers, errors, disconnections and restarts in any order."""

    @initialize()
    def start(self) -> None:
        self.switch = ModelSwitch()
        self.table = TABLES[0]
        self.revision = 1
        self.session = session_with(self.table, self.switch)

    @rule(index=st.integers(0, len(TABLES) - 1))
    def wish(self, index: int) -> None:
        self.revision += 1
        before, self.table = self.table, TABLES[index]
        change(self.session, before, self.table, self.revision)

    @rule()
    def answer_one(self) -> None:
        if self.switch.inbox:
            self.switch.answer(self.session)

    @rule()
    def refuse_one(self) -> None:
        if self.switch.inbox and isinstance(self.switch.inbox[0], Delta):
            self.switch.apply_meters(self.switch.inbox.pop(0).meters)  # they are in no bundle
            self.session.error("refused", ends_bundle=True)

    @rule(applied=st.booleans())
    def cut(self, applied: bool) -> None:
        for message in self.switch.inbox:
            if applied and isinstance(message, Delta):
                self.switch.apply(message)
            elif applied and isinstance(message, DeleteMeters):
                self.switch.delete_meters(message.meters)
        self.switch.inbox.clear()
        self.session.disconnect()
        self.session.connect(self.switch)

    @rule()
    def restart_controller(self) -> None:
        self.switch.inbox.clear()
        self.session = session_with(self.table, self.switch)

    @rule()
    def restart_switch(self) -> None:
        self.switch.flows.clear()
        self.switch.groups.clear()
        self.switch.meters.clear()
        self.switch.inbox.clear()
        self.session.disconnect()
        self.session.connect(self.switch)

    @rule()
    def edit_by_hand(self) -> None:
        for key in list(self.switch.flows)[:1]:
            del self.switch.flows[key]
        for number in list(self.switch.groups)[:1]:
            self.switch.groups[number] = Group(number, ())
        for number in list(self.switch.meters)[:1]:
            self.switch.meters[number] = Meter(number, 0, 0)
        # Only an audit can see that.
        self.settle()
        self.session.audit()
        self.switch.answer_all(self.session)

    @rule()
    def settle(self) -> None:
        self.switch.answer_all(self.session)
        self.session.retry()
        self.switch.answer_all(self.session)
        assert self.session.phase is SwitchPhase.IN_SYNC

    @invariant()
    def in_sync_means_in_sync(self) -> None:
        if hasattr(self, "session") and self.session.phase is SwitchPhase.IN_SYNC:
            assert self.switch.holds(self.session.committed)

    def teardown(self) -> None:
        if hasattr(self, "session"):
            self.settle()
            self.session.audit()
            self.switch.answer_all(self.session)
            assert self.switch.holds(self.table)
            assert self.session.status.committed_revision == self.revision or self.session.committed == self.table


TestAnyOrder = AnyOrder.TestCase
