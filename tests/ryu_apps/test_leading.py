"""What leases say reaches the owner, also when they change while a replica still prepares to lead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from kube.leases import View
from rest.control import Published
from ryu_apps.cluster.leading import Knowing, Leading
from tests.ryu_apps.openflow_network import small_network

ALL = View(mine={"switches": 7}, holders={"switches": "me"})
NONE = View(holders={"switches": "other"})


class RecordingOwner:
    """Remembers what it was told, in order."""

    def __init__(self) -> None:
        self.publication = SimpleNamespace(current=Published(1, small_network(), {}))  # type: ignore[arg-type]
        self.led: dict[str, int] = {}

    def say(self, **_: object) -> None:
        pass

    def lead(self, nodes: Mapping[str, int]) -> None:
        self.led.update(nodes)

    def step_back(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self.led.pop(node, None)


def leading(owner: RecordingOwner, refresh: Any) -> Leading:
    membership: Any = SimpleNamespace(view=ALL, trouble="", me=SimpleNamespace(name="me"))
    domain: Any = SimpleNamespace(share_of=lambda node: "switches")
    return Leading(owner, membership, domain, Knowing(refresh, lambda: None))  # type: ignore[arg-type]


def test_nodes_of_this_replicas_shares_are_led_with_the_generation_of_the_lease() -> None:
    owner = RecordingOwner()
    asked: list[set[str]] = []
    it = leading(owner, lambda nodes: asked.append(set(nodes)))
    it.changed(ALL)
    assert owner.led == {"n1": 7, "n2": 7, "n3": 7}
    assert asked == [{"n1", "n2", "n3"}]
    it.changed(NONE)
    assert owner.led == {}


def test_a_share_that_goes_while_its_nodes_are_read_is_not_led() -> None:
    """Reading what the last master decided takes a while, and what leases say then is what counts."""
    owner = RecordingOwner()
    it = leading(owner, lambda nodes: it.changed(NONE))
    it.changed(ALL)
    assert owner.led == {}


def test_a_share_that_goes_and_comes_back_meanwhile_is_led_with_the_newer_generation() -> None:
    owner = RecordingOwner()
    later = [NONE, View(mine={"switches": 9}, holders={"switches": "me"})]

    def refresh(nodes: Iterable[str]) -> None:
        while later:
            it.changed(later.pop(0))

    it = leading(owner, refresh)
    it.changed(ALL)
    assert owner.led == {"n1": 9, "n2": 9, "n3": 9}
