"""What became of an ask, as its status says it: a phase, and conditions with a reason and words for people.

Pure, but for the time at which a condition changed.
"""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from kube.mirror import Name
from kube.resources import NETWORKS
from kube.store import Asked
from rest.control import Published
from rest.phases import conditions


class Outcome(NamedTuple):
    """How an object of a generation fared: `why` it was refused, if it was; on the nodes `late` it is not in force."""

    name: Name
    asked: Asked
    generation: int
    why: str
    late: tuple[str, ...]


class _Said(NamedTuple):
    kind: str
    status: bool
    reason: str
    message: str


def status_of(outcome: Outcome, published: Published) -> dict[str, Any]:
    """Return phase and conditions: whether it is accepted and in force; of networks, whether they have addresses."""
    phase = _phase(outcome)
    said = [_accepted(outcome), _in_force(outcome, phase), *_of_network(outcome, published)]
    return {
        "phase": phase,
        "observedGeneration": outcome.generation,
        "conditions": [_condition(each, outcome) for each in said],
    }


def _phase(outcome: Outcome) -> str:
    if outcome.why and "decided" not in outcome.asked.status:
        return "Refused"
    if outcome.asked.is_leaving:
        return "Terminating"
    return "Pending" if outcome.late else "Active"


def _accepted(outcome: Outcome) -> _Said:
    if outcome.why:
        return _Said("Accepted", False, "Refused", outcome.why)
    return _Said("Accepted", True, "Granted", "it is as asked for, or on its way there")


def _in_force(outcome: Outcome, phase: str) -> _Said:
    if outcome.late:
        message = f"not acknowledged yet on {', '.join(outcome.late)}"
        return _Said("InForce", False, "SwitchesLate", message)
    if phase == "Refused":
        return _Said("InForce", False, "Refused", "nothing was granted yet")
    return _Said("InForce", True, "Acknowledged", "every switch that it concerns has what was decided")


def _of_network(outcome: Outcome, published: Published) -> list[_Said]:
    """What one replica knows of a network whoever programs the switches."""
    network = published.snapshot.networks.get(outcome.name.name)
    if outcome.name.plural != NETWORKS.plural or network is None:
        return []
    found = conditions(published, network)
    return [_Said(*each) for each in found if each.kind != "Programmed"]


def _condition(said: _Said, outcome: Outcome) -> dict[str, Any]:
    status = "True" if said.status else "False"
    before: dict[str, Any] = next(
        (each for each in outcome.asked.status.get("conditions", ()) if each.get("type") == said.kind), {}
    )
    same = before.get("status") == status
    return {
        "type": said.kind,
        "status": status,
        "reason": said.reason,
        "message": said.message,
        "observedGeneration": outcome.generation,
        "lastTransitionTime": before["lastTransitionTime"] if same else _now(),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
