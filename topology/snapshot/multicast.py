"""What memberships of groups change in a snapshot: who listens to a group, by network."""

from __future__ import annotations

from dataclasses import replace

from topology.model import Membership, Port
from topology.snapshot.events import Change, Event
from topology.snapshot.index import before_after, exclude, include, table
from topology.snapshot.value import Snapshot


def keep_membership(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Membership)
    key = event.value.port
    before, after = before_after(snapshot.memberships, key, event)
    port = snapshot.ports.get(key)
    if before == after:
        return snapshot, ()
    state = replace(snapshot, memberships=table(snapshot.memberships, key, after))
    if port is not None:
        state = _listen(_listen(state, port, before, joined=False), port, after, joined=True)
    return state, (Change(before, after),)


def follow_port(snapshot: Snapshot, before: Port | None, after: Port | None) -> tuple[Snapshot, tuple[Change, ...]]:
    """Let a port's membership go along with it: to another network, or away."""
    port = after or before
    known = None if port is None else snapshot.memberships.get(port.key)
    if known is None or (before is not None and after is not None and before.network == after.network):
        return snapshot, ()
    state = snapshot if before is None else _listen(snapshot, before, known, joined=False)
    if after is not None:
        return _listen(state, after, known, joined=True), ()
    return replace(state, memberships=state.memberships.delete(known.port)), (Change(known, None),)


def _listen(snapshot: Snapshot, port: Port, membership: Membership | None, *, joined: bool) -> Snapshot:
    """Put a port's groups into the indexes, or take them out."""
    if membership is None:
        return snapshot
    keep = include if joined else exclude
    listeners, groups = snapshot.listeners, snapshot.groups_of
    for group in membership.groups:
        listeners = keep(listeners, (port.network, group), port.key)
        is_heard = (port.network, group) in listeners
        groups = (include if is_heard else exclude)(groups, port.network, group)
    return replace(snapshot, listeners=listeners, groups_of=groups)
