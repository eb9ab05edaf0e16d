"""Clients from outside: by their own addresses where a service wants that, and only those whom it lets in."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from lab.demo_services.stage import ask, led_in, service
from lab.description import EXTERNAL
from lab.hosts import Host
from lab.laboratory import Lab
from lab.node import Node
from lab.probes import together
from lab.services import PORT
from lab.story import Story
from lab.takeover import wait_for
from lab.trials import NOBODY

NODE_PORT, HEALTH_PORT = 30084, 30085
FENCED = str(EXTERNAL[12])


def show(lab: Lab, story: Story) -> None:
    """externalTrafficPolicy Local, its health port, and loadBalancerSourceRanges."""
    _local(lab, story)
    _ranges(lab, story)


def _local(lab: Lab, story: Story) -> None:
    made = service(
        lab, "fir/local", 63, ["fir/c"], NODE_PORT, external_local=True, health_port=HEALTH_PORT, load_balancer=True
    )
    led_in(lab, story, made.address, made.ingress)
    here, elsewhere, outside = lab.node("n2"), lab.node("n1"), lab.outside
    own = str(outside.address)
    trials = [
        *ask(outside, here, "fir/c", own, NODE_PORT),
        *ask(outside, made.ingress, "fir/c", own),
        *ask(outside, elsewhere, NOBODY, port=NODE_PORT),
        *ask(elsewhere, here, "fir/c", port=NODE_PORT),
        *ask(elsewhere, elsewhere, "fir/c", port=NODE_PORT),
        *ask(lab.pods_by_name["fir/a"], elsewhere, "fir/c", port=NODE_PORT),
        *ask(lab.pods_by_name["elm/a"], made.ingress, "fir/c"),
    ]
    story.try_out("Local: who comes from outside, to whom; its endpoint is on n2 only", trials)
    for node, wanted in ((here, "200, 1 endpoint"), (elsewhere, "503, 0 endpoints")):
        story.expect(f"{node.name} at its health port, to a load balancer outside:", wanted, _health(lab, node))


def _health(lab: Lab, node: Node) -> str:
    command = f"curl -s -m 2 -w ' %{{http_code}}' http://{node.address}:{HEALTH_PORT}/healthz"
    body, _, status = lab.outside.run(command).stdout.rpartition(" ")
    number = body.partition('"localEndpoints":')[2].strip(" }").partition(",")[0]
    return f"{status}, {number or 'no'} endpoint{'' if number == '1' else 's'}"


def _ranges(lab: Lab, story: Story) -> None:
    outside, pod, node = lab.outside, lab.pods_by_name["fir/b"], lab.node("n3")
    outside.run(f"ip route replace {FENCED} via {lab.node('n2').address}")
    for sources, let_in in (([f"{outside.address}/32"], [outside]), ([f"{pod.address}/32", "198.51.100.0/24"], [pod])):
        service(lab, "fir/fenced", 64, ["fir/c"], external=[FENCED], sources=sources)
        led_in(lab, story, FENCED)
        asking = partial(_let_in, (outside, pod))
        wanted = [host in let_in for host in (outside, pod)]
        took = wait_for(lambda asking=asking, wanted=wanted: asking() == wanted, f"{sources} are not in force")  # type: ignore[misc]
        story.say(f"clients are those of {', '.join(sources)}: in force after {1000 * took:.0f} ms")
        trials = [
            each for host in (outside, pod, node) for each in ask(host, FENCED, "fir/c" if host in let_in else NOBODY)
        ]
        story.try_out("An external address, for some clients only", trials)


def _let_in(hosts: Iterable[Host]) -> list[bool]:
    return [outcome.arrived for outcome in together([partial(host.tcp, FENCED, PORT, 0.3) for host in hosts])]
