"""By which address pods leave, seen by the outside host with real packets, while the nodes that hold it come and go."""

from __future__ import annotations

import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.api import ProblemError
from lab.egress import ADDRESSES, Egress, seconds_until_seen, senders
from lab.frames import ETH_P_IP, Sniffer, ethernet, ipv4, send
from lab.laboratory import Lab
from lab.pod import Pod
from lab.probes import Verdict
from lab.services import PORT, Service
from tests.lab.watching import SETTLE, eventually, in_sync, marked

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

ONE, OTHER, THIRD = ADDRESSES[:3]
ASKED = 4471  # a UDP port of the outside host's that nobody else asks
CLOSED = 4472  # one where nobody listens
PATIENCE = 0.5  # seconds without an answer, where others had theirs in milliseconds
_FLAGS = (0x12, 0x04, 0x11, 0x10, 0x00, 0x3F)  # TCP: SYN and ACK, RST, FIN and ACK, ACK, none, all
Make = Callable[..., Egress]


@pytest.fixture(scope="module", autouse=True)
def _asked(lab: Lab) -> None:
    lab.outside.listen(ASKED)


@pytest.fixture
def egress(lab: Lab) -> Iterator[Make]:
    """A function that makes an egress of a network, and waits until the outside host sees it; all go at the end."""
    made: list[Egress] = []

    def make(network: str, *addresses: str, **fields: Any) -> Egress:
        each = Egress(lab.api, f"e{len(made)}", network).make(*addresses, **fields)
        made.append(each)
        return each

    yield make
    for each in made:
        each.remove()


def pod(lab: Lab, name: str) -> Pod:
    return lab.pods_by_name[name]


def leaves_by(lab: Lab, name: str, address: str) -> bool:
    """Whether the outside host sees a pod under an address, by TCP and UDP, and the pod can ping it."""
    seconds_until_seen(pod(lab, name), lab.outside, address, ASKED)
    seen = {probe(lab.outside).seen_as for probe in (pod(lab, name).tcp, pod(lab, name).udp)}
    return seen == {address} and bool(pod(lab, name).ping(lab.outside))


def own(lab: Lab, name: str) -> str:
    """The address of a pod's node."""
    return str(pod(lab, name).node.address)


@pytest.mark.parametrize("node", ["n1", "n2", "n3"])
def test_pods_of_a_network_leave_by_its_address_wherever_it_is_held(lab: Lab, egress: Make, node: str) -> None:
    egress("red", ONE, nodes=[node])
    assert leaves_by(lab, "red/a", ONE)
    assert leaves_by(lab, "red/c", ONE)
    assert leaves_by(lab, "blue/a", own(lab, "blue/a"))
    trace = lab.api.get(f"/v1/trace?from=red/a&to={lab.outside.address}")
    assert (trace["verdict"], trace["at"]["node"]) == ("sent", node)
    assert trace["reason"].endswith(f"from {ONE}")


def test_what_was_for_them_is_over_when_it_is_removed(lab: Lab, egress: Make) -> None:
    made = egress("red", ONE)
    assert leaves_by(lab, "red/a", ONE)
    made.remove()
    assert leaves_by(lab, "red/a", own(lab, "red/a"))
    egress("red", ONE)


def test_nobody_outside_begins_anything_by_it(lab: Lab, egress: Make) -> None:
    egress("red", ONE)
    assert leaves_by(lab, "red/a", ONE)
    for probe in (lab.outside.tcp, lab.outside.udp, pod(lab, "blue/a").tcp, pod(lab, "red/c").udp):
        assert not probe(ONE, patience=PATIENCE)
    assert not lab.outside.ping(ONE, PATIENCE)


def test_an_error_about_what_left_comes_back(lab: Lab, egress: Make) -> None:
    egress("red", ONE, nodes=["n3"])
    assert leaves_by(lab, "red/a", ONE)
    assert pod(lab, "red/a").udp(lab.outside, CLOSED).verdict is Verdict.REFUSED
    assert pod(lab, "red/c").tcp(lab.outside, CLOSED).verdict is Verdict.REFUSED


