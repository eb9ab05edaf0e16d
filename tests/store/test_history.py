"""The ledger's history in the file: it survives, goes with its transaction, and the oldest entries go."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from store import history
from store.sqlite import SqliteStore
from topology.history import State, Turn
from topology.model import Network
from topology.snapshot import Put

ADDRESS = IPv4Address("10.0.0.2")
NETWORK = Put(Network("red", 10))
ALLOTTED = Turn(0, ADDRESS, State.ALLOTTED, "n1", "red/a", "c1/eth0")
LEFT = ALLOTTED._replace(state=State.QUARANTINED)
FREED = Turn(0, ADDRESS, State.FREE, "n1")


def told(store: SqliteStore, space: int = 0, most: int = 10) -> list[Turn]:
    return [record.turn for record in store.history(space, ADDRESS, most)]


def test_the_newest_comes_first_and_all_survive(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "heddle.sqlite")
    for turns in ((ALLOTTED,), (LEFT, ALLOTTED._replace(space=7)), (FREED,)):
        store.commit([NETWORK], turns)
    store.close()
    again = SqliteStore(tmp_path / "heddle.sqlite")
    assert told(again) == [FREED, LEFT, ALLOTTED]
    assert told(again, most=1) == [FREED]
    assert told(again, space=7) == [ALLOTTED._replace(space=7)]
    times = [record.at for record in again.history(0, ADDRESS, 10)]
    assert times == sorted(times, reverse=True)
    again.close()


def test_what_is_not_kept_leaves_no_history(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "heddle.sqlite")
    with pytest.raises(ValueError, match="can be kept"):
        store.commit([Put(Network("No Label", 10))], (ALLOTTED,))
    assert told(store) == []
    store.close()


def test_the_oldest_entries_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_ENTRIES", 3)
    store = SqliteStore(tmp_path / "heddle.sqlite")
    for turn in (ALLOTTED, LEFT, FREED, ALLOTTED, LEFT):
        store.commit([NETWORK], (turn,))
    assert told(store) == [LEFT, ALLOTTED, FREED]
    store.close()


def test_an_address_is_found_by_an_index(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "heddle.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "heddle.sqlite")) as file:
        plan = file.execute(f"EXPLAIN QUERY PLAN {history._SELECT}", (0, "10.0.0.2", 1)).fetchall()
    assert "USING INDEX history_of" in plan[0][3]
