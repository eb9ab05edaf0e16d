"""One switch: what it has, what it must have, and the one bundle that may be in flight. A state machine without I/O.

    AWAY --connected--> SYNCHRONISING --sentinels agree------------------------> IN_SYNC
                             |  ^--------- retry ---------- ERROR <--- refused --   |  ^
                             +--differ--> read those classes --> PROGRAMMING <-change-+  |
                                                                     +----- committed ---+

Rules of this file
------------------
- Only the owner thread calls it; bytes leave by the link it was given, time comes as retries that the owner schedules.
- At most one bundle is in flight; changes that come meanwhile are remembered as sections and sent when it is done.
- Nothing is deleted on a switch before what it has is known and what it must have is computed.
- "Committed" is the commit reply with no error since the bundle was opened. After any error the sentinels of the
  classes concerned are not believed, and the switch is read again.
- After a disconnection `committed` still says what the switch was last known to have: it goes on forwarding.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from rest.control import SwitchPhase, SwitchStatus
from ryu_apps.openflow.decode import FlowStats
from ryu_apps.openflow.wire import WireError
from topology.compiler import Delta, FlowTable, SectionKey, diff, reconcile, unlike
from topology.flow import DIGEST_MASK, Entry, owner_class, sentinel
from topology.pipeline import Table

# Above this many classes that differ, one read of everything is cheaper than one for each.
_MANY_CLASSES = 8


class Wire(Protocol):
    """What a session needs of OpenFlow: bytes of a bundle, and of a request for flows."""

    def bundle(self, delta: Delta) -> Iterable[bytes]:
        """Return one ordered atomic bundle, from open to commit, in parts to be sent one after the other."""
        ...

    def read_flows(self, xid: int, table: int | None, cookie: int, mask: int) -> bytes:
        """Return a request for the flows of a table (None: of all) whose cookie agrees with `cookie` in `mask`."""
        ...

    def read_counts(self, xid: int) -> bytes:
        """Return a request for the number of flows in each table."""
        ...


class Link(Protocol):
    """A connection to a switch."""

    def send(self, data: bytes) -> None:
        """Queue bytes; it does not wait for the switch to read them."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


@dataclass(frozen=True, slots=True)
class _InFlight:
    table: FlowTable
    revision: int
    owners: frozenset[int]


