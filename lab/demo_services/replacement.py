"""All endpoints are replaced one by one, as a deployment does, while connections are made all the time."""

from __future__ import annotations

import time

from lab.laboratory import Lab
from lab.pod import Pod
from lab.services import Load, Service
from lab.story import Story

PER_SECOND = 200
_STEP = 0.5  # seconds


def show(lab: Lab, story: Story) -> None:
    """Each new endpoint is ready before an old one leaves; those that leave end what is at them."""
    pods = lab.pods_by_name
    old, new = [pods[f"fir/{name}"] for name in "bcd"], [pods[f"fir/{name}"] for name in "efg"]
    many = Service(lab.api, "fir", "rolling", "172.30.0.42").make(old)
    present: list[Pod] = list(old)
    with Load(pods["fir/a"], many, PER_SECOND) as load:
        time.sleep(1)
        for gone, come in zip(old, new, strict=True):
            present.append(come)
            many.serve(present)
            time.sleep(_STEP)
            present.remove(gone)
            many.serve(present, leaving=[gone])
            time.sleep(_STEP)
            many.serve(present)
        time.sleep(1)
    answered = {outcome.by for outcome in load.outcomes if outcome}
    slowest = max(outcome.seconds for outcome in load.outcomes)
    what = f"all endpoints replaced under {PER_SECOND} connections a second: {len(load.outcomes)} made, the slowest in"
    story.expect(f"{what} {1000 * slowest:.0f} ms", "failed: 0", f"failed: {len(load.failed)}")
    story.expect("answered by", "all six", f"{'all six' if len(answered) == 6 else ''}: {', '.join(sorted(answered))}")
