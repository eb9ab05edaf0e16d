"""Node ports by packets: from outside, from the node itself and from its pods, to a pod, to the node, to nobody.

br0 has the flows that a controller would give it, compiled here, or sends back what it gets where it is not the matter.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable

import pytest

from tests.cni_shim.machine import inside, run
from tests.cni_shim.plugin_in_memory import Plugin
from tests.cni_shim.programmed import GATEWAY, POD, PORT, TARGET, offered, programmed, seconds_to_refusal
from tests.cni_shim.site import OUTSIDE, UNDERLAY, Site
from tests.cni_shim.talking import AT_ONCE, KINDS, TCP, UDP, Place, hears_nothing, opened, strict, talk
from topology.model import HAIRPIN, NODE_PORTS

pytestmark = [pytest.mark.ovs, pytest.mark.netns]
SERVED, DESERTED, OWN, LOOPING, NOBODYS = 30443, 30444, 30445, 30446, 32767  # node ports
IN_RANGE = 31000  # where the node itself listens
ROUTED, OWNED = "203.0.113.5", "198.51.100.9"  # external addresses
CLIENTS = tuple(f"198.51.100.{number}" for number in range(100, 160))
MET_FROM = str(HAIRPIN[4])


@pytest.fixture
def pod(site: Site, namespace: Callable[[], str]) -> Plugin:
    """A pod of project red with a service, on a node that is a service's endpoint, too."""
    return programmed(
        site,
        namespace(),
        offered("served", "172.30.0.10", POD, node_port=SERVED),
        offered("deserted", "172.30.0.11", node_port=DESERTED),
        offered("own", "172.30.0.12", UNDERLAY, node_port=OWN),
        offered("looping", "172.30.0.13", UNDERLAY, node_port=LOOPING, target=IN_RANGE),
    )


@KINDS
def test_from_outside(site: Site, pod: Plugin, kind: int) -> None:
    strict(site)
    seen = talk(Place(pod.netns, port=TARGET), Place(site.outside), (UNDERLAY, SERVED), kind)
    assert seen == (GATEWAY, b"ping pong", UNDERLAY)


@KINDS
@pytest.mark.parametrize("own", [UNDERLAY, GATEWAY])
def test_from_the_node_itself(site: Site, pod: Plugin, kind: int, own: str) -> None:
    strict(site)
    seen = talk(Place(pod.netns, port=TARGET), Place(site.machine.name), (own, SERVED), kind)
    assert seen == (GATEWAY, b"ping pong", own)


@KINDS
def test_from_a_pod_of_the_node(site: Site, pod: Plugin, kind: int) -> None:
    """By tun0 and back; the kernel tells it of no shorter way."""
    strict(site)
    for _ in range(3):
        seen = talk(Place(pod.netns, port=TARGET), Place(pod.netns), (UNDERLAY, SERVED), kind)
        assert seen == (GATEWAY, b"ping pong", UNDERLAY)
    assert "redirect" not in run("ip", "-n", pod.netns, "-s", "route", "get", UNDERLAY)


@KINDS
def test_the_node_is_the_endpoint(site: Site, pod: Plugin, kind: int) -> None:
    strict(site)
    node = Place(site.machine.name, UNDERLAY, TARGET)
    assert talk(node, Place(site.outside), (UNDERLAY, OWN), kind) == (MET_FROM, b"ping pong", UNDERLAY)


@KINDS
def test_the_endpoint_s_own_port_is_among_the_node_ports(site: Site, pod: Plugin, kind: int) -> None:
    """What was in br0 does not go there again."""
    node = Place(site.machine.name, UNDERLAY, IN_RANGE)
    assert talk(node, Place(site.outside), (UNDERLAY, LOOPING), kind) == (MET_FROM, b"ping pong", UNDERLAY)


@KINDS
@pytest.mark.parametrize("port", [DESERTED, NOBODYS], ids=["no endpoint", "no service"])
def test_refused_at_once(site: Site, pod: Plugin, kind: int, port: int) -> None:
    strict(site)
    for client in (site.outside, site.machine.name, pod.netns):
        assert seconds_to_refusal(client, UNDERLAY, kind, port) < AT_ONCE, client


@KINDS
@pytest.mark.parametrize("port", [8080, 4789])
def test_by_a_port_that_is_guarded_on_the_node(site: Site, pod: Plugin, kind: int, port: int) -> None:
    """The client's is not the node's."""
    client = Place(site.outside, CLIENTS[0], port)
    run("ip", "-n", site.outside, "address", "add", f"{CLIENTS[0]}/24", "dev", "wire0")
    assert talk(Place(pod.netns, port=TARGET), client, (UNDERLAY, SERVED), kind).answered == b"ping pong"


