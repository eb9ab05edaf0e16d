"""Several replicas and one switch: only the newest master writes, and whoever takes over touches only what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rest.control import SwitchPhase
from ryu_apps.controller import OpenFlowWire, _answer, _refusal
from ryu_apps.openflow import decode, messages
from ryu_apps.openflow.messages import Role
from ryu_apps.openflow.wire import MessageType
from ryu_apps.session import SwitchSession
from tests.ryu_apps.openflow_switch import Connection, DummySwitch
from tests.ryu_apps.switches import FakeWire, ModelSwitch, RoleRequest
from tests.ryu_apps.test_session import TABLES, change
from topology.compiler import Delta, FlowTable


class Shared(ModelSwitch):
    """A switch with several controllers, each by a `Line`: it knows the newest generation, and who is master."""

    def __init__(self) -> None:
        super().__init__()
        self.generation: int | None = None
        self.master: Line | None = None
        self.lines: list[Line] = []


class UnderWay:
    """Stands for a session: what it is told waits until it is heard."""

    def __init__(self, said: list[Callable[[], object]], session: SwitchSession) -> None:
        self._said = said
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self._said.append(lambda: getattr(self._session, name)(*arguments))


class Line:
    """One controller's connection; what the switch says is under way for a while, as what it is sent is."""

    def __init__(self, switch: Shared, session: SwitchSession) -> None:
        self.switch = switch
        self.session = session
        self.inbox: list[Any] = []
        self.said: list[Callable[[], object]] = []
        self.told: Any = UnderWay(self.said, session)
        switch.lines.append(self)

    def send(self, message: Any) -> None:
        self.inbox.append(message)

    def close(self) -> None:
        self.inbox.clear()

    def answer(self) -> None:
        """Let the switch take one message."""
        message = self.inbox.pop(0)
        switch = self.switch
        if isinstance(message, RoleRequest):
            self._role(message)
        elif isinstance(message, Delta) and switch.master is not self:
            self.told.role_changed(Role.SLAVE)  # the error IS_SLAVE
        else:
            switch.inbox.append(message)
            switch.answer(self.told)

    def hear(self) -> None:
        """Take in one message of the switch."""
        self.said.pop(0)()

    def answer_all(self) -> None:
        while self.inbox or self.said:
            self.answer() if self.inbox else self.hear()

    def reconnect(self) -> None:
        """The connection breaks, and what was under way is lost; a new one has no role (OpenFlow 1.5.1, 6.3.7)."""
        self.inbox.clear()
        self.said.clear()
        if self.switch.master is self:
            self.switch.master = None
        self.session.disconnect()
        self.session.connect(self)

    def _role(self, message: RoleRequest) -> None:
        switch = self.switch
        if message.role != Role.NO_CHANGE:
            if switch.generation is not None and message.generation < switch.generation:
                self.told.role_refused(message.xid)
                return
            switch.generation = message.generation
        if message.role == Role.MASTER:
            deposed, switch.master = switch.master, self
            if deposed is not None and deposed is not self:
                deposed.told.role_changed(Role.SLAVE)
        if message.role == Role.SLAVE and switch.master is self:
            switch.master = None
        role = Role.MASTER if switch.master is self else Role.SLAVE
        self.told.role_given(message.xid, role, switch.generation or 0)


def replica(switch: Shared, table: FlowTable) -> Line:
    session = SwitchSession("n1", 1, FakeWire(), leads=False)
    session.want(table, 1, ())
    line = Line(switch, session)
    session.connect(line)
    return line


def test_one_that_does_not_lead_says_nothing() -> None:
    line = replica(Shared(), TABLES[3])
    assert line.inbox == []
    assert line.session.status.phase is SwitchPhase.STANDBY


def test_one_that_leads_asks_for_the_role_before_anything_else() -> None:
    switch = Shared()
    line = replica(switch, TABLES[3])
    line.session.lead(7)
    assert line.inbox == [RoleRequest(Role.MASTER, 7)]
    line.answer_all()
    assert line.session.phase is SwitchPhase.IN_SYNC
    assert switch.holds(TABLES[3])


def test_taking_over_touches_no_flow() -> None:
    switch = Shared()
    one, two = replica(switch, TABLES[3]), replica(switch, TABLES[3])
    one.session.lead(7)
    one.answer_all()
    switch.flow_mods = 0
    two.session.lead(9)
    two.answer_all()
    one.answer_all()
    assert two.session.phase is SwitchPhase.IN_SYNC
    assert one.session.phase is SwitchPhase.STANDBY
    assert not one.session.leads
    assert switch.flow_mods == 0


