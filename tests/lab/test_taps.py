"""Pods on taps: they reach and are reached as pods on veths are, also when Open vSwitch was restarted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lab.laboratory import Lab
from lab.pod import Pod
from lab.probes import together
from lab.transfers import transfer
from tests.lab.watching import eventually

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

BIG = 3_000_000  # octets


@pytest.fixture(scope="module")
def world(unique_name: Callable[[], str]) -> Iterator[Lab]:
    """Return a laboratory where pods of red are taps, but for red/v; those of blue too, and blue is another network."""
    with Lab(unique_name(), nodes=2) as lab:
        lab.network("red")
        lab.network("blue")
        lab.pod("red/v", "n1")
        for node in lab.nodes.values():
            node.runtime.overrides["interface"] = "tap"
        lab.pods({"red/a": "n1", "red/b": "n2", "blue/c": "n1"})
        yield lab


def red(lab: Lab) -> list[Pod]:
    return [pod for pod in lab.pods_by_name.values() if pod.network == "red"]


def reach(lab: Lab) -> None:
    """All of red reach each other and the outside; large transfers arrive whole."""
    pods = red(lab)
    for one in pods:
        assert eventually(lambda one=one: all(one.ping(another) for another in pods if another is not one))
        assert one.ping(lab.outside)
        one.check()
    a, b, v = (lab.pods_by_name[f"red/{name}"] for name in "abv")
    for source, target in ((a, b), (v, a)):
        arrived = transfer(source.namespace, target.namespace, str(target.address), BIG)
        assert (arrived.octets, arrived.intact) == (BIG, True)


def test_they_reach_what_they_may(world: Lab) -> None:
    assert [pod.host_interface == "" for pod in red(world)] == [False, True, True]
    reach(world)
    assert not world.pods_by_name["red/a"].ping(world.pods_by_name["blue/c"])


def test_a_restart_of_open_vswitch(world: Lab) -> None:
    """On both nodes at once; heddle-node puts the taps back."""
    together([node.restart_ovs for node in world.nodes.values()])
    for node in world.nodes.values():
        assert eventually(lambda node=node: "put back into the pod" in node.log.read_text())
    reach(world)


def test_a_source_that_is_not_the_pods_own_is_dropped(world: Lab) -> None:
    pod, target = world.pods_by_name["red/a"], world.pods_by_name["red/v"]
    pod.namespace.ip(["address add 10.128.0.99/32 dev eth0"])
    try:
        assert " 0 received" in pod.run(f"ping -c1 -W0.3 -I 10.128.0.99 {target.address}").stdout
    finally:
        pod.namespace.ip(["address del 10.128.0.99/32 dev eth0"])


def test_they_go_and_come_again(world: Lab) -> None:
    world.remove_pod("red/b")
    again = world.pod("red/b", "n2")
    assert again.ping(world.pods_by_name["red/a"])
