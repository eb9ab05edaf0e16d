"""Who may begin what towards whom, by networks. Questions to a snapshot; no flows and no packets."""

from __future__ import annotations

from topology.model import ConnectionKey, Scope
from topology.snapshot import Snapshot


def scope(source: str, destination: str, snapshot: Snapshot) -> Scope | None:
    """Return what the connection of two different networks lets `source` begin; None: nothing."""
    connection = snapshot.connections.get(ConnectionKey.between(source, destination))
    return None if connection is None else connection.scope(source)


def begins_tracked(source: str, destination: str, snapshot: Snapshot) -> bool:
    """Whether `source` may begin towards pods of `destination`, which may not begin everything back."""
    there = scope(source, destination, snapshot)
    back = scope(destination, source, snapshot)
    if there is None or there.services_only:
        return False
    return back is None or not back.is_everything


def needs_tracking(network: str, snapshot: Snapshot) -> bool:
    """Whether replies to pods of a network have to be told from what others begin."""
    return any(begins_tracked(network, peer, snapshot) for peer in snapshot.peers.get(network, {}))
