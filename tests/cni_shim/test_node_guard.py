"""The node's guard rules by packets: a pod reaches neither the node's control ports nor a tunnel, nobody reaches a pod
past the switch, and what should pass does.

br0 forwards as a plain switch here, so that only the node's own rules can stop a packet. An attack is shown to be real
by repeating it without the rules: the first thing to arrive is what was sent after they were gone.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.cni_shim.machine import inside, run, until
from tests.cni_shim.plugin_in_memory import Plugin
from tests.cni_shim.site import OUTSIDE, UNDERLAY, Site

pytestmark = [pytest.mark.ovs, pytest.mark.netns]
POD, GATEWAY = "10.128.0.2", "10.128.0.1"
Open = Callable[..., socket.socket]


@pytest.fixture
def pod(site: Site, namespace: Callable[[], str]) -> Plugin:
    """A pod on a node that is set up."""
    assert site.command("setup") == 0
    site.add_flow("actions=NORMAL")
    pod = Plugin(site.machine, site.controller.url, str(site.folder / "token"), namespace())
    pod.add()
    until("tun0", lambda: " 1 received" in ping(pod.netns, GATEWAY))
    return pod


@pytest.fixture
def opened() -> Iterator[Open]:
    """A function that opens a UDP socket in a namespace, bound to a port when one is given; all close at the end."""
    sockets: list[socket.socket] = []

    def make(name: str, port: int = 0) -> socket.socket:
        made = inside(name, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sockets.append(made)
        if port:
            made.bind(("0.0.0.0", port))
        return made

    yield make
    for item in sockets:
        item.close()


def ping(namespace: str, address: str) -> str:
    return run("ip", "netns", "exec", namespace, "ping", "-c1", "-W1", address, check=False)


def received(receiver: socket.socket, patience: float = 10.0) -> bytes:
    """The next datagram."""
    assert select.select([receiver], [], [], patience)[0], "nothing arrives"
    return receiver.recv(2048)


def has_arrived(receiver: socket.socket) -> bool:
    return bool(select.select([receiver], [], [], 0)[0])


def unguard(site: Site) -> None:
    """Take the rules away, the node's address translation too."""
    site.nft("delete", "table", "inet", "heddle")
    site.nft("delete", "table", "arp", "heddle")


def only_without_the_guard(site: Site, send: Callable[[bytes], object], receiver: socket.socket) -> None:
    """What `send` sends arrives at `receiver` only once the rules are gone."""
    send(b"guarded")
    unguard(site)
    send(b"unguarded")
    assert received(receiver) == b"unguarded"


def test_a_pod_reaches_the_outside_by_the_nodes_address(site: Site, pod: Plugin, opened: Open) -> None:
    listener, sender = opened(site.outside, 7000), opened(pod.netns)
    sender.sendto(b"hello", (OUTSIDE, 7000))
    assert select.select([listener], [], [], 10)[0]
    message, source = listener.recvfrom(100)
    assert (message, source[0]) == (b"hello", UNDERLAY)
    listener.sendto(b"back", source)
    assert received(sender) == b"back"


@pytest.mark.parametrize("port", [4789, 6081])
def test_a_pod_reaches_no_peers_tunnel_through_nat(site: Site, pod: Plugin, opened: Open, port: int) -> None:
    tunnel, free, sender = opened(site.outside, port), opened(site.outside, 7000), opened(pod.netns)
    sender.sendto(b"encapsulated", (OUTSIDE, port))
    sender.sendto(b"plain", (OUTSIDE, 7000))  # the same way, after the other
    assert received(free) == b"plain"
    assert not has_arrived(tunnel)
    only_without_the_guard(site, lambda text: sender.sendto(text, (OUTSIDE, port)), tunnel)


@pytest.mark.parametrize("address", [GATEWAY, UNDERLAY])
@pytest.mark.parametrize("port", [4789, 6081])
def test_a_pod_reaches_no_tunnel_of_its_node(site: Site, pod: Plugin, opened: Open, address: str, port: int) -> None:
    tunnel, free, sender = opened(site.machine.name, port), opened(site.machine.name, 7000), opened(pod.netns)
    sender.sendto(b"encapsulated", (address, port))
    sender.sendto(b"plain", (address, 7000))
    assert received(free) == b"plain"
    assert not has_arrived(tunnel)


@pytest.mark.parametrize("port", [6640, 6653, 8080])
def test_a_pod_reaches_no_control_port_of_its_node(site: Site, pod: Plugin, port: int) -> None:
    def listen(number: int) -> socket.socket:
        return inside(site.machine.name, lambda: socket.create_server(("0.0.0.0", number)))

    with listen(port) as closed, listen(7000) as free, inside(pod.netns, socket.socket) as knocking:
        knocking.setblocking(False)
        assert knocking.connect_ex((GATEWAY, port)) != 0
        with inside(pod.netns, lambda: socket.create_connection((GATEWAY, 7000), 10)):
            assert select.select([free], [], [], 10)[0]
        assert not has_arrived(closed)


