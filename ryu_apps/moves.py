"""Leads moves from stage to stage: when every switch concerned has a stage's flows, it asks for the next stage.

Each move has a green thread, which waits for switches and then hands a request to the owner thread. Where a move is, is
stored with it: after a restart it is led on from there. What the stages are is decided in `topology.admission.moves`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import eventlet
import structlog

from rest.control import Published, SwitchPhase
from ryu_apps.owner import Owner
from topology.model import Move, Stage
from topology.requests import AdvanceMove
from topology.snapshot import Snapshot

SETTLE_SECONDS: Final = 0.1  # how long a packet with an earlier tag may still be on the wire, or in a queue
PATIENCE_SECONDS: Final = 30.0  # how long a switch that is connected may hold a stage up
# How long a switch that has not been seen since the controller started may: Open vSwitch tries again every 8 s.
ARRIVAL_SECONDS: Final = 15.0
_IDLE_SECONDS: Final = 3600.0
_RETRY_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


Reached = Callable[[Move, frozenset[str], float], bool]


class Conductor:
    """Leads all moves that are in the published snapshot, while `leads` says that it is for this replica to do.

    `reached(move, nodes, seconds)` waits for switches that other replicas program, and says whether all have a stage.
    """

    def __init__(
        self, owner: Owner, leads: Callable[[], bool] = lambda: True, reached: Reached = lambda *_: True
    ) -> None:
        self._leads = leads
        self._reached = reached
        self._owner = owner
        self._led: set[str] = set()
        self._arrival = time.monotonic() + ARRIVAL_SECONDS

    def run(self) -> None:
        """Begin to lead every move as it appears, for ever."""
        while True:
            found = self._owner.publication.wait("moves", self._not_led, _IDLE_SECONDS)
            if found and not self._leads():
                eventlet.sleep(_RETRY_SECONDS)
                continue
            for project in sorted(found or ()):
                self._led.add(project)
                eventlet.spawn(self._lead, project)

    def _not_led(self, published: Published) -> set[str] | None:
        return {project for project in published.snapshot.moves if project not in self._led} or None

    def _lead(self, project: str) -> None:
        try:
            while self._leads() and (move := self._owner.publication.current.snapshot.moves.get(project)) is not None:
                try:
                    self._finish_stage(move)
                except Exception:  # the store may fail; the move stays where it is
                    log.exception("a move is held up", project=project, stage=move.stage.value)
                    eventlet.sleep(_RETRY_SECONDS)
        finally:
            self._led.discard(project)

    def _finish_stage(self, move: Move) -> None:
        """Wait until the present stage is in force, and ask for the next one."""
        published = self._owner.publication.current
        self._wait_in_force(published, move)
        if move.stage is not Stage.PREPARING:
            eventlet.sleep(SETTLE_SECONDS)
        self._owner.submit(AdvanceMove(move.project, move.transit, move.stage))
        log.info("move advanced", project=move.project, target=move.target, after=move.stage.value)

    def _wait_in_force(self, published: Published, move: Move) -> None:
        """Wait for the switches concerned, but not for one that is away, nor for ever."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        for node in sorted(concerned(published.snapshot, move)):
            status = self._owner.publication.current.switches.get(node)
            limit = self._arrival if status is not None and status.committed_revision == 0 else deadline
            wanted = partial(settled, node=node, revision=published.revision)
            if self._owner.publication.wait(node, wanted, limit - time.monotonic()) is None:
                log.warning("a move goes on without a switch", project=move.project, node=node, stage=move.stage.value)
        nodes = frozenset(concerned(published.snapshot, move))
        if not self._reached(move, nodes, max(0.0, deadline - time.monotonic())):
            log.warning("a move goes on without another's switches", project=move.project, stage=move.stage.value)


def concerned(snapshot: Snapshot, move: Move) -> set[str]:
    """Return the nodes whose switches a stage of a move can change: those that host whoever may talk with its pods."""
    if snapshot.networks[move.transit].is_global:
        return set(snapshot.nodes)
    names = (move.source, move.target, move.transit, *snapshot.peers.get(move.transit, {}))
    return {node for name in names for node in snapshot.hosts.get(name, {})}


def settled(published: Published, node: str, revision: int) -> bool | None:
    """Return True when a node's switch has the flows of a revision, or is away; None when it has to be waited for.

    One that has acknowledged nothing since the controller started is not away but on its way.
    """
    status = published.switches.get(node)
    if status is None or status.phase is SwitchPhase.STANDBY:
        return True
    if status.committed_revision >= min(revision, status.desired_revision):
        return True
    return True if status.phase is SwitchPhase.AWAY and status.committed_revision > 0 else None
