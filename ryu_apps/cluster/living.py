"""Asking a replica as long as it lives: one that is stopped still takes in what it is sent, and never answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import eventlet
from eventlet.event import Event as GreenEvent

from rest.control import Published
from ryu_apps.publication import Publication

NODES: Final = "nodes"  # the topic of who answers for what
_LONG: Final = 3600.0  # seconds; whoever asks gives up before

Found = TypeVar("Found")


def while_living(publication: Publication, name: str, ask: Callable[[], Found]) -> Found:
    """Return what `ask` returns, or raise what it raises. Raises ConnectionError when the replica dies before that."""
    ended = GreenEvent()
    asking = eventlet.spawn(ask)
    watching = eventlet.spawn(publication.wait, NODES, partial(_is_gone, name=name), _LONG)
    asking.link(_end, ended, True)
    watching.link(_end, ended, False)
    try:
        if not ended.wait():
            raise ConnectionError("it gives no sign of life any more")
        found: Found = asking.wait()
        return found
    finally:
        asking.kill()
        watching.kill()


def _end(_: Any, ended: GreenEvent, answered: bool) -> None:
    if not ended.ready():
        ended.send(answered)


def _is_gone(published: Published, name: str) -> bool | None:
    return True if published.replicas.find(name) is None else None
