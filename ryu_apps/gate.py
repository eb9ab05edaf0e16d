"""Compiling for the owner thread, with the verifier behind it: no table leaves here that is not proven.

What is unsafe is decided in `topology.verification`; here it is logged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import structlog
from immutables import Map

from rest.control import Published
from topology.compiler import Dirty, Tables, compile_each, update
from topology.requests import (
    AdvanceMove,
    ForgetPort,
    GroupsHeard,
    NodeFound,
    NodeLost,
    PortSeen,
    PortVanished,
    ReleaseAddresses,
    Request,
    SwitchPorts,
)
from topology.snapshot import Change, Snapshot
from topology.verification import Step, Unsafe, passed, provable

log = structlog.get_logger(__name__)

# To refuse what has happened would only hide it, and a move that does not go on holds up two networks.
_HAPPENED = (
    PortSeen,
    PortVanished,
    SwitchPorts,
    ForgetPort,
    ReleaseAddresses,
    AdvanceMove,
    NodeLost,
    NodeFound,
    GroupsHeard,
)


def compiled(snapshot: Snapshot, pause: Callable[[], object] = lambda: None) -> Tables:
    """Return the tables of a network that was just loaded; `pause` is called between nodes."""
    found = {}
    for node, table in compile_each(snapshot):
        found[node] = table
        pause()
    tables = provable(snapshot, Map(found), pause)
    _tell(tables, tables)
    return tables


def updated(
    published: Published, changes: Collection[Change], snapshot: Snapshot, requests: Iterable[Request] | None
) -> tuple[Tables, Dirty]:
    """Return the tables after the changes that requests made, and the sections that may differ, by node.

    `requests` None: the changes were decided elsewhere. Raises Unsafe; but what is at fault in those, or in a single
    request that tells what has happened already, is left out.
    """
    tables, dirty = update(published.tables, changes, published.snapshot, snapshot)
    step = Step(changes, published.snapshot, snapshot, published.tables, tables, dirty)
    asked = tuple(requests or ())
    may_refuse = requests is not None and (len(asked) != 1 or not isinstance(asked[0], _HAPPENED))
    try:
        sound = passed(step, may_refuse=may_refuse)
    except Unsafe as unsafe:
        log.error("refused: its flows are not sound", why=str(unsafe), findings=len(unsafe.findings))
        raise
    if sound is not tables:
        _tell(published.tables, sound)
        for node, table in sound.items():
            left_out = {fault.left_out for fault in table.faults if fault.left_out is not None}
            if left_out:
                dirty[node] = dirty.get(node, frozenset()) | left_out
    return sound, dirty


def _tell(before: Tables, after: Tables) -> None:
    for node, table in after.items():
        old = before[node].faults if node in before and before is not after else ()
        for fault in table.faults:
            if fault not in old:
                log.error("flows left out: they are not sound", node=node, section=fault.left_out, why=fault.said)