@pytest.mark.parametrize("port", [29999, 32768])
def test_what_is_no_node_port_is_the_nodes_own(site: Site, pod: Plugin, port: int) -> None:
    assert talk(Place(site.machine.name, port=port), Place(site.outside), (UNDERLAY, port)).seen == OUTSIDE


def test_loopback_is_left_alone(site: Site, pod: Plugin) -> None:
    node = site.machine.name
    assert talk(Place(node, port=SERVED), Place(node), ("127.0.0.1", SERVED)).seen == "127.0.0.1"


def test_a_host_port_comes_before(site: Site, pod: Plugin) -> None:
    """As a runtime's plugin makes it."""
    rule = f"ip daddr {UNDERLAY} tcp dport {SERVED} dnat to {POD}:7000"
    site.nft(f"table ip hostport {{ chain pre {{ type nat hook prerouting priority dstnat; {rule}; }}; }}")
    assert talk(Place(pod.netns, port=7000), Place(site.outside), (UNDERLAY, SERVED)).answered == b"ping pong"


def test_clients_stay_apart(site: Site, pod: Plugin) -> None:
    """Each comes to br0 by one address that stands for the node, most by one of their own."""
    for client in CLIENTS:
        run("ip", "-n", site.outside, "address", "add", f"{client}/24", "dev", "wire0")
    with opened(Place(pod.netns, port=TARGET), UDP) as listening:
        for client in (*CLIENTS, *CLIENTS):
            with opened(Place(site.outside, client), UDP) as asking:
                asking.sendto(b"here I am", (UNDERLAY, SERVED))
                listening.recv(100)
    control = f"--target={site.machine.rundir}/ovs-vswitchd.{site.machine.pid()}.ctl"
    known = run("ovs-appctl", control, "dpctl/dump-conntrack")
    asked = re.findall(rf"orig=\(src={GATEWAY},dst=(169\.254\.43\.\d+),sport=\d+,dport={SERVED}\)", known)
    assert len(asked) == 2 * len(CLIENTS)
    assert len(CLIENTS) / 2 < len(set(asked)) <= len(CLIENTS)


# -- external addresses -----------------------------------------------------------------------------------------------


def door(kind: int, address: str, port: int, node_port: int = 0, *sources: str) -> dict[str, object]:
    """A port of an external address as the controller tells it; the service is that of `pod` which has an endpoint."""
    protocol = "TCP" if kind == TCP else "UDP"
    return {
        "address": address,
        "protocol": protocol,
        "port": port,
        "service": "172.30.0.10",
        "node_port": node_port,
        "sources": list(sources) or None,
    }


@pytest.fixture
def external(site: Site, pod: Plugin) -> Site:
    """A routed external address and one of the node's own that lead to the pod, by node port and by the service."""
    doors = [
        door(kind, address, port, node_port)
        for kind in (TCP, UDP)
        for address in (ROUTED, OWNED)
        for port, node_port in ((PORT, 0), (80, SERVED), (81, DESERTED))
    ]
    site.controller.configure(external=doors)
    assert site.ensure() == ["nftables rules"]
    assert site.ensure() == []
    run("ip", "-n", site.outside, "route", "add", ROUTED, "via", UNDERLAY)
    site.machine.ip("address", "add", f"{OWNED}/24", "dev", "br-ex")
    strict(site)
    return site


@KINDS
@pytest.mark.parametrize("address", [ROUTED, OWNED], ids=["routed", "the node's own"])
@pytest.mark.parametrize("port", [PORT, 80], ids=["by the service", "by node port"])
def test_external_addresses(external: Site, pod: Plugin, kind: int, address: str, port: int) -> None:
    """From outside, from the node and from a pod, alike."""
    for client in (external.outside, external.machine.name, pod.netns):
        seen = talk(Place(pod.netns, port=TARGET), Place(client), (address, port), kind)
        assert seen == (GATEWAY, b"ping pong", address), client


@KINDS
def test_an_external_address_without_endpoint_is_refused(external: Site, pod: Plugin, kind: int) -> None:
    for client in (external.outside, external.machine.name, pod.netns):
        assert seconds_to_refusal(client, ROUTED, kind, 81) < AT_ONCE, client


