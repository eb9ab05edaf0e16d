"""Objects that nobody needs any more are let go, also when somebody writes to one at the same time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import eventlet
import pytest
from structlog.testing import capture_logs

from kube.errors import Conflict
from kube.mirror import Name
from kube.resources import FINALIZER
from kube.store import Asked
from ryu_apps.cluster import deciding
from ryu_apps.cluster.deciding import Deciding, Parts
from topology.snapshot import empty

NAME = Name("bindings", "red")


class BusyObject:
    """A store with one object, which is to be deleted; others write to it the first time that it is let go."""

    def __init__(self) -> None:
        self.tries = 0
        self.left: Asked | None = Asked(1, (FINALIZER,), True, {}, {})

    def asked(self, name: Name) -> Asked | None:
        return self.left if name == NAME else None

    def asks(self) -> dict[Name, Asked]:
        return {}

    def release(self, name: Name) -> None:
        self.tries += 1
        if self.tries == 1:
            raise Conflict(name.name, "it has changed", "read it again", 409)
        self.left = None


def test_what_was_changed_while_it_is_let_go_is_let_go_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "AGAIN_SECONDS", 0.01)
    store = BusyObject()
    following = SimpleNamespace(nodes={}, namespaces={})
    control = SimpleNamespace(published=SimpleNamespace(snapshot=empty()))
    parts: Any = Parts(following, store, SimpleNamespace(refusals={}), control)  # type: ignore[arg-type]
    it = Deciding(parts, lambda: True, pod_cidrs=False)
    thread = eventlet.spawn(it.run)
    with capture_logs() as said, eventlet.Timeout(5):
        it.touched((NAME,))
        while store.left is not None:
            eventlet.sleep(0.01)
    thread.kill()
    assert store.tries == 2
    assert said == [], "somebody else's change is nothing to warn of"
