"""What ends together with a network: its connections and its blocks. Whether it may end is decided elsewhere."""

from __future__ import annotations

from typing import Final

from topology.model import FIRST_VNID, VNIDS, ConnectionKey, Network, Watermark
from topology.snapshot import Event, Put, Remove, Snapshot

_SOON: Final = 4096  # numbers given before


def disconnected(snapshot: Snapshot, network: str) -> tuple[Event, ...]:
    """Return the end of all connections of a network."""
    peers = sorted(snapshot.peers.get(network, {}))
    return tuple(Remove(snapshot.connections[ConnectionKey.between(network, peer)]) for peer in peers)


def network_gone(snapshot: Snapshot, network: Network, projects: tuple[str, ...]) -> tuple[Event, ...]:
    """Return the end of a network that nothing uses any more, and of projects with it."""
    return (
        *disconnected(snapshot, network.name),
        *(Remove(snapshot.blocks[network.name, prefix]) for prefix in snapshot.blocks_of.get(network.name, {})),
        *(event for project in projects for event in project_gone(snapshot, project)),
        Remove(network),
        *_passed_over(snapshot, network.vnid),
    )


def project_gone(snapshot: Snapshot, project: str) -> tuple[Event, ...]:
    """Return the end of a project, and of what was said of its pods."""
    pods = sorted(snapshot.pods_of.get(project, {}))
    return (*(Remove(snapshot.pods[key]) for key in pods), Remove(snapshot.projects[project]))


def _passed_over(snapshot: Snapshot, vnid: int) -> tuple[Event, ...]:
    """Count a number that was asked for, not allotted, as given, if else it would be given again soon."""
    last = snapshot.watermarks.get(VNIDS, FIRST_VNID - 1)
    return (Put(Watermark(VNIDS, vnid)),) if 0 < vnid - last <= _SOON else ()
