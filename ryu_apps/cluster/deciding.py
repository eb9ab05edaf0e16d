"""Asks become decisions, at the replica that decides: specs, namespaces and nodes are handed to the owner as requests.

What is refused is told in the object's status, and asked again later. Several green threads, each with one object at a
time, so that the owner has several requests to keep at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Final, NamedTuple

import eventlet
import msgspec
import structlog
from eventlet.queue import LightQueue
from eventlet.semaphore import Semaphore

from kube.asks import Ask, for_namespace, for_node, is_gone, requests_for
from kube.errors import ApiError, Conflict
from kube.mirror import Mirror, Name
from kube.objects import NAMESPACES, NODES
from kube.resources import BINDINGS, CONNECTIONS, EGRESSES, EXTERNAL_VTEPS, MIRRORS, NETWORKS, PROJECT_NETWORKS
from kube.store import Asked, KubernetesStore
from rest.control import Control
from ryu_apps.cluster.following import Following
from ryu_apps.cluster.statuses import Outcome, status_of
from store.base import StoreError
from store.fields import Malformed
from topology.requests import Refused, Request, TrackConnection

WORKERS: Final = 16
AGAIN_SECONDS: Final = 5.0  # until what was refused, or is not in force, is looked at again
_KNOWN_SECONDS: Final = 0.1  # that the tracker sees what is under way before a connection is narrowed
ASKED: Final = frozenset(
    resource.plural
    for resource in (NETWORKS, PROJECT_NETWORKS, BINDINGS, CONNECTIONS, EGRESSES, MIRRORS, EXTERNAL_VTEPS)
)

log = structlog.get_logger(__name__)


class Parts(NamedTuple):
    """What it works with."""

    following: Following
    store: KubernetesStore
    mirror: Mirror
    control: Control


class Deciding:
    """The queue of names to be looked at, and the threads that look."""

    def __init__(self, parts: Parts, decides: Callable[[], bool], *, pod_cidrs: bool) -> None:
        self._following, self._store, self._mirror, self._control = parts
        self._decides = decides
        self._pod_cidrs = pod_cidrs
        self._queue: LightQueue = LightQueue()
        self._nodes = Semaphore()  # one more node concerns all others: one after the other
        self._queued: dict[Name, None] = {}
        self._said: dict[Name, str] = {}

    def touched(self, names: Iterable[Name]) -> None:
        """Look at these, if this replica decides."""
        if self._decides():
            for name in names:
                if name.plural in ASKED or name.plural in (NAMESPACES.plural, NODES.plural):
                    self._enqueue(name)

    def run(self) -> None:
        """Look at all whenever this replica begins to decide, and at what is touched meanwhile."""
        for _ in range(WORKERS):
            eventlet.spawn(self._work)
        decided = False
        while True:
            decides = self._decides()
            if decides and not decided:
                self._all()
            decided = decides
            eventlet.sleep(0.2)

    def _all(self) -> None:
        for node in {*self._following.nodes, *self._control.published.snapshot.nodes}:
            self._enqueue(Name(NODES.plural, node))
        for name in sorted(self._store.asks(), key=lambda name: name.plural != NETWORKS.plural):
            self._enqueue(name)
        for namespace in {*self._following.namespaces, *self._control.published.snapshot.projects}:
            self._enqueue(Name(NAMESPACES.plural, namespace))

    def _enqueue(self, name: Name) -> None:
        if name not in self._queued:
            self._queued[name] = None
            self._queue.put(name)

    def _later(self, name: Name) -> None:
        eventlet.spawn_after(AGAIN_SECONDS, self.touched, (name,))

    def _work(self) -> None:
        while True:
            name = self._queue.get()
            self._queued.pop(name, None)
            if not self._decides():
                continue
            try:
                self._look(name)
            except (StoreError, ApiError) as error:
                log.warning("a decision is put off", name="/".join(name), why=str(error))
                self._later(name)
            except Exception:
                log.exception("an ask failed", name="/".join(name))
                self._later(name)

    def _look(self, name: Name) -> None:
        if name.plural in ASKED:
            asked = self._store.asked(name)
            if asked is not None:
                self._look_at_ask(name, asked)
            return
        try:
            with self._nodes if name.plural == NODES.plural else nullcontext():
                for request in self._wanted(name):
                    self._control.submit(request)
            self._said.pop(name, None)
        except Refused as refused:
            self._refused(name, str(refused))

    def _wanted(self, name: Name) -> tuple[Request, ...]:
        snapshot = self._control.published.snapshot
        if name.plural == NODES.plural:
            return for_node(snapshot, name.name, self._following.nodes.get(name.name), pod_cidrs=self._pod_cidrs)
        home = self._store.asked(Name(PROJECT_NETWORKS.plural, name.name))
        network = home.spec.get("network") if home is not None else None
        return for_namespace(snapshot, name.name, self._following.namespaces.get(name.name), network)

    def _refused(self, name: Name, why: str) -> None:
        if self._said.get(name) != why:
            log.warning("refused", name="/".join(name), why=why)
        self._said[name] = why
        self._later(name)

    # --- what people write ---------------------------------------------------------------------

    def _look_at_ask(self, name: Name, asked: Asked) -> None:
        snapshot = self._control.published.snapshot
        ask = Ask(name.plural, name.name, asked.spec, asked.is_leaving)
        submitted, why = None, ""
        try:
            for request in requests_for(snapshot, ask):
                if not self._still_asks(name, asked):
                    self._enqueue(name)
                    return
                submitted = self._control.submit(request)
                if isinstance(request, TrackConnection) and submitted.marks:
                    self._control.late(submitted, AGAIN_SECONDS)
                    eventlet.sleep(_KNOWN_SECONDS)
        except Refused as refused:
            why = str(refused)
        except (Malformed, msgspec.ValidationError) as error:
            why = f"spec: {error}"
        if why:
            self._refused(name, why)
        elif name in self._mirror.refusals:
            why = self._mirror.refusals[name]
            self._later(name)
        else:
            self._said.pop(name, None)
        if ask.is_leaving and not why and is_gone(self._control.published.snapshot, ask):
            self._let_go(name)
            return
        late = () if submitted is None else self._control.late(submitted, AGAIN_SECONDS)
        self._tell(name, asked, why, late)

    def _still_asks(self, name: Name, asked: Asked) -> bool:
        """Whether an object asks for the same as when it was looked at: others change and remove it meanwhile."""
        present = self._store.asked(name)
        return present is not None and (present.spec, present.is_leaving) == (asked.spec, asked.is_leaving)

    def _let_go(self, name: Name) -> None:
        """The network never had it, or has it no more: take the finalizer off, if it is still there."""
        try:
            self._store.release(name)
        except Conflict:  # others have changed it: what they wrote is looked at when it is heard of
            self._later(name)

    def _tell(self, name: Name, asked: Asked, why: str, late: tuple[str, ...]) -> None:
        """Write what became of an ask into its status."""
        present = self._store.asked(name)
        if present is None:
            return
        outcome = Outcome(name, present, asked.generation, why, late)
        status = status_of(outcome, self._control.published)
        try:
            self._store.write_status(name, status)
        except Conflict:
            self._later(name)
            return
        if status["phase"] not in ("Active", "Refused"):
            self._later(name)
