"""`python -m lab.demo_services`: services without a proxy: who may use them, and what becomes of a connection.

Exit status 0 only if everything behaved as expected, 1 if something did not, 2 if the laboratory did not work.
"""

from __future__ import annotations

import sys

from lab import shaping
from lab.demo_services import associations, clients, doors, failing, inside, refusal, replacement, spreading, tenants
from lab.demo_services.stage import furnish
from lab.laboratory import Lab
from lab.story import Story, tell

PARTS = (
    inside.show,
    tenants.show,
    doors.show,
    clients.show,
    associations.show,
    refusal.show,
    spreading.show,
    replacement.show,
    shaping.show,
    failing.show,
)


def demonstrate(name: str, story: Story) -> None:
    """The whole demonstration in a laboratory called `name`. LabError when something does not work at all."""
    with Lab(name, nodes=3, say=story.say) as lab:
        furnish(lab, story)
        for show in PARTS:
            show(lab, story)
        story.say("cleaning up")


if __name__ == "__main__":
    words = "Services on three nodes, by real packets and without a proxy."
    sys.exit(tell("lab.demo_services", words, demonstrate, "every service does what it should"))
