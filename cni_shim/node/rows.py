"""Bridges as desired rows of the Open_vSwitch database: what differs from them is changed in one transaction.

Only `columns` that are named are looked at; maps are compared by the named keys, so that what others set stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cni_shim.errors import IO_FAILURE, ShimError
from cni_shim.ovsdb import Database, Operation, Row, as_set, encode_map, encode_set, select

Columns = Mapping[str, Any]
APPLY_TIMEOUT = 15.0  # seconds for ovs-vswitchd to do what the database says
_POLL = 0.02


@dataclass(frozen=True)
class PortRow:
    """A port with its one interface of the same name. Column values: scalars, dicts (maps), tuples (sets)."""

    name: str
    interface: Columns


@dataclass(frozen=True)
class BridgeRow:
    """A bridge, the ports that it must have, and its controllers (None: not looked at)."""

    name: str
    columns: Columns
    ports: tuple[PortRow, ...]
    controllers: tuple[str, ...] | None = None
    controller_columns: Columns = field(default_factory=dict)


def ensure(database: Database, bridge: BridgeRow) -> bool:
    """Make the database say `bridge` and wait until ovs-vswitchd has done it; False when nothing differed."""
    operations = list(_differences(database, bridge))
    if not operations:
        return False
    apply(database, operations)
    return True


def apply(database: Database, operations: list[Operation]) -> None:
    """Transact, and wait until ovs-vswitchd has applied it (its `cur_cfg`)."""
    bump = {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}
    results = database.transact(*operations, bump, select("Open_vSwitch", ["next_cfg"]))
    wanted = results[-1]["rows"][0]["next_cfg"]
    deadline = time.monotonic() + APPLY_TIMEOUT
    while database.rows("Open_vSwitch", ["cur_cfg"])[0]["cur_cfg"] < wanted:
        if time.monotonic() > deadline:
            raise ShimError(
                IO_FAILURE, "ovs-vswitchd does not apply what the database says", "is it running? see its log"
            )
        time.sleep(_POLL)


def remove_bridge(database: Database, name: str) -> bool:
    """Take bridge `name` out of the database, with its ports; False when there is none."""
    found = database.rows("Bridge", ["name"], [["name", "==", name]])
    if not found:
        return False
    apply(database, [_mutate("Open_vSwitch", [], "bridges", "delete", found[0]["_uuid"])])
    return True


def remove_ports(database: Database, bridge: str, interfaces: list[str]) -> None:
    """Take the ports that hold `interfaces` out of `bridge`."""
    operations = []
    for name in interfaces:
        for port in database.rows("Port", ["name"], [["name", "==", name]]):
            operations.append(_mutate("Bridge", [["name", "==", bridge]], "ports", "delete", port["_uuid"]))
    if operations:
        database.transact(*operations)


def _differences(database: Database, bridge: BridgeRow) -> Iterator[Operation]:
    where = [["name", "==", bridge.name]]
    found = database.rows("Bridge", [*bridge.columns, "controller"], where)
    if not found:
        yield from _new_bridge(bridge)
        return
    row = found[0]
    changed = changes(row, bridge.columns)
    if changed:
        yield {"op": "update", "table": "Bridge", "where": where, "row": changed}
    for port in bridge.ports:
        yield from _port(database, bridge.name, port)
    if bridge.controllers is not None:
        present = database.rows("Controller", ["target", *bridge.controller_columns])
        mine = [item for item in present if item["_uuid"] in as_set(row["controller"])]
        targets = sorted(item["target"] for item in mine)
        if targets != sorted(bridge.controllers) or any(changes(item, bridge.controller_columns) for item in mine):
            # The new targets replace the old ones in one transaction: with no target for a moment, ovs-vswitchd
            # would flush every flow (connmgr_set_controllers).
            yield from _new_controllers(bridge)
            named = [["named-uuid", f"controller{i}"] for i in range(len(bridge.controllers))]
            yield {"op": "update", "table": "Bridge", "where": where, "row": {"controller": encode_set(named)}}


def _port(database: Database, bridge: str, port: PortRow) -> Iterator[Operation]:
    where = [["name", "==", port.name]]
    interfaces = database.rows("Interface", list(port.interface), where)
    ports = database.rows("Port", ["name"], where)
    holders = database.rows("Bridge", ["name", "ports"])
    if interfaces and ports and any(h["name"] == bridge and ports[0]["_uuid"] in as_set(h["ports"]) for h in holders):
        changed = changes(interfaces[0], port.interface)
        if changed:
            yield {"op": "update", "table": "Interface", "where": where, "row": changed}
        return
    if interfaces or ports:
        owner = next((h["name"] for h in holders if ports and ports[0]["_uuid"] in as_set(h["ports"])), "no bridge")
        raise ShimError(
            IO_FAILURE, f"port {port.name} exists on {owner}, not on {bridge}", "remove it: ovs-vsctl del-port"
        )
    yield from _new_port(port, 0)
    yield _mutate("Bridge", [["name", "==", bridge]], "ports", "insert", ["named-uuid", "port0"])


def _new_bridge(bridge: BridgeRow) -> Iterator[Operation]:
    local = PortRow(bridge.name, {"type": "internal"})
    ports = (local, *bridge.ports)
    for number, port in enumerate(ports):
        yield from _new_port(port, number)
    row = {column: encode(value) for column, value in bridge.columns.items()}
    row["name"] = bridge.name
    row["ports"] = encode_set([["named-uuid", f"port{i}"] for i in range(len(ports))])
    if bridge.controllers is not None:
        yield from _new_controllers(bridge)
        row["controller"] = encode_set([["named-uuid", f"controller{i}"] for i in range(len(bridge.controllers))])
    yield {"op": "insert", "table": "Bridge", "row": row, "uuid-name": "bridge"}
    yield _mutate("Open_vSwitch", [], "bridges", "insert", ["named-uuid", "bridge"])


def _new_port(port: PortRow, number: int) -> Iterator[Operation]:
    row = {"name": port.name, **{column: encode(value) for column, value in port.interface.items()}}
    yield {"op": "insert", "table": "Interface", "row": row, "uuid-name": f"interface{number}"}
    members = {"name": port.name, "interfaces": ["named-uuid", f"interface{number}"]}
    yield {"op": "insert", "table": "Port", "row": members, "uuid-name": f"port{number}"}


def _new_controllers(bridge: BridgeRow) -> Iterator[Operation]:
    for number, target in enumerate(bridge.controllers or ()):
        row = {"target": target, **{column: encode(value) for column, value in bridge.controller_columns.items()}}
        yield {"op": "insert", "table": "Controller", "row": row, "uuid-name": f"controller{number}"}


def _mutate(table: str, where: list[Any], column: str, mutator: str, member: Any) -> Operation:
    reference = member if isinstance(member, list) else ["uuid", member]
    return {"op": "mutate", "table": table, "where": where, "mutations": [[column, mutator, encode_set([reference])]]}


def changes(row: Row, columns: Columns) -> Row:
    """The encoded values of those `columns` that a decoded `row` does not have yet."""
    changed = {}
    for column, wanted in columns.items():
        present = row[column]
        if isinstance(wanted, dict):
            if {**present, **wanted} != present:
                changed[column] = encode({**present, **wanted})
        elif set(as_set(present)) != set(as_set(wanted)):
            changed[column] = encode(wanted)
    return changed


def encode(value: Any) -> Any:
    if isinstance(value, dict):
        return encode_map(value)
    return encode_set(list(value)) if isinstance(value, tuple) else value
