"""What is published, and who waits for it. The owner thread publishes; any green thread may read or wait.

Reading is one attribute access: `Published` is a frozen value that is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import eventlet
from eventlet.event import Event as GreenEvent

from rest.control import Published
from topology.model import Cluster, Held, Move, Node, Project, Severed
from topology.snapshot import Change

Found = TypeVar("Found")


class _Waiter:
    """One green thread that waits for a predicate to answer."""

    def __init__(self, predicate: Callable[[Published], Any]) -> None:
        self._predicate = predicate
        self._event = GreenEvent()

    def offer(self, published: Published) -> bool:
        """Ask the predicate; return whether the waiter is done."""
        if self._event.ready():
            return True
        try:
            found = self._predicate(published)
        except Exception as error:
            # A faulty predicate fails its own caller, never the owner thread that publishes.
            self._event.send_exception(error)
            return True
        if found is not None:
            self._event.send(found)
        return found is not None

    def result(self, timeout: float) -> Any:
        """Return what the predicate found, or None after `timeout` seconds."""
        found = None
        with eventlet.Timeout(timeout, False):
            found = self._event.wait()
        return found


class Publication:
    """The newest `Published`, and those who wait for a newer one, by topic."""

    def __init__(self, first: Published) -> None:
        self._current = first
        self._waiters: dict[str, dict[_Waiter, None]] = {}

    @property
    def current(self) -> Published:
        """The newest published state."""
        return self._current

    def publish(self, published: Published, topics: Iterable[str]) -> None:
        """Replace the published state and wake those who wait for something about `topics`."""
        self._current = published
        for topic in topics:
            waiters = self._waiters.get(topic)
            if waiters:
                for waiter in [waiter for waiter in waiters if waiter.offer(published)]:
                    waiters.pop(waiter, None)

    def wait(self, topic: str, predicate: Callable[[Published], Found | None], timeout: float) -> Found | None:
        """Return the first answer of `predicate` that is not None, or None after `timeout` seconds.

        It is asked at once, and at each publication about `topic`. An exception that it raises reaches the caller.
        """
        found = predicate(self._current)
        if found is not None or timeout <= 0:
            return found
        waiter = _Waiter(predicate)
        waiters = self._waiters.setdefault(topic, {})
        waiters[waiter] = None
        try:
            result: Found | None = waiter.result(timeout)
            return result
        finally:
            waiters.pop(waiter, None)
            if not waiters and self._waiters.get(topic) is waiters:
                del self._waiters[topic]


def topics_of(changes: Iterable[Change]) -> set[str]:
    """Return what a waiter may wait for that these changes concern."""
    topics: set[str] = set()
    for change in changes:
        subject = change.subject
        if isinstance(subject, Node | Cluster):
            topics.add("nodes")
        if isinstance(subject, Move):
            topics.add("moves")
        if isinstance(subject, Severed):
            topics.update(("tunnels", *subject.tunnel))
        if isinstance(subject, Project):
            topics.add("projects")
        if isinstance(change.before, Held):  # who has it no more has to hear of it as well
            topics.add(change.before.node)
        node = subject.name if isinstance(subject, Node) else getattr(subject, "node", None)
        if node is not None:
            topics.add(node)
    return topics
