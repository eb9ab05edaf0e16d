"""Networks with ranges of their own, and connections of every kind, by real packets over three nodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from lab.api import ProblemError
from lab.echo import ECHO_PORT
from lab.frames import ARP_REPLY, ARP_REQUEST, BROADCAST, ETH_P_ARP, ETH_P_IP, Frame, arp, ethernet, send, udp_packet
from lab.hosts import Host
from lab.laboratory import Lab
from lab.matrix import Joined, Party, explore
from lab.pod import Pod
from lab.probes import Verdict, together
from lab.services import PORT, Service
from tests.lab.watching import eventually, forwarding, in_sync, marked, overtake, watching

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

TWINS = ("red", "blue")
RANGE, DUO, FLAT = "10.0.0.0/24", ("10.5.0.0/30", "10.6.0.0/24"), "10.7.0.0/24"
SHARED = {"fir/a": "n1", "fir/b": "n2", "oak/a": "n1", "oak/b": "n3"}
WEB, CLOSED, OPENFLOW = 80, 9, 6653


@pytest.fixture(scope="module")
def tenants(unique_name: Callable[[], str]) -> Iterator[Lab]:
    """Return a laboratory in which red and blue have one range, duo two subnets, flat addresses anywhere, fir and oak
    the cluster's range. Whoever changes something puts it back."""
    with Lab(unique_name(), nodes=3) as lab:
        for twin in TWINS:
            lab.network(twin, subnets=[RANGE])
        lab.network("duo", subnets=DUO)
        lab.network("flat", subnets=[FLAT], flat=True, mtu=1300)
        for network in ("fir", "oak"):
            lab.network(network)
        for name, node in zip("abc", lab.nodes, strict=True):  # node by node: both twins' blocks are the same
            lab.pods({f"{network}/{name}": node for network in (*TWINS, "duo", "flat")})
        for pod in lab.pods(SHARED):
            pod.listen(WEB)
        yield lab


@contextmanager
def joined(lab: Lab, first: str, second: str, one_way: bool = False, ports: tuple[str, ...] = ()) -> Iterator[None]:
    """Two networks are connected meanwhile."""
    lab.join(first, second, one_way=one_way, ports=ports)
    lab.settle()
    try:
        yield
    finally:
        lab.isolate(first, second)


def pods(lab: Lab, *networks: str) -> list[Pod]:
    return [pod for pod in lab.pods_by_name.values() if pod.network in networks]


def wrong(lab: Lab, *networks: str, allowed: Joined = ()) -> list[object]:
    """What is not as it should be among the pods of some networks."""
    parties = [Party.of(pod) for pod in pods(lab, *networks)]
    return list(explore(parties, parties, allowed).wrong)


# -- the same addresses ----------------------------------------------------------------------------------------------


def test_twins_have_the_same_addresses(tenants: Lab) -> None:
    for name in "abc":
        red, blue = (tenants.pods_by_name[f"{twin}/{name}"] for twin in TWINS)
        assert (red.address, red.mac, red.node) == (blue.address, blue.mac, blue.node)
        assert red.cluster_address != blue.cluster_address


def test_each_twin_reaches_its_own_and_the_outside(tenants: Lab) -> None:
    parties = [Party.of(pod) for pod in pods(tenants, *TWINS)]
    nodes = [Party(node) for node in tenants.nodes.values()]
    assert explore([*parties, *nodes], [*parties, Party(tenants.outside)]).wrong == []


@pytest.mark.parametrize("asker", ["n1", "n2"])
def test_a_node_gets_the_right_twins_answer(tenants: Lab, asker: str) -> None:
    """By a plain connect() of the node's kernel, as the kubelet's probes do it; on the same node and across."""
    node = tenants.node(asker)
    for pod in pods(tenants, *TWINS):
        answered = node.tcp(str(pod.result["ips"][0]["address"]).partition("/")[0])
        assert (answered.by, answered.seen_as) == (pod.name, str(node.gateway))


def test_the_same_question_has_another_answer_for_each_twin(tenants: Lab) -> None:
    asked = str(tenants.pods_by_name["red/b"].address)
    for twin in TWINS:
        for name in "ac":
            asker = tenants.pods_by_name[f"{twin}/{name}"]
            for answered in (asker.tcp(asked), asker.udp(asked)):
                assert (answered.by, answered.seen_as) == (f"{twin}/b", str(asker.address))


def test_by_cluster_addresses_within_a_network(tenants: Lab) -> None:
    """As headless services name pods: the answer comes, and the asker is seen by its cluster address."""
    asker = tenants.pods_by_name["red/a"]
    for name in "bc":
        asked = tenants.pods_by_name[f"red/{name}"]
        answered = asker.tcp(asked.cluster_address)
        assert (answered.by, answered.seen_as) == (asked.name, str(asker.cluster_address))
        assert asker.ping(asked.cluster_address)


