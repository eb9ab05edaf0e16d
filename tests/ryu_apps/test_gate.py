"""The verifier in the owner thread: what a feature gets wrong is refused with a witness, or left out if it happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import eventlet
import pytest

from tests.ryu_apps.test_owner import KEY, Controller, controller, report, start
from topology.features import connections, networks, ports
from topology.features.section import SubjectKey
from topology.flow import Flow
from topology.model import PortKey
from topology.pipeline import FeatureId
from topology.requests import CreateNetwork, ForgetPort, IsolateNetworks, JoinNetworks, Reason
from topology.snapshot import Snapshot
from topology.verification import Kind, Unsafe

__all__ = ["controller", "start"]  # fixtures

OTHER = PortKey("n1", "c2", "eth0")


def leaking(original: Callable[..., Iterator[Flow]]) -> Callable[..., Iterator[Flow]]:
    """A connection lets everybody talk to one of its networks."""

    def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
        for flow in original(node, subject, snapshot):
            yield flow._replace(match=flow.match[1:])

    return flows


def mistagging(original: Callable[..., Iterator[Flow]]) -> Callable[..., Iterator[Flow]]:
    """Pods of red are taken for the default network's, which may talk with all."""

    def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
        red = snapshot.networks["red"]
        wrong = replace(snapshot, networks=snapshot.networks.set("red", replace(red, vnid=0)))
        port = snapshot.ports.get(PortKey(*map(str, subject)))
        yield from original(node, subject, wrong if port is not None and port.network == "red" else snapshot)

    return flows


def test_a_change_that_would_leak_is_refused_with_a_witness_and_changes_nothing(
    controller: Controller, start: Callable[[], Controller], monkeypatch: pytest.MonkeyPatch
) -> None:
    controller.connect("n1", {"vc1": 7, "vc2": 8})
    controller.submit(report(), report("b", OTHER, "blue"))
    monkeypatch.setattr(connections, "flows", leaking(connections.flows))
    before = controller.plane.published
    with pytest.raises(Unsafe) as refusal:
        controller.plane.submit(JoinNetworks("red", "blue"))
    assert refusal.value.reason is Reason.UNSAFE
    assert {finding.kind for finding in refusal.value.findings} == {Kind.LEAK, Kind.BLACK_HOLE}
    assert "witness: " in refusal.value.cause
    assert any(each.witness is not None and each.witness.shows for each in refusal.value.findings)
    after = controller.plane.published
    assert (after.revision, after.snapshot, after.tables) == (before.revision, before.snapshot, before.tables)
    assert not start().plane.published.snapshot.connections


def test_a_change_that_is_not_sound_is_refused_alone(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    controller.submit(report())
    monkeypatch.setattr(connections, "flows", leaking(connections.flows))
    requests = (CreateNetwork("green"), JoinNetworks("red", "blue"), CreateNetwork("grey"))
    results = [eventlet.spawn(controller.plane.submit, request) for request in requests]
    with pytest.raises(Unsafe):
        results[1].wait()
    results[0].wait()
    results[2].wait()
    assert {"green", "grey"} <= set(controller.plane.published.snapshot.networks)


def test_what_a_switch_says_is_never_refused_but_fails_closed(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = controller.connect("n1", {})
    controller.submit(report(), report("b", OTHER, "blue"))
    with monkeypatch.context() as faulty:
        faulty.setattr(ports, "flows", mistagging(ports.flows))
        controller.owner.port_seen(switch, "vc1", 7)
        controller.owner.port_seen(switch, "vc2", 8)
        controller.wait("n1", lambda: controller.plane.published.port_phase(OTHER)[0] == "Committed")
        phase, why = controller.plane.published.port_phase(KEY)
        assert phase == "Failed"
        assert "spoof on node n1" in why or "leak on node n1" in why
        assert controller.plane.published.snapshot.ports[KEY].ofport == 7
        assert controller.holds(switch, "n1")
        assert sections_of(controller, FeatureId.PORTS) == {tuple(OTHER)}
        # The node is not frozen: somebody's change of it passes, and what is at fault stays out.
        controller.submit(JoinNetworks("red", "blue"))
        assert sections_of(controller, FeatureId.PORTS) == {tuple(OTHER)}
    # As soon as the controller does better, the next change of the node puts everything right.
    controller.submit(IsolateNetworks("red", "blue"))
    assert controller.plane.published.tables["n1"].faults == ()
    controller.wait("n1", lambda: controller.plane.published.port_phase(KEY)[0] == "Committed")
    assert controller.holds(switch, "n1")


def test_what_is_wrong_at_the_start_is_left_out(
    controller: Controller, start: Callable[[], Controller], monkeypatch: pytest.MonkeyPatch
) -> None:
    controller.connect("n1", {"vc1": 7})
    controller.submit(report(), JoinNetworks("red", "blue"))
    monkeypatch.setattr(connections, "flows", leaking(connections.flows))
    again = start()
    assert sections_of(again, FeatureId.CONNECTIONS) == set()
    assert again.plane.published.tables["n1"].faults
    switch = again.connect("n1", {"vc1": 7})
    assert again.holds(switch, "n1")
    assert again.plane.published.port_phase(KEY)[0] == "Committed"


def sections_of(controller: Controller, feature: FeatureId) -> set[Any]:
    table = controller.plane.published.tables["n1"]
    return {key.subject for key in table.sections if key.feature == feature}


def test_subjects_that_want_one_flow_are_told_as_conflicts_and_refuse_nothing(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = networks.flows

    def as_red(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
        return original(node, ("red",) if subject == ("blue",) else subject, snapshot)

    switch = controller.connect("n1", {"vc1": 7, "vc2": 8})
    controller.submit(report())
    monkeypatch.setattr(networks, "flows", as_red)
    controller.submit(report("b", OTHER, "blue"), CreateNetwork("green"), JoinNetworks("red", "green"))
    table = controller.plane.published.tables["n1"]
    assert [conflict.owner.subject for conflict in table.conflicts] == [("blue",)]
    assert table.faults == ()
    controller.wait("n1", lambda: controller.plane.published.port_phase(OTHER)[0] == "Committed")
    controller.wait("n1", lambda: controller.holds(switch, "n1"))


def test_what_is_refused_is_not_granted_beside_what_has_happened(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch with both is taken apart: the one is refused, the other is done."""
    controller.submit(report(), report("b", OTHER, "blue"))
    monkeypatch.setattr(connections, "flows", leaking(connections.flows))
    join = eventlet.spawn(controller.plane.submit, JoinNetworks("red", "blue"))
    gone = eventlet.spawn(controller.plane.submit, ForgetPort(PortKey("n2", "none", "eth0")))
    with pytest.raises(Unsafe):
        join.wait()
    gone.wait()
    assert not controller.plane.published.snapshot.connections
    assert not controller.plane.published.tables["n1"].faults
