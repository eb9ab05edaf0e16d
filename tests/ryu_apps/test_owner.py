"""The owner thread with a real store and model switches: what is acknowledged is stored, published and programmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import eventlet
import pytest
from eventlet.event import Event as GreenEvent

from rest.control import SwitchPhase
from ryu_apps.domain import ALONE, Domain
from ryu_apps.owner import Owner
from ryu_apps.plane import ControlPlane
from ryu_apps.session import SwitchSession
from store.sqlite import SqliteStore
from tests.ryu_apps.switches import FakeWire, ModelSwitch
from topology.compiler import compile_all
from topology.model import PortKey
from topology.requests import (
    CreateNetwork,
    CreateNode,
    DeleteNode,
    ForgetPort,
    JoinNetworks,
    PortSeen,
    Reason,
    Refused,
    ReportPort,
    Request,
)
from topology.snapshot import apply_all, empty

KEY = PortKey("n1", "c1", "eth0")


class AnsweringSwitch(ModelSwitch):
    """A model switch that answers at once, in a green thread of its own."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self.closed = False
        self._controller = controller

    def send(self, message: Any) -> None:
        super().send(message)
        eventlet.spawn_n(self._controller.owner.switch_says, self, self._answer_one)

    def close(self) -> None:
        self.closed = True

    def _answer_one(self, session: SwitchSession) -> None:
        if self.inbox:
            self.answer(session)


class Controller:
    """An owner thread with a store in a file, and switches that answer."""

    def __init__(self, path: Path, store: type[SqliteStore] = SqliteStore, domain: Domain = ALONE) -> None:
        self.store = store(path)
        snapshot, _ = apply_all(empty(), self.store.load())
        self.owner = Owner(self.store, FakeWire(), snapshot, domain)
        self.plane = ControlPlane(self.owner, self.store)
        self._thread = eventlet.spawn(self.owner.run)

    def stop(self) -> None:
        self._thread.kill()
        self.store.close()

    def submit(self, *requests: Request) -> None:
        for request in requests:
            self.plane.submit(request)

    def connect(self, node: str, ofports: dict[str, int]) -> AnsweringSwitch:
        switch = AnsweringSwitch(self)
        self.owner.connected(self.plane.published.snapshot.nodes[node].dpid, switch, ofports)
        self.wait(node, lambda: self.phase(node) is SwitchPhase.IN_SYNC)
        return switch

    def phase(self, node: str) -> SwitchPhase:
        return self.plane.published.switches[node].phase

    def wait(self, topic: str, condition: Callable[[], bool]) -> None:
        assert self.plane.wait(topic, lambda published: True if condition() else None, 5.0)

    def holds(self, switch: ModelSwitch, node: str) -> bool:
        return switch.holds(self.plane.published.tables[node])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Controller]]:
    running: list[Controller] = []

    def one_more() -> Controller:
        for earlier in running:
            earlier.stop()
        running[:] = [Controller(tmp_path / "store.sqlite")]
        return running[0]

    yield one_more
    for controller in running:
        controller.stop()


@pytest.fixture
def controller(start: Callable[[], Controller]) -> Controller:
    controller = start()
    controller.submit(
        CreateNode("n1", IPv4Address("192.0.2.11")),
        CreateNode("n2", IPv4Address("192.0.2.12")),
        CreateNetwork("red", projects=("red",)),
        CreateNetwork("blue", projects=("blue",)),
    )
    return controller


def report(pod: str = "a", key: PortKey = KEY, project: str = "red") -> ReportPort:
    return ReportPort(key, project, pod, f"v{key.container}")


def test_a_port_is_committed_once_reported_and_seen(controller: Controller) -> None:
    switch = controller.connect("n1", {})
    controller.submit(report())
    assert controller.plane.published.port_phase(KEY)[0] == "Pending"
    controller.owner.port_seen(switch, "vc1", 7)
    controller.wait("n1", lambda: controller.plane.published.port_phase(KEY)[0] == "Committed")
    assert controller.holds(switch, "n1")


def test_a_port_that_the_switch_has_before_it_is_reported_counts(controller: Controller) -> None:
    controller.connect("n1", {"vc1": 7})
    controller.submit(report())
    assert controller.plane.published.snapshot.ports[KEY].ofport == 7