def test_gateways_and_nodes_answer(tenants: Lab) -> None:
    pod = tenants.pods_by_name["blue/b"]
    for node in tenants.nodes.values():
        for address in (node.gateway, node.address):
            assert pod.tcp(address).by == node.name, (node, address)


def test_control_ports_are_closed(tenants: Lab) -> None:
    pod, near, far = tenants.pods_by_name["red/a"], tenants.node("n1"), tenants.node("n2")
    try:
        for node in (near, far):
            node.listen(OPENFLOW)
        assert near.tcp(far, OPENFLOW).by == "n2"
        targets = [address for node in (near, far) for address in (node.gateway, node.address)]
        verdicts = [outcome.verdict for outcome in together([partial(pod.tcp, one, OPENFLOW) for one in targets])]
        assert verdicts == [Verdict.SILENT] * 4
    finally:
        for node in (near, far):
            node.silence()
            node.listen(ECHO_PORT)


def test_check_agrees(tenants: Lab) -> None:
    together([pod.check for pod in pods(tenants, *TWINS, "duo", "flat", "fir")])


def test_nobody_is_heard_under_its_cluster_address(tenants: Lab) -> None:
    """A pod's packets carry its tenant address or nothing: not its cluster address, nor its twin's."""
    liar, twin, mark = tenants.pods_by_name["red/a"], tenants.pods_by_name["blue/a"], os.urandom(16)
    targets = [tenants.pods_by_name[name] for name in ("red/b", "blue/b", "fir/a")]
    lies = (liar.cluster_address, twin.cluster_address, liar.node.gateway)
    frames = [
        ethernet(liar.mac, liar.mac, ETH_P_IP, udp_packet(str(lie), str(address), (1234, 7), mark))
        for lie in lies
        for target in targets
        for address in (target.address, target.cluster_address)
    ]
    with watching([*tenants.pods_by_name.values(), tenants.outside]) as seen:
        send(liar.namespace, liar.interface, *frames)
        overtake(tenants, liar)
    assert {name: marked(sniffer, mark) for name, sniffer in seen.items()} == {name: [] for name in seen}


def test_no_twin_hears_the_other(tenants: Lab) -> None:
    """Frames to an address and a MAC address that both twins have arrive at one of them."""
    asker, mark = tenants.pods_by_name["red/a"], os.urandom(16)
    mine = [tenants.pods_by_name[name] for name in ("red/b", "red/c")]
    frames = [
        ethernet(pod.mac, asker.mac, ETH_P_IP, udp_packet(str(asker.address), str(pod.address), (1234, 7), mark))
        for pod in mine
    ]
    with watching(tenants.pods_by_name.values()) as seen:
        send(asker.namespace, asker.interface, *frames)
        overtake(tenants, asker)
    assert {name for name, sniffer in seen.items() if marked(sniffer, mark)} >= {"red/b", "red/c"}
    assert {name for name, sniffer in seen.items() if marked(sniffer, mark)} <= {
        pod.name for pod in pods(tenants, "red")
    }


def test_arp_is_answered_in_the_askers_space(tenants: Lab) -> None:
    asker, asked = tenants.pods_by_name["red/a"], tenants.pods_by_name["red/b"]
    for address, answers in ((asked.address, True), (asked.cluster_address, False), ("10.5.0.2", False)):
        question = arp(ARP_REQUEST, (asker.mac, str(asker.address)), ("00:00:00:00:00:00", str(address)))
        with watching(tenants.pods_by_name.values()) as seen:
            send(asker.namespace, asker.interface, ethernet(BROADCAST, asker.mac, ETH_P_ARP, question))
            overtake(tenants, asker)
        said = [frame.source_mac for frame in seen[asker.name].frames if _answers(str(address), frame)]
        assert said == ([asked.mac] if answers else []), address


def _answers(address: str, frame: Frame) -> bool:
    return frame.kind == ETH_P_ARP and int.from_bytes(frame.octets[20:22]) == ARP_REPLY and frame.source == address


# -- subnets, flat, MTU ----------------------------------------------------------------------------------------------


def test_two_subnets_of_a_network_beside_two_networks_of_a_range(tenants: Lab) -> None:
    addresses = [str(pod.address) for pod in pods(tenants, "duo")]
    assert [address.rpartition(".")[0] for address in addresses] == ["10.5.0", "10.6.0", "10.6.0"]
    assert wrong(tenants, "duo", "fir", "oak") == []


