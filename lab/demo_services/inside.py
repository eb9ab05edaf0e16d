"""Cluster addresses: from the same node, from another, from the nodes themselves, and to oneself; and headless ones."""

from __future__ import annotations

from lab.demo_services.stage import HAIRPIN, ask, service
from lab.laboratory import Lab
from lab.story import Story


def show(lab: Lab, story: Story) -> None:
    """All of it."""
    near, far = service(lab, "fir/near", 10, ["fir/b"]), service(lab, "fir/far", 11, ["fir/c"])
    own, node = service(lab, "fir/own", 12, ["fir/a"]), service(lab, "fir/node", 13, [])
    node.point_to(lab.node("n2").address)
    asked, nodes = lab.pods_by_name["fir/a"], lab.nodes.values()
    source = str(asked.address)
    trials = [
        *ask(asked, near.address, "fir/b", source),
        *ask(asked, far.address, "fir/c", source),
        *ask(asked, own.address, "fir/a", HAIRPIN),
        *ask(asked, node.address, "n2"),
        *(each for place in nodes for each in ask(place, near.address, "fir/b")),
        *(each for place in nodes for each in ask(place, far.address, "fir/c")),
        *(each for place in nodes for each in ask(place, node.address, "n2")),
    ]
    story.try_out("Services of pods and of a node, from pods and from nodes", trials)
    _headless(lab, story)


def _headless(lab: Lab, story: Story) -> None:
    """Without an address of its own a service is names and endpoints only: clients go to its pods themselves."""
    before = {name: set(node.flows()) for name, node in lab.nodes.items()}
    pods = [lab.pods_by_name[name] for name in ("fir/b", "fir/c")]
    endpoints = [{"address": str(pod.address), "node": pod.node.name} for pod in pods]
    ports = [{"name": "tcp", "protocol": "TCP", "port": 7}]
    body = {"project": "fir", "name": "headless-1", "service": "headless", "ports": ports, "endpoints": endpoints}
    lab.api.post("/v1/endpoints", body)
    changed = sum(len(before[name] ^ set(node.flows())) for name, node in lab.nodes.items())
    told = f"flows that a headless service's {len(pods)} endpoints changed on {len(before)} nodes"
    story.expect(told, "0 of", f"{changed} of {sum(map(len, before.values()))}")
    source = lab.pods_by_name["fir/a"]
    trials = [each for pod in pods for each in ask(source, pod, pod.name, str(source.address), 7)]
    story.try_out("Its endpoints, each by itself", trials)
