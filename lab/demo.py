"""`python -m lab.demo`: tenants on three nodes talk among themselves, are joined, and isolated again; real packets.

Exit status 0 only if every pair behaved as expected, 1 if one did not, 2 if the laboratory did not work.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from lab.laboratory import Lab
from lab.matrix import Party
from lab.story import Story, tell

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


def demonstrate(name: str, story: Story) -> None:
    """The whole demonstration in a laboratory called `name`. LabError when something does not work at all."""
    with Lab(name, nodes=3, say=story.say) as lab:
        story.say(f"creating the networks {', '.join(TENANTS)}; the network default (VNID 0) is built in, and global")
        for tenant in TENANTS:
            lab.network(tenant)
        story.say(f"starting {len(PLACEMENT)} pods by the CNI plugin")
        lab.pods(PLACEMENT)
        _show(lab, story, "Isolated")
        story.say("joining red and blue")
        lab.join(*TENANTS)
        _show(lab, story, "Joined", [frozenset(TENANTS)])
        story.say("isolating red and blue again")
        lab.isolate(*TENANTS)
        lab.settle()
        _show(lab, story, "Isolated again")
        story.say("cleaning up")


def _show(lab: Lab, story: Story, title: str, joined: Iterable[frozenset[str]] = ()) -> None:
    pods = [Party.of(lab.pods_by_name[name]) for name in PLACEMENT]
    nodes = [Party(node) for node in lab.nodes.values()]
    story.explore(title, [*pods, *nodes], [*pods, Party(lab.outside)], joined)


if __name__ == "__main__":
    sys.exit(tell("lab.demo", "Tenants on three nodes, by real packets.", demonstrate, "every pair is as expected"))
