"""Files of older schemas open, and nothing in them is lost.

1: before networks had subnets; 2: before bindings; 3: before endpoints; 4: before mirrors; 5: before
external VTEPs.
"""

import sqlite3
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from store.base import StoreError
from store.sqlite import APPLICATION_ID, SCHEMA_VERSION, SqliteStore
from topology.compiler import compile_all
from topology.labels import Operator, Requirement, Selector
from topology.model import (
    EVERYTHING,
    Attachment,
    Binding,
    Connection,
    ConnectionKey,
    Endpoint,
    EndpointSlice,
    ExternalVtep,
    Mirror,
    NamedPort,
    Network,
    Node,
    Pod,
    PodKey,
    Port,
    PortKey,
    Project,
    Quarantine,
    Service,
    ServiceKey,
    SliceKey,
)
from topology.snapshot import Put, apply_all, empty

SCHEMA = f"""
CREATE TABLE object (kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE token (node TEXT NOT NULL PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1;
"""
ROWS = [
    (
        "node",
        "n1",
        '{"name":"n1","dpid":"0000000000000001","underlay":"192.0.2.11","subnets":["10.128.0.0/23"]}',
    ),
    ("network", "blue", '{"name":"blue","vnid":11,"global":true,"space":0}'),
    ("network", "red", '{"name":"red","vnid":10,"global":false,"space":0}'),
    ("project", "red", '{"name":"red","network":"red"}'),
    ("connection", "blue/red", '{"networks":["blue","red"]}'),
    (
        "service",
        "red/web",
        '{"name":"web","project":"red","address":"172.30.0.10","ports":[{"protocol":"TCP","port":80}]}',
    ),
    (
        "port",
        "n1/c1/eth0",
        (
            '{"node":"n1","container":"c1","interface":"eth0","project":"red","pod":"a","network":"red",'
            '"host_interface":"v1","mac":"0a:58:0a:80:00:02","addresses":["10.128.0.2"],"space":0,"pod_uid":"u"}'
        ),
    ),
    ("quarantine", "0/10.128.0.3", '{"space":0,"address":"10.128.0.3","node":"n1"}'),
]
VALUES = {
    Node("n1", 1, IPv4Address("192.0.2.11"), (IPv4Network("10.128.0.0/23"),)),
    Network("blue", 11, is_global=True),
    Network("red", 10),
    Project("red", "red"),
    Connection(ConnectionKey("blue", "red"), EVERYTHING, EVERYTHING),
    Service(ServiceKey("red", "web"), IPv4Address("172.30.0.10"), (NamedPort("TCP", 80),)),
    Port(
        PortKey("n1", "c1", "eth0"),
        "red",
        "a",
        "red",
        "v1",
        0x0A580A800002,
        (IPv4Address("10.128.0.2"),),
        pod_uid="u",
    ),
    Quarantine(0, IPv4Address("10.128.0.3"), "n1"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of schema 1."""
    path = tmp_path / "heddle.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
        connection.executemany("INSERT INTO object VALUES (?, ?, ?)", ROWS)
        connection.execute("INSERT INTO token VALUES ('n1', 'aa')")
        connection.commit()
    return path


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def test_everything_of_an_older_file_is_there(path: Path) -> None:
    store = SqliteStore(path)
    loaded = store.load()
    assert {event.value for event in loaded} == VALUES
    assert store.node_of("aa") == "n1"
    snapshot, _ = apply_all(empty(), loaded)
    assert compile_all(snapshot)["n1"].conflicts == ()
    store.commit([Put(Network("green", 12, mtu=1400))])
    store.close()
    assert version(path) == SCHEMA_VERSION
    again = SqliteStore(path)
    assert {event.value for event in again.load()} == VALUES | {Network("green", 12, mtu=1400)}
    again.close()


def test_everything_of_a_file_of_schema_2_is_there(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        bodies = (
            "UPDATE object SET body = json_remove(body, '$.space') WHERE kind = 'network'; PRAGMA user_version = 2;"
        )
        connection.executescript(bodies)
    store = SqliteStore(path)
    loaded = store.load()
    assert {event.value for event in loaded} == VALUES
    bound = Binding("b", Selector((Requirement("team", Operator.EXISTS),)), secondary=(Attachment("blue", "net7"),))
    labelled = Project("red", "blue", "red", (("team", ""),), is_placed=False)
    pod = Pod(PodKey("red", "a"), (("role", "db"),), ("blue",))
    store.commit([Put(bound), Put(labelled), Put(pod)])
    store.close()
    assert version(path) == SCHEMA_VERSION
    again = SqliteStore(path)
    assert {event.value for event in again.load()} == VALUES - {Project("red", "red")} | {bound, labelled, pod}
    again.close()


def test_everything_of_a_file_of_schema_3_is_there(path: Path) -> None:
    """Ports had no names, and several in a service were told apart without: they have names from now on."""
    SqliteStore(path).close()
    ports = '[{"protocol":"UDP","port":53},{"protocol":"TCP","port":443}]'
    body = f'{{"name":"old","project":"red","address":"172.30.0.20","ports":{ports}}}'
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO object VALUES ('service', 'red/old', ?)", (body,))
        connection.execute("PRAGMA user_version = 3")
        connection.commit()
    named = (NamedPort("TCP", 443, "443-tcp"), NamedPort("UDP", 53, "53-udp"))
    old = Service(ServiceKey("red", "old"), IPv4Address("172.30.0.20"), named)
    found = EndpointSlice(SliceKey("red", "old-1"), "old", named[:1], (Endpoint(IPv4Address("10.128.0.2"), "n1"),))
    store = SqliteStore(path)
    assert {event.value for event in store.load()} == VALUES | {old}
    store.commit([Put(replace(old, affinity=10800)), Put(found)])
    store.close()
    assert version(path) == SCHEMA_VERSION
    again = SqliteStore(path)
    assert {event.value for event in again.load()} == VALUES | {replace(old, affinity=10800), found}
    again.close()


def test_everything_of_a_file_of_schema_4_is_there(path: Path) -> None:
    """Networks had no DSCP, pods no limits; and there were no mirrors, which an older version must not pass over."""
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('INSERT INTO object VALUES (\'pod\', \'red/old\', \'{"project":"red","pod":"old"}\')')
        connection.execute("PRAGMA user_version = 4")
        connection.commit()
    store = SqliteStore(path)
    old = Pod(PodKey("red", "old"))
    assert {event.value for event in store.load()} == VALUES | {old}
    mirror, limited = Mirror("m", 1, PodKey("red", "a"), "blue"), replace(old, ingress_bandwidth=1000)
    store.commit([Put(mirror), Put(limited)])
    store.close()
    assert version(path) == SCHEMA_VERSION
    again = SqliteStore(path)
    assert {event.value for event in again.load()} == VALUES | {mirror, limited}
    again.close()


def test_everything_of_a_file_of_schema_5_is_there(path: Path) -> None:
    """There were no external VTEPs, which an older version must not pass over."""
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 5")
        connection.commit()
    store = SqliteStore(path)
    assert {event.value for event in store.load()} == VALUES
    f5 = ExternalVtep("f5", IPv4Address("192.0.2.50"), "red", (IPv4Network("198.18.0.0/24"),), "geneve", 7)
    store.commit([Put(f5)])
    store.close()
    assert version(path) == SCHEMA_VERSION
    again = SqliteStore(path)
    assert {event.value for event in again.load()} == VALUES | {f5}
    again.close()


def test_a_row_that_cannot_be_read_stops_no_migration_and_is_named(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO object VALUES ('network', 'torn', '{\"name\":')")
        connection.commit()
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="network torn cannot be read"):
        store.load()
    store.close()


def test_a_migration_is_all_or_nothing(path: Path) -> None:
    """A step that fails leaves the file as it was: the older version can still open it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON object WHEN old.key = 'red' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        connection.commit()
    with pytest.raises(StoreError):
        SqliteStore(path)
    assert version(path) == 1
    with closing(sqlite3.connect(path)) as connection:
        bodies = connection.execute("SELECT kind, key, body FROM object").fetchall()
    assert sorted(bodies) == sorted(ROWS)
