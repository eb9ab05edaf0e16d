"""Single questions of a demonstration: who asks whom how, who should answer, who did; and a table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

from lab.hosts import Host, Target, address_of
from lab.probes import Outcome, together

NOBODY = "nobody"


@dataclass(frozen=True)
class Trial:
    """`source` asks `target`, by `protocol` (tcp, udp, sctp, icmp) and `port`; `by`: who should answer, or NOBODY.

    `seen_as`: the address that the answerer should see, if that matters; it cannot be known for icmp.
    """

    source: Host
    target: Target
    by: str
    protocol: str = "tcp"
    port: int = 7
    seen_as: str = ""

    @property
    def question(self) -> str:
        """How it is asked, in a few words."""
        named = f"{self.target.name} " if isinstance(self.target, Host) else ""
        port = "" if self.protocol == "icmp" else f" {self.port}"
        return f"{named}{address_of(self.target, self.source)} {self.protocol}{port}"

    @property
    def expected(self) -> str:
        """What should come of it."""
        return f"{self.by}, to {self.seen_as}" if self.seen_as else self.by

    def ask(self) -> Outcome:
        """Ask, and return what came of it."""
        match self.protocol:
            case "tcp":
                return self.source.tcp(self.target, self.port)
            case "udp":
                return self.source.udp(self.target, self.port)
            case "sctp":
                return self.source.sctp(self.target, self.port)
            case _:
                return self.source.ping(self.target)

    def seen(self, outcome: Outcome) -> str:
        """The outcome in the words of `expected`."""
        if not outcome:
            return "refused" if outcome.arrived else NOBODY
        if self.protocol == "icmp":  # an echo reply does not tell its sender's name
            return self.by if self.by != NOBODY and outcome.by == address_of(self.target, self.source) else outcome.by
        return f"{outcome.by}, to {outcome.seen_as}" if self.seen_as else outcome.by


def carry_out(title: str, trials: Sequence[Trial], before: Callable[[], object] | None = None) -> tuple[Table, int]:
    """Ask everything at the same time, or one after the other where something is to be done `before` each.

    Returns a table, expected beside seen, and how many differ.
    """
    table = Table("from", "to", "answer expected", "answer seen", title=title, box=SIMPLE_HEAD, title_justify="left")
    wrong = 0
    for trial, outcome in zip(trials, _outcomes(trials, before), strict=True):
        seen = trial.seen(outcome)
        agrees = seen == trial.expected
        wrong += not agrees
        style = "bold red" if not agrees else "dim" if trial.by == NOBODY else "green"
        table.add_row(trial.source.name, trial.question, trial.expected, f"[{style}]{seen}[/]")
    return table, wrong


def _outcomes(trials: Sequence[Trial], before: Callable[[], object] | None) -> Iterable[Outcome]:
    if before is None:
        yield from together([trial.ask for trial in trials])
        return
    for trial in trials:
        before()
        yield trial.ask()
