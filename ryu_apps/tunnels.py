"""Leads tunnels that go down and come back from stage to stage, where relays need flows before senders use them.

Most often there is nothing to lead: over one relay senders change at once. What the stages are is decided in
`topology.admission.tunnels`; where each tunnel is, is stored, so that after a restart it is led on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import eventlet
import structlog

from rest.control import Published
from ryu_apps.moves import SETTLE_SECONDS, settled
from ryu_apps.owner import Owner
from topology.model import Severed, TunnelStage
from topology.requests import AdvanceTunnels

# While a tunnel is down packets are lost: a switch that does not answer may be that of a node that is gone.
PATIENCE_SECONDS: Final = 2.0
_PATIENCE_IN_PEACE: Final = 15.0
_IDLE_SECONDS: Final = 3600.0
_RETRY_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)

Reached: TypeAlias = Callable[[tuple[Severed, ...], frozenset[str], float], bool]


class TunnelConductor:
    """Leads all tunnels together, while `leads` says that it is for this replica to do.

    `reached(tunnels, nodes, seconds)` waits for switches that other replicas program; it says whether all have a stage.
    """

    def __init__(
        self, owner: Owner, leads: Callable[[], bool] = lambda: True, reached: Reached = lambda *_: True
    ) -> None:
        self._owner, self._leads, self._reached = owner, leads, reached

    def run(self) -> None:
        """Ask for the next stage whenever all switches have the present one, for ever."""
        while True:
            under_way = self._owner.publication.wait("tunnels", _under_way, _IDLE_SECONDS)
            if not under_way:
                continue
            if not self._leads():
                eventlet.sleep(_RETRY_SECONDS)
                continue
            try:
                self._finish_stage(self._owner.publication.current)
            except Exception:  # the store may fail; tunnels stay where they are
                log.exception("tunnels are held up")
                eventlet.sleep(_RETRY_SECONDS)

    def _finish_stage(self, published: Published) -> None:
        tunnels = _under_way(published) or ()
        is_urgent = any(each.stage is TunnelStage.PREPARING for each in tunnels)
        deadline = time.monotonic() + (PATIENCE_SECONDS if is_urgent else _PATIENCE_IN_PEACE)
        for node in sorted(published.snapshot.nodes):
            wanted = partial(settled, node=node, revision=published.revision)
            if self._owner.publication.wait(node, wanted, deadline - time.monotonic()) is None:
                log.warning("relays change without a switch", node=node)
        nodes = frozenset(published.snapshot.nodes)
        if not self._reached(tunnels, nodes, max(0.0, deadline - time.monotonic())):
            log.warning("relays change without another's switches")
        if any(each.stage is TunnelStage.RETURNED for each in tunnels):
            eventlet.sleep(SETTLE_SECONDS)  # what is in transit still arrives
        stages = tuple((each.tunnel, each.stage) for each in tunnels)
        self._owner.submit(AdvanceTunnels(stages))
        for tunnel, stage in stages:
            log.info("tunnel advanced", first=tunnel.first, second=tunnel.second, after=stage.value)


def _under_way(published: Published) -> tuple[Severed, ...] | None:
    """Return the tunnels at a stage that another follows by itself; None if there are none."""
    found = (each for _, each in sorted(published.snapshot.severed.items()) if each.stage is not TunnelStage.DOWN)
    return tuple(found) or None
