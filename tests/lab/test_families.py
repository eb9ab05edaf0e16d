"""Real packets in clusters of both families and of IPv6 alone: who reaches whom, what leaves, what nobody may say."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv6Address

import pytest

from lab.api import ProblemError
from lab.description import Topology
from lab.frames import ETH_P_IPV6, ethernet, icmpv6, link_address, send, udp6_packet
from lab.hosts import Host
from lab.laboratory import Lab
from lab.node import Node
from lab.pod import Pod
from lab.probes import Outcome, together
from lab.services import Service
from tests.lab.watching import SETTLE, eventually, in_sync, marked, watching

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

PLACEMENT = {"red/a": "n1", "red/b": "n1", "red/c": "n2", "blue/a": "n1", "blue/b": "n2", "default/a": "n2"}
CIDRS = {
    "both": (("10.128.0.0/14", "fd00:10::/48"), ("172.30.0.0/16", "fd00:20::/112")),
    "IPv6": (("fd00:10::/48",), ("fd00:20::/112",)),
}
OTHER_MAC = "0a:58:0a:80:7f:7f"


@pytest.fixture(scope="module", params=list(CIDRS))
def families(request: pytest.FixtureRequest, unique_name: Callable[[], str]) -> Iterator[Lab]:
    """Return two nodes of a cluster with pods of two tenants and of the default network."""
    pods, services = CIDRS[request.param]
    with Lab(unique_name(), Topology.of(2, cluster_cidrs=pods, service_cidrs=services)) as running:
        running.network("red")
        running.network("blue")
        running.pods(PLACEMENT)
        yield running


def versions(lab: Lab) -> list[int]:
    return [6 if ":" in cidr else 4 for cidr in lab.description.cluster_cidrs]


def seen(lab: Lab, version: int) -> dict[tuple[str, str], str]:
    """Ask all pairs of pods by ICMP, TCP and UDP in one family; what was found: all of them, none, or in words."""
    pods = lab.pods_by_name
    pairs = [(one, other) for one in pods for other in pods if one != other]
    questions: list[Callable[[], Outcome]] = []
    for one, other in pairs:
        target = str(pods[other].address_of(version))
        questions += [partial(ask, target) for ask in (pods[one].ping, pods[one].tcp, pods[one].udp)]
    outcomes = together(questions)
    return {pair: _said(lab, pair, version, outcomes[3 * at : 3 * at + 3]) for at, pair in enumerate(pairs)}


def _said(lab: Lab, pair: tuple[str, str], version: int, found: list[Outcome]) -> str:
    """Whether everybody answered who should, and saw the sender's own address; or nobody did, nor refused."""
    own = str(lab.pods_by_name[pair[0]].address_of(version))
    if not any(outcome.arrived for outcome in found):
        return "no"
    right = all((each.by, each.seen_as) == (pair[1], own) for each in found[1:])
    return "yes" if all(found) and right else str(found)


def wanted(joined: tuple[tuple[str, str], ...] = ()) -> dict[tuple[str, str], str]:
    """Within a network, from and to the default one, and as connected."""
    pairs = [(one, other) for one in PLACEMENT for other in PLACEMENT if one != other]
    ends = {pair: tuple(name.partition("/")[0] for name in pair) for pair in pairs}
    return {
        pair: "yes" if len({*ends[pair]}) == 1 or "default" in ends[pair] or ends[pair] in joined else "no"
        for pair in pairs
    }


def test_pods_have_an_address_of_each_family(families: Lab) -> None:
    for pod in families.pods_by_name.values():
        told = [item["address"] for item in pod.result["ips"]]
        assert len(told) == len(versions(families))
        for version in versions(families):
            assert str(pod.address_of(version)) in [address.partition("/")[0] for address in told]
        pod.check()


def test_tenants_are_isolated_in_each_family(families: Lab) -> None:
    for version in versions(families):
        assert seen(families, version) == wanted(), version


def test_connections_hold_for_each_family(families: Lab) -> None:
    families.join("red", "blue")
    try:
        for version in versions(families):
            assert seen(families, version) == wanted((("red", "blue"), ("blue", "red"))), version
        families.join("red", "blue", one_way=True)
        for version in versions(families):
            assert seen(families, version) == wanted((("red", "blue"),)), version
    finally:
        families.isolate("red", "blue")


