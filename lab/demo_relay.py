"""A part of the demonstration of the data path: a tunnel is cut, traffic goes over a third node, and back.

How many packets are lost, and for how many seconds. Nothing is made here but the cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from lab.errors import LabError
from lab.laboratory import Lab
from lab.pings import Tally
from lab.story import Story

PLACEMENT: Final = {"red/a": "n1", "red/b": "n2", "red/c": "n3"}
INTERVAL: Final = 0.01  # seconds between two pings
_MOST_LOST: Final = 3.0  # seconds
_PATIENCE: Final = 30.0
_WATCHED: Final = 2.0  # seconds for which a state is looked at


def relays(lab: Lab, story: Story) -> None:
    """Cut the tunnel between n1 and n2 both ways, and one way, in a laboratory that has the pods of `PLACEMENT`."""
    _until("every tunnel is up", lambda: all(tunnel["up"] for tunnel in _tunnels(lab)))
    time.sleep(_WATCHED)  # until each has been probed
    for one_way in (False, True):
        _cut(lab, story, one_way=one_way)


def _cut(lab: Lab, story: Story, *, one_way: bool) -> None:
    """Cut the underlay between n1 and n2, and mend it, while pods on all nodes are pinged."""
    pods = [lab.pods_by_name[name] for name in PLACEMENT]
    pairs = [(one, other) for one in pods for other in pods if one is not other]
    with lab.pings(pairs, INTERVAL) as pings:
        time.sleep(1.0)
        story.say(f"cutting the underlay from n1 to n2{'' if one_way else ', and from n2 to n1'}")
        with lab.underlay.cut("n1", "n2", one_way=one_way):
            _until("n1 and n2 reach each other over n3", lambda: _between(lab)["by"] == ["n3"])
            time.sleep(_WATCHED)
            relayed_from = max(next(iter(pings.tallies.values())).sent)
            story.say("by GET /v1/topology, n1 and n2 reach each other over n3; mending the underlay")
        _until("the tunnel is used again", lambda: bool(_between(lab)["up"]))
        time.sleep(_WATCHED)
        story.say("the tunnel is up")
    for (one, other), tally in zip(pairs, pings.tallies.values(), strict=True):
        story.say(
            f"{one.name} -> {other.name}: {len(tally.sent)} pings, lost {len(tally.lost)}: {_seconds(tally):.2f} s"
        )
    ways = {f"{one.name} -> {other.name}": _is_cut(one.name, other.name) for one, other in pairs}
    concerned = [pings.tallies[name] for name, is_cut in ways.items() if is_cut]
    others = [pings.tallies[name] for name, is_cut in ways.items() if not is_cut]
    longest = max(map(_seconds, concerned))
    is_short = f"{'less' if 0 < longest < _MOST_LOST else 'not less'} than {_MOST_LOST:.0f} s: {longest:.2f} s"
    story.expect("lost where the tunnel was cut", f"less than {_MOST_LOST:.0f} s", is_short)
    story.expect("lost elsewhere", "[]", str(sorted(number for tally in others for number in tally.lost)))
    late = [number for tally in concerned for number in tally.lost if number > relayed_from]
    story.expect("lost from then on, and when it came back", "[]", str(late))


def _is_cut(one: str, other: str) -> bool:
    return {PLACEMENT[one], PLACEMENT[other]} == {"n1", "n2"}


def _seconds(tally: Tally) -> float:
    """From the first ping that was lost to the last."""
    return (tally.lost[-1] - tally.lost[0] + 1) * INTERVAL if tally.lost else 0.0


def _tunnels(lab: Lab) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lab.api.get("/v1/topology")["tunnels"]
    return found


def _between(lab: Lab) -> dict[str, Any]:
    return next(tunnel for tunnel in _tunnels(lab) if (tunnel["from"], tunnel["to"]) == ("n1", "n2"))


def _until(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise LabError(f"after {_PATIENCE:.0f} s it is not so yet: {what}")
        time.sleep(0.05)