def test_other_ports_of_the_node_s_own_address_are_the_node_s(external: Site, pod: Plugin) -> None:
    assert talk(Place(external.machine.name, port=82), Place(external.outside), (OWNED, 82)).seen == OUTSIDE


@KINDS
@pytest.mark.parametrize(("port", "node_port"), [(PORT, 0), (90, SERVED)], ids=["by the service", "by node port"])
def test_an_external_address_for_some_clients_only(
    external: Site, pod: Plugin, kind: int, port: int, node_port: int
) -> None:
    """Whoever is elsewhere hears nothing, from outside and from here."""
    others, own, pods = "198.51.100.101", f"{OUTSIDE}/32", "10.128.0.0/14"
    run("ip", "-n", external.outside, "address", "add", f"{others}/24", "dev", "wire0")
    for sources, served in (((own,), OUTSIDE), (("192.0.2.0/24", f"{others}/32"), others), ((pods,), pod.netns)):
        external.controller.configure(external=[door(kind, ROUTED, port, node_port, *sources)])
        assert external.ensure() == ["nftables rules"]
        assert external.ensure() == []
        for name, client in ((OUTSIDE, Place(external.outside, OUTSIDE)), (others, Place(external.outside, others))):
            if name == served:
                assert talk(Place(pod.netns, port=TARGET), client, (ROUTED, port), kind).answered == b"ping pong"
            else:
                assert hears_nothing(client, (ROUTED, port), kind)
        if served == pod.netns:
            assert talk(Place(pod.netns, port=TARGET), Place(pod.netns), (ROUTED, port), kind).answered == b"ping pong"
        else:
            assert hears_nothing(Place(pod.netns), (ROUTED, port), kind)


# -- others -----------------------------------------------------------------------------------------------------------


def test_none_where_somebody_else_leads_them(site: Site, pod: Plugin) -> None:
    site.controller.configure(node_ports=None)
    assert site.ensure() == ["nftables rules"]
    assert site.ensure() == []
    node = Place(site.machine.name, port=SERVED)
    assert talk(node, Place(site.outside), (UNDERLAY, SERVED)).seen == OUTSIDE


def test_ipv6(site: Site) -> None:
    """There and back through the kernel; br0 only turns packets round."""
    own, outer = "fd00:10::1", "2001:db8::1"
    site.controller.configure(
        gateways=[f"{GATEWAY}/23", f"{own}/64"],
        cluster_cidrs=["10.128.0.0/14", "fd00:10::/48"],
        service_cidrs=["172.30.0.0/16", "fd00:20::/108"],
        hairpin=[str(address) for address in HAIRPIN.values()],
        node_ports={"first": 30000, "last": 32767, "prefixes": [str(NODE_PORTS[4]), str(NODE_PORTS[6])]},
    )
    site.machine.ip("address", "add", f"{outer}/64", "dev", "wire0", "nodad")
    run("ip", "-n", site.outside, "address", "add", "2001:db8::2/64", "dev", "wire0", "nodad")
    assert site.command("setup") == 0
    assert site.ensure() == []
    (found,) = json.loads(site.machine.ip("-6", "-json", "route", "show", str(NODE_PORTS[6])))
    assert (found["gateway"], found["dev"], found["prefsrc"]) == (str(HAIRPIN[6]), "tun0", own)
    swapped = "move:NXM_NX_IPV6_SRC[]->NXM_NX_XXREG0[],move:NXM_NX_IPV6_DST[]->NXM_NX_IPV6_SRC[]"
    swapped += ",move:NXM_NX_XXREG0[]->NXM_NX_IPV6_DST[],move:NXM_OF_UDP_SRC[]->NXM_NX_REG8[0..15]"
    swapped += ",move:NXM_OF_UDP_DST[]->NXM_OF_UDP_SRC[],move:NXM_NX_REG8[0..15]->NXM_OF_UDP_DST[]"
    mac = site.machine.links()["tun0"]["address"]
    match = f"priority=9,in_port=2,udp6,ipv6_src={own},ipv6_dst={NODE_PORTS[6]},udp_dst={SERVED}"
    site.add_flow(f"{match},actions={swapped},mod_dl_dst:{mac},IN_PORT")
    for client in (site.outside, site.machine.name):
        with inside(client, lambda: socket.socket(socket.AF_INET6, UDP)) as asking:
            asking.settimeout(5)
            asking.connect((outer, SERVED))
            asking.send(b"to and fro")
            assert asking.recv(100) == b"to and fro"