class SwitchSession:
    """What the controller knows of one node's switch."""

    def __init__(self, node: str, dpid: int, wire: Wire) -> None:
        self.node = node
        self.dpid = dpid
        self.ofports: dict[str, int] = {}
        self.committed = FlowTable()
        self.committed_revision = 0
        self.phase = SwitchPhase.AWAY
        self.failures = 0  # in a row; the owner spaces out retries by it
        self._wire = wire
        self._link: Link | None = None
        self._xids = itertools.count(1)
        self._desired = FlowTable()
        self._revision = 0
        self._dirty: set[SectionKey] = set()
        self._in_flight: _InFlight | None = None
        self._refused: str | None = None  # an error that came while a bundle was in flight
        self._last_error: str | None = None
        self._base_revision = 0
        self._synchronised = False  # whether it has had what it must have since it connected
        self._auditing = False
        self._base = FlowTable()  # what is being compared with the switch, while synchronising
        self._reads: dict[int, list[FlowStats]] = {}
        self._asking: list[Callable[[list[FlowStats] | None], None]] = []  # who wants to see the flows
        self._asked = 0  # the request for them
        self._shown: list[FlowStats] = []
        self._scope: frozenset[int] | None = frozenset()  # classes being read; None: all
        self._found: list[FlowStats] = []
        self._counts: dict[int, int] = {}  # flows by table, as the switch counts them

    # --- what the owner tells it ---------------------------------------------------------------

    def connect(self, link: Link) -> None:
        """The switch is here: ask for its sentinels, and how many flows it has."""
        self._link = link
        self._in_flight = None
        self._refused = None
        self._synchronise()

    def disconnect(self) -> None:
        """The switch is away; it keeps forwarding by what it has."""
        self._link = None
        self._in_flight = None
        self._reads.clear()
        self._enter(SwitchPhase.AWAY)
        self._show(None)

    def close(self) -> None:
        """The node is registered no more: end the connection."""
        if self._link is not None:
            self._link.close()
        self.disconnect()

    def retry(self) -> None:
        """Read the switch again after an error."""
        if self._link is not None and self.phase is SwitchPhase.ERROR:
            self._synchronise(everything=True)

    def audit(self) -> None:
        """Read everything back, to find what somebody edited by hand."""
        if self.phase is SwitchPhase.IN_SYNC:
            self._synchronise(everything=True)
            self._auditing = True

    def ask(self, done: Callable[[list[FlowStats] | None], None]) -> None:
        """Read all flows for somebody who wants to see them; `done` gets None when the switch is or goes away.

        One such request is under way at most, so that a switch that does not answer does not gather them.
        """
        if self._link is None:
            done(None)
            return
        self._asking.append(done)
        if len(self._asking) == 1:
            self._asked = next(self._xids)
            self._shown = []
            self._transmit(self._wire.read_flows(self._asked, None, 0, 0))

    def want(self, table: FlowTable, revision: int, dirty: Iterable[SectionKey]) -> None:
        """From `revision` on the switch must hold `table`; only sections in `dirty` can differ from before."""
        self._desired = table
        self._revision = revision
        self._dirty.update(dirty)
        if self.phase is SwitchPhase.IN_SYNC:
            self._program()

    def is_connected_by(self, link: Link) -> bool:
        """Whether `link` is its present connection."""
        return self._link is link

    @property
    def status(self) -> SwitchStatus:
        """The switch as it is published; one that is being audited passes for what it was."""
        phase = SwitchPhase.IN_SYNC if self._auditing else self.phase
        revisions = (self.committed_revision, self._revision)
        return SwitchStatus(self.node, self.dpid, phase, *revisions, self._last_error, self._synchronised)

    # --- what the switch says ------------------------------------------------------------------

    def flows_read(self, xid: int, flows: Iterable[FlowStats], more: bool) -> None:
        """A part of the answer to a request for flows; `more` says that it is not the last one."""
        if xid == self._asked:
            self._shown.extend(flows)
            if not more:
                self._show(self._shown)
            return
        found = self._reads.get(xid)
        if found is None:
            return
        found.extend(flows)
        if more:
            return
        del self._reads[xid]
        if self._scope is not None and not self._scope and not self._reads:
            self._compare_sentinels(found)
            return
        self._found.extend(found)
        if not self._reads:
            self._repair(self._found)

    def counts_read(self, counts: Mapping[int, int]) -> None:
        """A part of the answer to a request for the number of flows, by table."""
        flows = {table: count for table, count in counts.items() if count and table != Table.SENTINELS}
        self._counts.update(flows)

    def committed_reply(self) -> None:
        """The switch has committed the bundle in flight."""
        flight = self._in_flight
        if flight is None:
            return
        if self._refused is not None:
            self._fail(self._refused)
            return
        self._in_flight = None
        self._last_error = None
        self.failures = 0
        self.committed, self.committed_revision = flight.table, flight.revision
        self._program()

    def error(self, text: str, *, ends_bundle: bool) -> None:
        """The switch refused a message; when it was the commit, no commit reply follows."""
        if self._in_flight is None:
            self._fail(text)
            return
        self._refused = self._refused or text
        if ends_bundle:
            self._fail(self._refused)

    # --- inside --------------------------------------------------------------------------------

    def _enter(self, phase: SwitchPhase) -> None:
        self.phase = phase
        self._synchronised = phase is SwitchPhase.IN_SYNC or (self._synchronised and phase is not SwitchPhase.AWAY)
        self._auditing = False

    def _transmit(self, data: bytes) -> None:
        if self._link is not None:
            self._link.send(data)

    def _transmit_bundle(self, delta: Delta) -> None:
        for part in self._wire.bundle(delta):
            self._transmit(part)

    def _show(self, flows: list[FlowStats] | None) -> None:
        asking, self._asking, self._asked = self._asking, [], 0
        for done in asking:
            done(flows)

    def _read(self, table: int | None, owner: int | None) -> None:
        xid = next(self._xids)
        self._reads[xid] = []
        cookie, mask = (0, 0) if owner is None else (owner << 48, 0xFFFF << 48)
        self._transmit(self._wire.read_flows(xid, table, cookie, mask))

    def _synchronise(self, *, everything: bool = False) -> None:
        self._enter(SwitchPhase.SYNCHRONISING)
        self._base, self._dirty = self._desired, set()
        self._base_revision = self._revision
        self._reads.clear()
        self._found = []
        self._counts = {}
        if everything:
            self._scope = None
            self._read(None, None)
        else:
            self._scope = frozenset()
            # Answers come in the order of the requests: the counts are there when the sentinels are.
            self._transmit(self._wire.read_counts(next(self._xids)))
            self._read(int(Table.SENTINELS), None)

    def _compare_sentinels(self, found: list[FlowStats]) -> None:
        differing = unlike(self._base, _sums(found))
        if not differing and self._counts == Counter(entry.flow.table for entry in self._base.entries()):
            self._in_sync()
            return
        # Where sentinels agree and numbers do not, somebody edited flows by hand: only reading all of them tells which.
        self._scope = differing if 0 < len(differing) <= _MANY_CLASSES else None
        for owner in [None] if self._scope is None else sorted(self._scope):
            self._read(None, owner)

    def _repair(self, found: list[FlowStats]) -> None:
        sentinels = [flow for flow in found if flow.table == Table.SENTINELS]
        flows = {flow.cookie for flow in found if flow.table != Table.SENTINELS}
        delta = reconcile(self._base, flows, self._scope)
        as_wanted = not delta.deletes and all(_is_sentinel(entry) for entry in delta.adds)
        if self._scope is None and as_wanted and not unlike(self._base, _sums(sentinels)):
            self._in_sync()
        else:
            self._commit(delta, self._base, self._base_revision)

    def _in_sync(self) -> None:
        self.committed, self.committed_revision = self._base, self._base_revision
        self._last_error = None
        self.failures = 0
        self._program()

    def _program(self) -> None:
        """Send what changed since the committed table, or settle when nothing did."""
        delta = diff(self.committed, self._desired, self._dirty)
        self._dirty = set()
        if delta:
            self._commit(delta, self._desired, self._revision)
        else:
            self.committed, self.committed_revision = self._desired, self._revision
            self._enter(SwitchPhase.IN_SYNC)

    def _commit(self, delta: Delta, table: FlowTable, revision: int) -> None:
        self._enter(SwitchPhase.PROGRAMMING)
        owners = frozenset(owner_class(entry.cookie) for entry in delta.adds if not _is_sentinel(entry))
        self._in_flight = _InFlight(table, revision, owners | {owner_class(cookie) for cookie in delta.deletes})
        self._refused = None
        self._transmit_bundle(delta)

    def _fail(self, text: str) -> None:
        if self._in_flight is not None:
            self._disown(self._in_flight)
        self._in_flight = None
        self._refused = None
        self._reads.clear()
        self._last_error = text
        self.failures += 1
        self._enter(SwitchPhase.ERROR)

    def _disown(self, flight: _InFlight) -> None:
        """Make the sentinels of a bundle that went wrong tell so, for whoever reads them next."""
        sums = flight.table.sums
        wrong = tuple(sentinel(owner, sums.get(owner, 0) ^ 1) for owner in sorted(flight.owners))
        if wrong:
            self._transmit_bundle(Delta(wrong, ()))


def _is_sentinel(entry: Entry) -> bool:
    return entry.flow.table == Table.SENTINELS


def _sums(sentinels: Iterable[FlowStats]) -> dict[int, int]:
    """Return what sentinels read from a switch say: the sum by owner class. What is none of ours says nothing."""
    sums = {}
    for flow in sentinels:
        with suppress(WireError):
            if len(flow.match) == 1:
                sums[flow.match[0][1]] = flow.cookie & DIGEST_MASK
    return sums
