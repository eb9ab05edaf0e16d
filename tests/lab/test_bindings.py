"""Bindings by real packets: where projects and pods are, and that labels give a pod nothing that its project lacks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab.frames import ETH_P_IP, Sniffer, ethernet, send, udp_packet
from lab.laboratory import Lab
from lab.matrix import Party, explore
from lab.runtime import CniError
from tests.lab.watching import eventually, marked, overtake

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

MAC = "02:00:00:00:00:07"


@pytest.fixture(scope="module")
def tenants(unique_name: Callable[[], str]) -> Iterator[Lab]:
    """Return a laboratory with tenants red and blue, networks shared, ring and vault (ranges of their own), no pods."""
    with Lab(unique_name(), nodes=2) as lab:
        for tenant in ("red", "blue"):
            lab.network(tenant)
        lab.network("shared", projects=[])
        lab.network("vault", projects=[], subnets=["10.9.0.0/24"], flat=True)
        lab.network("ring", projects=[], subnets=["10.20.0.0/24"])
        yield lab


@contextmanager
def bound(lab: Lab, *bindings: dict[str, Any]) -> Iterator[None]:
    """Bindings hold meanwhile; pods that were made meanwhile go before them."""
    for fields in bindings:
        lab.bind(**fields)
    try:
        yield
    finally:
        remove(lab, *lab.pods_by_name)
        for fields in reversed(bindings):
            lab.unbind(fields["name"])


def remove(lab: Lab, *names: str) -> None:
    """Remove pods, and wait until the switches have said so."""
    for name in names:
        lab.remove_pod(name)
    assert eventually(lambda: len(lab.api.get("/v1/ports")["ports"]) == len(lab.pods_by_name))


def are_apart(lab: Lab) -> bool:
    """Whether every two pods reach each other if they are on one network, and only then."""
    parties = [Party.of(pod) for pod in lab.pods_by_name.values()]
    return not explore(parties, parties, ()).wrong


def test_labels_put_a_project_on_another_network(tenants: Lab) -> None:
    both = {"name": "both", "projects": {"team": "a"}, "primary": "shared"}
    with bound(tenants, both):
        home = tenants.pod("red/home", "n1")
        assert home.network == "red"
        for project in ("red", "blue"):
            tenants.project(project, labels={"team": "a"})
        assert eventually(lambda: [port["network"] for port in tenants.api.get("/v1/ports")["ports"]] == ["shared"])
        assert eventually(lambda: tenants.api.get("/v1/projects/red")["network"] == "shared")
        home.network = "shared"  # it has gone there, with its address
        pods = tenants.pods({"red/a": "n1", "blue/b": "n2", "blue/c": "n1"})
        assert {pod.network for pod in pods} == {"shared"}
        assert are_apart(tenants)
    for project in ("red", "blue"):
        tenants.project(project, labels={})
        assert tenants.api.get(f"/v1/projects/{project}")["network"] == project


def test_a_pod_that_labels_itself_towards_another_tenants_network_gets_nothing(tenants: Lab) -> None:
    given = {"name": "given", "projects": "red", "optional": ["vault"]}
    chosen = {"name": "chosen", "projects": {}, "pods": {"role": "vault"}, "primary": "vault"}
    with bound(tenants, given, chosen):
        tenants.label_pod("red/keeper", {"role": "vault"})
        tenants.label_pod("blue/thief", {"role": "vault"})
        tenants.label_pod("blue/beggar", networks=["vault"])
        keeper, other, honest = tenants.pods({"red/keeper": "n1", "red/other": "n1", "blue/honest": "n2"})
        assert [pod.network for pod in (keeper, other, honest)] == ["vault", "red", "blue"]
        for name, node in (("thief", "n1"), ("thief", "n2"), ("beggar", "n1")):
            with pytest.raises(CniError, match=rf'pod blue/{name}.*"vault"'):
                tenants.pod(f"blue/{name}", node)
        assert len(tenants.api.get("/v1/ports")["ports"]) == 3
        assert are_apart(tenants)


def test_a_pod_on_three_networks(tenants: Lab) -> None:
    """It reaches, and is reached by, whoever is on one of them; those on different ones stay apart."""
    given = {"name": "given", "projects": "red", "secondary": ["ring"], "optional": ["vault"]}
    others = {"name": "others", "projects": "blue", "optional": ["ring", "vault"]}
    chosen = [
        {"name": f"in-{name}", "projects": "blue", "pods": {"role": name}, "primary": name}
        for name in ("ring", "vault")
    ]
    with bound(tenants, given, others, *chosen):
        tenants.label_pod("red/hub", networks=["vault"])
        for name in ("ring", "vault"):
            tenants.label_pod(f"blue/{name}", {"role": name})
        hub, red, ring, vault = tenants.pods({"red/hub": "n1", "red/a": "n2", "blue/ring": "n2", "blue/vault": "n1"})
        assert [*hub.networks.values()] == ["red", "ring", "vault"]
        assert [*red.networks.values()] == ["red", "ring"]
        for peer, network in ((red, "red"), (ring, "ring"), (vault, "vault")):
            assert hub.tcp(peer), network
            assert peer.tcp(hub), network
        assert red.tcp(ring)
        for one, other in ((ring, vault), (vault, ring), (red, vault)):
            assert not one.ping(other, patience=0.5)
        assert hub.ping(tenants.outside)


def test_two_networks_in_one_space_are_told_apart_by_the_source(tenants: Lab) -> None:
    """What does not say from which address it comes goes by the primary interface, near and far."""
    given = {"name": "given", "projects": "red", "optional": ["shared"]}
    others = {"name": "others", "projects": "blue", "primary": "shared"}
    with bound(tenants, given, others):
        tenants.label_pod("red/hub", networks=["shared"])
        (hub,) = tenants.pods({"red/hub": "n1"})
        peers = tenants.pods({"red/a": "n1", "red/b": "n2", "blue/a": "n1", "blue/b": "n2"})
        assert [*hub.networks.values()] == ["red", "shared"]
        assert [bool(hub.tcp(peer)) for peer in peers[:2]] == [True, True]
        assert [bool(hub.ping(peer, patience=0.5)) for peer in peers[2:]] == [False, False]
        second = hub.interfaces["net1"].address
        assert [bool(hub.tcp(peer, source=second)) for peer in peers[2:]] == [True, True]
        assert [bool(peer.tcp(hub)) for peer in peers] == [True] * 4


def test_each_interface_is_believed_only_for_itself(tenants: Lab) -> None:
    given = {"name": "given", "projects": "red", "secondary": ["ring"]}
    with bound(tenants, given):
        liar, peer = tenants.pods({"red/liar": "n1", "red/peer": "n2"})
        truth, lie = liar.interfaces["net1"], liar.interfaces["eth0"]
        assert liar.networks["net1"] == peer.networks["net1"] == "ring"
        there = peer.interfaces["net1"]
        for mac, address, heard in (
            (truth.mac, truth.address, True),
            (lie.mac, lie.address, False),
            (truth.mac, lie.address, False),
            (lie.mac, truth.address, False),
        ):
            mark = os.urandom(16)
            packet = udp_packet(str(address), str(there.address), (1234, 7), mark)
            with Sniffer(peer.namespace, "net1") as seen:
                send(liar.namespace, "net1", ethernet(there.mac, mac, ETH_P_IP, packet))
                overtake(tenants, liar)
            assert bool(marked(seen, mark)) is heard, (mac, address)


def test_a_static_address_and_mac_go_from_node_to_node(tenants: Lab) -> None:
    given = {"name": "given", "projects": "red", "optional": ["vault"]}
    static = {"network": "vault", "addresses": ["10.9.0.77"], "mac": MAC}
    chosen = {"name": "chosen", "projects": "red", "pods": {"role": "vault"}, "primary": static}
    with bound(tenants, given, chosen):
        tenants.label_pod("red/a", {"role": "vault"})
        tenants.label_pod("red/b", {"role": "vault"})
        tenants.label_pod("red/peer", networks=["vault"])
        first = tenants.pod("red/a", "n1")
        assert (str(first.address), first.mac) == ("10.9.0.77", MAC)
        with pytest.raises(CniError, match=r"10\.9\.0\.77.*red/a"):
            tenants.pod("red/b", "n2")
        assert first.ping(tenants.nodes["n1"])
        assert first.ping(tenants.outside)
        remove(tenants, "red/a")
        assert eventually(lambda: tenants.api.get("/v1/addresses?state=quarantined&network=vault")["addresses"] == [])
        again = tenants.pod("red/a", "n2")
        assert (str(again.address), again.mac) == ("10.9.0.77", MAC)
        assert again.ping(tenants.outside)