def test_ports_of_a_connection(families: Lab) -> None:
    families.join("red", "blue", ports=["7/udp"], one_way=True)
    try:
        asking, asked = (families.pods_by_name[name] for name in ("red/a", "blue/b"))
        for version in versions(families):
            target = str(asked.address_of(version))
            found = together([partial(ask, target) for ask in (asking.udp, asking.tcp, asking.ping)])
            assert [bool(outcome) for outcome in found] == [True, False, False]
    finally:
        families.isolate("red", "blue")


def test_nodes_reach_pods(families: Lab) -> None:
    for node in families.nodes.values():
        for pod in families.pods_by_name.values():
            for version in versions(families):
                outcome = node.tcp(str(pod.address_of(version)))
                assert outcome.by == pod.name
                if version == 6:
                    assert outcome.seen_as in {str(gateway) for gateway in node.gateways}
                assert node.ping(str(pod.address_of(version)))


def test_pods_reach_the_outside_by_their_nodes_address(families: Lab) -> None:
    description = families.description
    for name in ("red/a", "blue/b", "default/a"):
        pod = families.pods_by_name[name]
        node = pod.node.address
        assert not isinstance(node, IPv6Address)
        six = pod.tcp(str(description.interface_6(description.outside).ip))
        assert (six.by, six.seen_as) == ("outside", str(description.interface_6(node).ip))
        assert pod.ping(str(description.interface_6(description.outside).ip))
        if 4 in versions(families):
            assert pod.tcp(families.outside).seen_as == str(node)


def test_the_outside_reaches_no_pod(families: Lab) -> None:
    description, pod = families.description, families.pods_by_name["red/a"]
    node = description.interface_6(description.nodes[0].underlay).ip
    families.outside.namespace.ip([f"route replace fd00:10::/48 via {node}"])
    try:
        assert not families.outside.tcp(str(pod.address_of(6))).arrived
        assert not families.outside.ping(str(pod.address_of(6)))
    finally:
        families.outside.namespace.ip(["route del fd00:10::/48"])


def test_a_service_of_ipv6(families: Lab) -> None:
    pods = families.pods_by_name
    service = Service(families.api, "red", "six", "fd00:20::20").make([])
    service.point_to(pods["red/c"].address_of(6))
    try:
        for name in ("red/a", "red/c", "default/a"):  # red/c: a pod that a service leads to itself
            assert pods[name].tcp(service.address, 80).by == "red/c"
            assert pods[name].udp(service.address, 80).by == "red/c"
        assert families.nodes["n1"].tcp(service.address, 80).by == "red/c"
        assert not pods["blue/a"].tcp(service.address, 80).arrived
        service.serve([])
        assert pods["red/a"].tcp(service.address, 80).verdict.name == "REFUSED"
    finally:
        service.remove()


def test_a_node_port_of_ipv6(families: Lab) -> None:
    """By every node's own addresses, as others reach it and as pods do; on whichever node the endpoint is."""
    pods, description = families.pods_by_name, families.description
    service = Service(families.api, "red", "port", "fd00:20::30", 30080).make([])
    service.point_to(pods["red/c"].address_of(6))
    try:
        for spec in description.nodes:
            node = str(description.interface_6(spec.underlay).ip)
            for asking in (families.outside, pods["blue/a"]):
                assert eventually(partial(_is_answered, asking, node)), (asking, node)
                assert asking.udp(node, 30080).by == "red/c"
    finally:
        service.remove()


def _is_answered(asking: Host, node: str) -> bool:
    return asking.tcp(node, 30080).by == "red/c"


def test_pods_reach_no_guarded_port_of_a_node(families: Lab) -> None:
    """At its gateway address, from wherever; and its own pods not at another address that no flow knows of."""
    node, description = families.nodes["n1"], families.description
    node.listen(8080)
    gateway = next(str(each) for each in node.gateways if each.version == 6)
    own = str(description.interface_6(description.nodes[0].underlay).ip)
    assert families.outside.tcp(own, 8080).by == "n1"
    for name in ("red/a", "red/c", "default/a"):
        pod = families.pods_by_name[name]
        assert pod.tcp(gateway).by == "n1"  # the echo server's port is no guarded one
        assert not pod.tcp(gateway, 8080).arrived
    assert not families.pods_by_name["red/a"].tcp(own, 8080).arrived


