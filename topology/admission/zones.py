"""Conntrack zones: which networks get one when a connection is made or changed. Nothing else about connections."""

from __future__ import annotations

from dataclasses import replace

from topology.allocation import free_zone
from topology.model import ZONES, Connection, Watermark
from topology.reach import needs_zone
from topology.snapshot import Event, Put, Snapshot, apply, apply_all


def allot_zones(snapshot: Snapshot, connection: Connection) -> tuple[Event, ...]:
    """Allot a conntrack zone to each of the two networks that needs one from now on, were they connected so.

    Raises Refused when there is no zone left.
    """
    state, _ = apply(snapshot, Put(connection))
    events: tuple[Event, ...] = ()
    for name in connection.key:
        if state.networks[name].zone is None and needs_zone(name, state):
            zone = free_zone(state)
            more = (Put(Watermark(ZONES, zone)), Put(replace(state.networks[name], zone=zone)))
            state, _ = apply_all(state, more)
            events = (*events, *more)
    return events
