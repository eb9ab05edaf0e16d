"""Addresses that a node holds without having them: a neighbour asks, a real kernel answers; nothing else is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cni_shim.node import configuration, held
from cni_shim.node.configuration import Configuration
from tests.cni_shim.fake_controller import configuration as from_controller
from tests.cni_shim.machine import inside, run, until

pytestmark = pytest.mark.netns
UPLINK, MAC = "eth0", "02:00:00:00:00:01"
ONE, OTHER, THIRD = "203.0.113.5", "203.0.113.6", "203.0.113.7"


@dataclass
class Place:
    """A node's kernel, as far as this needs it, and a neighbour on its uplink."""

    node: str
    neighbour: str

    def hold(self, *addresses: str, **changes: Any) -> list[str]:
        return inside(self.node, lambda: held.ensure(wanted(*addresses, **changes), UPLINK))

    def release(self) -> list[str]:
        return inside(self.node, held.release)

    def told(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(run("ip", "-n", self.node, "-json", *words) or "[]")
        return found

    def seen_at(self, address: str) -> str:
        """Which MAC address the neighbour knows, or learns, for an address."""
        run("ip", "netns", "exec", self.neighbour, "ping", "-c1", "-W1", address, check=False)
        found = json.loads(run("ip", "-n", self.neighbour, "-json", "neighbour", "show", address) or "[]")
        return str(found[0].get("lladdr", "")) if found else ""


def wanted(*addresses: str, **changes: Any) -> Configuration:
    return configuration.parse(from_controller(held=list(addresses), **changes), "n1")


@pytest.fixture
def place(namespace: Callable[[], str]) -> Place:
    found = Place(namespace(), namespace())
    pair = ("type", "veth", "peer", "name", UPLINK, "netns", found.neighbour)
    run("ip", "-n", found.node, "link", "add", UPLINK, "address", MAC, *pair)
    # Where br0 would be, there is a link on which nobody answers.
    run("ip", "-n", found.node, "link", "add", "tun0", "type", "veth", "peer", "name", "br0")
    for name, links in ((found.node, (UPLINK, "tun0", "br0")), (found.neighbour, (UPLINK,))):
        for link in links:
            run("ip", "-n", name, "link", "set", link, "up")
    run("ip", "-n", found.node, "address", "add", "203.0.113.1/24", "dev", UPLINK)
    run("ip", "-n", found.neighbour, "address", "add", "203.0.113.99/24", "dev", UPLINK)
    run("ip", "netns", "exec", found.node, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    return found


def test_a_neighbour_finds_it_here_while_it_is_held(place: Place) -> None:
    assert place.seen_at(ONE) == ""
    assert place.hold(ONE) == [f"{ONE} held"]
    until("an answer", lambda: place.seen_at(ONE) == MAC, 5)
    (route,) = place.told("route", "show", ONE)
    assert (route["gateway"], route["dev"], route["flags"]) == ("169.254.42.1", "tun0", ["onlink"])
    assert place.hold() == [f"{ONE} let go"]
    run("ip", "-n", place.neighbour, "neighbour", "flush", "all")
    assert place.seen_at(ONE) == ""


def test_a_second_pass_changes_nothing_and_what_is_missing_is_put_back(place: Place) -> None:
    assert place.hold(ONE, OTHER) == [f"{ONE} held", f"{OTHER} held"]
    assert place.hold(ONE, OTHER) == []
    run("ip", "-n", place.node, "neighbour", "del", "proxy", ONE, "dev", UPLINK)
    run("ip", "-n", place.node, "route", "del", OTHER)
    assert place.hold(ONE, OTHER) == [f"{ONE} held", f"{OTHER} held"]
    assert place.hold(OTHER) == [f"{ONE} let go"]


def test_what_others_have_made_stays(place: Place) -> None:
    run("ip", "-n", place.node, "neighbour", "add", "proxy", THIRD, "dev", UPLINK)
    run("ip", "-n", place.node, "route", "add", "198.51.100.0/24", "via", "203.0.113.99")
    place.hold(ONE)
    assert place.release() == [f"{ONE} let go"]
    assert place.release() == []
    assert [entry["dst"] for entry in place.told("neighbour", "show", "proxy")] == [THIRD]
    assert [route["dst"] for route in place.told("route", "show", "via", "203.0.113.99")] == ["198.51.100.0/24"]


def test_a_neighbour_that_knew_another_turns_here_at_once(place: Place) -> None:
    run("ip", "-n", place.neighbour, "neighbour", "add", ONE, "lladdr", "02:00:00:00:00:99", "dev", UPLINK, "nud",
        "stale")  # fmt: skip
    place.hold(ONE)

    def known() -> bool:
        return MAC in run("ip", "-n", place.neighbour, "neighbour", "show", ONE)

    until("the announcement", known, 5)


def test_without_a_way_to_br0_of_its_family_an_address_is_not_held(place: Place) -> None:
    assert place.hold(ONE, hairpin=[]) == []
    assert place.told("neighbour", "show", "proxy") == []


def test_an_older_controller_lets_nothing_be_held() -> None:
    assert configuration.parse(from_controller(), "n1").held == ()