def test_a_trace_says_what_packets_do(families: Lab) -> None:
    for version in versions(families):
        for target, ending in (("red/c", "delivered"), ("blue/b", "dropped")):
            address = families.pods_by_name[target].address_of(version)
            walk = families.api.get(f"/v1/trace?from=red/a&to={address}&protocol=tcp&port=7")
            assert walk["verdict"] == ending, walk


def test_the_data_path_is_proven(families: Lab) -> None:
    assert families.api.get("/v1/verification")["proven"] is True


def test_the_ledger_knows_addresses_of_each_family(families: Lab) -> None:
    held = families.api.get("/v1/addresses")["addresses"]
    pods = families.pods_by_name.values()
    wanted = {str(pod.address_of(version)) for pod in pods for version in versions(families)}
    assert {one["address"] for one in held if one["state"] == "bound"} == wanted
    check = families.api.get("/v1/addresses/check")
    assert (check["ok"], check["held"]) == (True, len(wanted))


def test_a_controller_that_comes_again_knows_them(families: Lab) -> None:
    before = families.api.get("/v1/nodes")["nodes"]
    families.controller.restart()
    assert eventually(lambda: in_sync(families))
    assert [node["subnets"] for node in families.api.get("/v1/nodes")["nodes"]] == [node["subnets"] for node in before]
    pods = families.pods_by_name
    late = families.pod("red/late", on="n2")
    try:
        assert str(late.address_of(6)) not in {str(pod.address_of(6)) for pod in pods.values() if pod is not late}
        assert pods["red/a"].tcp(str(late.address_of(6))).by == "red/late"
        assert not pods["blue/a"].tcp(str(late.address_of(6))).arrived
    finally:
        families.remove_pod("red/late")


# --- what nobody may say -------------------------------------------------------------------------


def overtake(lab: Lab, source: Pod) -> None:
    """Send lawful packets to every node and wait for their answers, and then a moment more."""
    gateways = [str(gateway) for node in lab.nodes.values() for gateway in node.gateways if gateway.version == 6]
    assert all(together([partial(source.ping, gateway) for gateway in gateways]))
    time.sleep(SETTLE)


def _heard(lab: Lab, liar: Pod, frames: list[bytes], mark: bytes) -> list[str]:
    with watching([*lab.pods_by_name.values(), lab.outside]) as seen_by:
        send(liar.namespace, liar.interface, *frames)
        overtake(lab, liar)
    return sorted(name for name, sniffer in seen_by.items() if marked(sniffer, mark))


def _addresses(pod: Pod, *more: str) -> list[dict[str, str]]:
    shown = pod.namespace.run(["ip", "-6", "-json", "address", "show", "dev", pod.interface, *more]).stdout
    return [item for link in json.loads(shown) if link for item in link["addr_info"] if "local" in item]


def _lies(liar: Pod, victim: Pod, mark: bytes) -> dict[str, bytes]:
    """Unicast to another pod of the same network, which would take them: as router, as gateway, as server."""
    own, target = str(liar.address_of(6)), str(victim.address_of(6))
    gateway = str(IPv6Address(int(liar.address_of(6)) >> 64 << 64 | 1))
    link = next(item["local"] for item in _addresses(liar) if item["scope"] == "link")
    advertised = (0xA000_0000).to_bytes(4) + IPv6Address(gateway).packed + link_address(2, liar.mac) + mark
    router = bytes.fromhex("40000708") + bytes(8) + link_address(1, liar.mac) + mark
    return {
        "neighbour advertisement": icmpv6(own, target, 136, advertised),
        "neighbour advertisement to all": icmpv6(own, "ff02::1", 136, advertised),
        "router advertisement": icmpv6(link, "ff02::1", 134, router),
        "router advertisement to one": icmpv6(own, target, 134, router),
        "redirect": icmpv6(own, target, 137, bytes(4) + IPv6Address(own).packed + IPv6Address(gateway).packed + mark),
        "solicitation of another": icmpv6(own, target, 135, bytes(4) + IPv6Address(target).packed + mark),
        "DHCPv6": udp6_packet(own, target, (547, 546), mark),
        "another's address": udp6_packet("fd00:10:0:7::7", target, (1234, 7), mark),
        "to a link-local address": udp6_packet(own, "fe80::1", (1234, 7), mark),
    }


