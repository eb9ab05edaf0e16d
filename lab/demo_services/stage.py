"""Where the demonstration plays: networks, pods, and services, which are the same in all parts that use them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.description import POOL
from lab.hosts import Host, Target
from lab.laboratory import Lab
from lab.services import PORT, Service
from lab.story import Story
from lab.takeover import wait_for
from lab.trials import Trial
from lab.underlay import UPLINK

RANGE = "10.0.0.0/24"
TWINS = ("red", "blue")
PLACEMENT = {
    **{f"fir/{name}": node for name, node in zip("abcdefg", ("n1", "n1", "n2", "n3", "n1", "n2", "n3"), strict=True)},
    "oak/a": "n1",
    "oak/b": "n2",
    "elm/a": "n3",
    **{f"{twin}/{name}": node for twin in TWINS for name, node in (("a", "n1"), ("b", "n1"), ("c", "n2"))},
}
HAIRPIN = "169.254.42.1"
"""By which a pod sees itself, when a service led it to itself."""


def furnish(lab: Lab, story: Story) -> None:
    """Make networks and pods, and lead the outside host to the pool's addresses."""
    story.say(f"creating fir, oak and elm, and {' and '.join(TWINS)}, both with the range {RANGE}")
    for network in ("fir", "oak", "elm"):
        lab.network(network)
    for twin in TWINS:
        lab.network(twin, subnets=[RANGE])
    story.say(f"starting {len(PLACEMENT)} pods by the CNI plugin")
    lab.pods(PLACEMENT)
    lab.outside.run(f"ip route replace {POOL} dev {UPLINK}")


def service(lab: Lab, name: str, last: int, pods: Iterable[str], node_port: int = 0, **fields: Any) -> Service:
    """Make the service `project/name` at 172.30.0.`last`; the rest as for Service.make."""
    project, _, short = name.partition("/")
    made = Service(lab.api, project, short, f"172.30.0.{last}", node_port)
    return made.make([lab.pods_by_name[pod] for pod in pods], **fields)


def ask(source: Host, target: Target, by: str, seen_as: str = "", port: int = PORT) -> list[Trial]:
    """The same question by TCP and by UDP."""
    return [Trial(source, target, by, protocol, port, seen_as) for protocol in ("tcp", "udp")]


def everybody(lab: Lab) -> list[Host]:
    """The outside host, all nodes, and a pod each of two networks on different nodes."""
    return [lab.outside, *lab.nodes.values(), lab.pods_by_name["fir/b"], lab.pods_by_name["elm/a"]]


def led_in(lab: Lab, story: Story, *addresses: str) -> None:
    """Wait until every node's kernel knows these addresses; say how long it took. LabError."""
    tables = [node.run for node in lab.nodes.values()]

    def known() -> bool:
        return all(address in table("nft list table inet heddle").stdout for table in tables for address in addresses)

    took = wait_for(known, f"no node leads {' and '.join(addresses)} anywhere")
    story.say(f"all nodes lead in what comes to {' and '.join(addresses)}: {1000 * took:.0f} ms")