def test_one_that_was_deposed_does_not_write_any_more() -> None:
    switch = Shared()
    one, two = replica(switch, TABLES[3]), replica(switch, TABLES[3])
    one.session.lead(7)
    one.answer_all()
    change(one.session, TABLES[3], TABLES[2], 2)  # under way when it is deposed
    two.session.lead(9)
    two.answer_all()
    one.answer_all()
    change(one.session, TABLES[2], TABLES[1], 3)
    assert one.inbox == []
    assert switch.holds(TABLES[3])
    assert one.session.status.last_error is None


def test_nothing_in_flight_is_believed_once_another_is_master() -> None:
    line = replica(Shared(), TABLES[3])
    line.session.lead(7)
    line.answer_all()
    change(line.session, TABLES[3], TABLES[2], 2)
    line.session.role_changed(Role.SLAVE)
    line.session.committed_reply()
    assert line.session.phase is SwitchPhase.STANDBY
    assert line.session.committed_revision == 1
    assert line.session.committed is TABLES[3]


@pytest.mark.parametrize("ends_bundle", [False, True])
def test_an_error_about_what_was_sent_as_master_is_none_of_one_that_stands_by(ends_bundle: bool) -> None:
    line = replica(Shared(), TABLES[3])
    line.session.lead(7)
    line.answer_all()
    change(line.session, TABLES[3], TABLES[2], 2)
    line.inbox.clear()
    line.session.role_changed(Role.SLAVE)
    line.session.error("bad match", ends_bundle=ends_bundle)
    assert line.session.phase is SwitchPhase.STANDBY
    assert line.session.status.last_error is None
    assert line.inbox == []


def test_an_old_generation_is_overcome_only_when_asked_to() -> None:
    switch = Shared()
    switch.generation = 100
    line = replica(switch, TABLES[3])
    line.session.lead(7)
    line.answer_all()
    assert line.session.phase is SwitchPhase.STANDBY
    assert line.session.is_stale
    line.session.overcome()
    line.answer_all()
    assert line.session.phase is SwitchPhase.IN_SYNC
    assert switch.generation == 101


def test_only_the_answer_to_the_last_request_counts() -> None:
    """What is refused or answered was asked for before the replica was told otherwise."""
    switch = Shared()
    other, line = replica(switch, TABLES[3]), replica(switch, TABLES[3])
    line.session.lead(1)
    line.session.lead(3)
    line.session.follow()
    line.session.lead(5)
    other.session.lead(2)
    other.answer_all()
    line.answer_all()
    assert line.session.phase is SwitchPhase.IN_SYNC
    assert not line.session.is_stale
    assert switch.generation == 5


def test_a_refusal_of_an_earlier_request_says_nothing_about_the_last_one() -> None:
    switch = Shared()
    switch.generation = 3
    line = replica(switch, TABLES[3])
    line.session.lead(1)
    line.session.lead(5)
    line.answer()
    line.hear()
    assert not line.session.is_stale
    line.session.overcome()
    line.answer_all()
    assert line.session.phase is SwitchPhase.IN_SYNC
    assert switch.generation == 5


def test_who_steps_back_leaves_the_flows() -> None:
    switch = Shared()
    line = replica(switch, TABLES[3])
    line.session.lead(7)
    line.answer_all()
    line.session.follow()
    line.answer_all()
    assert line.session.phase is SwitchPhase.STANDBY
    assert switch.holds(TABLES[3])
    assert switch.master is None


