"""Limits and DSCP by real packets: what a pod may send and get in a second, and what its packets carry."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lab.laboratory import Lab
from lab.pod import Pod
from lab.shaping import RATE, SIZE, carried, least_seconds, seconds
from tests.lab.watching import eventually

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

DSCP = 46

Limit = Callable[..., None]


@pytest.fixture
def limit(lab: Lab) -> Iterator[Limit]:
    """A function that limits a pod, until the end."""
    limited: list[str] = []

    def make(pod: str, **fields: str) -> None:
        project, name = pod.split("/")
        lab.api.post("/v1/pods", {"project": project, "pod": name, **fields})
        limited.append(pod)

    yield make
    for pod in dict.fromkeys(limited):
        lab.api.delete(f"/v1/pods/{pod}")


@pytest.mark.parametrize(("target", "way"), [("red/b", "egress"), ("red/c", "egress"), ("red/c", "ingress")])
def test_a_transfer_takes_as_long_as_the_limit_says(lab: Lab, limit: Limit, target: str, way: str) -> None:
    """Of the sender, to a pod of its node and of another; of the receiver. The other way is free."""
    sender, receiver = lab.pods_by_name["red/a"], lab.pods_by_name[target]
    limit("red/a" if way == "egress" else target, **{f"{way}_bandwidth": f"{RATE}"})
    assert seconds(sender, receiver) >= least_seconds()
    node = (sender if way == "egress" else receiver).node
    assert "rate=16000 " in node.ovs_ofctl("dump-meters")
    assert " packet_count:0 " not in node.ovs_ofctl("meter-stats").split("bands:")[1]  # some were dropped


def test_a_limit_ends_while_the_pod_runs(lab: Lab, limit: Limit) -> None:
    sender, receiver = lab.pods_by_name["red/a"], lab.pods_by_name["red/b"]
    limit("red/a", egress_bandwidth="1k")
    meter = sender.node.ovs_ofctl("dump-meters")
    assert "rate=1 " in meter
    limit("red/a")
    assert "rate" not in sender.node.ovs_ofctl("dump-meters")
    assert seconds(sender, receiver) < SIZE * 8 / 1000  # in less than the nine hours that it would have taken


def test_meters_come_back_with_the_switch(lab: Lab, limit: Limit) -> None:
    node = lab.node("n1")
    limit("red/a", egress_bandwidth="10M", ingress_bandwidth="20M")
    before = sorted(line for line in node.ovs_ofctl("dump-meters").splitlines() if "rate" in line or "meter=" in line)
    node.restart_ovs()

    def same() -> bool:
        return before == sorted(
            line for line in node.ovs_ofctl("dump-meters").splitlines() if "rate" in line or "meter=" in line
        )

    assert eventually(same)
    assert eventually(lambda: bool(lab.pods_by_name["red/a"].ping(lab.pods_by_name["red/b"], patience=0.5)))


# --- DSCP ------------------------------------------------------------------------------------------


@pytest.fixture
def marked(lab: Lab) -> Iterator[Pod]:
    """A pod of a network with a DSCP."""
    lab.api.patch("/v1/networks/red", {"dscp": DSCP})
    yield lab.pods_by_name["red/a"]
    lab.api.patch("/v1/networks/red", {"dscp": None})


@pytest.mark.parametrize("target", ["red/b", "red/c", "default/a"])
def test_packets_of_a_network_carry_its_dscp(lab: Lab, marked: Pod, target: str) -> None:
    receiver = lab.pods_by_name[target]
    assert carried(marked, receiver, 0) == carried(marked, receiver, 10) == DSCP
    other = lab.pods_by_name["default/a" if target != "default/a" else "blue/c"]
    assert carried(other, receiver, 10) == 10


def test_the_outside_sees_it_too(lab: Lab, marked: Pod) -> None:
    assert carried(marked, lab.outside, 10) == DSCP
