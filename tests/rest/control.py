"""A controller in memory: the real admission and compiler, with switches that are told what to do. No tests here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar

from rest.control import Forwarded, Published, Replica, Reply, Submitted, SwitchPhase, SwitchStatus
from rest.reports import Reports
from store.base import Mark, Record
from topology.admission import admit
from topology.compiler import FlowTable, update
from topology.history import turns
from topology.model import Address
from topology.requests import Request
from topology.snapshot import apply_all

Found = TypeVar("Found")


class MemoryControl:
    """See `rest.control.Control`. A switch acknowledges at once while its node is in `connected` and not in `stuck`.

    Nothing waits: while somebody would, the functions in `meanwhile` are called, one at a time.
    """

    def __init__(self) -> None:
        self._published = Published(revision=1)
        self.connected: set[str] = set()
        self.stuck: set[str] = set()
        self.meanwhile: list[Callable[[], object]] = []
        self.waits: list[tuple[str, float]] = []
        self.tokens: dict[str, str] = {}
        self.counted: dict[str, Mapping[int, tuple[int, int]] | Exception] = {}
        self.failure: Exception | None = None
        self.records: list[Record] = []
        self.asked_in_force: list[tuple[tuple[Mark, ...], float, frozenset[str] | None]] = []
        self.stands_still = False
        self.forwarded: list[tuple[Replica, Forwarded]] = []
        self.dead: set[str] = set()
        self._made = 0
        self.reports = Reports()

    @property
    def published(self) -> Published:
        """The newest state."""
        return self._published

    def publish(self, published: Published) -> None:
        """Replace the state by one that a test has made."""
        self._published = published

    def submit(self, request: Request) -> Submitted:
        """Grant a request by the rules of the real controller."""
        if self.failure is not None:
            raise self.failure
        before = self._published
        events = admit(before.snapshot, request)
        snapshot, changes = apply_all(before.snapshot, events)
        if not changes:
            return Submitted(before.revision, frozenset())
        self.records += (Record(float(len(self.records)), turn) for turn in turns(changes))
        tables, _ = update(before.tables, changes, before.snapshot, snapshot)
        revision = before.revision + 1
        touched = {node for node in tables if tables[node] is not before.tables.get(node)}
        self._published = replace(before, revision=revision, snapshot=snapshot, tables=tables)
        self.tokens = {digest: node for digest, node in self.tokens.items() if node in snapshot.nodes}
        for node in snapshot.nodes:
            self._tell(node, revision if node in touched else None)
        return Submitted(revision, frozenset(touched))

    def connect(self, *nodes: str) -> None:
        """Let switches connect; they take over what is wanted."""
        self.connected.update(nodes)
        self.settle(*nodes)

    def settle(self, *nodes: str) -> None:
        """Let switches acknowledge what is wanted."""
        self.stuck.difference_update(nodes)
        for node in nodes:
            self._tell(node, None)

    def disconnect(self, *nodes: str) -> None:
        """Let switches go away."""
        self.connected.difference_update(nodes)
        for node in nodes:
            self._tell(node, None)

    def create_node_token(self, node: str) -> str:
        """Make a token that can be foreseen."""
        if node not in self._published.snapshot.nodes:
            raise KeyError(node)
        self._made += 1
        token = f"token-{self._made}-of-{node}"
        self.tokens = {digest: owner for digest, owner in self.tokens.items() if owner != node}
        self.tokens[sha256(token.encode()).hexdigest()] = node
        return token

    def node_of_token(self, token: str) -> str | None:
        """Return the node a token belongs to, or None."""
        return self.tokens.get(sha256(token.encode()).hexdigest())

    def wait(self, topic: str, predicate: Callable[[Published], Found | None], timeout: float) -> Found | None:
        """Ask at once, and after each thing that happens meanwhile."""
        self.waits.append((topic, timeout))
        found = predicate(self._published)
        while found is None and self.meanwhile and timeout > 0:
            self.meanwhile.pop(0)()
            found = predicate(self._published)
        return found

    def in_force(self, marks: tuple[Mark, ...], timeout: float, nodes: frozenset[str] | None = None) -> tuple[str, ...]:
        """Note what was asked for; nothing is late."""
        self.asked_in_force.append((marks, timeout, nodes))
        return ()

    def forward(self, replica: Replica, call: Forwarded) -> Reply:
        """Note the call; answer as another replica might, or not at all."""
        self.forwarded.append((replica, call))
        if replica.name in self.dead:
            raise ConnectionError("refused")
        headers = (("Content-Type", "application/json"), ("location", "/v1/there"), ("Server", "another"))
        return Reply(201, headers, b'{"answered": "elsewhere"}')

    def responds(self, timeout: float) -> bool:
        """Whether it takes up what it is given."""
        return not self.stands_still

    def late(self, submitted: Submitted, timeout: float) -> tuple[str, ...]:
        """Return the nodes that have not acknowledged."""
        self.waits.append(("late", timeout))
        switches = self._published.switches
        behind = (
            node
            for node in submitted.nodes
            if node in switches and switches[node].committed_revision < submitted.revision
        )
        return tuple(sorted(behind))

    def history(self, space: int, address: Address, most: int) -> tuple[Record, ...]:
        """Return what became of an address; each thing took a second."""
        mine = (record for record in reversed(self.records) if record.turn[:2] == (space, address))
        return tuple(mine)[:most]

    def counters(self, node: str, timeout: float) -> Mapping[int, tuple[int, int]]:
        """Return what a test has set, or raise it."""
        counted = self.counted.get(node, ConnectionError(f"{node} is away"))
        if isinstance(counted, Exception):
            raise counted
        return counted

    def _tell(self, node: str, revision: int | None) -> None:
        """Bring a switch's status up to date; `revision` is that of a change to its flows."""
        now = self._published
        wanted = now.tables.get(node, FlowTable())
        old = now.switches.get(node)
        desired = revision or (old.desired_revision if old else now.revision)
        in_sync = node in self.connected and node not in self.stuck
        phase = SwitchPhase.AWAY
        if node in self.connected:
            phase = SwitchPhase.IN_SYNC if in_sync else SwitchPhase.PROGRAMMING
        committed = desired if in_sync else (old.committed_revision if old else 0)
        status = SwitchStatus(node, now.snapshot.nodes[node].dpid, phase, committed, desired)
        tables = now.committed.set(node, wanted) if in_sync else now.committed
        self._published = replace(now, switches=now.switches.set(node, status), committed=tables)
