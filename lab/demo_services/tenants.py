"""A service is there for its network, and for whoever is connected to it; equal addresses change nothing."""

from __future__ import annotations

from lab.demo_services.stage import TWINS, ask, service
from lab.laboratory import Lab
from lab.services import PORT, Service
from lab.story import Story
from lab.trials import NOBODY, Trial


def show(lab: Lab, story: Story) -> None:
    """Apart, connected for services only, and apart again."""
    services = {twin: service(lab, f"{twin}/web", 20 + number, [f"{twin}/c"]) for number, twin in enumerate(TWINS)}
    pods = lab.pods_by_name
    far = Service(lab.api, "fir", "far", "172.30.0.11").address
    others = [pods[name] for name in ("red/a", "blue/a", "oak/a")]
    trials = [
        *(
            each
            for twin in TWINS
            for other in TWINS
            for each in ask(pods[f"{twin}/a"], services[other].address, f"{twin}/c" if other == twin else NOBODY)
        ),
        *(each for pod in others for each in ask(pod, far, NOBODY)),
        *(
            each
            for place in lab.nodes.values()
            for twin in TWINS
            for each in ask(place, services[twin].address, f"{twin}/c")
        ),
    ]
    story.try_out("Services of tenants, two of them with equal addresses", trials)
    _connected(lab, story, far, services["red"].address)


def _connected(lab: Lab, story: Story, far: str, back: str) -> None:
    pods = lab.pods_by_name
    story.say("connecting oak to fir, and red to fir, for services only, one way")
    lab.join("oak", "fir", one_way=True, services_only=True)
    lab.join("red", "fir", one_way=True, services_only=True)
    fir = pods["fir/c"]
    trials = [
        *(each for name in ("oak/a", "oak/b", "red/a") for each in ask(pods[name], far, "fir/c")),
        *(each for name in ("oak/a", "red/a") for each in ask(pods[name], fir, NOBODY, port=7)),
        Trial(fir, pods["oak/a"], NOBODY),
        *ask(fir, back, NOBODY, port=PORT),
    ]
    story.try_out("Across nodes by the service; to the pods behind it, and back, nothing", trials)
    lab.isolate("fir", "oak")
    lab.isolate("fir", "red")
    lab.settle()
    trials = [each for name in ("oak/a", "red/a") for each in ask(pods[name], far, NOBODY)]
    story.try_out("Isolated again", trials)
