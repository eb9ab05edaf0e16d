"""Doors are there for everybody who reaches them: node ports, external addresses, and addresses of the pool."""

from __future__ import annotations

from lab.demo_services.stage import ask, everybody, led_in, service
from lab.description import EXTERNAL, POOL
from lab.laboratory import Lab
from lab.story import Story

NODE_PORTS = {"fir/c": 30080, "red/c": 30081, "blue/c": 30082}
"""By the endpoint: the node ports of the services called outer."""

EXTERNAL_ADDRESS = str(EXTERNAL[10])
"""That of red's service outer."""


def show(lab: Lab, story: Story) -> None:
    """From outside, from nodes, and from pods, whatever network these are on."""
    _node_ports(lab, story)
    _external(lab, story)
    _pool(lab, story)


def _node_ports(lab: Lab, story: Story) -> None:
    for number, (pod, port) in enumerate(NODE_PORTS.items()):
        service(lab, f"{pod.partition('/')[0]}/outer", 50 + number, [pod], port)
    node = service(lab, "fir/outer-node", 59, [], 30083)
    node.point_to(lab.node("n2").address)
    answers = {**NODE_PORTS, "n2": node.node_port}
    trials = [
        each
        for source in everybody(lab)
        for place in (lab.node("n1"), lab.node("n2"))
        for by, port in answers.items()
        for each in ask(source, place, by, port=port)
    ]
    story.try_out("Node ports of two nodes; the second has the endpoints", trials)


def _external(lab: Lab, story: Story) -> None:
    """A router of the outside leads these to one node; pods and nodes need none for that."""
    other = str(EXTERNAL[11])
    service(lab, "red/outer", 51, ["red/c"], NODE_PORTS["red/c"], external=[EXTERNAL_ADDRESS])
    service(lab, "blue/outmost", 60, ["blue/c"], external=[other])
    for address in (EXTERNAL_ADDRESS, other):
        lab.outside.run(f"ip route replace {address} via {lab.node('n1').address}")
    led_in(lab, story, EXTERNAL_ADDRESS, other)
    pairs = ((EXTERNAL_ADDRESS, "red/c"), (other, "blue/c"))
    trials = [each for source in everybody(lab) for address, by in pairs for each in ask(source, address, by)]
    story.try_out("External addresses, one of a service with node ports and one of a service without", trials)


def _pool(lab: Lab, story: Story) -> None:
    """Nobody routes these: the outside host asks by ARP who has them."""
    services = {"fir/b": service(lab, "fir/balanced", 61, ["fir/b"], load_balancer=True)}
    services["blue/c"] = service(lab, "blue/balanced", 62, ["blue/c"], load_balancer=True)
    addresses = {by: made.ingress for by, made in services.items()}
    wanted = f"{POOL[1]}, {POOL[2]}"
    story.expect(f"two load balancers have addresses of the pool {POOL}:", wanted, ", ".join(addresses.values()))
    led_in(lab, story, *addresses.values())
    trials = [each for source in everybody(lab) for by, at in addresses.items() for each in ask(source, at, by)]
    story.try_out("Load balancers' addresses", trials)
