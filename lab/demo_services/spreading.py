"""Endpoints are chosen equally often; clients stay with theirs where a service wants it, for as long as it says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable

from lab.demo_services.stage import service
from lab.laboratory import Lab
from lab.probes import Outcome
from lab.services import PORT, chi_square, spread
from lab.story import Story

ENDPOINTS = ("fir/b", "fir/c", "fir/d", "fir/e")
NODE_PORT = 30086
TIMES = 600
CHANCE = 23.5  # chi-square, three degrees of freedom: more than this comes by chance once in 30,000 times
STICKY_SECONDS = 2


def show(lab: Lab, story: Story) -> None:
    """How connections are spread over four endpoints on three nodes."""
    many = service(lab, "fir/many", 40, ENDPOINTS, NODE_PORT)
    source, node = lab.pods_by_name["fir/a"], lab.node("n1")
    for who, probe in (
        ("fir/a, by TCP", lambda: source.tcp(many.address, PORT)),
        ("fir/a, by UDP", lambda: source.udp(many.address, PORT)),
        ("outside, by TCP to a node port", lambda: lab.outside.tcp(node, NODE_PORT)),
    ):
        _spread(story, who, probe)
    _sticky(lab, story)


def _spread(story: Story, who: str, probe: Callable[[], Outcome]) -> None:
    counts = Counter(probe().by for _ in range(TIMES))
    statistic = chi_square([counts[name] for name in ENDPOINTS])
    told = ", ".join(f"{name or 'nobody'} {counts[name]}" for name in sorted(counts))
    fair = not counts[""] and statistic < CHANCE
    what = f"{TIMES} connections of {who}: {told}"
    story.expect(
        what, f"chi-square below {CHANCE}", f"chi-square {'below' if fair else 'above'} {CHANCE}: {statistic:.1f}"
    )


def _sticky(lab: Lab, story: Story) -> None:
    made = service(lab, "fir/sticky", 41, ENDPOINTS, affinity=STICKY_SECONDS)
    source = lab.pods_by_name["fir/a"]
    kept = spread(source, made, 100)
    story.expect("100 connections to a service whose clients stay", "one endpoint", _number(kept))
    chosen = set()
    for _ in range(12):  # four endpoints: all twelve times the same one comes once in four million times
        time.sleep(STICKY_SECONDS + 1.5)
        chosen |= set(spread(source, made, 1))
        if len(chosen) > 1:
            break
    told = f"after {STICKY_SECONDS} s without a connection the client is free"
    story.expect(told, "several endpoints", _number(chosen))


def _number(found: Iterable[str]) -> str:
    names = sorted(set(found))
    return f"{'one endpoint' if len(names) == 1 else 'several endpoints'}: {', '.join(names)}"
