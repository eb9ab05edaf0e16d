"""What REST needs from the controller, and what the controller publishes for it. No HTTP and no OpenFlow here.

REST reads `Published`, which is replaced as a whole in one assignment and never changed; it never sees a live object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol, TypeVar

from immutables import Map

from rest.reports import Reports
from store.base import Mark, Record
from topology.compiler import FlowTable, SectionKey, Tables
from topology.model import Address, PortKey
from topology.pipeline import FeatureId
from topology.requests import Request
from topology.snapshot import Snapshot, empty

Found = TypeVar("Found")


class Replica(NamedTuple):
    """One of the controllers that share the switches: where its API is (URL), and where switches connect to it."""

    name: str
    api: str
    openflow: str  # as OVSDB has it: tcp:192.0.2.1:6653
    since: str = ""  # when it came (RFC 3339), by its own clock


class Held(NamedTuple):
    """A part of what is to be decided, and the replica that has it."""

    share: str
    replica: str
    since: str = ""  # when it took it (RFC 3339), by its own clock


@dataclass(frozen=True, slots=True)
class Replicas:
    """Who answers for what. Without `living`, this controller is alone and answers for everything.

    `decides` is who decides about what concerns the whole network; `masters` who programs a node's switch and answers
    for its ports; `shares` the part that a node is in, which changes hands as a whole. `held` has each part's holder.
    """

    me: str = ""
    living: tuple[Replica, ...] = ()
    decides: str | None = None
    masters: Map[str, str] = Map()
    shares: Map[str, str] = Map()
    held: tuple[Held, ...] = ()

    def find(self, name: str | None) -> Replica | None:
        """Return a living replica by its name."""
        return next((replica for replica in self.living if replica.name == name), None)


class Forwarded(NamedTuple):
    """A call for another replica: the path with its query, and what of the headers it needs."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout: float  # seconds


class Reply(NamedTuple):
    """What another replica answered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class SwitchPhase(Enum):
    """Where a switch stands."""

    AWAY = "Away"  # not connected
    STANDBY = "Standby"  # connected; another replica programs it
    SYNCHRONISING = "Synchronising"  # connected; what it has is being compared
    PROGRAMMING = "Programming"  # a bundle is in flight
    IN_SYNC = "InSync"  # it has what it must have
    ERROR = "Error"  # it refused something; it is tried again


class SwitchStatus(NamedTuple):
    """One switch, as seen from outside. Revisions are those of `Published`."""

    node: str
    dpid: int
    phase: SwitchPhase
    committed_revision: int  # the last revision whose flows it acknowledged
    desired_revision: int  # the last revision that changed its flows
    last_error: str | None = None
    synchronised: bool = True  # whether it has had what it must have at some time since it connected
    takes_geneve: bool = True  # whether it has a port for it; one that is away is supposed to


@dataclass(frozen=True, slots=True)
class Published:
    """The network at one revision: what is wanted, what switches must hold, what they acknowledged."""

    revision: int = 0
    snapshot: Snapshot = field(default_factory=empty)
    tables: Tables = Map()
    committed: Tables = Map()  # per node, the table that its switch has acknowledged
    switches: Map[str, SwitchStatus] = Map()
    replicas: Replicas = Replicas()
    waiting_for: tuple[str, ...] = ()  # inputs that are not known yet; nothing is deleted on any switch until then

    def port_phase(self, key: PortKey) -> tuple[str, str]:
        """Return a port's phase (Pending, Committed, Failed) and the reason in words.

        Raises KeyError when there is no such port.
        """
        port = self.snapshot.ports[key]
        section = SectionKey(int(FeatureId.PORTS), tuple(key))
        table = self.tables.get(key.node, FlowTable())
        for conflict in table.conflicts:
            if conflict.left_out == section:
                return "Failed", f"its flows collide with those of {conflict.owner.subject}"
        for fault in table.faults:
            if fault.left_out == section:
                return "Failed", f"its flows are not sound and were left out: {fault.said}"
        status = self.switches.get(key.node)
        if status is not None and status.phase is SwitchPhase.STANDBY:
            return "Pending", "another replica programs the switch, and knows"
        if port.ofport is None:
            return "Pending", f"the switch has not reported interface {port.host_interface}"
        wanted = table.sections.get(section)
        if wanted and self.committed.get(key.node, FlowTable()).sections.get(section) == wanted:
            return "Committed", ""
        return "Pending", "the switch has not acknowledged its flows"


class Submitted(NamedTuple):
    """An accepted request: stored, and part of the published snapshot at `revision`; `nodes` have to be programmed.

    `marks` are what other replicas, if there are any, will see of it.
    """

    revision: int
    nodes: frozenset[str]
    marks: tuple[Mark, ...] = ()


class Control(Protocol):
    """The controller, as REST may use it. Calls block the calling green thread only."""

    @property
    def published(self) -> Published:
        """The newest published state."""
        ...

    @property
    def reports(self) -> Reports:
        """What nodes have said of themselves to this replica."""
        ...

    def submit(self, request: Request) -> Submitted:
        """Store and apply a request. Raises topology.requests.Refused, with nothing changed."""
        ...

    def create_node_token(self, node: str) -> str:
        """Make, store (as SHA-256) and return a new token for a node that exists; earlier ones are void."""
        ...

    def node_of_token(self, token: str) -> str | None:
        """Return the node a token belongs to, or None."""
        ...

    def wait(self, topic: str, predicate: Callable[[Published], Found | None], timeout: float) -> Found | None:
        """Return the first result of `predicate` that is not None, or None after `timeout` seconds.

        It is asked at once, and again when something was published about `topic`: a node's name (its switch, its
        ports, and its configuration, so also the other nodes and the cluster's settings), "nodes" (which nodes there
        are, and the cluster's settings), "projects" (which there are), or "moves" (which are under way, at what stage).
        """
        ...

    def late(self, submitted: Submitted, timeout: float) -> tuple[str, ...]:
        """Wait until a request is in force; return the nodes on which it still is not after `timeout` seconds.

        It does not wait for switches that are away; they are among those returned.
        """
        ...

    def in_force(self, marks: tuple[Mark, ...], timeout: float, nodes: frozenset[str] | None = None) -> tuple[str, ...]:
        """Wait until what others have written is in force here; return the nodes of this replica where it is not.

        With `nodes`, only these are looked at; those that are another replica's are returned too.
        """
        ...

    def forward(self, replica: Replica, call: Forwarded) -> Reply:
        """Let another replica answer a call. Raises ConnectionError."""
        ...

    def responds(self, timeout: float) -> bool:
        """Whether the thread that decides everything takes up what it is given, within a time."""
        ...

    def history(self, space: int, address: Address, most: int) -> tuple[Record, ...]:
        """Return the newest entries, at most so many, of what became of an address, newest first."""
        ...

    def counters(self, node: str, timeout: float) -> Mapping[int, tuple[int, int]]:
        """Ask a switch for its flows' packets and bytes, by cookie. Raises TimeoutError or ConnectionError."""
        ...