def test_a_port_seen_at_reconnection_counts(controller: Controller) -> None:
    controller.submit(report())
    switch = controller.connect("n1", {"vc1": 9})
    assert controller.plane.published.snapshot.ports[KEY].ofport == 9
    assert controller.holds(switch, "n1")


def test_the_address_of_a_vanished_port_is_free_when_the_switch_has_acknowledged(controller: Controller) -> None:
    switch = controller.connect("n1", {"vc1": 7})
    controller.submit(report())
    controller.owner.port_seen(switch, "vc1", None)
    controller.wait("n1", lambda: KEY not in controller.plane.published.snapshot.ports)
    controller.wait("n1", lambda: not controller.plane.published.snapshot.quarantined)


def test_the_address_stays_in_quarantine_while_the_switch_is_away(
    controller: Controller, start: Callable[[], Controller]
) -> None:
    switch = controller.connect("n1", {"vc1": 7})
    controller.submit(report())
    controller.owner.disconnected(switch)
    controller.wait("n1", lambda: controller.phase("n1") is SwitchPhase.AWAY)
    controller.submit(ForgetPort(KEY))
    assert controller.plane.published.snapshot.quarantined
    again = start()
    assert again.plane.published.snapshot.quarantined
    again.connect("n1", {})
    again.wait("n1", lambda: not again.plane.published.snapshot.quarantined)


def test_a_restart_brings_back_everything(controller: Controller, start: Callable[[], Controller]) -> None:
    controller.connect("n1", {"vc1": 7})
    controller.submit(report(), JoinNetworks("red", "blue"))
    before = controller.plane.published
    again = start()
    assert again.plane.published.snapshot.ports == before.snapshot.ports
    assert again.plane.published.tables == before.tables == compile_all(before.snapshot)
    revision = again.plane.published.revision
    switch = again.connect("n1", {"vc1": 7})
    assert again.plane.published.revision == revision, "what the switch told was no news"
    assert again.holds(switch, "n1")


@pytest.mark.parametrize("ofports", [{"vc1": 8}, {"vc1": 7, "vc2": 8}, {"vc1": 8, "vc2": 7}])
def test_a_switch_that_numbers_its_ports_anew_is_believed(
    ofports: dict[str, int], controller: Controller, start: Callable[[], Controller]
) -> None:
    controller.connect("n1", {"vc1": 7})
    controller.submit(report())
    again = start()
    switch = again.connect("n1", ofports)
    assert again.plane.published.snapshot.ports[KEY].ofport == ofports["vc1"]
    assert again.plane.published.tables == compile_all(again.plane.published.snapshot)
    assert again.holds(switch, "n1")


def test_a_port_that_went_while_the_controller_was_away_is_forgotten(
    controller: Controller, start: Callable[[], Controller]
) -> None:
    controller.connect("n1", {"vc1": 7})
    controller.submit(report())
    again = start()
    again.connect("n1", {})
    assert KEY not in again.plane.published.snapshot.ports
    again.wait("n1", lambda: not again.plane.published.snapshot.quarantined)


def test_a_port_that_is_not_plumbed_yet_stays_when_its_switch_reconnects(controller: Controller) -> None:
    controller.submit(report())
    controller.connect("n1", {})
    assert KEY in controller.plane.published.snapshot.ports


def test_a_refusal_changes_nothing(controller: Controller) -> None:
    before = controller.plane.published
    with pytest.raises(Refused) as refusal:
        controller.plane.submit(JoinNetworks("red", "green"))
    assert refusal.value.reason is Reason.UNKNOWN
    assert controller.plane.published is before


