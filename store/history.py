"""The ledger's history in the SQLite file: what became of which address, when, and whose it was. No decisions.

It is for people who ask who had an address at some time; nothing is ever computed from it, and the oldest entries go.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from store.base import Record
from topology.history import State, Turn
from topology.model import Address

SCHEMA: Final = """
CREATE TABLE history (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, space INTEGER NOT NULL, address TEXT NOT NULL, state TEXT NOT NULL,
    node TEXT NOT NULL, pod TEXT NOT NULL, attachment TEXT NOT NULL
);
CREATE INDEX history_of ON history (space, address, number);
"""
MOST_ENTRIES: Final = 500_000  # about 100 MB; a pod's life is two entries for each of its addresses, and one after it

_INSERT: Final = "INSERT INTO history (at, space, address, state, node, pod, attachment) VALUES (?, ?, ?, ?, ?, ?, ?)"
_SELECT: Final = """
SELECT at, state, node, pod, attachment FROM history WHERE space = ? AND address = ? ORDER BY number DESC LIMIT ?
"""


def record(connection: sqlite3.Connection, turns: Iterable[Turn], at: float) -> None:
    """Note what became of addresses `at` that time (seconds since 1970). Inside the caller's transaction."""
    rows = [(at, turn.space, str(turn.address), turn.state.value, *turn[3:]) for turn in turns]
    if rows:
        newest = connection.executemany(_INSERT, rows).connection.execute("SELECT max(number) FROM history").fetchone()
        connection.execute("DELETE FROM history WHERE number <= ?", (newest[0] - MOST_ENTRIES,))


def read(connection: sqlite3.Connection, space: int, address: Address, most: int) -> tuple[Record, ...]:
    """Return the newest entries about an address, newest first."""
    found = connection.execute(_SELECT, (space, str(address), most)).fetchall()
    return tuple(
        Record(at, Turn(space, address, State(state), node, pod, attachment))
        for at, state, node, pod, attachment in found
    )
