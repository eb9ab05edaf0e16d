"""What a run was asked for, and what rows share: the claim on the machine, the pace, who is told of progress."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from bench.interleave import Pace
from lab.signals import undisturbed
from lab.state import State

NAME = "heddlebench"


@dataclass(frozen=True, slots=True)
class Setting:
    """`quick`: fewer switches and repeats, for a look in two minutes; its figures are not for the table.

    `name`: of what is claimed on the machine; two benchmarks of one name do not run side by side.
    """

    quick: bool
    say: Callable[[str], None]
    name: str = NAME

    @property
    def pace(self) -> Pace:
        """How often everything is measured."""
        return Pace(1, 3) if self.quick else Pace()

    def state(self, undo: ExitStack) -> State:
        """Claim namespaces, processes and files for one part of a row; what a crashed run left goes first.

        `undo` gives all back. LabError without root's rights, or while another benchmark runs.
        """
        state = State(self.name)

        def clear() -> None:
            with undisturbed():
                state.clear()
                state.release()

        undo.callback(clear)
        return state
