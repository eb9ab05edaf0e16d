"""What is stored at once, and what may wait: whatever happens, the store ends with the outcome of all batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from ryu_apps.keeping import HINT_SECONDS, Keeper
from topology.history import State, Turn
from topology.model import Port, PortKey, mac_of
from topology.snapshot import Event, Put, Remove, Snapshot, apply_all, empty

ADDRESS = IPv4Address("10.128.0.2")
PORT = Port(PortKey("n1", "c1", "eth0"), "red", "a", "red", "v1", mac_of(ADDRESS), (ADDRESS,))
OTHER = replace(PORT, key=PortKey("n1", "c2", "eth0"), host_interface="v2", addresses=(ADDRESS + 1,))


class Recorder:
    """A store that remembers what it was told, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.commits: list[tuple[Event, ...]] = []
        self.turns: list[Turn] = []
        self.waiting: list[tuple[float, Callable[[], None]]] = []
        self.full = False
        self.snapshot = empty()
        self.keeper = Keeper(self, lambda seconds, action: self.waiting.append((seconds, action)))  # type: ignore[arg-type]

    def commit(self, events: Iterable[Event], turns: Iterable[Turn] = ()) -> None:
        if self.full:
            raise OSError("no space left on device")
        self.commits.append(tuple(events))
        self.turns.extend(turns)

    def happen(self, *events: Event) -> None:
        after, changes = apply_all(self.snapshot, events)
        self.keeper.keep(events, changes)
        self.snapshot = after

    def pass_time(self) -> None:
        waiting, self.waiting = self.waiting, []
        for _, action in waiting:
            action()

    def stored(self) -> Snapshot:
        snapshot = empty()
        for events in self.commits:
            snapshot, _ = apply_all(snapshot, events)
        return snapshot


@pytest.fixture
def store() -> Recorder:
    return Recorder()


def test_a_decision_is_stored_at_once(store: Recorder) -> None:
    store.happen(Put(PORT))
    assert store.commits == [(Put(PORT),)]
    assert [turn.state for turn in store.turns] == [State.ALLOTTED]


def test_a_number_waits_for_others_and_then_all_are_stored_together(store: Recorder) -> None:
    store.happen(Put(PORT), Put(OTHER))
    store.happen(Put(replace(PORT, ofport=7)))
    store.happen(Put(replace(OTHER, ofport=8)))
    store.happen(Put(replace(PORT, ofport=9)))
    assert len(store.commits) == 1
    assert [seconds for seconds, _ in store.waiting] == [HINT_SECONDS]
    store.pass_time()
    assert len(store.commits) == 2
    assert store.stored() == store.snapshot
    store.pass_time()
    assert len(store.commits) == 2


def test_a_number_goes_with_the_next_decision(store: Recorder) -> None:
    store.happen(Put(PORT))
    store.happen(Put(replace(PORT, ofport=7)))
    store.happen(Put(OTHER))
    assert store.stored() == store.snapshot
    store.pass_time()
    assert len(store.commits) == 2


@pytest.mark.parametrize("then", [(Remove(PORT),), (Put(replace(PORT, network="blue")),)])
def test_an_old_number_never_brings_back_an_old_port(store: Recorder, then: tuple[Event, ...]) -> None:
    store.happen(Put(PORT))
    store.happen(Put(replace(PORT, ofport=7)))
    store.happen(*then)
    store.pass_time()
    assert store.stored() == store.snapshot


def test_numbers_are_not_forgotten_when_the_store_fails(store: Recorder) -> None:
    store.happen(Put(PORT))
    store.happen(Put(replace(PORT, ofport=7)))
    store.full = True
    with pytest.raises(OSError, match="space"):
        store.happen(Put(OTHER))
    store.full = False
    store.pass_time()
    assert store.stored() == store.snapshot


def test_what_changes_nothing_is_not_stored(store: Recorder) -> None:
    store.happen(Put(PORT))
    store.happen(Put(PORT))
    assert len(store.commits) == 1
    assert store.waiting == []
