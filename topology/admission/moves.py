"""A project with pods on another network. That its pods move is not decided here; see `admission.projects`."""

from __future__ import annotations

from topology.requests import Reason, Refused
from topology.snapshot import Event, Snapshot


def move_project(snapshot: Snapshot, project: str, network: str) -> tuple[Event, ...]:
    """Return the events that put a project which has ports on another primary network.

    Raises Refused: pods do not move yet.
    """
    here = snapshot.projects[project].network
    cause = f'has pods on network "{here}" (ports: {snapshot.ports_in[project]}), and would be on "{network}"'
    raise Refused(Reason.IN_USE, f'project "{project}"', cause, "delete its pods first")
