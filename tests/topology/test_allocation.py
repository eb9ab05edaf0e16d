"""Numbers and addresses have one holder each, run out with a clear refusal, and come back as late as possible."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topology.asking import ip, nets, node, report
from tests.topology.strategies import after, any_request, granted, snapshots
from topology import requests
from topology.admission import admit
from topology.allocation import any_taken, free_addresses, free_subnets
from topology.binding import grant
from topology.model import FIRST_VNID, Address, Cluster, Port, PortKey, mac_of
from topology.requests import Reason, Refused, Request
from topology.snapshot import Put, Snapshot, apply_all, empty, places


def addresses(snapshot: Snapshot) -> set[Address]:
    return {address for port in snapshot.ports.values() for address in port.addresses}


def small(**more: Any) -> Snapshot:
    """Return a cluster with room for two nodes of five pods, one made, with a network red."""
    settings_ = requests.SetCluster(Cluster(nets("10.128.0.0/28"), 29, **more))
    return after(empty(), settings_, node("n1", "192.0.2.11"), requests.CreateNetwork("red", projects=("red",)))


def test_addresses_run_out_and_come_back_as_late_as_possible() -> None:
    snapshot = after(small(), *(report(f"c{number}") for number in range(5)))
    assert addresses(snapshot) == {ip(f"10.128.0.{number}") for number in range(2, 7)}
    with pytest.raises(Refused) as caught:
        admit(snapshot, report("c9"))
    assert caught.value.reason is Reason.EXHAUSTED
    assert "10.128.0.0/29" in str(caught.value)
    for container in ("c1", "c3"):  # .3 and .5
        snapshot = after(snapshot, requests.ForgetPort(PortKey("n1", container, "eth0")))
    with pytest.raises(Refused, match="no address"):
        admit(snapshot, report("c9"))  # both in quarantine
    snapshot = after(snapshot, requests.ReleaseAddresses(((0, ip("10.128.0.3")), (0, ip("10.128.0.5")))))
    snapshot = after(snapshot, report("c9"))
    assert snapshot.ports[PortKey("n1", "c9", "eth0")].addresses == (ip("10.128.0.3"),)
    snapshot = after(snapshot, requests.ForgetPort(PortKey("n1", "c9", "eth0")))
    snapshot = after(snapshot, requests.ReleaseAddresses(((0, ip("10.128.0.3")),)), report("c8"))
    assert snapshot.ports[PortKey("n1", "c8", "eth0")].addresses == (ip("10.128.0.5"),)


def test_node_subnets_run_out_and_wait_for_quarantine() -> None:
    snapshot = after(small(), node("n2", "192.0.2.12"), report(key=PortKey("n2", "c1", "eth0")))
    assert snapshot.nodes["n2"].subnets == nets("10.128.0.8/29")
    with pytest.raises(Refused, match="none is free") as caught:
        admit(snapshot, node("n3", "192.0.2.13"))
    assert caught.value.reason is Reason.EXHAUSTED
    snapshot = after(snapshot, requests.DeleteNode("n2", drain=True))
    with pytest.raises(Refused, match="none is free"):
        admit(snapshot, node("n3", "192.0.2.13"))
    asked = after(snapshot, node("n3", "192.0.2.13", subnets=nets("10.128.0.8/29")))
    asked = after(asked, report(key=PortKey("n3", "c1", "eth0")))
    assert addresses(asked) == {ip("10.128.0.11")}  # .10 is still in quarantine
    snapshot = after(snapshot, requests.ReleaseAddresses(((0, ip("10.128.0.10")),)), node("n3", "192.0.2.13"))
    assert snapshot.nodes["n3"].subnets == nets("10.128.0.8/29")


def test_the_lowest_free_block_lies_between_odd_ones() -> None:
    odd = (
        node("n1", "192.0.2.11", subnets=nets("10.128.0.0/25")),
        node("n2", "192.0.2.12", subnets=nets("10.128.5.0/24")),
    )
    snapshot = after(empty(), *odd, *(node(f"m{n}", f"192.0.2.{n}") for n in range(20, 23)))
    assert [snapshot.nodes[f"m{n}"].subnets for n in range(20, 23)] == [
        nets("10.128.2.0/23"),
        nets("10.128.6.0/23"),
        nets("10.128.8.0/23"),
    ]


def test_vnids_are_the_lowest_free_ones_and_kept_for_life() -> None:
    create = requests.CreateNetwork
    snapshot = after(empty(), create("a"), create("b", vnid=12), create("c"), create("d"))
    assert {name: network.vnid for name, network in snapshot.networks.items()} == {
        "default": 0,
        "a": 10,
        "b": 12,
        "c": 11,
        "d": 13,
    }
    snapshot = after(
        snapshot, requests.SetGlobal("a", True), requests.JoinNetworks("a", "c"), requests.DeleteNetwork("b")
    )
    assert [snapshot.networks[name].vnid for name in ("a", "c", "d")] == [10, 11, 13]


@given(snapshots(), st.lists(any_request(), max_size=25))
@settings(max_examples=100)
def test_nothing_is_given_twice(snapshot: Snapshot, asked: list[Request]) -> None:
    for request in asked:
        before = snapshot
        snapshot, _ = apply_all(before, granted(before, request))
        check_one_holder_each(snapshot)
        for key, port in snapshot.ports.items():
            if key not in before.ports:
                assert not set(places(port)) & (set(before.quarantined) | set(before.holder))
        assert granted(snapshot, request) == () or isinstance(request, requests.PortSeen | requests.CreateNode)


def check_one_holder_each(snapshot: Snapshot) -> None:
    """What `admission` promises of every snapshot."""
    networks, ports, nodes = snapshot.networks.values(), snapshot.ports.values(), snapshot.nodes.values()
    held = [place for port in ports for place in places(port)]
    numbered = [(port.node, port.ofport) for port in ports if port.ofport is not None]
    subnets = [subnet for each in nodes for subnet in each.subnets]
    for values in (
        [network.vnid for network in networks],
        [each.dpid for each in nodes],
        [each.underlay for each in nodes],
        [offer.address for offer in snapshot.services.values()],
        [(port.node, port.host_interface) for port in ports],
        held,
        numbered,
        [(port.space, port.mac) for port in ports],
        [network.zone for network in networks if network.zone is not None and not network.is_transit],
    ):
        assert len(values) == len(set(values))
    assert not set(held) & set(snapshot.quarantined)
    assert not any(one.overlaps(other) for i, one in enumerate(subnets) for other in subnets[:i])
    for port in ports:
        home = snapshot.nodes[port.node]
        assert port.network in snapshot.networks
        # A primary port may be on its way, or have been left to be made anew.
        assert not port.is_secondary or port.network in grant(snapshot, port.project).networks
        assert port.project in snapshot.projects
        assert snapshot.networks[port.network].space == port.space
        by_version = {subnet.version: subnet for subnet in home.subnets}
        for address in port.cluster_addresses or port.addresses:
            subnet = by_version.pop(address.version)  # one of a family at most
            assert address in subnet
            assert address not in (subnet[0], subnet[1], subnet[-1])
        check_own_addresses(snapshot, port)
    for block in snapshot.blocks.values():
        assert any_taken(snapshot, block.prefix, snapshot.networks[block.network].space)
        same = [other for other in snapshot.blocks.values() if other.network == block.network and other != block]
        assert not any(block.prefix.overlaps(other.prefix) for other in same)
    for project in snapshot.projects.values():
        assert {project.network, project.home} <= set(snapshot.networks)
        move = snapshot.moves.get(project.name)
        assert grant(snapshot, project.name).primary == (project.network if move is None else move.target)
    assert all(name in snapshot.networks for binding in snapshot.bindings.values() for name in binding.networks)
    assert all(key.project in snapshot.projects for key in snapshot.pods)
    assert all(project.network in snapshot.networks for project in snapshot.projects.values())
    for move in snapshot.moves.values():
        ends = {move.source, move.target, move.transit}
        assert ends <= set(snapshot.networks)
        assert snapshot.projects[move.project].network in ends - {move.transit}
    transits = {network.name for network in networks if network.is_transit}
    assert transits == {move.transit for move in snapshot.moves.values()}
    assert all(name in snapshot.networks for connection in snapshot.connections for name in connection)
    assert all(key.project in snapshot.projects for key in snapshot.services)


def check_own_addresses(snapshot: Snapshot, port: Port) -> None:
    """A pod of a network with ranges has an address from a block of its node, and no host's address of a subnet."""
    network = snapshot.networks[port.network]
    assert port.space == network.space == (network.vnid if network.subnets else 0)
    assert bool(port.cluster_addresses) == bool(network.subnets)
    assert port.mac == mac_of(port.addresses[0]) or port.mac >> 32 not in (0x0A58, 0x0A59)
    for address in port.addresses if network.subnets else ():
        subnet = next(each for each in network.subnets if address in each.cidr)
        assert address not in (subnet.cidr[0], subnet.cidr[-1], subnet.gateway)
        blocks = [block for block in snapshot.blocks.values() if block.network == port.network]
        assert [block.node for block in blocks if address in block.prefix] == [port.node]


