"""ovs-vswitchd ended and started again: its flows come back, and meanwhile no packet goes to the wrong pod."""

from __future__ import annotations

import signal
from functools import partial

import pytest

from lab.frames import ETH_P_IP, Frame
from lab.laboratory import Lab
from lab.matrix import Party, explore, may
from lab.pod import Pod
from tests.lab.watching import eventually, flows_return, forwarding, watching

pytestmark = [pytest.mark.netns, pytest.mark.ovs]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_flows_come_back_and_nothing_is_misdelivered(lab: Lab, number: signal.Signals) -> None:
    pods = list(lab.pods_by_name.values())
    node = lab.node("n1")
    before = forwarding(node)
    everything = [(source, target) for source in pods for target in pods if source is not target]
    with watching(pods) as seen, lab.pings(everything, interval=0.05) as pings:
        node.restart_ovs(number)
        assert flows_return(node, before) == {}
        for source, target in (("red/a", "red/c"), ("red/c", "red/b"), ("blue/c", "blue/a")):
            assert eventually(partial(_reaches, lab, source, target))
    for pod in pods:
        assert [frame for frame in seen[pod.name].frames if not _lawful(lab, pod, frame)] == []
    untouched = {f"{a.name} -> {b.name}" for a, b in everything if node not in (a.node, b.node) and _may(a, b)}
    assert untouched.isdisjoint(pings.lost)


def test_the_whole_matrix_afterwards(lab: Lab) -> None:
    lab.node("n2").restart_ovs(signal.SIGKILL)
    parties = [Party(pod, pod.project) for pod in lab.pods_by_name.values()]
    assert eventually(lambda: not explore(parties, [*parties, Party(lab.outside)]).wrong, patience=30)
    lab.node("n2").runtime.wait_ready(float("inf"))
    newcomer = lab.pod("blue/newcomer", on="n2")
    assert newcomer.ping(lab.pods_by_name["blue/a"])
    lab.remove_pod("blue/newcomer")


def _reaches(lab: Lab, source: str, target: str) -> bool:
    return bool(lab.pods_by_name[source].ping(lab.pods_by_name[target], patience=0.5))


def _may(source: Pod, target: Pod) -> bool:
    return may(Party(source, source.project), Party(target, target.project), [])


def _lawful(lab: Lab, pod: Pod, frame: Frame) -> bool:
    """Whether an IPv4 frame that came to `pod` is for it, and from one who may send to it."""
    if frame.kind != ETH_P_IP:
        return True
    senders = {str(other.address): other for other in lab.pods_by_name.values()}
    sender = senders.get(frame.source)
    allowed = sender is None or _may(sender, pod)
    return frame.destination == str(pod.address) and frame.destination_mac == pod.mac and allowed
