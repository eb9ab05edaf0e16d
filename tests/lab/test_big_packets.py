"""Large packets that nobody may fragment: who sends one that is too large hears it, and what he sends then arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lab.laboratory import Lab
from lab.pod import Pod
from lab.transfers import path_mtu, transfer
from tests.lab.watching import eventually

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

PODS = {"red/a": "n1", "red/b": "n2", "low/c": "n1", "low/d": "n2", "own/e": "n1"}
LOW = 1300
BIG = 3_000_000  # octets


@pytest.fixture(scope="module")
def world(unique_name: Callable[[], str]) -> Iterator[Lab]:
    """Return a laboratory where the network low, with a small MTU, is joined with red, and with own, which has a range
    of its own."""
    with Lab(unique_name(), nodes=2) as lab:
        lab.network("red")
        lab.network("low", mtu=LOW)
        lab.network("own", subnets=["10.0.0.0/24"])
        lab.pods(PODS)
        lab.join("red", "low")
        lab.join("own", "low")
        yield lab


def hears(source: Pod, target: Pod) -> bool:
    """Whether a packet of 1,428 bytes that may not be fragmented is answered, and the sender's kernel heeds it."""
    said = source.run(f"ping -c1 -W0.3 -Mdo -s1400 {target.address}").stdout
    return f"Frag needed and DF set (mtu = {LOW})" in said and path_mtu(source.namespace, str(target.address)) == LOW


@pytest.mark.parametrize("asker", ["red/a", "own/e"])
@pytest.mark.parametrize("target", ["low/c", "low/d"])
def test_a_pod_of_a_network_with_a_smaller_mtu(world: Lab, asker: str, target: str) -> None:
    """On one node and across; from the shared space, and from a range of its own."""
    source, pod = world.pods_by_name[asker], world.pods_by_name[target]
    assert eventually(lambda: hears(source, pod))
    assert source.ping(pod)
    arrived = transfer(source.namespace, pod.namespace, str(pod.address), BIG)
    assert (arrived.octets, arrived.intact) == (BIG, True)
    assert f"{LOW - 28}" in source.run(f"ping -c1 -W1 -Mdo -s{LOW - 28} {pod.address}").stdout


def test_the_underlay_is_lowered_under_pods(world: Lab) -> None:
    """Their packets are answered from then on; nodes whose pods have different MTUs are warned of."""
    source, target = world.pods_by_name["red/a"], world.pods_by_name["red/b"]
    node = source.node.namespace
    for each in world.nodes.values():
        each.namespace.ip(["link set eth0 mtu 1400"])
    try:
        assert eventually(lambda: "mtu 1350" in node.run(["ip", "link", "show", "tun0"]).stdout)
        arrived = transfer(source.namespace, target.namespace, str(target.address), BIG)
        assert (arrived.octets, arrived.intact) == (BIG, True)
        assert path_mtu(source.namespace, str(target.address)) == 1350
        assert eventually(lambda: [node["mtu"] for node in world.api.get("/v1/nodes")["nodes"]] == [1350, 1350])
    finally:
        for each in world.nodes.values():
            each.namespace.ip(["link set eth0 mtu 1500"])
