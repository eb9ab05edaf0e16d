"""One switch: what it has, what it must have, and the one bundle that may be in flight. A state machine without I/O.

    AWAY --connected--> SYNCHRONISING --sentinels agree------------------------> IN_SYNC
                             |  ^--------- retry ---------- ERROR <--- refused --   |  ^
                             +--differ--> read those classes --> PROGRAMMING <-change-+  |
                                                                     +----- committed ---+

Where several replicas share switches, one that does not lead a switch is in STANDBY: connected, an OpenFlow slave, and
silent. `lead` asks for the role of master (OpenFlow 1.5.1, 6.3.7), and what follows is as after a connection; `follow`,
or the switch's word that another is master now, ends it.

Rules of this file
------------------
- Only the owner thread calls it; bytes leave by the link it was given, time comes as retries that the owner schedules.
- At most one bundle is in flight; changes that come meanwhile are remembered as sections and sent when it is done.
- Nothing is deleted on a switch before what it has is known and what it must have is computed.
- "Committed" is the commit reply with no error since the bundle was opened. After any error the sentinels of the
  classes concerned are not believed, and the switch is read again.
- After a disconnection `committed` still says what the switch was last known to have: it goes on forwarding.
- Nothing is written before the switch has confirmed the role, and nothing after it has said that another has it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from rest.control import SwitchPhase, SwitchStatus
from ryu_apps.link import Link, Wire
from ryu_apps.openflow.decode import FlowStats
from ryu_apps.openflow.messages import Role
from ryu_apps.openflow.wire import WireError
from ryu_apps.readback import Readback
from topology.compiler import Delta, FlowTable, SectionKey, diff, reconcile, unlike
from topology.egress import Left
from topology.flow import DIGEST_MASK, Entry, Group, Meter, owner_class, sentinel
from topology.meters import by_id
from topology.model import GENEVE_OFPORT
from topology.pipeline import APART, Table
from topology.targets import Gone

# Above this many classes that differ, one read of everything is cheaper than one for each.
_MANY_CLASSES = 8

# Endpoints that went while a switch is away: its connections to those before these end by their time-outs.
_MOST_GONE = 4096

# In the others the switch is compared with the whole table before anything is sent; they may last for weeks.
_TRACKING = frozenset({SwitchPhase.SYNCHRONISING, SwitchPhase.PROGRAMMING, SwitchPhase.IN_SYNC})


@dataclass(frozen=True, slots=True)
class _InFlight:
    table: FlowTable
    revision: int
    owners: frozenset[int]
    meters: tuple[int, ...] = ()  # those that go when it is committed: a flow that has one goes with it


class SwitchSession:
    """What the controller knows of one node's switch."""

    def __init__(self, node: str, dpid: int, wire: Wire, *, leads: bool = True) -> None:
        self.node = node
        self.dpid = dpid
        self.leads = leads  # whether this replica programs it
        self.is_stale = False  # whether the switch refused the role, for it knows a newer generation
        self._generation: int | None = None  # None: no other replica, so no role is asked for
        self._asked_role = False  # whether the role of master was asked for, and nothing answered yet
        self._role_request = 0  # the last request for a role: only its answer counts
        self.ofports: dict[str, int] = {}
        self.committed = FlowTable()
        self.committed_revision = 0
        self.phase = SwitchPhase.AWAY
        self.failures = 0  # in a row; the owner spaces out retries by it
        self._wire = wire
        self._link: Link | None = None
        self._echo_is_due = False
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
        self._read = Readback()
        self._asking: list[Callable[[list[FlowStats] | None], None]] = []  # who wants to see the flows
        self._asked = 0  # the request for them
        self._shown: list[FlowStats] = []
        # Of which connections are to be forgotten, once none is begun any more.
        self._gone: dict[Gone | Left, None] = {}

    # --- what the owner tells it ---------------------------------------------------------------

    def connect(self, link: Link) -> None:
        """The switch is here: ask for its sentinels, and how many flows it has."""
        self._link = link
        self._echo_is_due = False
        self._asked_role = False
        self._in_flight = None
        self._refused = None
        self._begin()

    def lead(self, generation: int) -> None:
        """Program the switch from now on, as master of this generation."""
        self.leads, self._generation, self.is_stale = True, generation, False
        if self._link is not None:
            self._begin()

    def follow(self) -> None:
        """Leave the switch to another replica."""
        if self.leads and self._link is not None and self._generation is not None:
            self._ask_role(Role.SLAVE, self._generation)
        self._step_back()

    def overcome(self) -> None:
        """Ask for the role with a generation above the one that the switch knows. Only for who surely has the lead."""
        if self.is_stale and self._link is not None:
            self._ask_role(Role.NO_CHANGE, 0)

    def disconnect(self) -> None:
        """The switch is away; it keeps forwarding by what it has."""
        self._link = None
        self._in_flight = None
        self._read.forget()
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
        if self.phase in _TRACKING:
            self._dirty.update(dirty)
        if self.phase is SwitchPhase.IN_SYNC:
            self._program()

    def forget(self, gone: Iterable[Gone | Left]) -> None:
        """After what the switch was told just now: forget connections of services and of egresses.

        Who goes on is sent to another endpoint, which refuses what it does not know, or leaves by another address.
        """
        self._gone.update(dict.fromkeys(gone))
        for oldest in tuple(self._gone)[: max(0, len(self._gone) - _MOST_GONE)]:
            del self._gone[oldest]
        self._forget()

    def is_alive(self, *, ask: bool) -> bool:
        """Whether the switch has said anything since this was asked last; with `ask` it is let say something.

        Without, it is alive if it is connected. What it has not answered yet is not asked again.
        """
        if self._link is None:
            return False
        spoken = self._link.has_spoken()
        if ask and (spoken or not self._echo_is_due):
            self._transmit(self._wire.ask_echo())
        self._echo_is_due = ask
        return spoken or not ask

    def see_port(self, interface: str, ofport: int | None) -> None:
        """The switch has an interface, or (None) has it no more."""
        if ofport is None:
            self.ofports.pop(interface, None)
        else:
            self.ofports[interface] = ofport

    def is_connected_by(self, link: Link) -> bool:
        """Whether `link` is its present connection."""
        return self._link is link

    @property
    def status(self) -> SwitchStatus:
        """The switch as it is published; one that is being audited passes for what it was."""
        phase = SwitchPhase.IN_SYNC if self._auditing else self.phase
        revisions = (self.committed_revision, self._revision)
        takes_geneve = self._link is None or GENEVE_OFPORT in self.ofports.values()
        return SwitchStatus(self.node, self.dpid, phase, *revisions, self._last_error, self._synchronised, takes_geneve)

    # --- what the switch says ------------------------------------------------------------------

    def role_given(self, xid: int, role: int, generation: int) -> None:
        """The switch answers a request for a role."""
        if xid != self._role_request or not self.leads or self._link is None:
            return
        self._asked_role = False
        if role == Role.MASTER:
            self.is_stale = False
            if self.phase is SwitchPhase.STANDBY:
                self._synchronise()
        elif self.is_stale:
            self.is_stale = False
            self._generation = generation + 1
            self._ask_role(Role.MASTER, self._generation)

    def role_changed(self, role: int) -> None:
        """The switch says what this replica is now, for another has asked for a role."""
        if self._is_alone or role in (Role.MASTER, Role.EQUAL):
            return  # to one without others it can only be a stranger, who is noticed when the switch refuses something
        if self._asked_role:
            self._stand_by()  # that was before what is asked for now
        else:
            self._step_back()

    def role_refused(self, xid: int) -> None:
        """The switch knows a newer generation of masters."""
        if xid != self._role_request:
            return
        self._asked_role = False
        if self.leads:
            self._stand_by()
            self.is_stale = True

    def flows_read(self, xid: int, flows: Iterable[FlowStats], more: bool) -> None:
        """A part of the answer to a request for flows; `more` says that it is not the last one."""
        if xid == self._asked:
            self._shown.extend(flows)
            if not more:
                self._show(self._shown)
            return
        read = self._read
        if read.take(xid, flows, more=more):
            if read.is_of_sentinels:
                self._compare_sentinels(read)
            else:
                self._repair(read)

    def counts_read(self, counts: Mapping[int, int]) -> None:
        """A part of the answer to a request for the number of flows, by table."""
        self._read.count(counts)

    def groups_read(self, groups: Iterable[Group]) -> None:
        """A part of the answer to the request for groups."""
        if self._read.groups is not None:
            self._read.groups.update((group.group_id, group) for group in groups)

    def meters_read(self, meters: Iterable[Meter]) -> None:
        """A part of the answer to the request for meters."""
        self._read.meters.update((meter.meter_id, meter) for meter in meters)

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
        if flight.meters:
            self._transmit(self._wire.delete_meters(flight.meters))
        self.committed, self.committed_revision = flight.table, flight.revision
        self._program()

    def error(self, text: str, *, ends_bundle: bool) -> None:
        """The switch refused a message; when it was the commit, no commit reply follows."""
        if self.phase in (SwitchPhase.STANDBY, SwitchPhase.AWAY):
            return  # about what was sent before another became master
        if self._in_flight is None:
            self._fail(text)
            return
        self._refused = self._refused or text
        if ends_bundle:
            self._fail(self._refused)

    def forbidden(self, text: str, *, ends_bundle: bool) -> None:
        """The switch takes nothing from this controller, for it is a slave there."""
        if self._is_alone:
            self.error(text, ends_bundle=ends_bundle)
        else:
            self.role_changed(Role.SLAVE)

    # --- inside --------------------------------------------------------------------------------

    @property
    def _is_alone(self) -> bool:
        return self.leads and self._generation is None

    def _begin(self) -> None:
        """The switch is here, or is this replica's now: become its master if it has to be asked, and compare."""
        if self._is_alone:
            self._synchronise()
            return
        self._stand_by()
        if self.leads and self._generation is not None:
            self._ask_role(Role.MASTER, self._generation)

    def _stand_by(self) -> None:
        """Be silent: what the switch has from now on is another's doing."""
        self._in_flight = None
        self._refused = None
        self._read.forget()
        self._last_error = None
        self.is_stale = False
        self._gone.clear()
        if self._link is not None:
            self._enter(SwitchPhase.STANDBY)

    def _step_back(self) -> None:
        self.leads = False
        self._stand_by()

    def _ask_role(self, role: Role, generation: int) -> None:
        self._asked_role = role is Role.MASTER
        self._role_request = next(self._xids)
        self._transmit(self._wire.ask_role(self._role_request, role, generation))

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

    def _read_classes(self, scope: frozenset[int] | None) -> None:
        """Ask for the flows of classes (None: all), and for groups first: answers come in the order of requests."""
        self._read = Readback(scope, groups={}, meters=self._read.meters)
        self._transmit(self._wire.read_groups(next(self._xids)))
        for owner in [None] if scope is None else sorted(scope):
            self._read_flows(None, owner)

    def _read_flows(self, table: int | None, owner: int | None) -> None:
        xid = next(self._xids)
        self._read.expect(xid)
        cookie, mask = (0, 0) if owner is None else (owner << 48, 0xFFFF << 48)
        self._transmit(self._wire.read_flows(xid, table, cookie, mask))

    def _synchronise(self, *, everything: bool = False) -> None:
        self._enter(SwitchPhase.SYNCHRONISING)
        self._base, self._dirty = self._desired, set()
        self._base_revision = self._revision
        self._read = Readback()
        # Answers come in the order of the requests: these are there when the sentinels or flows are.
        self._transmit(self._wire.read_meters(next(self._xids)))
        if everything:
            self._read_classes(None)
        else:
            # So are the counts.
            self._transmit(self._wire.read_counts(next(self._xids)))
            self._read_flows(int(Table.SENTINELS), None)

    def _compare_sentinels(self, read: Readback) -> None:
        differing = unlike(self._base, _sums(read.flows))
        counted = Counter(entry.flow.table for entry in self._base.entries())
        if not differing and read.counts == counted and read.meters == by_id(self._base.entries()):
            self._in_sync()
            return
        # Where sentinels agree and numbers do not, somebody edited flows by hand: only reading all of them tells which.
        self._read_classes(differing if 0 < len(differing) <= _MANY_CLASSES else None)

    def _repair(self, read: Readback) -> None:
        sentinels = [flow for flow in read.flows if flow.table == Table.SENTINELS]
        flows = {flow.cookie for flow in read.flows if flow.table not in APART}
        delta = reconcile(self._base, flows, read.scope, read.groups, read.meters)
        unchanged = not (delta.deletes or delta.groups or delta.meters)
        as_wanted = unchanged and all(_is_sentinel(entry) for entry in delta.adds)
        if read.scope is None and as_wanted and not unlike(self._base, _sums(sentinels)):
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
            self._forget()

    def _forget(self) -> None:
        if self.phase is SwitchPhase.IN_SYNC:
            for gone in self._gone:
                self._transmit(self._wire.forget(next(self._xids), gone))
            self._gone.clear()

    def _commit(self, delta: Delta, table: FlowTable, revision: int) -> None:
        self._enter(SwitchPhase.PROGRAMMING)
        owners = frozenset(owner_class(entry.cookie) for entry in delta.adds if not _is_sentinel(entry))
        owners |= {owner_class(cookie) for cookie in delta.deletes}
        self._in_flight = _InFlight(table, revision, owners, delta.meters.gone)
        self._refused = None
        self._transmit_bundle(delta)

    def _fail(self, text: str) -> None:
        if self._in_flight is not None:
            self._disown(self._in_flight)
        self._in_flight = None
        self._refused = None
        self._read.forget()
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