@pytest.mark.parametrize("node", ["n1", "n3"])
def test_what_conntrack_makes_nothing_of_leaves_by_no_other_address(lab: Lab, egress: Make, node: str) -> None:
    """Answers to nothing, ends of nothing, and protocols without ports: by the address, or not at all."""
    egress("red", ONE, nodes=[node])
    assert leaves_by(lab, "red/a", ONE)
    source, mark = pod(lab, "red/a"), b"astray"
    ends = (str(source.address), str(lab.outside.address))
    segments = [struct.pack("!HHIIBBHHH", 4473, 7, 1, 1, 5 << 4, flags, 1024, 0, 0) for flags in _FLAGS]
    packets = [
        *(ipv4(*ends, socket.IPPROTO_TCP, segment + mark) for segment in segments),
        ipv4(*ends, socket.IPPROTO_ICMP, bytes(8) + mark),  # an echo reply, and its checksum is wrong as well
        ipv4(*ends, socket.IPPROTO_SCTP, bytes(12) + mark),
        *(ipv4(*ends, protocol, mark * 4) for protocol in (47, 50, 253)),
    ]
    with Sniffer(lab.outside.namespace) as seen:
        for packet in packets:
            send(source.namespace, "eth0", ethernet("0a:58:0a:80:00:01", source.mac, ETH_P_IP, packet))
        assert source.udp(lab.outside, ASKED).seen_as == ONE
        time.sleep(SETTLE)
    assert {frame.source for frame in marked(seen, mark)} <= {ONE}


def test_nodes_and_pods_are_no_outside(lab: Lab, egress: Make) -> None:
    """The ports of nodes that are closed to pods stay closed, also by the node that holds the address."""
    egress("red", ONE, nodes=["n3"])
    assert leaves_by(lab, "red/a", ONE)
    assert pod(lab, "red/a").tcp(lab.node("n2")).seen_as == own(lab, "red/a")
    assert pod(lab, "red/a").tcp(pod(lab, "red/c")).seen_as == str(pod(lab, "red/a").address)
    for address in (lab.node("n3").address, lab.node("n2").address, lab.description.controller):
        assert not pod(lab, "red/a").tcp(str(address), 6653, PATIENCE).arrived


def test_by_a_service_whose_endpoint_is_outside(lab: Lab, egress: Make) -> None:
    egress("red", ONE, nodes=["n3"])
    service = Service(lab.api, "red", "out", "172.30.0.90").make([])
    try:
        service.point_to(lab.outside.address)
        assert leaves_by(lab, "red/a", ONE)
        seen = [probe(service.address, PORT) for probe in (pod(lab, "red/a").tcp, pod(lab, "red/a").udp)]
        assert [(each.by, each.seen_as) for each in seen] == [("outside", ONE)] * 2
    finally:
        service.remove()


def test_a_network_with_a_range_of_its_own(lab: Lab, egress: Make) -> None:
    lab.network("lime", subnets=["10.0.0.0/24"])
    lab.pods({"lime/a": "n1"})
    made = egress("lime", ONE, nodes=["n2"])
    try:
        assert leaves_by(lab, "lime/a", ONE)
        assert pod(lab, "lime/a").udp(lab.outside, CLOSED).verdict is Verdict.REFUSED
    finally:
        lab.remove_pod("lime/a")
        made.remove()
        assert eventually(lambda: _is_deleted(lab, "lime"))


def _is_deleted(lab: Lab, network: str) -> bool:
    try:
        lab.api.delete(f"/v1/networks/{network}")
    except ProblemError:
        return False
    return True


def test_pods_that_are_chosen_and_several_addresses(lab: Lab, egress: Make) -> None:
    """Each pod has one of the addresses, always the same; who is chosen by a label has that which is for it."""
    egress("red", ONE, OTHER)
    selected = {"match_labels": {"tier": "db"}}
    egress("red", THIRD, pods=selected)
    lab.label_pod("red/b", {"tier": "db"})
    try:
        assert leaves_by(lab, "red/b", THIRD)
        for name in ("red/a", "red/c"):
            seconds_until_any(lab, name)
            seen = {pod(lab, name).udp(lab.outside, ASKED).seen_as for _ in range(4)}
            assert len(seen) == 1
            assert seen <= {ONE, OTHER}
    finally:
        lab.label_pod("red/b", {})
    assert pod(lab, "red/b").tcp(lab.outside).seen_as in (ONE, OTHER)


def seconds_until_any(lab: Lab, name: str) -> None:
    assert eventually(lambda: pod(lab, name).udp(lab.outside, ASKED, 0.3).seen_as in (ONE, OTHER))