def test_flat_addresses_are_in_a_row_whatever_the_node(tenants: Lab) -> None:
    flat = pods(tenants, "flat")
    assert [str(pod.address) for pod in flat] == ["10.7.0.2", "10.7.0.3", "10.7.0.4"]
    assert [pod.node.name for pod in flat] == ["n1", "n2", "n3"]
    assert wrong(tenants, "flat", "fir") == []


def test_the_networks_mtu(tenants: Lab) -> None:
    near, far = (tenants.pods_by_name[f"flat/{name}"] for name in "ab")
    assert "mtu 1300" in near.run(f"ip link show {near.interface}").stdout
    full = near.run(f"ping -c 1 -W 2 -M do -s {1300 - 28} {far.address}")
    assert full.returncode == 0, full.stdout
    larger = near.run(f"ping -c 1 -W 2 -M do -s {1301 - 28} {far.address}")
    assert "too long" in larger.stderr, larger
    assert tenants.node("n3").tcp(near).by == near.name  # segments of 1460 bytes less would be too large for it


# -- connections -----------------------------------------------------------------------------------------------------


def test_connections_are_not_transitive(tenants: Lab) -> None:
    with joined(tenants, "duo", "fir"), joined(tenants, "fir", "oak"):
        assert wrong(tenants, "duo", "fir", "oak", allowed=[frozenset(("duo", "fir")), frozenset(("fir", "oak"))]) == []
    assert wrong(tenants, "duo", "fir", "oak") == []


@pytest.mark.parametrize(("first", "second"), [("fir", "oak"), ("oak", "duo"), ("duo", "oak"), ("red", "flat")])
def test_one_way(tenants: Lab, first: str, second: str) -> None:
    """Whoever may begin gets all answers; nobody gets an answer the other way."""
    with joined(tenants, first, second, one_way=True):
        assert wrong(tenants, first, second, allowed=[(first, second)]) == []
        pairs = [(one, other) for one in pods(tenants, first) for other in pods(tenants, second)]
        assert all(together([partial(one.udp, other) for one, other in pairs]))
        assert not any(together([partial(other.udp, one, patience=0.7) for one, other in pairs]))
    assert wrong(tenants, first, second) == []


def test_one_way_lets_replies_pass_and_nothing_else(tenants: Lab) -> None:
    asker = tenants.pods_by_name["fir/a"]
    with joined(tenants, "fir", "oak", one_way=True):
        for name in ("oak/a", "oak/b"):  # on its node, and on another
            asked = tenants.pods_by_name[name]
            reply, stray = os.urandom(16), os.urandom(16)
            _begin(asker, asked, 5000)
            ends = (str(asked.address), str(asker.address))
            frames = [udp_packet(*ends, (7, 5000), reply), udp_packet(*ends, (8, 5000), stray)]
            with watching([asker]) as seen:
                send(
                    asked.namespace, asked.interface, *(ethernet(asker.mac, asked.mac, ETH_P_IP, one) for one in frames)
                )
                assert seen[asker.name].caught(partial(_has, reply))
                overtake(tenants, asked)
                assert marked(seen[asker.name], stray) == []


def _has(mark: bytes, frame: Frame) -> bool:
    return mark in frame.octets


def _begin(asker: Pod, asked: Pod, port: int) -> None:
    """One datagram from `port` to the echo server, and its answer."""
    script = (
        "import socket,sys;s=socket.socket(type=socket.SOCK_DGRAM);s.settimeout(5);s.bind(('',int(sys.argv[1])));"
        "s.sendto(b'x',(sys.argv[2],7));s.recv(99)"
    )
    done = asker.namespace.run(["/usr/bin/python3", "-c", script, str(port), str(asked.known_to(asker))])
    assert done.returncode == 0, done.stderr


def test_one_way_refusals_come_back(tenants: Lab) -> None:
    """A reset is a reply, and an ICMP error belongs to the connection that it is about."""
    with joined(tenants, "fir", "oak", one_way=True):
        for name in ("oak/a", "oak/b"):
            asker, asked = tenants.pods_by_name["fir/a"], tenants.pods_by_name[name]
            assert asker.tcp(asked, CLOSED).verdict is Verdict.REFUSED
            assert asker.udp(asked, CLOSED).verdict is Verdict.REFUSED
            assert asked.tcp(asker, CLOSED).verdict is Verdict.SILENT


@pytest.mark.parametrize("pair", [("oak/a", "fir/a"), ("oak/b", "fir/a"), ("duo/a", "fir/a"), ("duo/c", "fir/b")])
def test_one_port_only(tenants: Lab, pair: tuple[str, str]) -> None:
    asker, asked = (tenants.pods_by_name[name] for name in pair)
    with joined(tenants, asker.network, asked.network, one_way=True, ports=(f"{WEB}/tcp",)):
        answered = asker.tcp(asked, WEB)
        assert (answered.by, answered.seen_as) == (asked.name, str(asker.cluster_address))
        others = [partial(asker.tcp, asked), partial(asker.udp, asked, WEB), partial(asker.ping, asked)]
        back = [partial(asked.tcp, asker, WEB), partial(asked.tcp, asker), partial(asked.ping, asker)]
        assert [outcome.verdict for outcome in together([*others, *back])] == [Verdict.SILENT] * 6