class AnyOrder(RuleBasedStateMachine):
    """Three replicas with a growing generation each: in the end the newest master's table is there."""

    def __init__(self) -> None:
        super().__init__()
        self.switch = Shared()
        self.table = TABLES[0]
        self.revision = 1
        self.lines = [replica(self.switch, self.table) for _ in range(3)]
        self.generation = 0

    @rule(number=st.integers(0, 2))
    def lead(self, number: int) -> None:
        self.generation += 1
        self.lines[number].session.lead(self.generation)

    @rule(number=st.integers(0, 2))
    def follow(self, number: int) -> None:
        self.lines[number].session.follow()

    @rule(number=st.integers(0, 2))
    def answer(self, number: int) -> None:
        if self.lines[number].inbox:
            self.lines[number].answer()

    @rule(number=st.integers(0, 2))
    def hear(self, number: int) -> None:
        if self.lines[number].said:
            self.lines[number].hear()

    @rule(number=st.integers(0, 2))
    def settle(self, number: int) -> None:
        self.lines[number].answer_all()

    @rule(number=st.integers(0, 2))
    def reconnect(self, number: int) -> None:
        self.lines[number].reconnect()

    @rule(number=st.integers(0, 2))
    def overcome(self, number: int) -> None:
        self.lines[number].session.overcome()

    @rule()
    def somebody_asks_with_a_newer_generation(self) -> None:
        """As a cluster that was there before, whose numbers were higher."""
        self.switch.generation = (self.switch.generation or 0) + 1000

    @rule(table=st.sampled_from(TABLES))
    def decide(self, table: FlowTable) -> None:
        self.revision += 1
        for line in self.lines:
            change(line.session, self.table, table, self.revision)
        self.table = table

    @invariant()
    def one_that_stands_by_asks_for_roles_only(self) -> None:
        for line in self.lines:
            if line.session.phase is SwitchPhase.STANDBY:
                sent = len(line.inbox)
                line.session.want(self.table, self.revision, self.table.sections)
                assert len(line.inbox) == sent

    def teardown(self) -> None:
        self.lead(1)
        self._settle()
        if self.lines[1].session.phase is not SwitchPhase.IN_SYNC:
            # It is still meant to have the lead: as often as its leases confirm that, it asks (`Owner.insist`).
            self.lines[1].session.overcome()
            if not self.lines[1].session.is_stale:
                self.lines[1].session.lead(self.generation)
            self._settle()
            self.lines[1].session.overcome()
            self._settle()
        self._check()

    def _settle(self) -> None:
        for _ in range(4):
            for line in self.lines:
                line.answer_all()

    def _check(self) -> None:
        assert self.lines[1].session.phase is SwitchPhase.IN_SYNC
        assert self.switch.master is self.lines[1]
        for other in (self.lines[0], self.lines[2]):
            assert other.session.phase is SwitchPhase.STANDBY
            assert other.session.status.last_error is None
        assert self.switch.holds(self.table)


TestAnyOrder = AnyOrder.TestCase


# --- real Open vSwitch ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DummySwitch]:
    started = DummySwitch(tmp_path_factory.mktemp("ovs"))
    started.start()
    yield started
    started.stop()


class Real:
    """A session on a real connection: what comes is handed to it as the controller does."""

    def __init__(self, connection: Connection, session: SwitchSession) -> None:
        self.connection = connection
        self.session = session
        self.sent: list[int] = []  # types of messages
        self.session.connect(self)

    def send(self, data: bytes) -> None:
        rest = data
        while rest:
            self.sent.append(decode.header(rest).kind)
            rest = rest[int.from_bytes(rest[2:4], "big") :]
        self.connection.send(data)

    def written(self) -> int:
        """Return how many changes it has sent."""
        return self.sent.count(MessageType.BUNDLE_ADD)

    def close(self) -> None:
        self.connection.close()

    def hear(self, until: Any) -> None:
        """Take in messages until something holds."""
        while not until(self.session):
            self.take_in(self.connection.receive())

    def hear_all(self) -> None:
        """Take in what the switch has to say about everything sent so far."""
        self.connection.send(messages.barrier(99))
        for raw in self.connection.until(MessageType.BARRIER_REPLY, 99)[0]:
            self.take_in(raw)

    def take_in(self, raw: bytes) -> None:
        """Hand a message to the session."""
        match decode.header(raw).kind:
            case MessageType.ROLE_REPLY:
                self.session.role_given(*decode.role_reply(raw))
            case MessageType.ROLE_STATUS:
                self.session.role_changed(decode.role_status(raw).role)
            case MessageType.ERROR:
                _refusal(raw)(self.session)
            case MessageType.BUNDLE_CONTROL if decode.bundle_reply(raw).committed:
                self.session.committed_reply()
            case MessageType.MULTIPART_REPLY:
                tell = _answer(raw)
                assert tell is not None
                tell(self.session)


def shared(table: FlowTable) -> SwitchSession:
    session = SwitchSession("n1", 1, OpenFlowWire(), leads=False)
    session.want(table, 1, ())
    return session


def in_sync(session: SwitchSession) -> bool:
    return session.phase is SwitchPhase.IN_SYNC


@pytest.mark.ovs
def test_a_real_switch_changes_hands(switch: DummySwitch) -> None:
    with switch.bridge("roles") as bridge, switch.connect(bridge) as first, switch.connect(bridge) as second:
        one, two = Real(first, shared(TABLES[3])), Real(second, shared(TABLES[3]))
        one.session.lead(7)
        one.hear(in_sync)
        before = switch.ofctl("dump-flows --no-stats", bridge)
        two.session.lead(9)
        two.hear(in_sync)
        one.hear(lambda session: session.phase is SwitchPhase.STANDBY)  # the switch says so by itself
        assert not one.session.leads
        assert switch.ofctl("dump-flows --no-stats", bridge) == before
        assert one.written() > 0
        assert two.written() == 0
        one.session.lead(8)  # an old generation
        one.hear(lambda session: session.is_stale)
        assert one.session.phase is SwitchPhase.STANDBY
        one.session.overcome()
        one.hear(in_sync)
        two.hear(lambda session: session.phase is SwitchPhase.STANDBY)
        assert one.session.status.last_error is None


