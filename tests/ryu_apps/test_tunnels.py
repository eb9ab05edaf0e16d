"""Tunnels led from stage to stage: with model switches that answer, with one that does not, and after a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import eventlet
import pytest

from ryu_apps import tunnels
from ryu_apps.tunnels import TunnelConductor
from tests.ryu_apps.test_owner import Controller
from topology.model import Tunnel, TunnelStage
from topology.requests import CreateNode, ReportTunnels, Request, SetNeighbours

NODES = ("n1", "n2", "n3", "n4")
RING = {"n1": ("n2", "n4"), "n2": ("n1", "n3"), "n3": ("n2", "n4"), "n4": ("n1", "n3")}
CUT = Tunnel("n1", "n2")


class Led(Controller):
    """A controller of four nodes in a ring."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._leading: object = None

    def lead(self) -> None:
        """Let tunnels be led."""
        self._leading = eventlet.spawn(TunnelConductor(self.owner).run)

    def stop(self) -> None:
        if self._leading is not None:
            self._leading.kill()  # type: ignore[attr-defined]
        super().stop()

    @property
    def stage(self) -> TunnelStage | None:
        severed = self.plane.published.snapshot.severed.get(CUT)
        return None if severed is None else severed.stage

    def wait_for(self, stage: TunnelStage | None) -> None:
        self.wait("tunnels", lambda: self.stage is stage)


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
    asked: list[Request] = [CreateNode(name, IPv4Address(f"192.0.2.1{number}")) for number, name in enumerate(NODES, 1)]
    controller.submit(*asked, *(SetNeighbours(name, others) for name, others in RING.items()))
    return controller


def connect(controller: Led) -> None:
    for node in NODES:
        controller.connect(node, {})


def test_a_cut_is_led_to_its_end_and_back(controller: Led) -> None:
    connect(controller)
    controller.lead()
    controller.submit(ReportTunnels("n2", ("n1",)))
    assert controller.stage is TunnelStage.PREPARING
    controller.wait_for(TunnelStage.DOWN)
    controller.submit(ReportTunnels("n2", ()))
    controller.wait_for(None)


def test_a_restart_leads_it_on(controller: Led, start: Callable[[], Led]) -> None:
    controller.submit(ReportTunnels("n2", ("n1",)))
    again = start()
    assert again.stage is TunnelStage.PREPARING
    again.lead()
    connect(again)
    again.wait_for(TunnelStage.DOWN)


def test_a_switch_that_never_came_does_not_hold_it_up(controller: Led, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels, "PATIENCE_SECONDS", 0.2)
    controller.connect("n3", {})
    controller.lead()
    controller.submit(ReportTunnels("n2", ("n1",)))
    controller.wait_for(TunnelStage.DOWN)


def test_senders_wait_for_relays(controller: Led, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a switch has not got what a relay needs, nobody sends over it."""
    monkeypatch.setattr(tunnels, "PATIENCE_SECONDS", 60.0)
    controller.connect("n1", {})
    controller.lead()
    controller.submit(ReportTunnels("n2", ("n1",)))
    eventlet.sleep(0.3)
    assert controller.stage is TunnelStage.PREPARING
    for node in ("n2", "n3", "n4"):
        controller.connect(node, {})
    controller.wait_for(TunnelStage.DOWN)
