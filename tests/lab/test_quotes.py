"""ICMP errors about translated packets, by real packets: who sent them understands, whoever answers, wherever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from lab.frames import ETH_P_IP, ethernet, ipv4, send, udp_packet
from lab.hosts import Host
from lab.laboratory import Lab
from lab.pod import Pod
from lab.probes import Verdict, checksum, together
from lab.services import PORT as PORT_OF_SERVICE
from lab.services import Service
from lab.transfers import path_mtu, transfer
from tests.lab.watching import eventually

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

RANGE = "10.0.0.0/24"
PLACES = {"a": "n1", "b": "n2"}
CLOSED = 9
BIG = 3_000_000  # octets
PORT = 5001
NARROW = 1000  # bytes, of the path behind a pod or a node


@pytest.fixture(scope="module")
def world(unique_name: Callable[[], str]) -> Iterator[Lab]:
    """Return a laboratory in which red and blue have one range and are joined with translation; fir, without a range,
    is joined with both. Each has pods a and b, on two nodes."""
    with Lab(unique_name(), nodes=2) as lab:
        for name in ("red", "blue"):
            lab.network(name, subnets=[RANGE])
        lab.network("fir")
        for name, node in PLACES.items():
            lab.pods({f"{network}/{name}": node for network in ("red", "blue", "fir")})
        lab.join_translated("red", "blue")
        lab.join("red", "fir")
        lab.join("blue", "fir")
        yield lab


def refused(lab: Lab, source: Host, address: str) -> bool:
    """Whether a datagram to a closed port is answered by an error that the sender's kernel understands."""
    return source.udp(address, CLOSED).verdict is Verdict.REFUSED


def pods(lab: Lab, *networks: str) -> list[Pod]:
    return [pod for pod in lab.pods_by_name.values() if pod.network in networks]


WAYS = [("red", "blue"), ("blue", "red"), ("red", "fir"), ("fir", "blue")]


@pytest.mark.parametrize(("first", "second"), WAYS)
def test_a_closed_port_is_refused_at_once(world: Lab, first: str, second: str) -> None:
    """On one node and across: between ranges, from a range to the shared one, and the other way."""
    ways = [(one, other) for one in pods(world, first) for other in pods(world, second)]
    assert all(together([partial(refused, world, one, world.known_as(other, one)) for one, other in ways]))


def test_so_it_is_by_cluster_addresses(world: Lab) -> None:
    """Both ends are translated then, at the sender's and at the receiver's; and of the pod that sends itself."""
    ways = [(one, other) for one in pods(world, "red") for other in pods(world, "red", "blue")]
    asked = [partial(refused, world, one, str(other.cluster_address)) for one, other in ways]
    assert together(asked) == [True] * len(ways)


def test_nodes_and_outside_are_told_too(world: Lab) -> None:
    """A node asks a pod by its cluster address; a pod asks a node, and somebody outside."""
    for pod in pods(world, "red"):
        for node in world.nodes.values():
            assert refused(world, node, str(pod.cluster_address))
            assert refused(world, pod, str(node.gateway))
        assert refused(world, pod, str(world.outside.address))


def test_one_way_lets_errors_about_what_began_pass(world: Lab) -> None:
    """Conntrack at the beginner's node has to find in the quote what it committed: what the pod itself sent."""
    world.join("red", "blue", one_way=True)
    world.join("red", "fir", one_way=True)
    try:
        for target in pods(world, "blue", "fir"):
            assert all(refused(world, source, world.known_as(target, source)) for source in pods(world, "red"))
        blue, red = world.pods_by_name["blue/a"], world.pods_by_name["red/b"]
        assert blue.udp(world.known_as(red, blue), CLOSED, patience=0.7).verdict is Verdict.SILENT
    finally:
        world.join("red", "blue")
        world.join("red", "fir")


def test_endpoints_refuse_where_a_connection_is_for_services_only(world: Lab) -> None:
    """What conntrack knows of such an answer goes with it through the translator."""
    service = Service(world.api, "fir", "closed", "172.30.0.10").make([])
    world.join("red", "fir", one_way=True, services_only=True)
    try:
        for pod in pods(world, "fir"):
            service.point_to(pod.cluster_address, CLOSED)
            for source in pods(world, "red"):
                assert source.udp(service.address, PORT_OF_SERVICE).verdict is Verdict.REFUSED
                beside = source.udp(str(pod.cluster_address), CLOSED, patience=0.4)
                assert beside.verdict is Verdict.SILENT
    finally:
        world.join("red", "fir")
        service.remove()


# -- path MTU discovery ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asker", "target"), [("red/a", "blue/b"), ("blue/a", "red/a")])
def test_path_mtu_discovery_across_a_translation(world: Lab, asker: str, target: str) -> None:
    source, pod = world.pods_by_name[asker], world.pods_by_name[target]
    address = world.known_as(pod, source)
    with world.behind(pod, PORT, NARROW) as inner:
        assert path_mtu(source.namespace, address) is None
        assert transfer(source.namespace, inner, address, BIG, PORT) == (BIG, world.known_as(source, pod), True)
        assert path_mtu(source.namespace, address) == NARROW
    source.run("ip route flush cache")


def test_path_mtu_discovery_towards_the_outside(world: Lab) -> None:
    """The node routes what pods send outside, and its way there is narrow; the pod goes by its cluster address."""
    pod, outside = world.pods_by_name["red/a"], world.outside
    pod.node.namespace.ip([f"route add {outside.address} dev br-ex mtu {NARROW}"])
    try:
        arrived = transfer(pod.namespace, outside.namespace, str(outside.address), BIG, PORT)
        assert (arrived.octets, arrived.intact) == (BIG, True)
        assert path_mtu(pod.namespace, str(outside.address)) == NARROW
    finally:
        pod.node.namespace.ip([f"route del {outside.address} dev br-ex mtu {NARROW}"])
        pod.run("ip route flush cache")


def test_it_works_again_after_open_vswitch_was_restarted(world: Lab) -> None:
    asker, target = world.pods_by_name["red/a"], world.pods_by_name["blue/a"]
    address = world.known_as(target, asker)
    asker.node.restart_ovs()
    assert eventually(lambda: refused(world, asker, address))


def test_a_flood_of_errors_loads_nobody_and_the_next_ones_pass(world: Lab) -> None:
    """Thousands of errors at once; most are lost, and after a moment errors are translated again."""
    sender, target = world.pods_by_name["red/b"], world.pods_by_name["blue/b"]
    address = world.known_as(target, sender)
    about = udp_packet(address, str(sender.address), (1234, CLOSED), b"flood")
    body = b"\x03\x03\0\0\0\0\0\0" + about
    body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    frame = ethernet(sender.mac, sender.mac, ETH_P_IP, ipv4(str(sender.address), address, 1, body))
    send(sender.namespace, sender.interface, *[frame] * 20_000)
    assert eventually(lambda: refused(world, sender, address))
    assert sender.tcp(address).by == target.name
