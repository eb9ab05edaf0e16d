"""Requests about moves: a project's pods go to another network while they talk. See docs/decisions/live-changes.md.

A move is a sequence of ordinary states; the next one is asked for (AdvanceMove) when the present one is in force. Whom
the transit network may talk with is in `transit`.
"""

from __future__ import annotations

from dataclasses import replace

from topology.admission.checks import check_takes_in, known_network, known_project
from topology.admission.deletion import disconnected
from topology.admission.transit import MOST_MOVES, derived, is_global
from topology.allocation import free_vnid
from topology.model import SHARED_SPACE, VNIDS, Move, Network, PortKey, Stage, Watermark
from topology.requests import AdvanceMove, Reason, Refused
from topology.snapshot import Event, Put, Remove, Snapshot, apply_all


def move_project(snapshot: Snapshot, project: str, network: str, *, recreate: bool = False) -> tuple[Event, ...]:
    """Begin to take a project, and the pods that are on its network, to another network.

    Without pods there, the project's network changes at once. Pods whose addresses cannot go along are a reason to
    refuse, or with `recreate` stay on their network until they are made anew. Raises Refused.
    """
    moved = known_project(snapshot, project)
    target = known_network(snapshot, network)
    subject = f'project "{project}"'
    under_way = snapshot.moves.get(project)
    if under_way is not None:
        if under_way.target == target.name:
            return ()
        cause = f'is being moved from network "{under_way.source}" to "{under_way.target}"'
        raise Refused(Reason.IN_USE, subject, cause, "wait until that is done")
    if moved.network == target.name:
        return ()
    check_takes_in(target)
    source = snapshot.networks[moved.network]
    if not _pods_on(snapshot, project, source.name):
        return (Put(replace(moved, network=target.name)),)
    if SHARED_SPACE == source.space == target.space:
        return _begin(snapshot, project, source, target)
    if recreate:
        return (Put(replace(moved, network=target.name)),)
    own = source if source.subnets else target
    cause = f'has pods whose addresses cannot go along: network "{own.name}" has a range of its own'
    remedy = "move it with recreate, and make its pods anew; or move it when it has no pods"
    raise Refused(Reason.IN_USE, subject, cause, remedy)


def advance_move(snapshot: Snapshot, request: AdvanceMove) -> tuple[Event, ...]:
    """Go on to the state after the one that is in force; nothing when that is not the present one."""
    move = snapshot.moves.get(request.project)
    if move is None or (move.transit, move.stage) != (request.transit, request.stage):
        return ()
    match move.stage:
        case Stage.PREPARING:
            return (*_moved(snapshot, move, move.source, move.transit), Put(replace(move, stage=Stage.CROSSING)))
        case Stage.CROSSING:
            served = replace(snapshot.projects[move.project], network=move.target)
            return (Put(served), Put(replace(move, stage=Stage.SERVING)))
        case Stage.SERVING:
            return (*_moved(snapshot, move, move.transit, move.target), Put(replace(move, stage=Stage.ARRIVING)))
        case Stage.ARRIVING:
            return (*disconnected(snapshot, move.transit), Remove(snapshot.networks[move.transit]), Remove(move))


def landing(snapshot: Snapshot, project: str, network: str) -> str:
    """Return the network that a new pod of a project comes up on, which is to be on `network`.

    While the project moves there, that is where those are that came before it.
    """
    move = snapshot.moves.get(project)
    is_on_its_way = move is not None and move.stage is not Stage.ARRIVING and move.target == network
    return move.transit if move is not None and is_on_its_way else network


def _begin(snapshot: Snapshot, project: str, source: Network, target: Network) -> tuple[Event, ...]:
    others = (move for move in snapshot.moves.values() if not is_global(snapshot, move))
    if not (source.is_global or target.is_global) and sum(1 for _ in others) >= MOST_MOVES:
        cause = f"{MOST_MOVES} others are being moved"
        raise Refused(Reason.EXHAUSTED, f'project "{project}"', cause, "wait until one of them is done")
    transit = _new_transit(snapshot, project, target)
    made: tuple[Event, ...] = (
        Put(Watermark(VNIDS, transit.vnid)),
        Put(transit),
        Put(Move(project, source.name, target.name, transit.name)),
    )
    return (*made, *derived(apply_all(snapshot, made)[0], (project,)))


def _new_transit(snapshot: Snapshot, project: str, target: Network) -> Network:
    """Return a network with a new VNID, and a name that nobody has: an administrator may have chosen any."""
    while True:
        vnid = free_vnid(snapshot)
        if f"transit-{vnid}" not in snapshot.networks:
            return Network(
                f"transit-{vnid}",
                vnid,
                mtu=target.mtu,
                transit_for=project,
                dscp=target.dscp,
                multicast=target.multicast,
            )
        snapshot, _ = apply_all(snapshot, (Put(Watermark(VNIDS, vnid)),))


def _moved(snapshot: Snapshot, move: Move, source: str, target: str) -> tuple[Event, ...]:
    ports = (snapshot.ports[key] for key in _pods_on(snapshot, move.project, source))
    return tuple(Put(replace(port, network=target)) for port in ports)


def _pods_on(snapshot: Snapshot, project: str, network: str) -> list[PortKey]:
    """Return the ports by which pods of a project have a network as their primary one: secondary ports do not move."""
    keys = sorted(snapshot.ports_of.get((project, network), {}))
    return [key for key in keys if not snapshot.ports[key].is_secondary]
