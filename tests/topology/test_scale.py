"""What an event costs does not grow with the networks, projects and bindings that there are: look-ups are counted.

Every index of a snapshot is put behind a counter that refuses to be walked. The same events in a small and in a large
world then have to make the same number of look-ups, in admission, in the snapshot, and in the compiler.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from immutables import Map

from tests.topology.asking import ip, node
from tests.topology.strategies import own_range
from topology import requests
from topology.admission import admit
from topology.compiler import compile_all, update
from topology.labels import Operator, Requirement, Selector
from topology.model import (
    NAME_LABEL,
    VNIDS,
    ZONES,
    Attachment,
    Binding,
    Network,
    Pod,
    PodKey,
    PortKey,
    Project,
    Watermark,
)
from topology.requests import Request
from topology.snapshot import Put, Snapshot, apply_all, empty

SMALL, LARGE = 10, 10_000
FEW = {"global_networks"}  # everybody may use their services, so everybody's flows follow from each of them


class Walked(AssertionError):
    """Somebody goes through all of something."""


class Counted(Mapping[Any, Any]):
    """A persistent map that counts look-ups under its name, and cannot be walked."""

    def __init__(self, name: str, content: Map[Any, Any], looks: Counter[str]) -> None:
        self.name, self.content, self.looks = name, content, looks

    def __getitem__(self, key: Any) -> Any:
        self.looks[self.name] += 1
        return self.content[key]

    def __contains__(self, key: object) -> bool:
        self.looks[self.name] += 1
        return key in self.content

    def get(self, key: Any, default: Any = None) -> Any:
        self.looks[self.name] += 1
        return self.content.get(key, default)

    def __iter__(self) -> Iterator[Any]:
        if self.name not in FEW:
            raise Walked(self.name)
        self.looks[self.name] += len(self.content)
        return iter(self.content)

    def keys(self) -> Any:
        raise Walked(self.name)

    def values(self) -> Any:
        raise Walked(self.name)

    def items(self) -> Any:
        raise Walked(self.name)

    def __len__(self) -> int:
        return len(self.content)

    def set(self, key: Any, value: Any) -> Counted:
        self.looks[self.name] += 1
        return Counted(self.name, self.content.set(key, value), self.looks)

    def delete(self, key: Any) -> Counted:
        self.looks[self.name] += 1
        return Counted(self.name, self.content.delete(key), self.looks)

    def update(self, other: Mapping[Any, Any]) -> Counted:
        self.looks[self.name] += len(other)
        return Counted(self.name, self.content.update(other), self.looks)


def counted(snapshot: Snapshot, looks: Counter[str]) -> Snapshot:
    """Return the same snapshot with every map behind a counter."""
    maps = {field.name: getattr(snapshot, field.name) for field in fields(snapshot)}
    found: dict[str, Any] = {
        name: Counted(name, content, looks) for name, content in maps.items() if isinstance(content, Map)
    }
    return replace(snapshot, **found)


def called(name: str) -> Selector:
    return Selector((Requirement(NAME_LABEL, Operator.IN, (name,)),))


def world(many: int) -> Snapshot:
    """Two nodes, `many` networks, half of them with ranges; with each a project and three bindings."""
    snapshot, _ = apply_all(empty(), admit(empty(), node("n1", "192.0.2.11")))
    snapshot, _ = apply_all(snapshot, admit(snapshot, node("n2", "192.0.2.12")))
    snapshot, _ = apply_all(snapshot, admit(snapshot, requests.CreateNetwork("shared", vnid=50_000)))
    for number in range(many):
        name = f"t{number}"
        subnets = own_range("10.0.0.0/24") if number % 2 else ()
        given = Binding(f"a-{name}", called(name), secondary=(Attachment("shared"),))
        role = Selector((Requirement("role", Operator.IN, ("db", "web")),))
        choice = Binding(f"b-{name}", called(name), role, Attachment("shared"))
        network = Network(name, 10 + number, subnets=subnets, zone=100 + number)
        one = Selector((Requirement("pod", Operator.IN, (name,)),))  # of the pods of t3, each has one for itself
        fixed = Binding(f"c-{name}", called("t3"), one, None, (Attachment("shared", "fix0"),))
        values = (network, Project(name, name, name, (("team", name),)), given, choice, fixed)
        snapshot, _ = apply_all(snapshot, tuple(map(Put, values)))
    given_last = (Put(Watermark(VNIDS, 9 + many)), Put(Watermark(ZONES, 99 + many)))
    return apply_all(snapshot, given_last)[0]


@pytest.fixture(scope="module")
def worlds() -> tuple[Snapshot, Snapshot]:
    return world(SMALL), world(LARGE)


def pod(name: str, interface: str = "eth0", project: str = "t3") -> requests.ReportPort:
    return requests.ReportPort(PortKey("n1", name, interface), project, name, f"{interface}-{name}")


NEW = Binding("new", Selector((Requirement("team", Operator.IN, ("t3", "t4")),)), optional=("t5",))
STORY: tuple[Request, ...] = (
    requests.SetPod(Pod(PodKey("t3", "a"), (("pod", "none"), ("role", "db")), (), 10**6, 10**6)),
    pod("a"),
    requests.PortSeen("n1", "eth0-a", 3),
    requests.SetPod(Pod(PodKey("t3", "a"), egress_bandwidth=10**9)),
    pod("b"),
    pod("b", "net1"),
    requests.PortSeen("n1", "net1-b", 4),
    requests.PortSeen("n1", "eth0-b", 5),
    pod("c", project="t4"),
    requests.CreateNetwork("new", projects=("new",)),
    requests.CreateProject("newer"),
    requests.JoinNetworks("t3", "new", backward=None),
    requests.SetProjectLabels("t5", (("team", "other"),)),
    requests.CreateBinding(NEW),
    requests.DeleteBinding("new"),
    requests.IsolateNetworks("t3", "new"),
    requests.DeleteProject("new"),
    requests.DeleteNetwork("new"),
    requests.SwitchPorts("n1", (("eth0-a", 3), ("net1-b", 4))),
    requests.ForgetPort(PortKey("n1", "a", "eth0")),
    requests.ReleaseAddresses(((0, ip("10.128.0.2")),)),
    requests.DeletePod(PodKey("t3", "a")),
)


def told(snapshot: Snapshot) -> list[tuple[str, dict[str, int]]]:
    """Return each request of the story with the look-ups that it took, in admission, snapshot and compiler."""
    tables = compile_all(snapshot)
    looks: Counter[str] = Counter()
    state = counted(snapshot, looks)
    found = []
    for request in STORY:
        looks.clear()
        before = state
        events = admit(before, request)
        assert events, request
        state, changes = apply_all(before, events)
        tables, _ = update(tables, changes, before, state)
        found.append((type(request).__name__, dict(looks)))
    return found


def test_events_cost_the_same_with_ten_thousand_networks(worlds: tuple[Snapshot, Snapshot]) -> None:
    small, large = map(told, worlds)
    assert small == large
    assert all(sum(looks.values()) for _, looks in small)


def test_a_walk_is_noticed(worlds: tuple[Snapshot, Snapshot]) -> None:
    state = counted(worlds[0], Counter())
    with pytest.raises(Walked, match="nodes"):
        admit(state, requests.SetCluster(replace(state.cluster, node_prefix=24)))
