"""Moves led by the conductor: with model switches that answer, that are away, and after a restart at each stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import eventlet
import pytest

from rest.control import Published, SwitchPhase, SwitchStatus
from ryu_apps import moves
from ryu_apps.moves import Conductor, settled
from tests.ryu_apps.test_owner import Controller, report
from topology.model import PortKey, Stage
from topology.requests import AdvanceMove, CreateNetwork, CreateNode, MoveProject, Request

KEYS = tuple(PortKey(node, f"c{number}", "eth0") for number, node in enumerate(("n1", "n2"), 1))


class Led(Controller):
    """A controller with a conductor, and red's pods on two nodes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._leading: object = None

    def lead(self) -> None:
        """Let moves be led."""
        self._leading = eventlet.spawn(Conductor(self.owner).run)

    def stop(self) -> None:
        if self._leading is not None:
            self._leading.kill()  # type: ignore[attr-defined]
        super().stop()

    @property
    def networks(self) -> set[str]:
        """The networks that pods are on."""
        return {port.network for port in self.plane.published.snapshot.ports.values()}

    def wait_moved(self) -> None:
        self.wait("moves", lambda: not self.plane.published.snapshot.moves)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Led]]:
    running: list[Led] = []

    def one_more() -> Led:
        for earlier in running:
            earlier.stop()
        running[:] = [Led(tmp_path / "store.sqlite")]
        return running[0]

    yield one_more
    for controller in running:
        controller.stop()


@pytest.fixture
def controller(start: Callable[[], Led]) -> Led:
    controller = start()
    asked: list[Request] = [
        CreateNode("n1", IPv4Address("192.0.2.11")),
        CreateNode("n2", IPv4Address("192.0.2.12")),
        CreateNetwork("red", projects=("red",)),
        CreateNetwork("blue", projects=("blue",)),
    ]
    asked += [report(f"p{key.container}", key) for key in KEYS]
    controller.submit(*asked)
    return controller


def connect(controller: Led, *nodes: str) -> None:
    for node, key in zip(("n1", "n2"), KEYS, strict=True):
        if node in nodes:
            controller.connect(node, {f"v{key.container}": 5})


def test_a_move_is_led_to_its_end(controller: Led) -> None:
    connect(controller, "n1", "n2")
    controller.lead()
    controller.submit(MoveProject("red", "blue"))
    controller.wait_moved()
    snapshot = controller.plane.published.snapshot
    assert controller.networks == {"blue"}
    assert snapshot.projects["red"].network == "blue"
    assert not any(network.is_transit for network in snapshot.networks.values())
    assert not snapshot.connections
    controller.submit(MoveProject("red", "red"))
    controller.wait_moved()
    assert controller.networks == {"red"}


@pytest.mark.parametrize("stages", range(len(Stage) + 1))
def test_a_restart_at_any_stage_leads_the_move_on(controller: Led, start: Callable[[], Led], stages: int) -> None:
    controller.submit(MoveProject("red", "blue"))
    move = controller.plane.published.snapshot.moves["red"]
    controller.submit(*(AdvanceMove("red", move.transit, stage) for stage in list(Stage)[:stages]))
    again = start()
    assert (len(again.plane.published.snapshot.moves) == 0) is (stages == len(Stage))
    again.lead()
    connect(again, "n1", "n2")
    again.wait_moved()
    assert again.networks == {"blue"}
    assert not any(network.is_transit for network in again.plane.published.snapshot.networks.values())


def test_a_switch_that_is_away_holds_nothing_up(controller: Led, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "ARRIVAL_SECONDS", 0.0)
    connect(controller, "n1")
    controller.lead()
    controller.submit(MoveProject("red", "blue"))
    controller.wait_moved()
    assert controller.networks == {"blue"}
    connect(controller, "n2")
    controller.wait("n2", lambda: controller.phase("n2") is SwitchPhase.IN_SYNC)


def test_a_pod_that_comes_during_a_move_arrives_with_the_others(controller: Led) -> None:
    connect(controller, "n1", "n2")
    controller.submit(MoveProject("red", "blue"))
    late = PortKey("n1", "c9", "eth0")
    controller.submit(report("late", late))
    assert controller.plane.published.snapshot.ports[late].network.startswith("transit-")
    controller.lead()
    controller.wait_moved()
    assert controller.networks == {"blue"}


@pytest.mark.parametrize(
    ("phase", "committed", "desired", "is_settled"),
    [
        (SwitchPhase.IN_SYNC, 5, 5, True),
        (SwitchPhase.IN_SYNC, 3, 3, True),  # nothing changed there since
        (SwitchPhase.PROGRAMMING, 3, 5, None),
        (SwitchPhase.PROGRAMMING, 5, 9, True),  # what is under way came later
        (SwitchPhase.PROGRAMMING, 2, 3, None),
        (SwitchPhase.ERROR, 3, 5, None),
        (SwitchPhase.AWAY, 3, 5, True),
        (SwitchPhase.AWAY, 0, 5, None),  # not seen yet since the start
    ],
)
def test_which_switches_are_waited_for(
    phase: SwitchPhase, committed: int, desired: int, is_settled: bool | None
) -> None:
    published = Published()
    switches = published.switches.set("n1", SwitchStatus("n1", 1, phase, committed, desired))
    assert settled(Published(9, switches=switches), "n1", 5) is is_settled
    assert settled(Published(9, switches=switches), "n2", 5) is True
