"""Services on the node's side, by packets: what has no endpoint is refused at once, and the node is a client too.

br0 has the flows that a controller would give it, compiled here, or is a plain switch where it is not the matter.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest

from tests.cni_shim.machine import inside, run
from tests.cni_shim.plugin_in_memory import Plugin
from tests.cni_shim.programmed import GATEWAY, PORT, TARGET, attached, offered, programmed, seconds_to_refusal
from tests.cni_shim.site import OUTSIDE, UNDERLAY, Site
from topology.model import HAIRPIN, format_mac, mac_of

pytestmark = [pytest.mark.ovs, pytest.mark.netns]
MET_FROM = str(HAIRPIN[4])
DESERTED, HERE, ELSEWHERE = "172.30.0.10", "172.30.0.1", "172.30.0.2"  # services: no endpoint, this node, another host
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
AT_ONCE = 0.9  # seconds: TCP would send again after one (RFC 6298)
BRIDGED = "priority=1,actions=NORMAL"


@pytest.fixture
def plain(site: Site, namespace: Callable[[], str]) -> Plugin:
    """A pod on a node that is set up, whose br0 is a plain switch."""
    assert site.command("setup") == 0
    site.add_flow(BRIDGED)
    return attached(site, namespace())


@pytest.fixture
def pod(site: Site, namespace: Callable[[], str]) -> Plugin:
    """A pod of project red on a node whose br0 has its flows, and those of red's services."""
    services = offered("deserted", DESERTED), offered("here", HERE, UNDERLAY), offered("elsewhere", ELSEWHERE, OUTSIDE)
    return programmed(site, namespace(), *services)


def has_refusal(site: Site) -> bool:
    return "reject with tcp reset" in site.nft("list", "table", "inet", "heddle")


def strict(site: Site) -> None:
    """Let the node's kernel take a packet only by the interface by which it would answer (RFC 3704, section 2.2)."""
    keys = [f"net.ipv4.conf.{name}.rp_filter=1" for name in ("all", "tun0")]
    run("ip", "netns", "exec", site.machine.name, "sysctl", "-qw", *keys)


# -- refusal ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TCP, UDP], ids=["tcp", "udp"])
def test_a_pod_is_refused_by_a_service_without_endpoints(site: Site, pod: Plugin, kind: int) -> None:
    assert seconds_to_refusal(pod.netns, DESERTED, kind) < AT_ONCE


@pytest.mark.parametrize("kind", [TCP, UDP], ids=["tcp", "udp"])
def test_the_node_is_refused_too(site: Site, pod: Plugin, kind: int) -> None:
    strict(site)
    assert seconds_to_refusal(site.machine.name, DESERTED, kind) < AT_ONCE


@pytest.mark.parametrize("kind", [TCP, UDP], ids=["tcp", "udp"])
def test_what_a_plain_switch_sends_to_a_service_is_refused(site: Site, plain: Plugin, kind: int) -> None:
    """Whatever it is: the node's rules ask nobody which services there are."""
    assert seconds_to_refusal(plain.netns, "172.30.255.9", kind, 4789) < AT_ONCE


def test_a_proxy_on_the_node_does_not_come_before(site: Site, pod: Plugin) -> None:
    """It may know endpoints that br0 does not: what br0 has decided holds."""
    rule = f"ip daddr {DESERTED} dnat to {OUTSIDE}"
    site.nft(f"table ip proxy {{ chain pre {{ type nat hook prerouting priority dstnat; {rule}; }}; }}")
    with inside(site.outside, lambda: socket.create_server(("0.0.0.0", PORT))):
        assert seconds_to_refusal(pod.netns, DESERTED, TCP) < AT_ONCE


# -- the node as a client ---------------------------------------------------------------------------------------------


def test_the_nodes_packet_leaves_by_tun0_without_a_question(site: Site, plain: Plugin) -> None:
    name = site.machine.name
    with (
        inside(name, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))) as wire,
        inside(name, lambda: socket.socket(socket.AF_INET, UDP)) as sender,
    ):
        wire.bind(("tun0", 0))
        wire.settimeout(10)
        sender.sendto(b"to a service", ("172.30.255.9", PORT))
        frames = [wire.recv(2048)]
        while b"to a service" not in frames[-1]:
            frames.append(wire.recv(2048))
    assert frames[-1][:6].hex(":") == format_mac(mac_of(HAIRPIN[4]))
    assert frames[-1][26:30] == socket.inet_aton(GATEWAY)
    arp_targets = {frame[38:42] for frame in frames if frame[12:14] == b"\x08\x06"}
    assert not arp_targets & {socket.inet_aton("172.30.255.9"), socket.inet_aton(MET_FROM)}


