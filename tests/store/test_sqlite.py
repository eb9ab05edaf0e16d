"""The SQLite store keeps what it is told: round trips, transactions, tokens."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.objects import KINDS
from store.sqlite import SqliteStore
from tests.store.values import events
from topology.model import Network, Node, Port, PortKey, Project, Subject, mac_of
from topology.snapshot import Event, Put, Remove, apply_all, empty

NODE = Node("n1", 1, IPv4Address("192.0.2.11"), (IPv4Network("10.128.0.0/23"),))
ADDRESS = IPv4Address("10.128.0.5")
PORT = Port(PortKey("n1", "c1", "eth0"), "red", "a", "red", "v0", mac_of(ADDRESS), (ADDRESS,), ofport=7)


def outcome(batches: list[list[Event]]) -> dict[tuple[str, str], Subject]:
    """What a store must hold after these commits: the oracle, a dict."""
    held: dict[tuple[str, str], Subject] = {}
    for event in (event for batch in batches for event in batch):
        kind = next(kind for kind in KINDS if kind.value is type(event.value))
        key = (kind.name, kind.key(event.value))
        if isinstance(event, Put):
            held[key] = event.value
        else:
            held.pop(key, None)
    return held


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(events, max_size=6), max_size=4))
def test_what_comes_back_is_what_went_in(batches: list[list[Event]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "heddle.sqlite"
        store = SqliteStore(path)
        for batch in batches:
            store.commit(batch)
        before = store.load()
        store.close()
        again = SqliteStore(path)
        loaded = again.load()
        again.close()
    assert before == loaded
    assert all(isinstance(event, Put) for event in loaded)
    expected = outcome(batches)
    assert len(loaded) == len(expected)
    assert {event.value for event in loaded} == set(expected.values())


def test_events_come_in_an_order_that_builds_the_snapshot(tmp_path: Path) -> None:
    made = (Put(NODE), Put(Network("red", 10)), Put(Project("red", "red")), Put(PORT))
    store = SqliteStore(tmp_path / "heddle.sqlite")
    for event in reversed(made):
        store.commit([event])
    snapshot, _ = apply_all(empty(), store.load())
    store.close()
    expected, _ = apply_all(empty(), made)
    assert snapshot == expected


def test_a_commit_is_all_or_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "heddle.sqlite")
    store.commit([Put(NODE)])
    with pytest.raises(ValueError, match=r"network Not a name .*\$\.name"):
        store.commit([Remove(NODE), Put(Network("Not a name", 10))])
    assert store.load() == (Put(NODE),)
    store.close()


def test_what_is_so_already_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "heddle.sqlite"
    store = SqliteStore(path)
    store.commit([Put(PORT)])
    log = path.with_name(path.name + "-wal")
    size, stamp = log.stat().st_size, log.stat().st_mtime_ns
    store.commit([Put(replace(PORT))])
    assert (log.stat().st_size, log.stat().st_mtime_ns) == (size, stamp)
    store.close()


def test_tokens_survive_and_go_with_their_node(tmp_path: Path) -> None:
    path = tmp_path / "heddle.sqlite"
    store = SqliteStore(path)
    with pytest.raises(KeyError):
        store.set_token("n1", "aa")
    store.commit([Put(NODE)])
    store.set_token("n1", "aa")
    store.set_token("n1", "bb")
    assert store.node_of("aa") is None
    assert store.node_of("bb") == "n1"
    store.close()

    store = SqliteStore(path)
    assert store.node_of("aa") is None
    assert store.node_of("bb") == "n1"
    store.commit([Remove(NODE)])
    assert store.node_of("bb") is None
    store.commit([Put(NODE)])
    store.close()

    store = SqliteStore(path)
    assert store.node_of("bb") is None
    store.close()
