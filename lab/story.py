"""What demonstrations have in common: progress with times, expected beside seen, an exit status. No networks here."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console

from lab.errors import LabError
from lab.matrix import Joined, Party, explore
from lab.signals import end_in_order
from lab.trials import Trial, carry_out

WIDTH = 110


class Story:
    """What a demonstration tells, with the seconds since it began; and whether all has agreed so far."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()
        self.agreed = True

    def say(self, text: str) -> None:
        """One line of progress."""
        self._console.print(f"[cyan]{time.monotonic() - self._start:5.1f} s[/]  {text}", highlight=False)

    def explore(self, title: str, sources: Sequence[Party], targets: Sequence[Party], joined: Joined = ()) -> None:
        """Ask all pairs, print the matrix, and note whether it is as expected."""
        matrix = explore(sources, targets, joined)
        self._console.print(matrix.table(f"{title}  (expected seen, by ICMP and TCP)"))
        self.say(f"{len(matrix.cells) - len(matrix.wrong)} of {len(matrix.cells)} pairs are as expected")
        for cell in matrix.wrong:
            source, target = cell.source.host.name, cell.target.host.name
            self._console.print(f"  [bold red]{source} -> {target}[/]: ICMP {cell.icmp}, TCP {cell.tcp}")
        self.agreed &= not matrix.wrong

    def try_out(self, title: str, trials: Sequence[Trial], before: Callable[[], object] | None = None) -> None:
        """Carry out single questions, print them, and note whether all went as expected; `before` as for carry_out."""
        table, wrong = carry_out(title, trials, before)
        self._console.print(table)
        self.say(f"{len(trials) - wrong} of {len(trials)} are as expected")
        self.agreed &= not wrong

    def expect(self, what: str, expected: str, seen: str) -> None:
        """Print something that is not a packet, and note whether what was seen contains what was expected.

        As whole words and numbers: 0 is not in 10.
        """
        agrees = re.search(rf"(?<!\w){re.escape(expected)}(?!\w)", seen) is not None
        style = "green" if agrees else "bold red"
        self.say(f"{what}\n         expected: …{expected}…\n         seen:     [{style}]{seen}[/]")
        self.agreed &= agrees


def tell(program: str, description: str, demonstrate: Callable[[str, Story], None], agreement: str) -> int:
    """Run a demonstration as a program; its exit status.

    0 if everything was as expected, which is then said in the words of `agreement`; 1 if something was not; 2 if the
    laboratory did not work; 130 after Ctrl-C. `demonstrate` is given the laboratory's name and the story.
    """
    name = program.partition(".")[2].replace("_", "")
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--name", default=name, help=f"the laboratory's name, if several run (default: {name})")
    arguments = parser.parse_args()
    end_in_order()
    console = Console()
    story = Story(console if console.is_terminal else Console(width=WIDTH))
    try:
        demonstrate(arguments.name, story)
    except LabError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted; everything is cleaned up", file=sys.stderr)
        return 130
    story.say(agreement if story.agreed else f"[bold red]not {agreement}[/]")
    return 0 if story.agreed else 1