def test_services_only(tenants: Lab) -> None:
    """A service of theirs, whose endpoint is on a node; pods of the service's network are reached by nothing else."""
    asker, node = tenants.pods_by_name["red/a"], tenants.node("n1")
    service = Service(tenants.api, "fir", "web", "172.30.0.10").make([])
    service.point_to(node.address)
    try:
        assert not asker.tcp(service.address, PORT).arrived
        tenants.join("red", "fir", one_way=True, services_only=True)
        answered = asker.tcp(service.address, PORT)
        assert (answered.by, answered.seen_as) == (node.name, str(asker.cluster_address))
        assert not asker.tcp(tenants.pods_by_name["fir/a"]).arrived
    finally:
        tenants.isolate("red", "fir")
        service.remove()


def test_a_connection_is_changed_while_it_is_used(tenants: Lab) -> None:
    """What stays allowed goes on; what is allowed no more ends. Narrowing costs the replies that are on their way."""
    fir, oak = tenants.pods_by_name["fir/a"], tenants.pods_by_name["oak/b"]
    with joined(tenants, "fir", "oak"):
        with tenants.pings([(fir, oak)]) as pings:
            tenants.join("fir", "oak", one_way=True)
            narrowed = max(pings.tallies["fir/a -> oak/b"].sent, default=0)
            assert fir.tcp(oak)
            assert not oak.tcp(fir).arrived
            tenants.join("oak", "fir")
            assert oak.tcp(fir)
        assert [number for number in pings.tallies["fir/a -> oak/b"].lost if number > narrowed] == []


def test_own_ranges_joined_talk_by_their_own_addresses(tenants: Lab) -> None:
    with joined(tenants, "duo", "red"):
        pairs = [(one, other) for one in pods(tenants, "duo") for other in pods(tenants, "red")]
        pairs += [(other, one) for one, other in pairs]
        by_address = together([partial(one.tcp, str(other.address)) for one, other in pairs])
        assert [(answered.by, answered.seen_as) for answered in by_address] == [
            (other.name, str(one.address)) for one, other in pairs
        ]
        assert wrong(tenants, "duo", *TWINS, allowed=[frozenset(("duo", "red"))]) == []


@pytest.mark.parametrize("asked", [("red", "blue"), ("blue", "duo")])
def test_overlapping_ranges_are_refused(tenants: Lab, asked: tuple[str, str]) -> None:
    """Those of the two networks, and those that one of them is connected to."""
    with joined(tenants, "duo", "red"), pytest.raises(ProblemError) as refused:
        tenants.join(*asked)
    assert refused.value.status == 409
    detail = refused.value.problem["detail"]
    assert RANGE in detail
    assert "another range" in detail


# -- pods come and go, programs too ------------------------------------------------------------------------------------


def test_a_pod_comes_and_goes(tenants: Lab) -> None:
    before = {name: forwarding(node) for name, node in tenants.nodes.items()}
    mate = tenants.pods_by_name["blue/a"]
    comer = tenants.pod("blue/comer", on="n3")
    assert mate.tcp(comer).by == "blue/comer"
    assert comer.tcp(mate).by == "blue/a"
    tenants.remove_pod("blue/comer")
    assert eventually(lambda: {name: forwarding(node) for name, node in tenants.nodes.items()} == before)


def test_restarts(tenants: Lab) -> None:
    """The controller knows everything again; a switch that was empty gets everything back."""
    with joined(tenants, "duo", "fir", one_way=True), joined(tenants, "duo", "red"):
        before = {name: forwarding(node) for name, node in tenants.nodes.items()}
        paths: list[tuple[Host, Host]] = [
            (one, other) for one in pods(tenants, "red") for other in pods(tenants, "red") if one != other
        ]
        with tenants.pings([*paths, (tenants.node("n2"), tenants.pods_by_name["blue/a"])]) as pings:
            tenants.controller.restart()
            assert eventually(lambda: in_sync(tenants))
        assert pings.lost == {}
        assert {name: forwarding(node) for name, node in tenants.nodes.items()} == before
        tenants.node("n1").restart_ovs()
        assert eventually(lambda: forwarding(tenants.node("n1")) == before["n1"])
        allowed: Joined = [("duo", "fir"), frozenset(("duo", "red"))]
        assert eventually(lambda: not wrong(tenants, "duo", "red", "fir", allowed=allowed))
