"""The one green thread that owns the network's state. Everything that happens becomes an entry of its queue.

A batch of requests is admitted, applied and compiled on values; only when all of that has succeeded is it stored,
and only when it is stored is it published and sent to switches. An exception on the way leaves everything as it was,
as does the verifier (`gate`) when flows are not sound.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import eventlet
import structlog
from eventlet.event import Event as GreenEvent
from eventlet.queue import LightQueue

from rest.control import Published, Replicas, Submitted, SwitchPhase
from ryu_apps.batch import Batch, Outcome, Submission, worked_out
from ryu_apps.departures import Departures
from ryu_apps.domain import ALONE, Domain
from ryu_apps.gate import compiled
from ryu_apps.keeping import Keeper
from ryu_apps.link import Link, Wire
from ryu_apps.lost import LostInterfaces
from ryu_apps.openflow.decode import FlowStats
from ryu_apps.publication import Publication, topics_of
from ryu_apps.pulse import Pulse
from ryu_apps.session import SwitchSession
from store.base import Outdated, Store, StoreError
from topology.admission import admit
from topology.compiler import FlowTable
from topology.egress import forgotten
from topology.model import EndpointSlice, Node, Port, PortKey, Quarantine
from topology.requests import (
    ForgetPort,
    NodeFound,
    NodeLost,
    PortSeen,
    PortVanished,
    Refused,
    ReleaseAddresses,
    ReportPort,
    Request,
    SwitchPorts,
)
from topology.snapshot import Change, Event, Snapshot
from topology.targets import gone

_BATCH = 64
_TRIES = 8  # of deciding anew what others were first to change
_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 30.0

log = structlog.get_logger(__name__)


class _Call(NamedTuple):
    """Anything else that must happen in the owner thread."""

    action: Callable[[], None]


class Owner:
    """State, sessions and the queue in front of them."""

    def __init__(self, store: Store, wire: Wire, snapshot: Snapshot, domain: Domain = ALONE) -> None:
        self._domain = domain
        alone = domain is ALONE
        self._keeper = Keeper(store, self._later if alone else None)
        self._wire = wire
        self._queue: LightQueue = LightQueue()
        self._sessions: dict[str, SwitchSession] = {}
        self._linked: dict[Link, SwitchSession] = {}
        self._revisions = itertools.count(2)
        self._departures = Departures()
        # Ports of an earlier run: what their switch does not have when it first connects went away meanwhile.
        self._restored: dict[str, tuple[PortKey, ...]] = {node: tuple(keys) for node, keys in snapshot.ports_on.items()}
        self._standing_by: set[str] = set()  # switches that were not led when they should have been, last time
        self._pulse, self._beating = Pulse(), False
        self._lost = LostInterfaces(lambda: self.publication.current.snapshot)
        tables = compiled(snapshot)
        self.publication = Publication(Published(1, snapshot, tables))
        for node in snapshot.nodes.values():
            self._add_session(node, tables[node.name])
        for quarantine in snapshot.quarantined.values():
            self._quarantine(quarantine, (quarantine.node,))
        self._publish(())

    # --- called from any green thread ----------------------------------------------------------

    def submit(self, request: Request) -> Submitted:
        """Store and apply a request; return when that is done. Raises Refused with nothing changed."""
        reply = GreenEvent()
        self._queue.put(Submission(request, reply))
        submitted: Submitted = reply.wait()
        return submitted

    def post(self, request: Request) -> None:
        """Let a request that nobody waits for be applied; a refusal is logged."""
        self._queue.put(Submission(request, GreenEvent()))

    def call(self, action: Callable[[], None]) -> None:
        """Let `action` run in the owner thread."""
        self._queue.put(_Call(action))

    def follow(self, observe: Callable[[Snapshot], tuple[Event, ...]]) -> None:
        """Take over what was decided elsewhere: `observe` is given the snapshot, and returns what it lacks."""
        self.call(lambda: self._take_over(observe))

    def begin_with(self, snapshot: Snapshot, pause: Callable[[], object], done: Callable[[], object]) -> None:
        """Take over a whole network, in place of an empty one; `pause` lets others run meanwhile."""
        self.call(lambda: self._begin_with(snapshot, pause, done))

    def lead(self, nodes: Mapping[str, int]) -> None:
        """Answer for these nodes from now on, as OpenFlow master of the generation given with each."""
        self.call(lambda: self._lead(dict(nodes)))

    def step_back(self, nodes: Iterable[str]) -> None:
        """Leave these nodes to another replica."""
        self.call(lambda: self._step_back(tuple(nodes)))

    def insist(self, nodes: Mapping[str, int]) -> None:
        """These nodes are this replica's, as it has just seen: lead those that it leads not, for longer than a moment.

        Another may have taken the role and gone; or a switch knows a newer generation than that of the present lease.
        """
        self.call(lambda: self._insist(dict(nodes)))

    def say(self, *, replicas: Replicas | None = None, waiting_for: tuple[str, ...] | None = None) -> None:
        """Publish who answers for what, or which inputs are not known yet."""
        self.call(lambda: self._say(replicas, waiting_for))

    def connected(self, dpid: int, link: Link, ofports: Mapping[str, int]) -> None:
        """A registered switch has connected, and has these ports by name."""
        self.call(lambda: self._connected(dpid, link, dict(ofports)))

    def disconnected(self, link: Link) -> None:
        """A connection has ended."""
        self.call(lambda: self._disconnected(link))

    def switch_says(self, link: Link, tell: Callable[[SwitchSession], None]) -> None:
        """Let the session of a connection take in a message."""
        self.call(lambda: self._heard(link, tell))

    def port_seen(self, link: Link, interface: str, ofport: int | None) -> None:
        """A switch has an interface, or (ofport None) has it no more."""
        self.call(lambda: self._port_seen(link, interface, ofport))

    def read_flows(self, node: str, timeout: float) -> list[FlowStats]:
        """Read all flows of a switch. Raises ConnectionError when it is away, TimeoutError after `timeout` seconds."""
        done = GreenEvent()
        self.call(lambda: self._ask(node, done))
        with eventlet.Timeout(timeout, TimeoutError(f"node {node}: its switch did not answer in {timeout} s")):
            flows: list[FlowStats] | None = done.wait()
        if flows is None:
            raise ConnectionError(f"node {node}: its switch is not connected")
        return flows

    def audit(self, node: str) -> None:
        """Let a switch be read back and repaired, if nothing else is under way there."""
        self.call(lambda: self._audit(node))

    def beat(self) -> None:
        """Look which switches give signs of life, unless that is still to be done. Every `pulse.BEAT_SECONDS`."""
        if not self._beating:
            self._beating = True
            self.call(self._beat)

    # --- the thread ----------------------------------------------------------------------------

    def run(self) -> None:
        """Take entries from the queue for ever."""
        while True:
            items = self._take()
            try:
                self._work(items)
            except Exception as error:
                log.exception("entries of the queue failed")
                for item in items:
                    if isinstance(item, Submission) and not item.reply.ready():
                        item.reply.send_exception(error)

    def _take(self) -> list[Submission | _Call]:
        items: list[Submission | _Call] = [self._queue.get()]
        while len(items) < _BATCH and not self._queue.empty():
            items.append(self._queue.get())
        return items

    def _work(self, items: list[Submission | _Call]) -> None:
        """Do entries in order; requests that stand beside each other are one batch."""
        for is_request, group in itertools.groupby(items, key=lambda item: isinstance(item, Submission)):
            if is_request:
                self._requests([item for item in group if isinstance(item, Submission)])
                continue
            for item in group:
                self._guarded(item)

    def _guarded(self, item: Any) -> None:
        try:
            item.action()
        except Exception:
            log.exception("an entry of the queue failed")

    def _requests(self, submissions: list[Submission], tries: int = _TRIES) -> None:
        try:
            batch = self._admit(submissions)
            outcome = worked_out(batch, self.publication.current)
            batch.marks = self._keeper.keep(batch.events, batch.changes)
        except Outdated as outdated:
            self._take_over(outdated.events)
            if tries:
                self._requests(submissions, tries - 1)
                return
            self._failed(submissions, StoreError("the store", str(outdated), "ask again"))
            return
        except Exception as error:
            if len(submissions) > 1:  # one of them must not fail the others
                for submission in submissions:
                    self._requests([submission])
                return
            if isinstance(error, StoreError):
                log.error("a request was not kept", request=type(submissions[0].request).__name__, why=str(error))
            elif not isinstance(error, Refused):
                log.exception("a request failed", request=submissions[0].request)
            submissions[0].reply.send_exception(error)
            return
        self._install(batch, outcome)
        if batch.changes:
            self._take_over(lambda snapshot: self._keeper.released(snapshot, batch.events))

    def _failed(self, submissions: Iterable[Submission], error: Exception) -> None:
        log.error("requests failed", why=str(error))
        for submission in submissions:
            submission.reply.send_exception(error)

    def _take_over(self, observe: Callable[[Snapshot], tuple[Event, ...]]) -> None:
        batch = Batch(self.publication.current.snapshot)
        batch.apply(observe(batch.snapshot))
        if batch.changes:
            batch.apply(self._numbers(batch))
            self._install(batch, worked_out(batch, self.publication.current, decided_here=False))

    def _begin_with(self, snapshot: Snapshot, pause: Callable[[], object], done: Callable[[], object]) -> None:
        tables = compiled(snapshot, pause)
        revision = next(self._revisions)
        for node in snapshot.nodes.values():
            self._add_session(node, tables[node.name])
        self._publish((), Published(revision, snapshot, tables))
        done()

    def _admit(self, submissions: list[Submission]) -> Batch:
        batch = Batch(self.publication.current.snapshot)
        for submission in submissions:
            try:
                self._domain.check(submission.request)
                events = admit(batch.snapshot, submission.request)
            except Refused as refusal:
                batch.refused.append((submission, refusal))
                continue
            batch.apply(events)
            batch.apply(self._already_seen(batch.snapshot, submission.request))
            batch.accepted.append(submission)
        return batch

    def _already_seen(self, snapshot: Snapshot, request: Request) -> tuple[Event, ...]:
        """A port may be on the switch before the node has reported it."""
        if not isinstance(request, ReportPort):
            return ()
        ofport = self._ofport(request.key.node, request.host_interface)
        if ofport is None:
            return ()
        return admit(snapshot, PortSeen(request.key.node, request.host_interface, ofport))

    def _numbers(self, batch: Batch) -> tuple[Event, ...]:
        """Return the numbers of ports that switches have told before anybody told of the ports."""
        events: list[Event] = []
        for before, after in batch.changes:
            if isinstance(after, Port) and before is None:
                ofport = self._ofport(after.node, after.host_interface)
                if ofport not in (None, after.ofport):
                    events.extend(admit(batch.snapshot, PortSeen(after.node, after.host_interface, ofport)))
        return tuple(events)

    def _ofport(self, node: str, interface: str) -> int | None:
        """Return the number that an interface has on its switch, None when that is not known."""
        session = self._sessions.get(node)
        return None if session is None else session.ofports.get(interface)

    def _install(self, batch: Batch, outcome: Outcome) -> None:
        """The batch is stored: make it the present, tell the switches, answer those who asked."""
        previous = self.publication.current
        revision = next(self._revisions) if batch.changes else previous.revision
        for change in batch.changes:
            self._follow(change, outcome)
        for node, keys in outcome.changed.items():
            session = self._sessions.get(node)
            if session is not None:
                session.want(outcome.tables[node], revision, keys)
        self._forget_connections(batch)
        if batch.changes:
            topics = topics_of(batch.changes) | {*outcome.changed}
            self._publish(topics, Published(revision, batch.snapshot, outcome.tables))
            self._release_addresses(topics)
        submitted = Submitted(revision, frozenset(outcome.changed), batch.marks)
        for submission in batch.accepted:
            submission.reply.send(submitted)
        for submission, refusal in batch.refused:
            log.info("refused", request=type(submission.request).__name__, why=str(refusal))
            submission.reply.send_exception(refusal)

    def _forget_connections(self, batch: Batch) -> None:
        """Let switches forget what they led to endpoints that are gone, or out by addresses; others go on."""
        before = self.publication.current.snapshot
        for node, left in forgotten(batch.changes, before, batch.snapshot):
            if node in self._sessions and self._sessions[node].leads:
                self._sessions[node].forget((left,))
        slices = (change.before for change in batch.changes if isinstance(change.before, EndpointSlice))
        found = [each for before in slices for each in gone(before, batch.snapshot)]
        for session in self._sessions.values() if found else ():
            if session.leads:
                session.forget(found)

    def _follow(self, change: Change, outcome: Outcome) -> None:
        """Keep what stands beside the snapshot: sessions of nodes, addresses in quarantine."""
        match change:
            case Change(before=None, after=Node() as node):
                self._add_session(node, outcome.tables[node.name])
            case Change(before=Node(name=name), after=None):
                self._sessions.pop(name).close()
                self._lost.without(name)
            case Change(before=Port() as port, after=None):
                self._lost.forgotten(port)
            case Change(after=Quarantine() as quarantine) if self._domain.answers_for(quarantine.node):
                # Other switches name the subnet of a node: that one went, they have to forget it first.
                there = quarantine.node in outcome.tables
                self._quarantine(quarantine, (quarantine.node,) if there else outcome.changed)

    def _add_session(self, node: Node, table: FlowTable) -> None:
        session = SwitchSession(node.name, node.dpid, self._wire, leads=self._domain is ALONE)
        session.want(table, 1, ())
        self._sessions[node.name] = session

    # --- switches ------------------------------------------------------------------------------

    def _lead(self, nodes: Mapping[str, int]) -> None:
        """Become the one that answers for nodes: catch up on what their switches told another replica."""
        for quarantine in self.publication.current.snapshot.quarantined.values():
            if quarantine.node in nodes and quarantine.node in self._sessions:
                self._quarantine(quarantine, (quarantine.node,))
        for node, generation in sorted(nodes.items()):
            session = self._sessions.get(node)
            if session is None:
                continue
            self._forget_lost(session)
            log.info("leading", node=node, generation=generation)
            self._told(session, lambda session, generation=generation: session.lead(generation))  # type: ignore[misc]

    def _step_back(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            session = self._sessions.get(node)
            if session is not None:
                log.info("following", node=node)
                self._told(session, SwitchSession.follow)

    def _insist(self, nodes: Mapping[str, int]) -> None:
        standing_by, again = set(), {}
        for node, generation in nodes.items():
            session = self._sessions.get(node)
            if session is None:
                continue
            self._forget_lost(session)
            if session.phase is not SwitchPhase.STANDBY:
                continue
            if node not in self._standing_by:
                standing_by.add(node)
            elif session.is_stale:
                self._told(session, SwitchSession.overcome)
            else:
                again[node] = generation
        self._standing_by = standing_by
        if again:
            self._lead(again)

    def _connected(self, dpid: int, link: Link, ofports: dict[str, int]) -> None:
        name = self.publication.current.snapshot.node_by_dpid.get(dpid)
        session = self._sessions.get(name) if name is not None else None
        if session is None:
            link.close()  # the node was deleted while its switch connected
            return
        self._linked[link] = session
        session.ofports = ofports
        # The ports come first, so that flows are compared with what the ports of now need.
        self._compare_ports(session, ofports)
        log.info("switch connected", node=session.node, dpid=f"{dpid:016x}")
        self._told(session, lambda session: session.connect(link))

    def _compare_ports(self, session: SwitchSession, ofports: Mapping[str, int]) -> None:
        forget = self._domain.answers_for(session.node)
        self._lost.compare(session.node, ofports)
        self._quietly(SwitchPorts(session.node, tuple(sorted(ofports.items())), forget))
        for key in self._restored.pop(session.node, ()):
            port = self.publication.current.snapshot.ports.get(key)
            if port is not None and port.ofport is None and forget:
                self._quietly(ForgetPort(key))

    def _forget_lost(self, session: SwitchSession) -> None:
        """Forget the ports of interfaces that went while another answered for them, or while that could not be kept.

        What cannot be kept now either is tried again; what is forgotten is struck off by `_follow`.
        """
        if session.phase is not SwitchPhase.AWAY:  # else they may have come back
            for key in self._lost.ports(session.node, session.ofports):
                self._quietly(ForgetPort(key))

    def _disconnected(self, link: Link) -> None:
        session = self._linked.pop(link, None)
        if session is not None and session.is_connected_by(link):
            log.warning("switch away", node=session.node)
            self._told(session, SwitchSession.disconnect)

    def _heard(self, link: Link, tell: Callable[[SwitchSession], None]) -> None:
        session = self._linked.get(link)
        if session is not None:
            self._told(session, tell)

    def _told(self, session: SwitchSession, tell: Callable[[SwitchSession], None]) -> None:
        """Let a session take something in; publish what that changed."""
        before = (session.status, session.committed)
        tell(session)
        status = session.status
        if status.phase is SwitchPhase.ERROR and before[0].phase is not SwitchPhase.ERROR:
            self._retry_later(session)
        if status != before[0] or session.committed is not before[1]:
            self._publish((session.node,))
            self._release_addresses((session.node,))

    def _port_seen(self, link: Link, interface: str, ofport: int | None) -> None:
        session = self._linked.get(link)
        if session is None:
            return
        request: Request
        self._told(session, lambda told: told.see_port(interface, ofport))
        if ofport is None:
            forget = self._domain.answers_for(session.node)
            self._lost.went(session.node, interface)
            request = PortVanished(session.node, interface, forget)
        else:
            request = PortSeen(session.node, interface, ofport)
        self._quietly(request)

    def _quietly(self, request: Request) -> None:
        """Handle a request of our own in the owner thread; a refusal is logged."""
        self._requests([Submission(request, GreenEvent())])

    def _audit(self, node: str) -> None:
        session = self._sessions.get(node)
        if session is not None:
            self._told(session, SwitchSession.audit)

    def _beat(self) -> None:
        """Where addresses are to be held, let nodes be lost and found."""
        self._beating = False
        snapshot = self.publication.current.snapshot
        watched = bool(snapshot.claims or snapshot.outages)
        alive = {session.node for session in self._sessions.values() if session.is_alive(ask=watched)}
        sound = {node for node in alive if self._sessions[node].status.synchronised}
        verdict = self._pulse.beat(snapshot.nodes, alive, sound)
        for node in verdict.lost if snapshot.claims else ():
            if node not in snapshot.outages and self._domain.answers_for(node):
                log.warning("a node is lost: others hold its addresses", node=node)
                self._quietly(NodeLost(node))
        for node in verdict.found:
            if node in snapshot.outages and self._domain.answers_for(node):
                log.info("a node is found: it may hold addresses", node=node)
                self._quietly(NodeFound(node))

    def _ask(self, node: str, done: GreenEvent) -> None:
        session = self._sessions.get(node)
        if session is None:
            done.send(None)
        else:
            session.ask(done.send)

    def _retry_later(self, session: SwitchSession) -> None:
        seconds = min(_RETRY_SECONDS * 2 ** (session.failures - 1), _LONGEST_RETRY_SECONDS)
        log.error("switch refused a change", node=session.node, why=session.status.last_error, retry_in=seconds)
        eventlet.spawn_after(seconds, self.call, lambda: self._told(session, SwitchSession.retry))

    # --- addresses -----------------------------------------------------------------------------

    def _quarantine(self, quarantine: Quarantine, nodes: Iterable[str]) -> None:
        """Keep an address until each of `nodes`, whose switches may name it, is in sync."""
        place = (quarantine.space, quarantine.address)
        if self._departures.depart(place, (node for node in nodes if node in self._sessions)):
            self.post(ReleaseAddresses((place,)))

    def _later(self, seconds: float, action: Callable[[], None]) -> object:
        return eventlet.spawn_after(seconds, self.call, action)

    def _release_addresses(self, nodes: Iterable[str]) -> None:
        """Free the addresses whose removal the last of their switches has acknowledged; a deleted node names none."""
        for node in nodes:
            session = self._sessions.get(node)
            if session is None or session.phase is SwitchPhase.IN_SYNC:
                free = self._departures.acknowledge(node)
                if free:
                    self.post(ReleaseAddresses(free))

    # --- publication ---------------------------------------------------------------------------

    def _say(self, replicas: Replicas | None, waiting_for: tuple[str, ...] | None) -> None:
        current = self.publication.current
        said = dataclasses.replace(
            current,
            replicas=current.replicas if replicas is None else replicas,
            waiting_for=current.waiting_for if waiting_for is None else waiting_for,
        )
        self.publication.publish(said, {*self._sessions, "nodes"})

    def _publish(self, topics: Iterable[str], published: Published | None = None) -> None:
        base = published or self.publication.current
        committed, switches = base.committed, base.switches
        previous = self.publication.current
        if published is not None:
            committed, switches = previous.committed, previous.switches
        changed = set(topics) if topics else set(self._sessions)
        for node in changed:
            session = self._sessions.get(node)
            if session is None:
                if node in switches:
                    committed, switches = committed.delete(node), switches.delete(node)
                continue
            committed = committed.set(node, session.committed)
            switches = switches.set(node, session.status)
        current = Published(
            base.revision, base.snapshot, base.tables, committed, switches, previous.replicas, previous.waiting_for
        )
        self.publication.publish(current, changed)
