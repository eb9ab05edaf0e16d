"""Whether pods can be added to this node now: the rule, as a pure function of what is known."""

from __future__ import annotations

from dataclasses import dataclass

GRACE = 5.0  # seconds a controller may say "not programmed" of a bridge that has its flows (it has just restarted)


@dataclass(frozen=True)
class Known:
    """What the resident process knows. `said`: the controller's last word about the bridge, None when it is unknown
    (at the start, after OVS restarted); `denied_for`: seconds since it first said no."""

    kept: bool  # the last pass over the node succeeded
    switch_runs: bool
    has_flows: bool
    controller_answers: bool
    said: bool | None
    denied_for: float = 0.0


def ready(known: Known) -> tuple[bool, str]:
    """The answer, and its reason in words.

    The controller's word counts while it answers. While it is away, the last word does, as long as the bridge still
    has its flows: pods keep what they have, and an ADD fails by itself.
    """
    if not known.switch_runs:
        return False, "ovs-vswitchd is not running"
    if not known.kept:
        return False, "the node could not be set up"
    if not known.has_flows:
        return False, "the bridge has no flows"
    if known.said:
        return True, "programmed" if known.controller_answers else "programmed before the controller went away"
    if known.said is None:
        return False, "the controller has not said yet that the bridge is programmed"
    if known.denied_for < GRACE:
        return True, "programmed before, the controller is coming back"
    return False, "the controller says that the bridge is not programmed"
