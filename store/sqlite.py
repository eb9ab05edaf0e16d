"""The local store: one SQLite file. What is kept is said in `store.base`, how objects look in `store.objects`.

One row per object, its JSON as text, so that `sqlite3 FILE 'select * from object'` shows what there is. The schema's
version is SQLite's `user_version`. Journal: write-ahead log with `synchronous = FULL`, so what `commit` acknowledged
survives the end of the process and of the machine (docs/decisions/store-durability.md has the cost).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from store import history
from store.base import Mark, Record, StoreError
from store.fields import Malformed
from store.objects import KINDS
from topology.history import Turn
from topology.model import Address, Hosting
from topology.snapshot import Event, Put, Snapshot

APPLICATION_ID: Final = 0x48644C65  # "HdLe": tells our files from other programs' SQLite files
SCHEMA_VERSION: Final = 6

_SCHEMA: Final = f"""
CREATE TABLE object (kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE token (node TEXT NOT NULL PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE) WITHOUT ROWID;
{history.SCHEMA}
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""
# What leads from a schema to the next one. Fields that were added since need nothing: their defaults say what was so.
_MIGRATIONS: Final = {
    # The address space of a network follows from its VNID and its subnets.
    1: "UPDATE object SET body = json_remove(body, '$.space') WHERE kind = 'network' AND json_valid(body);",
    # The history, moves, bindings and pods: kinds that an older version would not miss, so it must not open the file.
    2: history.SCHEMA,
    # Endpoints: another such kind. What an older version cannot read in services are names of ports, and more.
    3: "",
    # Egresses, lost nodes and mirrors: others; a DSCP of networks, limits of pods, zones of nodes and endpoints.
    4: "",
    # Tunnels that are down, and external VTEPs.
    5: "",
}
# An object that is as it was costs no write.
_PUT: Final = """
INSERT INTO object (kind, key, body) VALUES (?, ?, ?)
ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body WHERE body <> excluded.body
"""
_REMOVE: Final = "DELETE FROM object WHERE kind = ? AND key = ?"
_KIND_OF: Final = {kind.value: kind for kind in KINDS}
_ELSEWHERE: Final = "restore a backup, or name another file with --heddle-store"


class SqliteStore:
    """A `store.base.Store` in one file, which is made when it is not there. One controller at a time can have it open.

    Raises StoreError when the file cannot be used; it is not touched then.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).resolve()
        self._lock = _lock(self._path)
        try:
            self._connection = _open(self._path)
            self._tokens = self._read_tokens()
        except BaseException:
            os.close(self._lock)
            raise

    def load(self) -> tuple[Event, ...]:
        """See `Store.load`."""
        return tuple(self._load())

    def commit(self, events: Iterable[Event], turns: Iterable[Turn] = ()) -> tuple[Mark, ...]:
        """See `Store.commit`. Nobody shares the file."""
        rows = [_statement(event) for event in events if not isinstance(event.value, Hosting)]
        if not rows:
            return ()
        gone = {row[1][1] for row in rows if row[0] is _REMOVE and row[1][0] == "node"}
        with self._transaction():
            for sql, parameters in rows:
                self._connection.execute(sql, parameters)
            for node in gone:
                self._connection.execute("DELETE FROM token WHERE node = ?", (node,))
            history.record(self._connection, turns, time.time())
        if gone:
            self._tokens = {digest: node for digest, node in self._tokens.items() if node not in gone}
        return ()

    def released(self, snapshot: Snapshot, events: Iterable[Event]) -> tuple[Event, ...]:
        """See `Store.released`: nobody else writes."""
        return ()

    def set_token(self, node: str, digest: str) -> None:
        """See `Store.set_token`."""
        with self._transaction():
            found = self._connection.execute("SELECT 1 FROM object WHERE kind = 'node' AND key = ?", (node,)).fetchone()
            if found is None:
                raise KeyError(node)
            self._connection.execute("INSERT OR REPLACE INTO token (node, sha256) VALUES (?, ?)", (node, digest))
        self._tokens = {known: owner for known, owner in self._tokens.items() if owner != node} | {digest: node}

    def node_of(self, digest: str) -> str | None:
        """See `Store.node_of`. Answered from memory."""
        return self._tokens.get(digest)

    def history(self, space: int, address: Address, most: int) -> tuple[Record, ...]:
        """See `Store.history`."""
        with _told(self._path):
            return history.read(self._connection, space, address, most)

    def close(self) -> None:
        """See `Store.close`."""
        if self._lock < 0:
            return
        self._connection.close()
        os.close(self._lock)
        self._lock = -1

    def _load(self) -> Iterator[Event]:
        for kind in KINDS:
            decoder = msgspec.json.Decoder(kind.shape)
            with _told(self._path):
                rows = self._connection.execute("SELECT key, body FROM object WHERE kind = ?", (kind.name,)).fetchall()
            for key, body in rows:
                try:
                    yield Put(decoder.decode(body).value())
                except (msgspec.DecodeError, Malformed) as error:
                    raise StoreError(
                        str(self._path), f"{kind.name} {key} cannot be read: {error}", _ELSEWHERE
                    ) from None

    def _read_tokens(self) -> dict[str, str]:
        with _told(self._path):
            return dict(self._connection.execute("SELECT sha256, node FROM token").fetchall())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _told(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _statement(event: Event) -> tuple[str, tuple[str, ...]]:
    """Return the statement that keeps an event, and its parameters. Raises ValueError for what cannot be read back."""
    kind = _KIND_OF[type(event.value)]
    key = kind.key(event.value)
    if not isinstance(event, Put):
        return _REMOVE, (kind.name, key)
    body = msgspec.json.encode(kind.shape.of(event.value))
    try:
        msgspec.json.decode(body, type=kind.shape).value()
    except (msgspec.DecodeError, Malformed) as error:
        raise ValueError(f"{kind.name} {key} is not one that can be kept: {error}") from None
    return _PUT, (kind.name, key, body.decode())


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell SQLite's errors in our words."""
    try:
        yield
    except sqlite3.Error as error:
        cause, remedy = _explain(error)
        raise StoreError(str(path), cause, remedy) from error


def _explain(error: sqlite3.Error) -> tuple[str, str]:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_NOTADB"):
        return "it is not a database", "name a file that heddle made, or one that does not exist, with --heddle-store"
    if name.startswith("SQLITE_CORRUPT"):
        return f"it is damaged ({error})", _ELSEWHERE
    if name.startswith("SQLITE_FULL"):
        return "the disk is full", "make room on it"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "another program holds it locked", "end that program, such as a sqlite3 shell with an open transaction"
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_READONLY", "SQLITE_AUTH")):
        return f"it cannot be opened for writing ({error})", "give this user the right to write the file and its folder"
    return f"SQLite failed: {error}", "look at the disk and the system's log"


def _lock(path: Path) -> int:
    """Return an open file descriptor that holds the lock of a store file until it is closed or the process ends.

    A file of its own: SQLite's own locks are lost when any descriptor of the database file is closed.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        cause = f"its lock file {lock} cannot be made ({error.strerror})"
        raise StoreError(str(path), cause, "make the folder, and give this user the right to write in it") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        cause = f"another controller has it open (process {holder})"
        raise StoreError(str(path), cause, "end that one, or name another file with --heddle-store") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _open(path: Path) -> sqlite3.Connection:
    """Return a connection to a file that is ours and sound."""
    if path.exists() and path.stat().st_size:
        _inspect(path)
    else:
        _create_file(path)
    with _told(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _create_file(path: Path) -> None:
    """Make an empty file that only this user can read: it will hold the digests of tokens."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(
            str(path), f"it cannot be made ({error.strerror})", "name another file with --heddle-store"
        ) from None


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    version = _pragma(connection, "user_version")
    if version == 0:
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    elif version < SCHEMA_VERSION:
        steps = " ".join(_MIGRATIONS[step] for step in range(version, SCHEMA_VERSION))
        connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


def _inspect(path: Path) -> None:
    """Look at a file without changing it. Raises StoreError when it is not one that this version can use."""
    with _told(path):
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            application, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
            tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            findings = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
        finally:
            connection.close()
    if (application, version, tables) == (0, 0, 0):
        return  # made, and then nothing came of it
    if application != APPLICATION_ID:
        cause = "it is a database of another program"
        raise StoreError(
            str(path), cause, "name a file that heddle made, or one that does not exist, with --heddle-store"
        )
    if version > SCHEMA_VERSION:
        cause = f"it was written by a newer version (schema {version}; this one knows up to {SCHEMA_VERSION})"
        raise StoreError(str(path), cause, "start that version, or name another file with --heddle-store")
    if findings != ["ok"]:
        raise StoreError(str(path), f"it is damaged ({findings[0]})", _ELSEWHERE)


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]
