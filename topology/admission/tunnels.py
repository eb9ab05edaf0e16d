"""Requests about tunnels: which are down, how the network gets used to it, and to which nodes the underlay leads.

Where relays need nothing that they do not have, senders change at once; else relays come first (PREPARING), and senders
when all have it. When a tunnel is back it is the same: relays, senders, and then what is needed no more goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from topology.admission.checks import known_node
from topology.model import Severed, Tunnel, TunnelStage
from topology.relaying import Relaying, Transits
from topology.requests import AdvanceTunnels, Reason, Refused, ReportTunnels, SetNeighbours
from topology.snapshot import Event, Put, Remove, Snapshot, apply_all

_NEXT = {
    TunnelStage.PREPARING: TunnelStage.DOWN,
    TunnelStage.RETURNING: TunnelStage.RETURNED,
    TunnelStage.RETURNED: None,
}
# Where a tunnel goes that is said to be down again, or not any more.
_CUT = {TunnelStage.RETURNING: TunnelStage.DOWN, TunnelStage.RETURNED: TunnelStage.PREPARING}
_HEALED = {TunnelStage.PREPARING: None, TunnelStage.DOWN: TunnelStage.RETURNING}


def set_neighbours(snapshot: Snapshot, request: SetNeighbours) -> tuple[Event, ...]:
    """Let a node name the nodes to which its underlay leads. They need not exist yet."""
    node, named = known_node(snapshot, request.name), request.neighbours
    subject = f'node "{node.name}"'
    if named is not None and node.name in named:
        raise Refused(Reason.INVALID, subject, "names itself as its neighbour", "name other nodes")
    if named is not None and not named:
        raise Refused(Reason.INVALID, subject, "names no neighbour", "name one at least, or null for all")
    changed = replace(node, neighbours=None if named is None else tuple(sorted(set(named))))
    return () if changed == node else (Put(changed),)


def report_tunnels(snapshot: Snapshot, request: ReportTunnels) -> tuple[Event, ...]:
    """Take in what a node says of its tunnels; of nodes that are gone by now there is nothing to say."""
    node = known_node(snapshot, request.name).name
    if node in request.down:
        raise Refused(Reason.INVALID, f'node "{node}"', "says that its tunnel to itself is down", "name other nodes")
    down = {Tunnel.between(node, name) for name in request.down if name in snapshot.nodes}
    known = {tunnel for tunnel in snapshot.severed if node in tunnel and tunnel.other(node) not in request.unknown}
    wanted: dict[Tunnel, Severed | None] = {}
    for tunnel in down | known:
        wanted[tunnel] = _said(snapshot.severed.get(tunnel), tunnel, node, is_down=tunnel in down)
    return _settled(snapshot, _events(snapshot, wanted))


def advance_tunnels(snapshot: Snapshot, request: AdvanceTunnels) -> tuple[Event, ...]:
    """Go on with the tunnels that still are at the stage named."""
    wanted: dict[Tunnel, Severed | None] = {}
    for tunnel, stage in request.stages:
        present = snapshot.severed.get(tunnel)
        if present is not None and present.stage is stage and stage in _NEXT:
            wanted[tunnel] = _at(present, _NEXT[stage])
    return _settled(snapshot, _events(snapshot, wanted))


def forgotten(snapshot: Snapshot, node: str) -> tuple[Event, ...]:
    """Return the events by which a node's tunnels go with it."""
    return tuple(Remove(each) for tunnel, each in sorted(snapshot.severed.items()) if node in tunnel)


def _said(present: Severed | None, tunnel: Tunnel, node: str, *, is_down: bool) -> Severed | None:
    """Return a tunnel as it is after a node has said how it finds it."""
    said_by = {*(() if present is None else present.said_by), node}.difference(() if is_down else (node,))
    if present is None:
        return Severed(tunnel, (node,), TunnelStage.PREPARING) if is_down else None
    after = replace(present, said_by=tuple(sorted(said_by)))
    moves = _CUT if said_by else _HEALED
    return _at(after, moves[present.stage]) if present.stage in moves else after


def _at(severed: Severed, stage: TunnelStage | None) -> Severed | None:
    return None if stage is None else replace(severed, stage=stage)


def _events(snapshot: Snapshot, wanted: dict[Tunnel, Severed | None]) -> tuple[Event, ...]:
    events: list[Event] = []
    for tunnel, after in sorted(wanted.items()):
        before = snapshot.severed.get(tunnel)
        if after is not None and after != before:
            events.append(Put(after))
        elif after is None and before is not None:
            events.append(Remove(before))
    return tuple(events)


def _settled(snapshot: Snapshot, events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return events, and those of the stages for which no relay needs anything that it does not have.

    While others are under way, it is not known what relays have: then nothing is passed over.
    """
    concerned = {event.value.tunnel for event in events if isinstance(event.value, Severed)}
    others = [each for tunnel, each in snapshot.severed.items() if tunnel not in concerned]
    is_known = not any(each.stage in _NEXT for each in others)
    had, after = snapshot.relaying.transits, apply_all(snapshot, events)[0]
    while True:
        for stage in _NEXT:
            due = [after.severed[tunnel] for tunnel in sorted(concerned) if tunnel in after.severed]
            due = [each for each in due if each.stage is stage]
            if not due or not _is_ready(due, stage, had if is_known else None, after):
                continue
            more = _events(after, {each.tunnel: _at(each, _NEXT[stage]) for each in due})
            events, after = (*events, *more), apply_all(after, more)[0]
            break
        else:
            return events


def _is_ready(due: Iterable[Severed], stage: TunnelStage, had: Transits | None, snapshot: Snapshot) -> bool:
    """Whether tunnels need not stay at a stage: relays have all that is needed there, or need nothing else after it."""
    needed = snapshot.relaying.transits
    if stage is not TunnelStage.RETURNED:
        return had is not None and _has(had, needed)
    gone = {each.tunnel for each in due}
    left = {tunnel: each for tunnel, each in snapshot.severed.items() if tunnel not in gone}
    return _has(Relaying(snapshot.nodes, left, snapshot.declared).transits, needed)


def _has(had: Transits, needed: Transits) -> bool:
    return all(had.get(relay, {}).get(each) == to for relay, what in needed.items() for each, to in what.items())
