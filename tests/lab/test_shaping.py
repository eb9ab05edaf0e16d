"""Limits and DSCP by real packets: what a pod may send and get in a second, and what its packets carry."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from lab.frames import ETH_P_IP, Frame, Sniffer
from lab.hosts import Host
from lab.laboratory import Lab
from lab.pod import Pod
from lab.transfers import transfer
from tests.lab.watching import eventually

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

RATE = 16_000_000  # bits a second
BURST = RATE / 4  # bits
SIZE = 4_000_000  # bytes
LEAST = (SIZE * 8 - BURST) / RATE  # seconds that it takes at least
DSCP = 46
DISCARD = 9  # RFC 863

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


def seconds(source: Pod, target: Pod, size: int = SIZE) -> float:
    """Return how long it took until all of a transfer was there, unharmed."""
    begun = time.monotonic()
    done = transfer(source.namespace, target.namespace, str(target.known_to(source)), size)
    assert done.intact
    assert done.octets == size
    return time.monotonic() - begun


@pytest.mark.parametrize(("target", "way"), [("red/b", "egress"), ("red/c", "egress"), ("red/c", "ingress")])
def test_a_transfer_takes_as_long_as_the_limit_says(lab: Lab, limit: Limit, target: str, way: str) -> None:
    """Of the sender, to a pod of its node and of another; of the receiver. The other way is free."""
    sender, receiver = lab.pods_by_name["red/a"], lab.pods_by_name[target]
    limit("red/a" if way == "egress" else target, **{f"{way}_bandwidth": f"{RATE}"})
    assert seconds(sender, receiver) >= LEAST
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


def carried(source: Host, target: Host, own: int) -> int | None:
    """Return the DSCP with which a datagram arrives that was sent with a DSCP of its own; None: it does not."""
    address = str(target.known_to(source))
    with Sniffer(target.namespace, "eth0") as seen, source.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, own << 2)
        sock.sendto(b"marked", (address, DISCARD))

        def is_it(frame: Frame) -> bool:
            return frame.kind == ETH_P_IP and frame.octets.endswith(b"marked")

        if not seen.caught(is_it):
            return None
        return next(frame.octets[15] >> 2 for frame in seen.frames if is_it(frame))


@pytest.mark.parametrize("target", ["red/b", "red/c", "default/a"])
def test_packets_of_a_network_carry_its_dscp(lab: Lab, marked: Pod, target: str) -> None:
    receiver = lab.pods_by_name[target]
    assert carried(marked, receiver, 0) == carried(marked, receiver, 10) == DSCP
    other = lab.pods_by_name["default/a" if target != "default/a" else "blue/c"]
    assert carried(other, receiver, 10) == 10


def test_the_outside_sees_it_too(lab: Lab, marked: Pod) -> None:
    assert carried(marked, lab.outside, 10) == DSCP