@pytest.mark.ovs
def test_who_takes_over_repairs_what_drifted_and_nothing_else(switch: DummySwitch) -> None:
    with switch.bridge("drift") as bridge, switch.connect(bridge) as first, switch.connect(bridge) as second:
        one, two = Real(first, shared(TABLES[3])), Real(second, shared(TABLES[3]))
        one.session.lead(7)
        one.hear(in_sync)
        before = flows_on(first)
        lost = next(TABLES[3].entries())
        switch.ofctl("del-flows", bridge, f"cookie={lost.cookie:#x}/-1")
        assert lost.cookie not in flows_on(first)
        two.session.lead(9)
        two.hear(in_sync)
        assert flows_on(second) == before
        assert 0 < two.written() < len(before) / 4
        one.hear(lambda session: session.phase is SwitchPhase.STANDBY)


def flows_on(connection: Connection) -> set[int]:
    """Return the cookies of the flows that are there."""
    return {flow.cookie for flow in connection.flows()}


@pytest.mark.ovs
def test_one_that_stands_by_is_still_told_of_ports(switch: DummySwitch) -> None:
    with switch.bridge("ports") as bridge, switch.connect(bridge) as first, switch.controlled(bridge) as second:
        two = Real(second, shared(TABLES[0]))
        two.session.lead(7)
        two.hear(in_sync)
        one = Real(first, shared(TABLES[0]))
        one.session.lead(9)
        one.hear(in_sync)
        two.hear(lambda session: session.phase is SwitchPhase.STANDBY)
        switch.run("ovs-vsctl", "--timeout=20", "add-port", bridge, "v1", "--", "set", "Interface", "v1", "type=dummy")
        told = second.receive()
        while decode.header(told).kind != MessageType.PORT_STATUS or decode.port_status(told).port.name != "v1":
            told = second.receive()
        assert decode.port_status(told).reason == decode.PORT_ADDED


@pytest.mark.ovs
def test_a_slave_is_told_so_when_it_writes(switch: DummySwitch) -> None:
    with switch.bridge("slaves") as bridge, switch.connect(bridge) as first, switch.connect(bridge) as second:
        one, two = Real(first, shared(TABLES[0])), Real(second, shared(TABLES[0]))
        one.session.lead(7)
        one.hear(in_sync)
        two.connection.send(messages.role_request(77, Role.MASTER, 9))
        two.connection.until(MessageType.ROLE_REPLY, 77)
        change(one.session, TABLES[0], TABLES[3], 2)
        one.hear(lambda session: session.phase is SwitchPhase.STANDBY)
        assert one.session.committed_revision == 1


# --- a controller without others --------------------------------------------------------------------------------------


@pytest.mark.ovs
def test_one_without_others_says_that_a_stranger_is_master_and_goes_on_when_it_went(switch: DummySwitch) -> None:
    with switch.bridge("local") as bridge, switch.connect(bridge) as first, switch.connect(bridge) as second:
        session = SwitchSession("n1", 1, OpenFlowWire())
        session.want(TABLES[0], 1, ())
        one = Real(first, session)
        one.hear(in_sync)
        second.send(messages.role_request(77, Role.MASTER, 9))
        second.until(MessageType.ROLE_REPLY, 77)
        first.send(messages.role_request(78, Role.SLAVE, 9))  # as a switch may be told by hand
        change(session, TABLES[0], TABLES[3], 2)
        one.hear(lambda session: session.phase is SwitchPhase.ERROR)
        assert session.status.last_error is not None
        assert "IS_SLAVE" in session.status.last_error
        assert session.leads
        first.send(messages.role_request(79, Role.EQUAL))
        one.hear_all()
        session.retry()
        one.hear(in_sync)
        assert session.committed_revision == 2


def test_one_without_others_is_not_sent_away_by_a_strangers_role() -> None:
    switch = ModelSwitch()
    session = SwitchSession("n1", 1, FakeWire())
    session.want(TABLES[3], 1, ())
    session.connect(switch)
    switch.answer_all(session)
    session.role_changed(Role.SLAVE)
    assert session.phase is SwitchPhase.IN_SYNC
    assert session.leads
