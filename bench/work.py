"""Work of one process, measured in its CPU time: anything, and changes of the network, compiled and verified."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.figures import Contender, Distribution
from bench.pods import WrongEndError
from topology.admission import admit
from topology.compiler import Tables, update
from topology.requests import Request
from topology.snapshot import Snapshot, apply_all
from topology.verification import Step, check


@dataclass(frozen=True, slots=True)
class Work:
    """Something to measure: `units` of it are done by one call, which raises WrongEndError when it ends wrong."""

    name: str
    unit: str
    units: int
    do: Callable[[], object]


def timed(work: Work) -> Callable[[int], float]:
    """Return what does it once and tells the CPU seconds of a unit."""

    def once(_: int) -> float:
        began = time.process_time()
        work.do()
        return (time.process_time() - began) / work.units

    return once


def contender(work: Work, seconds: Sequence[float]) -> Contender:
    """Return the contender that stands for work, of which a unit took so many CPU seconds each time."""
    times = Distribution(tuple(seconds))
    each = {"this process": times.median * 1000}
    return Contender(work.name, times, each, {f"µs a {work.unit}": f"{times.median * 1e6:,.1f}", "of": str(work.units)})


def steps_of(snapshot: Snapshot, tables: Tables, requests: Iterable[Request], kind: type) -> list[Step]:
    """Carry out requests one after the other, and return the steps of one kind of them."""
    steps = []
    for request in requests:
        after, changes = apply_all(snapshot, admit(snapshot, request))
        new, dirty = update(tables, changes, snapshot, after)
        if isinstance(request, kind):
            steps.append(Step(changes, snapshot, after, tables, new, dirty))
        snapshot, tables = after, new
    return steps


def checked_and_compiled(name: str, steps: Sequence[Step]) -> tuple[Work, Work]:
    """Return two works for the same changes: the check of each, and the compiling of each."""

    def checks() -> None:
        if any(check(step) for step in steps):
            raise WrongEndError(f"the verifier finds fault with {name}")

    def updates() -> None:
        for step in steps:
            update(step.old, step.changes, step.before, step.after)

    return (
        Work(f"check {name}", "change", len(steps), checks),
        Work(f"compile {name}", "change", len(steps), updates),
    )


def flows_of(steps: Sequence[Step]) -> float:
    """How many flows the sections have that a step computed anew."""
    flows = sum(
        len(step.new[node].sections.get(key, ())) for step in steps for node, keys in step.dirty.items() for key in keys
    )
    return flows / len(steps)
