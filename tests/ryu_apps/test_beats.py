"""The owner loses and finds nodes by their switches' signs of life, and lets them forget what left by an address."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import eventlet
import pytest

from rest.control import SwitchPhase
from ryu_apps.pulse import FIRST_BEATS, FOUND_BEATS, LOST_BEATS
from tests.ryu_apps.switches import Echo, ModelSwitch
from tests.ryu_apps.test_owner import AnsweringSwitch, Controller
from topology.egress import Left
from topology.model import Egress
from topology.requests import CreateEgress, CreateNetwork, CreateNode, DeleteEgress

ONE = IPv4Address("203.0.113.5")
NODES = ("n1", "n2")


class Silent(ModelSwitch):
    """A switch that was there, and gives no sign of life any more."""


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[Controller]:
    running = Controller(tmp_path / "store.sqlite")
    running.submit(
        *(CreateNode(name, IPv4Address(f"192.0.2.1{number}")) for number, name in enumerate(NODES, 1)),
        CreateNetwork("red", projects=("red",)),
    )
    yield running
    running.stop()


def beats(controller: Controller, many: int) -> None:
    """Let so many beats pass, each after whatever was asked was answered."""
    for _ in range(many):
        controller.owner.beat()
        controller.plane.responds(5.0)
        for _ in range(3):
            eventlet.sleep(0)
        controller.plane.responds(5.0)


def holder(controller: Controller) -> str | None:
    return controller.plane.published.snapshot.held.get(ONE)


def silence(controller: Controller, switch: ModelSwitch, node: str) -> None:
    """Let a switch be as when its machine is off: connected, as far as TCP knows."""
    switch.send = switch.inbox.append  # type: ignore[method-assign]
    switch.has_spoken = lambda: False  # type: ignore[method-assign]


def test_a_silent_node_gives_up_what_it_holds_and_gets_it_back(controller: Controller) -> None:
    switches = {name: controller.connect(name, {}) for name in NODES}
    controller.submit(CreateEgress(Egress("red", "red", (ONE,))))
    beats(controller, FIRST_BEATS + LOST_BEATS)
    first = str(holder(controller))
    (other,) = {*NODES} - {first}
    silence(controller, switches[first], first)
    beats(controller, LOST_BEATS - 1)
    assert holder(controller) == first
    beats(controller, 1)
    assert holder(controller) == other
    # Who does not answer is not asked again and again.
    assert len([message for message in switches[first].inbox if isinstance(message, Echo)]) <= 1
    controller.owner.disconnected(switches[first])
    controller.wait(first, lambda: controller.phase(first) is SwitchPhase.AWAY)
    again = controller.connect(first, {})
    beats(controller, FOUND_BEATS - 1)
    assert holder(controller) == other
    beats(controller, 1)
    assert holder(controller) == first
    # What it led out before is forgotten by who held it last, and by itself once it was back.
    assert Left(ONE) in switches[other].forgotten
    assert Left(ONE) in again.forgotten


def test_a_restart_of_the_controller_keeps_who_is_lost(controller: Controller, tmp_path: Path) -> None:
    controller.connect("n2", {})
    controller.submit(CreateEgress(Egress("red", "red", (ONE,), nodes=("n1",))))
    beats(controller, FIRST_BEATS + LOST_BEATS)
    assert holder(controller) is None
    controller.stop()
    again = Controller(tmp_path / "store.sqlite")
    try:
        assert holder(again) is None
        assert set(again.plane.published.snapshot.outages) == {"n1"}
    finally:
        again.stop()


def test_nobody_is_asked_while_nothing_is_to_be_held(controller: Controller) -> None:
    switch = controller.connect("n1", {})
    beats(controller, FIRST_BEATS + 2 * LOST_BEATS)
    assert not controller.plane.published.snapshot.outages
    controller.submit(CreateEgress(Egress("red", "red", (ONE,))), DeleteEgress("red"))
    assert isinstance(switch, AnsweringSwitch)
    assert [message for message in switch.inbox if isinstance(message, Echo)] == []
