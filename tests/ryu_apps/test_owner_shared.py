"""The owner of one replica among several: what it leaves to others, and catches up on when it answers for a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from eventlet.event import Event as GreenEvent

from rest.control import SwitchPhase
from ryu_apps.openflow.messages import Role
from store.base import StoreError
from store.sqlite import SqliteStore
from tests.ryu_apps.switches import RoleRequest
from tests.ryu_apps.test_owner import KEY, AnsweringSwitch, Controller, report
from topology.requests import CreateNetwork, CreateNode, ForgetPort, PortVanished, Request, SwitchPorts
from topology.snapshot import Remove, Snapshot


class SomeNodes:
    """The domain of one replica; what it answers for is set by the test."""

    def __init__(self) -> None:
        self.nodes: set[str] = set()

    def check(self, request: Request) -> None:
        pass

    def answers_for(self, node: str) -> bool:
        return node in self.nodes


class FailingStore(SqliteStore):
    """A store that keeps nothing while `fails`."""

    fails = False

    def commit(self, *arguments: Any) -> Any:
        if self.fails:
            raise StoreError("the API server", "no answer", "ask again")
        return super().commit(*arguments)


class MasterSwitch(AnsweringSwitch):
    """A switch that gives every role that it is asked for."""

    def answer(self, session: Any) -> None:
        if isinstance(self.inbox[0], RoleRequest):
            wanted = self.inbox.pop(0)
            session.role_given(wanted.xid, wanted.role, wanted.generation)
        else:
            super().answer(session)


class Replica(Controller):
    """A controller whose domain is a test's, and whose store can fail."""

    def __init__(self, path: Path) -> None:
        self.domain = SomeNodes()
        super().__init__(path, FailingStore, self.domain)

    def connect(self, node: str, ofports: dict[str, int]) -> AnsweringSwitch:
        switch = MasterSwitch(self)
        self.owner.connected(self.plane.published.snapshot.nodes[node].dpid, switch, ofports)
        self.settle()
        self.wait(node, lambda: self.phase(node) is not SwitchPhase.AWAY)
        return switch

    def lead(self, node: str, generation: int = 1) -> None:
        self.domain.nodes.add(node)
        self.owner.lead({node: generation})
        self.settle()
        self.wait(node, lambda: self.phase(node) is SwitchPhase.IN_SYNC)

    def leave(self, node: str) -> None:
        self.domain.nodes.discard(node)
        self.owner.step_back((node,))
        self.wait(node, lambda: self.phase(node) is SwitchPhase.STANDBY)

    def tell(self, switch: AnsweringSwitch, interface: str, ofport: int | None) -> None:
        """Let a switch say something about a port, and wait until that is dealt with."""
        self.owner.port_seen(switch, interface, ofport)
        self.settle()

    def settle(self) -> None:
        """Wait until everything asked for so far is done."""
        done = GreenEvent()
        self.owner.call(lambda: done.send(None))
        done.wait()

    @property
    def snapshot(self) -> Snapshot:
        return self.plane.published.snapshot


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    replica = Replica(tmp_path / "store.sqlite")
    replica.submit(
        CreateNode("n1", IPv4Address("192.0.2.11")),
        CreateNode("n2", IPv4Address("192.0.2.12")),
        CreateNetwork("red", projects=("red",)),
    )
    yield replica
    replica.stop()


def gone(replica: Replica) -> Callable[[], bool]:
    return lambda: KEY not in replica.snapshot.ports


def test_a_switch_of_another_is_not_written_to_and_its_numbers_are_known(replica: Replica) -> None:
    switch = replica.connect("n1", {"vc1": 7})
    replica.submit(report())
    assert replica.phase("n1") is SwitchPhase.STANDBY
    assert replica.snapshot.ports[KEY].ofport == 7
    assert switch.inbox == []
    assert switch.flow_mods == 0