@pytest.mark.parametrize(
    ("address", "behind", "seen"),
    [(HERE, "machine", MET_FROM), (ELSEWHERE, "outside", UNDERLAY)],
    ids=["the node itself", "another host"],
)
def test_a_service_behind_tun0(site: Site, pod: Plugin, address: str, behind: str, seen: str) -> None:
    """An API server on a node: the node that asks is met from the hairpin address, and elsewhere from its own."""
    strict(site)
    place = site.outside if behind == "outside" else site.machine.name
    with (
        inside(place, lambda: socket.create_server(("0.0.0.0", TARGET))) as server,
        inside(site.machine.name, lambda: socket.create_connection((address, PORT), 5)) as client,
    ):
        accepted, peer = server.accept()
        with accepted:
            assert peer[0] == seen
            client.sendall(b"ping")
            assert accepted.recv(100) == b"ping"
            accepted.sendall(b"pong")
            assert client.recv(100) == b"pong"


def test_guarded_ports_are_closed_to_the_hairpin_address(site: Site, plain: Plugin) -> None:
    """br0 would not send there, but the kernel does not rely on it."""
    mac = site.machine.links()["tun0"]["address"]
    turned = f"mod_nw_src:{MET_FROM},mod_nw_dst:{UNDERLAY},mod_dl_dst:{mac},IN_PORT"
    site.add_flow(f"priority=9,in_port=2,udp,nw_dst=172.30.255.9,actions={turned}")
    with (
        inside(site.machine.name, lambda: listening(4789)) as tunnel,
        inside(site.machine.name, lambda: listening(7000)) as free,
        inside(site.machine.name, lambda: socket.socket(socket.AF_INET, UDP)) as sender,
    ):
        for port in (4789, 7000):  # the same way, one after the other
            sender.sendto(b"hello", ("172.30.255.9", port))
        message, source = free.recvfrom(100)
        assert (message, source[0]) == (b"hello", MET_FROM)
        tunnel.setblocking(False)
        with pytest.raises(BlockingIOError):
            tunnel.recv(100)


def listening(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, UDP)
    made.settimeout(10)
    made.bind(("0.0.0.0", port))
    return made


# -- other configurations ---------------------------------------------------------------------------------------------


def service_route(site: Site) -> tuple[str, str | None]:
    """The next hop to services, "" for on-link, and the source; of IPv4."""
    (found,) = json.loads(site.machine.ip("-json", "route", "show", "172.30.0.0/16"))
    return found.get("gateway", ""), found.get("prefsrc")


def test_under_an_older_controller_services_are_a_proxys(site: Site) -> None:
    hairpin = site.controller.configuration.pop("hairpin")
    assert site.command("setup") == 0
    assert service_route(site) == ("", GATEWAY)
    assert not has_refusal(site)
    assert site.ensure() == []
    site.controller.configure(hairpin=hairpin)
    assert site.ensure() != []
    assert service_route(site) == (MET_FROM, GATEWAY)
    assert has_refusal(site)
    assert site.ensure() == []
    site.controller.configure(hairpin=[])
    assert site.ensure() != []
    assert service_route(site) == ("", GATEWAY)
    assert site.ensure() == []


def test_two_families(site: Site, namespace: Callable[[], str]) -> None:
    site.controller.configure(
        gateways=[f"{GATEWAY}/23", "fd00:10::1/64"],
        cluster_cidrs=["10.128.0.0/14", "fd00:10::/48"],
        service_cidrs=["172.30.0.0/16", "fd00:20::/108"],
        hairpin=[str(address) for address in HAIRPIN.values()],
    )
    assert site.command("setup") == 0
    assert site.ensure() == []
    site.machine.ip("-6", "route", "replace", "fd00:20::/108", "dev", "tun0", "src", "fd00:10::1")
    assert site.ensure() == ["route fd00:20::/108 over tun0"]
    (found,) = json.loads(site.machine.ip("-6", "-json", "route", "show", "fd00:20::/108"))
    assert (found["gateway"], found["dev"], found["prefsrc"]) == (str(HAIRPIN[6]), "tun0", "fd00:10::1")
    site.add_flow(BRIDGED)
    pod = attached(site, namespace())
    run("ip", "-n", pod.netns, "address", "add", "fd00:10::2/64", "dev", "eth0", "nodad")
    run("ip", "-n", pod.netns, "route", "add", "fd00:20::/108", "via", "fd00:10::1")
    for kind in (TCP, UDP):
        assert seconds_to_refusal(pod.netns, "fd00:20::9", kind) < AT_ONCE


def test_teardown_forgets_all_of_it(site: Site) -> None:
    assert site.command("setup") == 0
    assert site.command("teardown") == 0
    assert MET_FROM not in site.machine.ip("route")
    assert MET_FROM not in site.machine.ip("neighbour")
    assert "heddle" not in site.nft("list", "ruleset")