def test_free_addresses_are_counted_without_those_held_and_in_quarantine() -> None:
    snapshot = small()
    assert free_addresses(snapshot, "n1") == 5
    snapshot = after(snapshot, report("c1"), report("c2"))
    assert free_addresses(snapshot, "n1") == 3
    snapshot = after(snapshot, requests.ForgetPort(PortKey("n1", "c1", "eth0")))
    assert free_addresses(snapshot, "n1") == 3
    snapshot = after(snapshot, requests.ReleaseAddresses(((0, ip("10.128.0.2")),)))
    assert free_addresses(snapshot, "n1") == 4


def test_a_large_subnet_is_used_across_blocks() -> None:
    snapshot = after(
        empty(),
        node("n1", "192.0.2.11", subnets=nets("10.128.0.0/20")),
        requests.CreateNetwork("red", projects=("red",)),
    )
    snapshot = after(snapshot, *(report(f"c{number}") for number in range(1100)))
    assert addresses(snapshot) == {ip("10.128.0.0") + number for number in range(2, 1102)}
    assert free_addresses(snapshot, "n1") == 4093 - 1100


def test_both_families_are_allotted() -> None:
    """IPv6 is refused by admission as long as packets of it are not carried; numbers are ready for it."""
    settings_ = Cluster((*nets("10.128.0.0/14"), *nets("fd00:10::/48")))
    snapshot, _ = apply_all(empty(), (Put(settings_),))
    assert free_subnets(snapshot) == (*nets("10.128.0.0/23"), *nets("fd00:10::/64"))
    snapshot = after(snapshot, node("n1", "192.0.2.11"), requests.CreateNetwork("red", projects=("red",)), report())
    port = snapshot.ports[PortKey("n1", "c1", "eth0")]
    assert [str(address) for address in port.addresses] == ["10.128.0.2", "fd00:10::2"]
    assert free_addresses(snapshot, "n1") == 508


def test_no_vnid_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topology.allocation.LAST_VNID", FIRST_VNID + 1)
    snapshot = after(empty(), requests.CreateNetwork("a"), requests.CreateNetwork("b"))
    with pytest.raises(Refused, match="VNIDs") as caught:
        admit(snapshot, requests.CreateNetwork("c"))
    assert caught.value.reason is Reason.EXHAUSTED
