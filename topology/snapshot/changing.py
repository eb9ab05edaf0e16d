"""From one snapshot to the next: `apply`, by the keeper of each kind of object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from topology.model import (
    AddressBlock,
    Binding,
    Cluster,
    Connection,
    Egress,
    EndpointSlice,
    Membership,
    Mirror,
    Move,
    Network,
    Node,
    Outage,
    Pod,
    Port,
    Project,
    Quarantine,
    Service,
    Watermark,
)
from topology.snapshot.bindings import keep_binding, keep_pod, keep_project
from topology.snapshot.events import Change, Event
from topology.snapshot.holding import keep_outage
from topology.snapshot.multicast import keep_membership
from topology.snapshot.objects import (
    keep_block,
    keep_cluster,
    keep_connection,
    keep_egress,
    keep_mirror,
    keep_move,
    keep_network,
    keep_node,
    keep_quarantine,
    keep_service,
    keep_slice,
    keep_watermark,
)
from topology.snapshot.ports import keep_port
from topology.snapshot.value import Snapshot


def apply(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    """Return the snapshot after `event` and what changed; no change at all when the event says what is so already."""
    keep = _KEEPERS[type(event.value)]
    return keep(snapshot, event)


def apply_all(snapshot: Snapshot, events: tuple[Event, ...]) -> tuple[Snapshot, tuple[Change, ...]]:
    """Apply events in order."""
    changes: list[Change] = []
    for event in events:
        snapshot, more = apply(snapshot, event)
        changes.extend(more)
    return snapshot, tuple(changes)


_KEEPERS: Final[dict[type, Callable[[Snapshot, Event], tuple[Snapshot, tuple[Change, ...]]]]] = {
    Cluster: keep_cluster,
    Node: keep_node,
    Outage: keep_outage,
    Network: keep_network,
    Project: keep_project,
    Move: keep_move,
    Binding: keep_binding,
    Pod: keep_pod,
    Connection: keep_connection,
    AddressBlock: keep_block,
    Service: keep_service,
    EndpointSlice: keep_slice,
    Egress: keep_egress,
    Mirror: keep_mirror,
    Port: keep_port,
    Membership: keep_membership,
    Quarantine: keep_quarantine,
    Watermark: keep_watermark,
}