def test_what_vanishes_on_a_switch_of_another_loses_its_number_only(replica: Replica) -> None:
    switch = replica.connect("n1", {"vc1": 7})
    replica.submit(report())
    replica.tell(switch, "vc1", None)
    replica.wait("n1", lambda: replica.snapshot.ports[KEY].ofport is None)
    assert not replica.snapshot.quarantined


@pytest.mark.parametrize("how", ["told", "reconnected"])
def test_who_takes_over_forgets_what_vanished_before(replica: Replica, how: str) -> None:
    switch = replica.connect("n1", {"vc1": 7})
    replica.submit(report())
    if how == "told":
        replica.tell(switch, "vc1", None)
    else:
        replica.owner.disconnected(switch)
        replica.settle()
        replica.connect("n1", {})
    replica.lead("n1")
    replica.wait("n1", gone(replica))
    replica.wait("n1", lambda: not replica.snapshot.quarantined)


def test_what_came_back_is_not_forgotten(replica: Replica) -> None:
    switch = replica.connect("n1", {"vc1": 7})
    replica.submit(report())
    replica.tell(switch, "vc1", None)
    replica.tell(switch, "vc1", 9)
    replica.lead("n1")
    assert replica.snapshot.ports[KEY].ofport == 9
    assert replica.holds(switch, "n1")


def test_an_address_in_quarantine_is_freed_by_who_takes_over(replica: Replica) -> None:
    replica.connect("n1", {"vc1": 7})
    replica.submit(report(), ForgetPort(KEY))
    assert replica.snapshot.quarantined
    replica.lead("n1")
    replica.wait("n1", lambda: not replica.snapshot.quarantined)


def test_an_address_is_not_freed_by_who_has_left_the_node(replica: Replica) -> None:
    replica.connect("n1", {"vc1": 7})
    replica.submit(report())
    replica.lead("n1")
    replica.leave("n1")
    replica.submit(ForgetPort(KEY), CreateNetwork("blue"))
    assert replica.snapshot.quarantined


@pytest.mark.parametrize("how", ["told", "reconnected", "taken over"])
def test_what_could_not_be_forgotten_is_forgotten_later(replica: Replica, how: str) -> None:
    """The API server is away just when a port vanishes: nobody says it again."""
    switch = replica.connect("n1", {"vc1": 7})
    replica.submit(report())
    if how != "taken over":
        replica.lead("n1")
    replica.store.fails = True  # type: ignore[attr-defined]
    if how == "reconnected":
        replica.owner.disconnected(switch)
        replica.settle()
        replica.connect("n1", {})
    else:
        replica.tell(switch, "vc1", None)
    replica.lead("n1", 2)
    assert KEY in replica.snapshot.ports
    replica.store.fails = False  # type: ignore[attr-defined]
    replica.owner.insist({"n1": 2})
    replica.wait("n1", gone(replica))


def test_nothing_is_kept_of_ports_that_another_has_forgotten(replica: Replica) -> None:
    """A replica sees pods come and go on switches of others for weeks."""
    switch = replica.connect("n1", {})
    for number in range(20):
        name = f"vc{number}"
        key = KEY._replace(container=f"c{number}")
        replica.tell(switch, name, 7)
        replica.submit(report(key=key))
        if number % 2:  # the switch tells before the API does, or after
            replica.tell(switch, name, None)
        replica.owner.follow(lambda snapshot, key=key: (Remove(snapshot.ports[key]),))  # type: ignore[misc]
        replica.settle()
        replica.tell(switch, name, None)
    replica.submit(CreateNetwork("blue"))
    assert not any(replica.owner._lost._names.values())
    assert not replica.owner._sessions["n1"]._dirty


def test_a_switch_asks_for_the_role_first(replica: Replica) -> None:
    switch = replica.connect("n1", {})
    sent: list[Any] = []
    original = switch.send
    switch.send = lambda message: (sent.append(message), original(message))  # type: ignore[method-assign]
    replica.lead("n1", 5)
    assert sent[0] == RoleRequest(Role.MASTER, 5)


def test_requests_about_vanished_ports_say_who_forgets() -> None:
    assert PortVanished("n1", "v").forget
    assert SwitchPorts("n1", ()).forget