def test_an_error_in_one_request_leaves_the_others_of_its_batch(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ryu_apps import owner as module

    original = module.admit

    def faulty(snapshot: Any, request: Request) -> Any:
        if isinstance(request, CreateNetwork) and request.name == "poison":
            raise ZeroDivisionError
        return original(snapshot, request)

    monkeypatch.setattr(module, "admit", faulty)
    results = [eventlet.spawn(controller.plane.submit, CreateNetwork(name)) for name in ("green", "poison", "grey")]
    with pytest.raises(ZeroDivisionError):
        results[1].wait()
    results[0].wait()
    results[2].wait()
    assert {"green", "grey"} <= set(controller.plane.published.snapshot.networks)


def test_when_the_store_fails_nothing_is_published(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(events: Any, _turns: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(controller.store, "commit", full)
    before = controller.plane.published
    with pytest.raises(OSError, match="no space"):
        controller.plane.submit(CreateNetwork("green"))
    assert controller.plane.published is before


def test_a_refusal_in_a_batch_that_fails_is_answered_once_and_the_thread_goes_on(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(events: Any, _turns: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(controller.store, "commit", full)
        asked = (JoinNetworks("red", "nope"), CreateNetwork("green"))
        answers = [eventlet.spawn(controller.plane.submit, request) for request in asked]
        with pytest.raises(Refused, match="nope"):
            answers[0].wait()
        with pytest.raises(OSError, match="no space"):
            answers[1].wait()
    controller.submit(CreateNetwork("green"))
    assert "green" in controller.plane.published.snapshot.networks


def test_an_entry_that_raises_does_not_end_the_thread(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(controller.owner, "_install", broken)
        with pytest.raises(ZeroDivisionError):
            controller.plane.submit(CreateNetwork("green"))
    controller.submit(CreateNetwork("grey"))
    assert "grey" in controller.plane.published.snapshot.networks


def test_an_address_waits_for_its_own_switch_only(controller: Controller) -> None:
    """Whatever else was asked with its end: n2, which is away, never named it."""
    controller.connect("n1", {"vc1": 7})
    controller.submit(report())
    requests = (ForgetPort(KEY), CreateNode("n3", IPv4Address("192.0.2.13")))
    for answer in [eventlet.spawn(controller.plane.submit, request) for request in requests]:
        answer.wait()
    controller.wait("n1", lambda: not controller.plane.published.snapshot.quarantined)


def test_a_deleted_node_loses_its_connection_and_its_status(controller: Controller) -> None:
    switch = controller.connect("n2", {})
    controller.submit(DeleteNode("n2"))
    assert switch.closed
    assert "n2" not in controller.plane.published.switches


def test_the_addresses_of_a_deleted_node_are_free_when_the_others_have_acknowledged(controller: Controller) -> None:
    controller.connect("n1", {})
    controller.connect("n2", {"vc2": 7})
    controller.submit(report(key=PortKey("n2", "c2", "eth0")), DeleteNode("n2", drain=True))
    controller.wait("n2", lambda: not controller.plane.published.snapshot.quarantined)


def test_switches_that_are_away_are_named_at_once(controller: Controller) -> None:
    controller.connect("n1", {"vc1": 7})
    controller.submit(report(), report(key=PortKey("n2", "c2", "eth0")))
    submitted = controller.plane.submit(JoinNetworks("red", "blue"))
    assert submitted.nodes == {"n1", "n2"}
    assert controller.plane.late(submitted, 30.0) == ("n2",)


def test_a_token_belongs_to_its_node(controller: Controller) -> None:
    token = controller.plane.create_node_token("n1")
    assert controller.plane.node_of_token(token) == "n1"
    assert controller.plane.node_of_token(token + "x") is None
    controller.plane.create_node_token("n1")
    assert controller.plane.node_of_token(token) is None


def test_counters_of_a_switch_that_is_away(controller: Controller) -> None:
    with pytest.raises(ConnectionError, match="n1"):
        controller.plane.counters("n1", 1.0)


def test_an_interface_nobody_reported_changes_nothing(controller: Controller) -> None:
    before = controller.plane.published.snapshot
    controller.submit(PortSeen("n1", "v-stranger", 12))
    assert controller.plane.published.snapshot is before


def test_whether_it_takes_up_what_it_is_given(tmp_path: Path) -> None:
    controller = Controller(tmp_path / "store")
    assert controller.plane.responds(20.0)
    held = GreenEvent()
    controller.owner.call(held.wait)
    assert not controller.plane.responds(0.0)
    assert not controller.plane.responds(0.01)
    held.send()
    assert controller.plane.responds(20.0)
    controller.stop()
    assert not controller.plane.responds(0.01)
