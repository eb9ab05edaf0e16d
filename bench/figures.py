"""Figures: what was measured, in numbers, and ratios beside their goals. Nothing here measures or prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Sense = Literal["at most", "at least", "exactly"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Values of one kind, in the order in which they were measured; never empty."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("nothing was measured")

    @property
    def minimum(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def median(self) -> float:
        """The value in the middle."""
        return self.quantile(0.5)

    def quantile(self, share: float) -> float:
        """The value below which `share` (0 to 1) of the values lie, interpolated linearly between neighbours."""
        if not 0 <= share <= 1:
            raise ValueError(f"a quantile of {share}")
        ordered = sorted(self.values)
        position = share * (len(ordered) - 1)
        below = math.floor(position)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@dataclass(frozen=True, slots=True)
class Contender:
    """One contender of a row: wall times in seconds, CPU-milliseconds of each program for one unit of the work.

    `facts` are what else belongs in the table: counts, sizes, the rate.
    """

    name: str
    seconds: Distribution
    cpu_ms: dict[str, float]
    facts: dict[str, str]

    @property
    def total_cpu_ms(self) -> float:
        """CPU-milliseconds of all programs."""
        return sum(self.cpu_ms.values())


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure beside its limit, and the goal if there is one."""

    what: str
    value: float
    goal: float | None = None
    sense: Sense = "at most"

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        if self.sense == "exactly":
            return self.value == self.goal
        return self.value <= self.goal if self.sense == "at most" else self.value >= self.goal


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome of one row of the table in docs/benchmarks.md."""

    number: int
    title: str
    contenders: tuple[Contender, ...]
    ratios: tuple[Ratio, ...]
    notes: tuple[str, ...] = ()


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of values, of which there is at least one."""
    return sum(values) / len(values)
