"""Watching many pods at once for packets that must not come. No fixtures, no tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from lab.frames import Frame, Sniffer
from lab.hosts import Host
from lab.laboratory import Lab
from lab.node import Node
from lab.pod import Pod
from lab.probes import together
from topology.pipeline import APART

SETTLE = 0.3
"""Seconds that a stray packet is given after a later, lawful one has gone the same way."""


@contextmanager
def watching(hosts: Iterable[Host]) -> Iterator[dict[str, Sniffer]]:
    """Sniff on every host's eth0 meanwhile; the sniffers by the hosts' names."""
    with ExitStack() as stack:
        yield {host.name: stack.enter_context(Sniffer(host.namespace)) for host in hosts}


def others(lab: Lab, *but: Pod) -> list[Pod]:
    """All pods except some."""
    return [pod for pod in lab.pods_by_name.values() if pod not in but]


def overtake(lab: Lab, source: Host) -> None:
    """Send lawful packets from `source` to every node and wait for their answers, and then a moment more.

    What was sent before has then arrived wherever it was going to.
    """
    assert all(together([partial(source.ping, node) for node in lab.nodes.values()]))
    time.sleep(SETTLE)


def marked(sniffer: Sniffer, mark: bytes) -> list[Frame]:
    """The frames that carry `mark`."""
    return [frame for frame in list(sniffer.frames) if mark in frame.octets]


def eventually(holds: Callable[[], bool], patience: float = 15.0) -> bool:
    """Ask again and again until it holds; False after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def in_sync(lab: Lab) -> bool:
    """Whether every switch is connected and has what it should have."""
    return all(status["phase"] == "InSync" for status in lab.api.get("/v1/switches")["switches"])


def forwarding(node: Node) -> set[str]:
    """The flows that forward packets on a node as the controller says.

    Not the sentinels, which may remain for a class that is empty now, nor what the switch has learnt by itself.
    """
    apart = tuple(f"table={int(table)}," for table in APART)
    return {flow for flow in node.flows() if not any(table in flow for table in apart)}


def flows_return(node: Node, wanted: set[str], patience: float = 15.0) -> dict[str, set[str]]:
    """Wait until the node's switch has these flows; what is still different after `patience` seconds, or {}."""
    eventually(lambda: forwarding(node) == wanted, patience)
    found = forwarding(node)
    return {name: flows for name, flows in (("missing", wanted - found), ("extra", found - wanted)) if flows}
