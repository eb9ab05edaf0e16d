"""A model of a switch, and messages that stay values, for tests of sessions and of the owner thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ryu_apps.session import SwitchSession
from topology import meters
from topology.compiler import Delta, FlowTable
from topology.egress import Left
from topology.flow import Entry, FlowKey, Group, Meter
from topology.groups import GroupChanges, by_id
from topology.meters import MeterChanges
from topology.pipeline import Table
from topology.targets import Gone


class Stats(NamedTuple):
    """What the session reads of a flow description."""

    cookie: int
    table: int
    match: Any
    packets: int = 0
    bytes: int = 0


class Read(NamedTuple):
    """A request for flows, as the fake wire makes it."""

    xid: int
    table: int | None
    cookie: int
    mask: int


class Count(NamedTuple):
    """A request for the number of flows by table, as the fake wire makes it."""

    xid: int


class Forget(NamedTuple):
    """A request to forget connections to an endpoint, as the fake wire makes it."""

    gone: Gone | Left


@dataclass(frozen=True)
class ReadGroups:
    """A request for groups, as the fake wire makes it."""

    xid: int


@dataclass(frozen=True)
class ReadMeters:
    """A request for meters, as the fake wire makes it."""

    xid: int


@dataclass(frozen=True)
class DeleteMeters:
    """A request to delete meters, as the fake wire makes it."""

    meters: tuple[int, ...]


@dataclass(frozen=True)
class RoleRequest:
    """A request for a role, as the fake wire makes it."""

    role: int
    generation: int
    xid: int = field(default=0, compare=False)


class Echo(NamedTuple):
    """A request for a sign of life, as the fake wire makes it."""


class FakeWire:
    """Messages stay values, so that the model switch can act on them."""

    def bundle(self, delta: Delta) -> Any:
        return (delta,)

    def read_counts(self, xid: int) -> Any:
        return Count(xid)

    def ask_role(self, xid: int, role: int, generation: int) -> Any:
        return RoleRequest(role, generation, xid)

    def read_flows(self, xid: int, table: int | None, cookie: int, mask: int) -> Any:
        return Read(xid, table, cookie, mask)

    def forget(self, xid: int, gone: Gone | Left) -> Any:
        return Forget(gone)

    def read_groups(self, xid: int) -> Any:
        return ReadGroups(xid)

    def ask_echo(self) -> Any:
        return Echo()

    def read_meters(self, xid: int) -> Any:
        return ReadMeters(xid)

    def delete_meters(self, meters: Any) -> Any:
        return DeleteMeters(tuple(meters))


class ModelSwitch:
    """Holds flows by key, as OVS does, groups and meters, and answers when it is told to."""

    def __init__(self) -> None:
        self.flows: dict[FlowKey, Entry] = {}
        self.groups: dict[int, Group] = {}
        self.meters: dict[int, Meter] = {}
        self.forgotten: list[Gone | Left] = []
        self.inbox: list[Any] = []
        self.flow_mods = 0
        self.spoke = True

    def send(self, message: Any) -> None:
        self.inbox.append(message)

    def close(self) -> None:
        self.inbox.clear()

    def has_spoken(self) -> bool:
        spoke, self.spoke = self.spoke, False
        return spoke

    def apply(self, delta: Delta, leave_out: Callable[[Entry], bool] = lambda entry: False) -> None:
        self.flow_mods += len(delta.adds) + len(delta.deletes)
        self.apply_meters(delta.meters)
        for cookie in delta.deletes:
            self.flows = {key: entry for key, entry in self.flows.items() if entry.cookie != cookie}
        for entry in delta.adds:
            if not leave_out(entry):
                assert all(meter.meter_id in self.meters for meter in entry.flow.meters), "no such meter"
                self.flows[entry.flow.key] = entry
        self._apply_groups(delta.groups)

    def apply_meters(self, changes: MeterChanges) -> None:
        """What precedes a bundle; it refuses what is there already, or is not."""
        for meter in changes.made:
            assert self.meters.setdefault(meter.meter_id, meter) is meter, "it has this meter"
        for meter in changes.changed:
            assert meter.meter_id in self.meters, "it has no such meter"
            self.meters[meter.meter_id] = meter

    def delete_meters(self, gone: tuple[int, ...]) -> None:
        """Delete meters, and the flows that use them."""
        for number in gone:
            self.meters.pop(number, None)
            for key, entry in tuple(self.flows.items()):
                if any(meter.meter_id == number for meter in entry.flow.meters):
                    del self.flows[key]

    def _apply_groups(self, changes: GroupChanges) -> None:
        for group in changes.puts:
            self.groups[group.group_id] = group
        for number, removed, inserted in changes.buckets:
            kept = [bucket for bucket in self.groups[number].buckets if bucket[0] not in removed]
            assert len(kept) + len(removed) == len(self.groups[number].buckets), "no bucket of this id"
            self.groups[number] = self.groups[number]._replace(buckets=(*kept, *inserted))
        for number in changes.gone:
            self.groups.pop(number, None)

    def answer(self, session: SwitchSession) -> None:
        """Take one message and answer it."""
        message = self.inbox.pop(0)
        self.spoke = True
        if isinstance(message, Echo):
            return
        if isinstance(message, Delta):
            self.apply(message)
            session.committed_reply()
            return
        if isinstance(message, Count):
            session.counts_read(Counter(table for table, _, _ in self.flows))
            return
        if isinstance(message, Forget):
            self.forgotten.append(message.gone)
            return
        if isinstance(message, ReadGroups):
            session.groups_read(self.groups.values())
            return
        if isinstance(message, ReadMeters):
            session.meters_read(self.meters.values())
            return
        if isinstance(message, DeleteMeters):
            self.delete_meters(message.meters)
            return
        found = [
            Stats(entry.cookie, entry.flow.table, entry.flow.match)
            for entry in self.flows.values()
            if message.table in (None, entry.flow.table) and entry.cookie & message.mask == message.cookie
        ]
        half = len(found) // 2
        session.flows_read(message.xid, found[:half], True)  # type: ignore[arg-type]
        session.flows_read(message.xid, found[half:], False)  # type: ignore[arg-type]

    def answer_all(self, session: SwitchSession) -> None:
        while self.inbox:
            self.answer(session)

    def holds(self, table: FlowTable) -> bool:
        """Whether it has exactly the flows of `table`, sentinels aside, and their groups and meters."""
        installed = {entry for entry in self.flows.values() if entry.flow.table != Table.SENTINELS}
        groups = {number: sorted(group.buckets) for number, group in by_id(table.entries()).items()}
        present = {number: sorted(group.buckets) for number, group in self.groups.items()}
        going = {number for each in self.inbox if isinstance(each, DeleteMeters) for number in each.meters}
        limits = {number: meter for number, meter in self.meters.items() if number not in going}
        entries = set(table.entries())
        return installed == entries and groups == present and limits == meters.by_id(entries)
