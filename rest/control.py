"""What REST needs from the controller, and what the controller publishes for it. No HTTP and no OpenFlow here.

REST reads `Published`, which is replaced as a whole in one assignment and never changed; it never sees a live object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol, TypeVar

from immutables import Map

from store.base import Record
from topology.compiler import FlowTable, SectionKey, Tables
from topology.model import Address, PortKey
from topology.pipeline import FeatureId
from topology.requests import Request
from topology.snapshot import Snapshot, empty

Found = TypeVar("Found")


class SwitchPhase(Enum):
    """Where a switch stands."""

    AWAY = "Away"  # not connected
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


@dataclass(frozen=True, slots=True)
class Published:
    """The network at one revision: what is wanted, what switches must hold, what they acknowledged."""

    revision: int = 0
    snapshot: Snapshot = field(default_factory=empty)
    tables: Tables = Map()
    committed: Tables = Map()  # per node, the table that its switch has acknowledged
    switches: Map[str, SwitchStatus] = Map()
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
        if port.ofport is None:
            return "Pending", f"the switch has not reported interface {port.host_interface}"
        wanted = table.sections.get(section)
        if wanted and self.committed.get(key.node, FlowTable()).sections.get(section) == wanted:
            return "Committed", ""
        return "Pending", "the switch has not acknowledged its flows"


class Submitted(NamedTuple):
    """An accepted request: stored, and part of the published snapshot at `revision`; `nodes` have to be programmed."""

    revision: int
    nodes: frozenset[str]


class Control(Protocol):
    """The controller, as REST may use it. Calls block the calling green thread only."""

    @property
    def published(self) -> Published:
        """The newest published state."""
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
        are, and the cluster's settings), or "moves" (which are under way, and at what stage).
        """
        ...

    def late(self, submitted: Submitted, timeout: float) -> tuple[str, ...]:
        """Wait until a request is in force; return the nodes on which it still is not after `timeout` seconds.

        It does not wait for switches that are away; they are among those returned.
        """
        ...

    def history(self, space: int, address: Address, most: int) -> tuple[Record, ...]:
        """Return the newest entries, at most so many, of what became of an address, newest first."""
        ...

    def counters(self, node: str, timeout: float) -> Mapping[int, tuple[int, int]]:
        """Ask a switch for its flows' packets and bytes, by cookie. Raises TimeoutError or ConnectionError."""
        ...
