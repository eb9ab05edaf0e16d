"""One replica of the controller takes over from another, under traffic: how long it took, and what it cost."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from lab.api import ProblemError
from lab.cluster import ClusterLab
from lab.controller import Controller
from lab.errors import LabError
from lab.hosts import Host, Target
from lab.node import Node
from lab.pings import Pings

_DEADLINE = 30.0
_DURATION = re.compile(r"duration=([0-9.]+)s")


class Takeover(NamedTuple):
    """Seconds until another replica programmed every switch, pings sent and lost meanwhile, and flows written anew."""

    seconds: float
    sent: int
    lost: int
    written: int
    gone: int


def in_sync(controller: Controller, nodes: Iterable[str]) -> bool:
    """Whether a replica programs all these nodes' switches, and each has what it must have."""
    phases = {one["node"]: one["phase"] for one in controller.api.get("/v1/switches")["switches"]}
    return all(phases.get(node) == "InSync" for node in nodes)


def wait_for(holds: Callable[[], bool], otherwise: str, patience: float = _DEADLINE) -> float:
    """Wait until something holds; seconds that it took. LabError after `patience` seconds."""
    began = time.monotonic()
    while True:
        try:
            if holds():
                return time.monotonic() - began
        except (OSError, ProblemError):
            pass  # nobody answers now
        if time.monotonic() - began > patience:
            raise LabError(otherwise)
        time.sleep(0.02)


def take_over(
    lab: ClusterLab,
    successor: Controller,
    pairs: Sequence[tuple[Host, Target]],
    happen: Callable[[], object],
    linger: float = 1.0,
) -> Takeover:
    """Let something happen to a replica under pings; what it came to until `successor` programs all switches."""
    before = {name: set(node.flows()) for name, node in lab.nodes.items()}
    began = time.monotonic()
    with lab.pings(pairs, 0.01) as pings:
        time.sleep(0.2)
        happened = time.monotonic()
        happen()
        wait_for(lambda: in_sync(successor, lab.nodes), f"{successor.name} does not take over")
        seconds = time.monotonic() - happened
        time.sleep(linger)
    written = sum(_younger(node, time.monotonic() - began) for node in lab.nodes.values())
    gone = sum(len(before[name] - set(node.flows())) for name, node in lab.nodes.items())
    return Takeover(seconds, _sent(pings), sum(map(len, pings.lost.values())), written, gone)


def _sent(pings: Pings) -> int:
    return sum(len(tally.sent) for tally in pings.tallies.values())


def _younger(node: Node, seconds: float) -> int:
    """How many of a switch's flows were written within so many seconds: each flow-mod begins its flow's age anew."""
    ages = _DURATION.findall(node.ovs_ofctl("dump-flows"))
    return sum(1 for age in ages if float(age) < seconds)
