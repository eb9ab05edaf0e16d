"""SCTP by real associations: a stack of its own at both ends, handshake, data of several packets, shutdown.

Doors are tried one after the other, and in between conntrack forgets: see Lab.forget_connections.
"""

from __future__ import annotations

import time
from functools import partial

from lab.demo_services.doors import EXTERNAL_ADDRESS, NODE_PORTS
from lab.demo_services.stage import HAIRPIN, everybody
from lab.echo import ECHO_PORT
from lab.hosts import Host, Target
from lab.laboratory import Lab
from lab.probes import together
from lab.services import Service
from lab.story import Story
from lab.trials import NOBODY, Trial

ENDPOINTS = {"fir/a": [ECHO_PORT], "fir/b": [ECHO_PORT], "fir/c": [ECHO_PORT, NODE_PORTS["fir/c"]]}
TWIN = {"red/c": [ECHO_PORT, NODE_PORTS["red/c"]]}


def show(lab: Lab, story: Story) -> None:
    """Each door, from everywhere."""
    pods = lab.pods_by_name
    servers = {**ENDPOINTS, **TWIN}
    together([partial(pods[name].listen_sctp, *ports) for name, ports in servers.items()])
    story.say(f"{', '.join(servers)} answer by SCTP")
    asked, near, far = pods["fir/a"], "172.30.0.10", "172.30.0.11"
    own = str(asked.address)
    inside = [
        *(_by(asked, *way, ECHO_PORT, own) for way in ((near, "fir/b"), (far, "fir/c"))),
        _by(asked, "172.30.0.12", "fir/a", ECHO_PORT, HAIRPIN),
        *(_by(node, *way, ECHO_PORT) for node in lab.nodes.values() for way in ((near, "fir/b"), (far, "fir/c"))),
        _by(pods["red/a"], "172.30.0.20", "red/c", ECHO_PORT),
        *(_by(pods[name], far, NOBODY, ECHO_PORT) for name in ("red/a", "elm/a")),
    ]
    story.try_out("Services by SCTP", inside)
    balanced = Service(lab.api, "fir", "balanced", "172.30.0.61").ingress
    doors: list[tuple[str, Target, str, int]] = [
        ("A node port of the node that has the endpoint", lab.node("n2"), "fir/c", NODE_PORTS["fir/c"]),
        ("A node port of another node", lab.node("n1"), "red/c", NODE_PORTS["red/c"]),
        ("An external address", EXTERNAL_ADDRESS, "red/c", NODE_PORTS["red/c"]),
        ("A load balancer's address", balanced, "fir/b", ECHO_PORT),
    ]
    for title, target, by, port in doors:
        trials = [_by(source, target, by, port) for source in everybody(lab)]
        story.try_out(f"{title}, by SCTP", trials, partial(_forget, lab))
    for name in servers:
        pods[name].silence_sctp()


def _forget(lab: Lab) -> None:
    time.sleep(0.05)  # the last packet of the one before may be on its way still
    lab.forget_connections()


def _by(source: Host, target: Target, by: str, port: int, seen_as: str = "") -> Trial:
    return Trial(source, target, by, "sctp", port, seen_as)