def test_nobody_outside_reaches_a_pod_by_its_address(site: Site, pod: Plugin, opened: Open) -> None:
    run("ip", "-n", site.outside, "route", "add", "10.128.0.0/14", "via", UNDERLAY)
    listener, sender = opened(pod.netns, 7000), opened(site.outside)
    only_without_the_guard(site, lambda text: sender.sendto(text, (POD, 7000)), listener)


def test_the_node_forwards_nothing_back_to_its_pods(
    site: Site, pod: Plugin, opened: Open, namespace: Callable[[], str]
) -> None:
    other = Plugin(site.machine, pod.url, pod.token_file, namespace(), container="c2")
    address = other.add()["ips"][0]["address"].partition("/")[0]
    run("ip", "-n", pod.netns, "route", "add", f"{address}/32", "via", GATEWAY)
    run("ip", "netns", "exec", site.machine.name, "sysctl", "-qw", "net.ipv4.conf.all.send_redirects=0")
    listener, sender = opened(other.netns, 7000), opened(pod.netns)
    only_without_the_guard(site, lambda text: sender.sendto(text, (address, 7000)), listener)


def test_a_pod_does_not_reach_the_kernel_by_its_hosts_end(site: Site, pod: Plugin, opened: Open) -> None:
    """The kernel sees a copy of each frame on the host's end; one for that end's own MAC it would forward."""
    mac = site.machine.links()[pod.host]["address"]
    run("ip", "-n", pod.netns, "neighbour", "replace", GATEWAY, "lladdr", mac, "dev", "eth0", "nud", "permanent")
    listener, sender = opened(site.outside, 7000), opened(pod.netns)
    only_without_the_guard(site, lambda text: sender.sendto(text, (OUTSIDE, 7000)), listener)


def test_the_kernel_does_not_answer_arp_on_a_hosts_end(site: Site, pod: Plugin) -> None:
    host = bytes.fromhex(site.machine.links()[pod.host]["address"].replace(":", ""))
    tun = bytes.fromhex(site.machine.links()["tun0"]["address"].replace(":", ""))
    mac = bytes.fromhex(site.machine.links(pod.netns)["eth0"]["address"].replace(":", ""))
    addresses = socket.inet_aton(POD), socket.inet_aton(UNDERLAY)
    request = b"\xff" * 6 + mac + bytes.fromhex("08060001080006040001")
    request += mac + addresses[0] + bytes(6) + addresses[1]
    with inside(pod.netns, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))) as wire:
        wire.bind(("eth0", 0))

        def answerers() -> set[bytes]:
            """Who has answered until now."""
            found = set()
            while has_arrived(wire):
                frame = wire.recv(2048)
                if frame[20:22] == b"\0\2":  # ARP reply (RFC 826)
                    found.add(frame[22:28])
            return found

        seen: set[bytes] = set()

        def asked_until(wanted: bytes) -> None:
            wire.send(request)
            until("an answer", lambda: seen.update(answerers()) or wanted in seen)

        asked_until(tun)
        assert seen == {tun}
        unguard(site)
        asked_until(host)  # without the rules, it would


def test_a_translated_address_reaches_a_pod(site: Site, pod: Plugin, opened: Open) -> None:
    """A hostPort, as portmap makes it: the answer finds its way back."""
    site.nft("add", "table", "ip", "hostport")
    site.nft("add", "chain", "ip", "hostport", "pre", "{ type nat hook prerouting priority dstnat; }")
    site.nft("add", "rule", "ip", "hostport", "pre", f"udp dport 8081 dnat to {POD}:7000")
    listener, client = opened(pod.netns, 7000), opened(site.outside)
    client.sendto(b"hello", (UNDERLAY, 8081))
    assert select.select([listener], [], [], 10)[0]
    message, source = listener.recvfrom(100)
    assert (message, source[0]) == (b"hello", GATEWAY)
    listener.sendto(b"back", source)
    assert received(client) == b"back"


def test_the_node_reaches_its_pods_by_tun0(site: Site, pod: Plugin, opened: Open) -> None:
    listener, sender = opened(pod.netns, 7000), opened(site.machine.name)
    sender.sendto(b"probe", (POD, 7000))
    assert select.select([listener], [], [], 10)[0]
    message, source = listener.recvfrom(100)
    assert (message, source[0]) == (b"probe", GATEWAY)
