"""Files that cannot be used: each is told apart, named with cause and remedy, and left as it is."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from store.base import StoreError
from store.sqlite import SCHEMA_VERSION, SqliteStore
from topology.model import Network, Node
from topology.snapshot import Put

NODE = Node("n1", 1, IPv4Address("192.0.2.11"), (IPv4Network("10.128.0.0/23"),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound file with a few objects."""
    path = tmp_path / "heddle.sqlite"
    store = SqliteStore(path)
    store.commit([Put(NODE), *(Put(Network(f"net-{number}", number)) for number in range(10, 400))])
    store.close()
    return path


@pytest.fixture
def unchanged(path: Path) -> Iterator[None]:
    """Check that the file that the test left behind when it began with `seal` is still the same."""
    yield
    seal = path.with_suffix(".seal")
    assert path.read_bytes() == seal.read_bytes()


def spoil(path: Path, *statements: str) -> None:
    """Change a file behind the store's back, and remember what it looks like then."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    seal(path)


def seal(path: Path) -> None:
    path.with_suffix(".seal").write_bytes(path.read_bytes())


def refusal(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        SqliteStore(path)
    assert str(path) in str(caught.value)
    assert caught.value.cause
    assert caught.value.remedy
    return caught.value


@pytest.mark.usefixtures("unchanged")
def test_a_file_from_a_newer_version(path: Path) -> None:
    spoil(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    error = refusal(path)
    assert f"schema {SCHEMA_VERSION + 1}" in error.cause
    assert "--heddle-store" in error.remedy


@pytest.mark.usefixtures("unchanged")
def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    seal(path)
    assert refusal(path).cause == "it is not a database"


@pytest.mark.usefixtures("unchanged")
def test_a_database_of_another_program(path: Path) -> None:
    path.unlink()
    spoil(path, "CREATE TABLE recipe (name TEXT)")
    assert "another program" in refusal(path).cause


@pytest.mark.usefixtures("unchanged")
def test_a_damaged_file(path: Path) -> None:
    content = bytearray(path.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    content[2 * page : 3 * page] = os.urandom(page)
    path.write_bytes(content)
    seal(path)
    assert "damaged" in refusal(path).cause


@pytest.mark.usefixtures("unchanged")
def test_a_truncated_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])
    seal(path)
    assert "damaged" in refusal(path).cause


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ('{"name": "red"}', "vnid"),
        ('{"name": "red", "vnid": "ten"}', "$.vnid"),
        ('{"name": "red", "vnid": 10, "colour": 1}', "colour"),
        ("{", "network red"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_an_object_that_cannot_be_read(path: Path, body: str, complaint: str) -> None:
    spoil(path, f"INSERT INTO object VALUES ('network', 'red', '{body}')")
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="network red") as caught:
        store.load()
    store.close()
    assert complaint in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    error = refusal(tmp_path / "nowhere" / "heddle.sqlite")
    assert "No such file or directory" in error.cause
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "heddle.sqlite"
    path.mkdir()
    refusal(path)


@pytest.mark.parametrize("locked_out", ["file", "folder"])
def test_a_file_of_somebody_else(locked_out: str) -> None:
    """Run by another user where the test runs as root, whom no permission stops."""
    program = (
        "import os, sys; sys.path[:0] = sys.argv[2:]\n"
        "from store.base import StoreError; from store.sqlite import SqliteStore\n"
        "os.setuid(65534) if os.getuid() == 0 else None\n"
        "try: SqliteStore(sys.argv[1])\n"
        "except StoreError as error: print(error)"
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "heddle.sqlite"
        SqliteStore(path).close()
        path.with_name(path.name + ".lock").unlink()
        path.chmod(0o000)
        path.parent.chmod(0o777 if locked_out == "file" else 0o555)
        command = [sys.executable, "-c", program, str(path), *sys.path]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        path.parent.chmod(0o700)
    assert str(path) in told
    assert "give this user the right" in told


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "heddle.sqlite"
    path.touch()
    store = SqliteStore(path)
    assert store.load() == ()
    store.close()


def test_only_the_owner_can_read_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "heddle.sqlite"
    store = SqliteStore(path)
    store.commit([Put(NODE)])
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    store.close()
    assert set(modes.values()) == {0o600}, modes


def test_a_second_controller_is_kept_out(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.sqlite").symlink_to(path)
    first = SqliteStore(path)
    for name in (path, tmp_path / "link.sqlite"):
        with pytest.raises(StoreError, match=f"another controller has it open .process {os.getpid()}."):
            SqliteStore(name)
    first.close()
    second = SqliteStore(path)
    assert Put(NODE) in second.load()
    second.close()
    second.close()


def test_a_failed_opening_lets_go_of_the_lock(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(b"x" * 5000)
    refusal(path)
    path.write_bytes(content)
    SqliteStore(path).close()


def test_readers_are_not_kept_out(path: Path, tmp_path: Path) -> None:
    store = SqliteStore(path)
    store.commit([Put(Network("red", 9000))])
    with (
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader,
        closing(sqlite3.connect(tmp_path / "backup.sqlite")) as backup,
    ):
        reader.backup(backup)
    held = store.load()
    store.close()
    copy = SqliteStore(tmp_path / "backup.sqlite")
    assert copy.load() == held
    copy.close()
