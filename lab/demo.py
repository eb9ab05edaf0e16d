"""`python -m lab.demo`: tenants on three nodes talk among themselves, are joined, and isolated again; real packets.

Exit status 0 only if every pair behaved as expected, 1 if one did not, 2 if the laboratory did not work.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable

from rich.console import Console

from lab.errors import LabError
from lab.laboratory import Lab
from lab.matrix import Party, explore
from lab.signals import end_in_order

TENANTS = ("red", "blue")
PLACEMENT = {
    "red/a": "n1",
    "red/b": "n1",
    "red/c": "n2",
    "blue/a": "n1",
    "blue/b": "n3",
    "default/a": "n2",
    "default/b": "n3",
}
WIDTH = 110


class Story:
    """What the demonstration tells, with the seconds since it began; and whether all has agreed so far."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()
        self.agreed = True

    def say(self, text: str) -> None:
        """One line of progress."""
        self._console.print(f"[cyan]{time.monotonic() - self._start:5.1f} s[/]  {text}", highlight=False)

    def show(self, lab: Lab, title: str, joined: Iterable[frozenset[str]] = ()) -> None:
        """Explore, print the matrix, and note whether it is as expected. A pod's network has its project's name."""
        pods = [Party(lab.pods_by_name[name], name.partition("/")[0]) for name in PLACEMENT]
        nodes = [Party(node) for node in lab.nodes.values()]
        matrix = explore([*pods, *nodes], [*pods, Party(lab.outside)], joined)
        self._console.print(matrix.table(f"{title}  (expected seen, by ICMP and TCP)"))
        self.say(f"{len(matrix.cells) - len(matrix.wrong)} of {len(matrix.cells)} pairs are as expected")
        for cell in matrix.wrong:
            source, target = cell.source.host.name, cell.target.host.name
            self._console.print(f"  [bold red]{source} -> {target}[/]: ICMP {cell.icmp}, TCP {cell.tcp}")
        self.agreed &= not matrix.wrong


def demonstrate(name: str, story: Story) -> None:
    """The whole demonstration in a laboratory called `name`. LabError when something does not work at all."""
    with Lab(name, nodes=3, say=story.say) as lab:
        story.say(f"creating the networks {', '.join(TENANTS)}; the network default (VNID 0) is built in, and global")
        for tenant in TENANTS:
            lab.network(tenant)
        story.say(f"starting {len(PLACEMENT)} pods by the CNI plugin")
        lab.pods(PLACEMENT)
        story.show(lab, "Isolated")
        story.say("joining red and blue")
        lab.join(*TENANTS)
        story.show(lab, "Joined", [frozenset(TENANTS)])
        story.say("isolating red and blue again")
        lab.isolate(*TENANTS)
        story.show(lab, "Isolated again")
        story.say("cleaning up")


def main() -> int:
    """Run the demonstration; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lab.demo", description="Tenants on three nodes, by real packets.")
    parser.add_argument("--name", default="demo", help="the laboratory's name, if several run (default: demo)")
    arguments = parser.parse_args()
    end_in_order()
    console = Console()
    story = Story(console if console.is_terminal else Console(width=WIDTH))
    try:
        demonstrate(arguments.name, story)
    except LabError as error:
        print(f"lab.demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lab.demo: interrupted; everything is cleaned up", file=sys.stderr)
        return 130
    story.say("every pair is as expected" if story.agreed else "[bold red]not every pair is as expected[/]")
    return 0 if story.agreed else 1


if __name__ == "__main__":
    sys.exit(main())