def test_a_datagram_socket_goes_on_by_the_new_address(lab: Lab, egress: Make) -> None:
    """What conntrack knew of the old address is forgotten, or its datagrams were dropped as long as they come."""
    made = egress("red", ONE, nodes=["n2"])
    assert leaves_by(lab, "red/a", ONE)
    with pod(lab, "red/a").namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((str(lab.outside.address), ASKED))
        sock.settimeout(0.2)
        assert eventually(lambda: _asked_by(sock) == ONE)
        made.make(OTHER, nodes=["n2"])
        assert eventually(lambda: _asked_by(sock) == OTHER)
        made.make(OTHER, nodes=["n3"])
        assert eventually(lambda: _asked_by(sock) == OTHER)


def _asked_by(sock: socket.socket) -> str:
    """Under which address the outside host answers a datagram; "" for no answer."""
    try:
        sock.send(b"x")
        return sock.recv(2048).decode().split()[1]
    except (TimeoutError, OSError):
        return ""


def test_another_node_takes_the_address_over_and_nothing_leaves_otherwise(lab: Lab, egress: Make) -> None:
    """And when none of its nodes lives, nothing leaves at all; or, if that is declared, by the pods' own nodes."""
    made = egress("red", ONE, nodes=["n2", "n3"])
    source = pod(lab, "red/a")
    assert leaves_by(lab, "red/a", ONE)
    holder = made.holders[ONE]
    assert holder is not None
    (heir,) = {"n2", "n3"} - {holder}
    dead = lab.node(holder)
    with Sniffer(lab.outside.namespace) as seen:
        dead.ovs.stop_switch(signal.SIGKILL)
        try:
            seconds_until_seen(source, lab.outside, ONE, ASKED)
            assert made.holders[ONE] == heir
            made.make(ONE, nodes=[holder])
            assert made.holders[ONE] is None
            assert eventually(lambda: not source.udp(lab.outside, ASKED, 0.2))
            assert not source.tcp(lab.outside).arrived
            assert senders(seen.frames, ASKED) == {ONE}
            made.make(ONE, nodes=[holder], fail="open")
            seconds_until_seen(source, lab.outside, own(lab, "red/a"), ASKED)
            made.make(ONE, nodes=[holder, heir])
            seconds_until_seen(source, lab.outside, ONE, ASKED)
        finally:
            dead.ovs.start_switch()
            assert eventually(lambda: in_sync(lab))
    assert senders(seen.frames, ASKED) == {ONE, own(lab, "red/a")}


def test_a_short_restart_moves_nothing(lab: Lab, egress: Make) -> None:
    made = egress("red", ONE)
    assert leaves_by(lab, "red/a", ONE)
    holder = made.holders[ONE]
    lab.node(str(holder)).restart_ovs(signal.SIGKILL)
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        assert made.holders[ONE] == holder
        time.sleep(0.2)
    assert leaves_by(lab, "red/a", ONE)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("192.0.2.11", 'belongs to node "n1"'),
        ("192.0.2.1", "is a controller's"),
        ("10.128.0.9", "belongs to pods and services"),
        ("172.30.0.9", "belongs to pods and services"),
        ("100.64.0.9", "belongs to pods and services"),
        ("203.0.113.9", "external addresses of services"),
        ("127.0.0.1", "no address of a machine"),
    ],
)
def test_an_address_that_is_somebodys_is_refused(lab: Lab, address: str, words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        lab.api.post("/v1/egresses", {"name": "bad", "network": "red", "addresses": [address]})
    assert lab.api.get("/v1/egresses")["egresses"] == []


def test_two_cannot_have_one_network_or_one_address(lab: Lab, egress: Make) -> None:
    egress("red", ONE)
    for body, words in (
        ({"network": "red", "addresses": [OTHER]}, 'leaves by egress "e0" already'),
        ({"network": "blue", "addresses": [ONE]}, 'belongs to egress "e0"'),
        ({"network": "pink", "addresses": [OTHER]}, 'network "pink": does not exist'),
        ({"network": "blue", "addresses": [OTHER], "nodes": ["n9"]}, 'node "n9": does not exist'),
    ):
        with pytest.raises(ProblemError, match=words):
            lab.api.post("/v1/egresses", {"name": "bad", **body})
    assert [each["name"] for each in lab.api.get("/v1/egresses")["egresses"]] == ["e0"]
