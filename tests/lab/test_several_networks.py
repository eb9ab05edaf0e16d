"""Pods on several networks by real packets: each interface is on its own network alone, and answers for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Address

import pytest

from lab.hosts import Host
from lab.laboratory import Lab
from lab.pod import Pod
from lab.probes import Outcome, together
from tests.lab.watching import eventually

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

RANGES = {"store": "10.9.0.0/24", "twin": "10.9.0.128/25"}
NEIGHBOURS = {"red/a": "n2", "store/a": "n1", "store/b": "n2", "twin/a": "n2", "vault/a": "n2"}
MANY = ("many/x", "many/y")


@pytest.fixture(scope="module")
def several(unique_name: Callable[[], str]) -> Iterator[Lab]:
    """Return a laboratory in which pods of `many` are on red, on store and twin, whose ranges overlap, and on vault,
    which shares red's range; with pods that are on one of these alone."""
    with Lab(unique_name(), nodes=2) as lab:
        for network in ("red", "vault"):
            lab.network(network)
        for network, cidr in RANGES.items():
            lab.network(network, subnets=[cidr])
        lab.project("many", "red")
        lab.bind("many", projects="many", secondary=["store:net1", "twin:net2", "vault:net3"])
        lab.pods(NEIGHBOURS)
        lab.pods(dict(zip(MANY, ("n1", "n2"), strict=True)))
        yield lab


def asked(source: Host, target: Host | IPv4Address, own: IPv4Address | None = None) -> dict[str, Outcome]:
    """What comes of asking in each way."""
    ways = {"icmp": source.ping, "tcp": source.tcp, "udp": source.udp}
    return dict(zip(ways, together([partial(way, target, source=own) for way in ways.values()]), strict=True))


def all_of(outcomes: dict[str, Outcome]) -> bool:
    return all(outcomes.values())


def none_of(outcomes: dict[str, Outcome]) -> bool:
    return not any(outcomes.values())


def both(lab: Lab) -> tuple[Pod, Pod]:
    x, y = (lab.pods_by_name[name] for name in MANY)
    return x, y


def test_each_interface_is_on_its_network(several: Lab) -> None:
    for pod in both(several):
        assert pod.networks == {"eth0": "red", "net1": "store", "net2": "twin", "net3": "vault"}
        pod.check()


def test_each_network_reaches_its_interface_alone(several: Lab) -> None:
    pod, _ = both(several)
    names = {network: name for name, network in pod.networks.items()}
    for neighbour in (several.pods_by_name[name] for name in NEIGHBOURS):
        own = pod.addresses[names[neighbour.network]]
        assert pod.known_to(neighbour) == own
        assert all_of(asked(neighbour, pod)), neighbour
        outcomes = asked(pod, neighbour.address, own)
        assert all_of(outcomes), neighbour
        assert outcomes["tcp"].seen_as == outcomes["udp"].seen_as == str(own)


def test_no_network_reaches_anothers_interface(several: Lab) -> None:
    pod, _ = both(several)
    red, store, twin, vault = (several.pods_by_name[f"{name}/a"] for name in ("red", "store", "twin", "vault"))
    wrong = [(red, "net1"), (red, "net3"), (store, "eth0"), (store, "net2"), (twin, "net1"), (vault, "eth0")]
    tried = [
        (source, address)
        for source, name in wrong
        for address in (pod.interfaces[name].address, pod.interfaces[name].cluster_address)
    ]
    outcomes = together([partial(asked, source, address) for source, address in tried])
    assert [one for one, outcome in zip(tried, outcomes, strict=True) if not none_of(outcome)] == []


def test_two_such_pods_meet_on_each_network(several: Lab) -> None:
    one, other = both(several)
    for name in one.interfaces:
        assert all_of(asked(one, other.addresses[name], one.addresses[name])), name


def test_an_answer_does_not_leave_by_another_interface(several: Lab) -> None:
    """Vault asks for the pod's address on red, and has an address that the pod has a route to by both."""
    pod, _ = both(several)
    vault = several.pods_by_name["vault/a"]
    several.join("red", "vault")
    try:
        assert all_of(asked(vault, pod.address))
        assert all_of(asked(several.pods_by_name["red/a"], pod.addresses["net3"]))
    finally:
        several.isolate("red", "vault")


def test_the_node_and_the_outside(several: Lab) -> None:
    pod, _ = both(several)
    for name, one in pod.interfaces.items():
        assert all_of(asked(pod.node, one.cluster_address)), name
        assert all_of(asked(pod, several.outside, one.address)), name


def test_detaching_takes_all_of_them(several: Lab) -> None:
    ports = several.api.get("/v1/ports")["ports"]
    pod = several.pod("many/z", "n1")
    assert len(several.api.get("/v1/ports")["ports"]) == len(ports) + 4
    several.remove_pod("many/z")
    assert pod.host_interface not in several.nodes["n1"].ovs.vsctl("list-ports", "br0").split()
    assert eventually(lambda: len(several.api.get("/v1/ports")["ports"]) == len(ports))
    assert several.api.get("/v1/addresses/check")["ok"]