@pytest.mark.parametrize("target", ["red/b", "red/c"])
def test_nobody_poses_as_a_neighbour_router_or_server(families: Lab, target: str) -> None:
    liar, victim = families.pods_by_name["red/a"], families.pods_by_name[target]
    mark = os.urandom(16)
    for name, packet in _lies(liar, victim, mark).items():
        frame = ethernet(victim.mac, liar.mac, ETH_P_IPV6, packet)
        assert _heard(families, liar, [frame], mark) == [], name
    honest = udp6_packet(str(liar.address_of(6)), str(victim.address_of(6)), (1234, 9999), mark)
    heard = _heard(families, liar, [ethernet(victim.mac, liar.mac, ETH_P_IPV6, honest)], mark)
    assert victim.name in heard  # so the others would have been


def test_a_duplicate_address_is_never_found(families: Lab) -> None:
    """Who looks whether an address is somebody's hears nothing, though it is: nobody keeps another from its own."""
    pod, other = (families.pods_by_name[name] for name in ("red/b", "red/c"))
    pod.run("sysctl -qw net.ipv6.conf.eth0.accept_dad=1")
    pod.namespace.ip([f"address add {other.address_of(6)}/128 dev {pod.interface}"])
    try:
        assert [item["local"] for item in _addresses(pod, "tentative")] == [str(other.address_of(6))]
        time.sleep(2.5)
        assert _addresses(pod, "tentative") == []
        assert _addresses(pod, "dadfailed") == []
    finally:
        pod.namespace.ip([f"address del {other.address_of(6)}/128 dev {pod.interface}"])
        pod.run("sysctl -qw net.ipv6.conf.eth0.accept_dad=0")


def test_a_pod_takes_no_router(families: Lab) -> None:
    pod = families.pods_by_name["red/a"]
    for key, value in (("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")):
        assert pod.run(f"cat /proc/sys/net/ipv6/conf/eth0/{key}").stdout.strip() == value


def test_what_is_not_supported_is_refused(families: Lab) -> None:
    with pytest.raises(ProblemError, match="not supported in IPv6 yet"):
        families.network("mine", subnets=["fd00:30::/64"])
    with pytest.raises(ProblemError, match="1280"):
        families.network("small", mtu=1279)


def test_a_cluster_of_ipv4_becomes_one_of_both(unique_name: Callable[[], str]) -> None:
    """The controller is started with a second family: nodes get a share of it, pods that are there go on."""
    with Lab(unique_name(), 2) as lab:
        lab.network("red")
        old, other = lab.pods({"red/a": "n1", "red/b": "n2"})
        pods, services = CIDRS["both"]
        lab.controller.flags += Topology.of(2, cluster_cidrs=pods, service_cidrs=services).flags
        with lab.pings([(old, other)]) as pings:
            lab.controller.restart()
            assert eventually(lambda: in_sync(lab))
            assert eventually(lambda: all(_has_two_gateways(node) for node in lab.nodes.values()))
        assert pings.lost == {}
        new, far = lab.pods({"red/c": "n1", "red/d": "n2"})
        assert [len(pod.interfaces["eth0"].addresses) for pod in (old, new, far)] == [1, 2, 2]
        for version in (4, 6):
            assert new.tcp(str(far.address_of(version))).by == "red/d"
        assert old.tcp(new).by == "red/c"
        assert lab.api.get("/v1/verification")["proven"] is True


def _has_two_gateways(node: Node) -> bool:
    shown = json.loads(node.namespace.run(["ip", "-json", "address", "show", "dev", "tun0"]).stdout)
    return {item["family"] for item in shown[0]["addr_info"] if item["scope"] == "global"} == {"inet", "inet6"}
