"""The order of measurements: A, B, C, A, B, C, … in one run, the first rounds not counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often: `warm_ups` rounds that are thrown away, then `repeats` that count."""

    warm_ups: int = 2
    repeats: int = 7

    @property
    def rounds(self) -> int:
        """All of them."""
        return self.warm_ups + self.repeats


def interleave(contenders: Sequence[Callable[[int], Result]], pace: Pace) -> list[list[Result]]:
    """Call every contender once in each round, with the round's number; the counted results of each, in order.

    Whatever else the machine does meanwhile then happens to all alike.
    """
    results: list[list[Result]] = [[] for _ in contenders]
    for number in range(pace.rounds):
        for measure, kept in zip(contenders, results, strict=True):
            result = measure(number)
            if number >= pace.warm_ups:
                kept.append(result)
    return results
