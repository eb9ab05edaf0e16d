"""A model of a switch, and messages that stay values, for tests of sessions and of the owner thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from ryu_apps.session import SwitchSession
from topology.compiler import Delta, FlowTable
from topology.flow import Entry, FlowKey
from topology.pipeline import Table


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


class FakeWire:
    """Messages stay values, so that the model switch can act on them."""

    def bundle(self, delta: Delta) -> Any:
        return (delta,)

    def read_counts(self, xid: int) -> Any:
        return Count(xid)

    def read_flows(self, xid: int, table: int | None, cookie: int, mask: int) -> Any:
        return Read(xid, table, cookie, mask)


class ModelSwitch:
    """Holds flows by key, as OVS does, and answers when it is told to."""

    def __init__(self) -> None:
        self.flows: dict[FlowKey, Entry] = {}
        self.inbox: list[Any] = []
        self.flow_mods = 0

    def send(self, message: Any) -> None:
        self.inbox.append(message)

    def close(self) -> None:
        self.inbox.clear()

    def apply(self, delta: Delta, leave_out: Callable[[Entry], bool] = lambda entry: False) -> None:
        self.flow_mods += len(delta.adds) + len(delta.deletes)
        for cookie in delta.deletes:
            self.flows = {key: entry for key, entry in self.flows.items() if entry.cookie != cookie}
        for entry in delta.adds:
            if not leave_out(entry):
                self.flows[entry.flow.key] = entry

    def answer(self, session: SwitchSession) -> None:
        """Take one message and answer it."""
        message = self.inbox.pop(0)
        if isinstance(message, Delta):
            self.apply(message)
            session.committed_reply()
            return
        if isinstance(message, Count):
            session.counts_read(Counter(table for table, _, _ in self.flows))
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
        """Whether it has exactly the flows of `table`, sentinels aside."""
        installed = {entry for entry in self.flows.values() if entry.flow.table != Table.SENTINELS}
        return installed == set(table.entries())
