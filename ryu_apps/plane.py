"""The controller as REST may use it: `rest.control.Control`, on top of the owner thread and the store."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from typing import Final, TypeVar

import eventlet
from eventlet.event import Event as GreenEvent

from rest.control import Forwarded, Published, Replica, Reply, Submitted, SwitchPhase
from rest.reports import Reports
from ryu_apps.owner import Owner
from store.base import Mark, Record, Store
from topology.model import Address
from topology.requests import Request

Found = TypeVar("Found")

TOKEN_BYTES: Final = 32


class ControlPlane:
    """See `rest.control.Control` for what each call means."""

    def __init__(self, owner: Owner, store: Store) -> None:
        self._owner = owner
        self._store = store
        self._asked: GreenEvent | None = None
        self.reports = Reports()

    @property
    def published(self) -> Published:
        """The newest published state."""
        return self._owner.publication.current

    def submit(self, request: Request) -> Submitted:
        """Store and apply a request. Raises Refused."""
        return self._owner.submit(request)

    def create_node_token(self, node: str) -> str:
        """Make and return a new token; only its digest is kept. Raises KeyError for a node that does not exist."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        done = GreenEvent()
        self._owner.call(lambda: _settle(done, lambda: self._store.set_token(node, _digest(token))))
        done.wait()
        return token

    def node_of_token(self, token: str) -> str | None:
        """Return the node a token belongs to, or None."""
        return self._store.node_of(_digest(token))

    def wait(self, topic: str, predicate: Callable[[Published], Found | None], timeout: float) -> Found | None:
        """Return the first result of `predicate` that is not None, or None after `timeout` seconds."""
        return self._owner.publication.wait(topic, predicate, timeout)

    def late(self, submitted: Submitted, timeout: float) -> tuple[str, ...]:
        """Wait until a request is in force; return the nodes on which it is not, at once for switches that are away."""
        return self.behind(submitted, timeout)

    def behind(self, submitted: Submitted, timeout: float) -> tuple[str, ...]:
        """As `late`, of the switches that this controller programs."""
        with eventlet.Timeout(timeout, False):
            for node in sorted(submitted.nodes):
                self.wait(node, partial(_settled, node=node, revision=submitted.revision), timeout)
        published = self.published
        return tuple(node for node in sorted(submitted.nodes) if not _in_force(published, node, submitted.revision))

    def in_force(self, marks: tuple[Mark, ...], timeout: float, nodes: frozenset[str] | None = None) -> tuple[str, ...]:
        """See `rest.control.Control`: alone, what is asked for is this controller's own."""
        return ()

    def forward(self, replica: Replica, call: Forwarded) -> Reply:
        """See `rest.control.Control`: alone, there is nobody to forward to."""
        raise ConnectionError(f"this controller is alone, {replica.name} is not known")

    def responds(self, timeout: float) -> bool:
        """Whether the owner thread takes up what it is given; one question at a time is on its way."""
        if self._asked is None or self._asked.ready():
            self._asked = GreenEvent()
            self._owner.call(self._asked.send)
        with eventlet.Timeout(timeout, False):
            self._asked.wait()
        return bool(self._asked.ready())

    def history(self, space: int, address: Address, most: int) -> tuple[Record, ...]:
        """Return the newest entries of what became of an address, newest first."""
        return self._store.history(space, address, most)

    def counters(self, node: str, timeout: float) -> Mapping[int, tuple[int, int]]:
        """Ask a switch for its flows' packets and bytes, by cookie. Raises TimeoutError or ConnectionError."""
        flows = self._owner.read_flows(node, timeout)
        return {flow.cookie: (flow.packets, flow.bytes) for flow in flows}


def _in_force(published: Published, node: str, revision: int) -> bool:
    """Whether a node has acknowledged a revision; one that is no longer registered has nothing to acknowledge."""
    status = published.switches.get(node)
    return status is None or status.committed_revision >= revision


def _settled(published: Published, node: str, revision: int) -> bool | None:
    """Return True when there is nothing to wait for any more: in force, or nobody there to acknowledge."""
    status = published.switches.get(node)
    away = status is not None and status.phase is SwitchPhase.AWAY
    return True if away or _in_force(published, node, revision) else None


def _settle(event: GreenEvent, action: Callable[[], object]) -> None:
    try:
        event.send(action())
    except Exception as error:
        event.send_exception(error)


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
