"""Ports whose interfaces went are told until they are forgotten, or until the interface is back."""

from __future__ import annotations

from ryu_apps.lost import LostInterfaces
from tests.ryu_apps.openflow_network import node, port, small_network
from topology.snapshot import Put, Remove, Snapshot, apply_all

HERE = node(1)
PORTS = tuple(port(HERE, host, "red", ofport) for host, ofport in ((100, 20), (101, 21), (102, None)))
FIRST, SECOND, UNPLUGGED = PORTS


class Network:
    """A network with three ports, and what is known of their interfaces."""

    def __init__(self) -> None:
        self.snapshot: Snapshot = apply_all(small_network(), [Put(each) for each in PORTS])[0]
        self.lost = LostInterfaces(lambda: self.snapshot)
        self.others = {
            each.host_interface: each.ofport or 0
            for each in self.snapshot.ports.values()
            if each.key.node == HERE.name and each not in PORTS
        }

    def forget(self, *ports: object) -> None:
        self.snapshot = apply_all(self.snapshot, [Remove(each) for each in ports])[0]  # type: ignore[arg-type]


def test_what_had_a_number_and_is_missing_went() -> None:
    network = Network()
    network.lost.compare(HERE.name, {**network.others, SECOND.host_interface: 21})
    assert list(network.lost.ports(HERE.name, {SECOND.host_interface: 21})) == [FIRST.key]
    assert list(network.lost.ports(HERE.name, {SECOND.host_interface: 21})) == [FIRST.key], "until it is forgotten"


def test_what_is_back_is_told_no_more() -> None:
    network = Network()
    network.lost.went(HERE.name, FIRST.host_interface)
    assert list(network.lost.ports(HERE.name, {FIRST.host_interface: 30})) == []
    assert list(network.lost.ports(HERE.name, {})) == []


def test_each_is_looked_at_when_its_turn_comes() -> None:
    network = Network()
    for each in (FIRST, SECOND):
        network.lost.went(HERE.name, each.host_interface)
    found = network.lost.ports(HERE.name, {})
    assert next(found) == FIRST.key
    network.forget(FIRST, SECOND)
    assert list(found) == []


def test_what_is_forgotten_or_nobodys_is_not_kept() -> None:
    network = Network()
    network.lost.went(HERE.name, "nobodys")
    network.lost.went(HERE.name, FIRST.host_interface)
    network.lost.forgotten(FIRST)
    network.lost.went(HERE.name, SECOND.host_interface)
    network.lost.without(HERE.name)
    assert list(network.lost.ports(HERE.name, {})) == []
