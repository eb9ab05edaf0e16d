"""The transit networks of moves: whom each may talk with follows from the move's source and target, here only.

A transit network T of a move from A to B may begin towards a network what A or B may begin, and be asked what A or B
may be asked; with A and B themselves it shares everything; it is global while A or B is. So nothing passes that neither
the state before nor the state after the move allows, and everything passes that both allow. Two transit networks may
talk as far as their sources may, or their targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from topology.model import DEFAULT_NETWORK, EVERYTHING, Connection, ConnectionKey, Move, Network, Scope, either
from topology.reach import needs_zone, scope
from topology.requests import Reason, Refused
from topology.snapshot import Event, Put, Remove, Snapshot, apply_all

MOST_MOVES: Final = 100  # under way at once, but for those from or to a global network


def followed(snapshot: Snapshot, events: Iterable[Event]) -> tuple[Event, ...]:
    """Return what transit networks have to change, given that `events` have led to `snapshot`."""
    if not snapshot.moves:
        return ()
    projects: set[str] = set()
    for event in events:
        match event.value:
            case Connection(key=key):
                projects.update(*(snapshot.moves_of.get(name, {}) for name in key))
            case Network(name=name):
                projects.update(snapshot.moves_of.get(name, {}))
    return derived(snapshot, projects)


def derived(snapshot: Snapshot, projects: Iterable[str]) -> tuple[Event, ...]:
    """Return what brings the transit networks of moves to what their sources and targets are now."""
    events: tuple[Event, ...] = ()
    for project in sorted(projects):
        more = tuple(_of_move(snapshot, snapshot.moves[project]))
        snapshot, _ = apply_all(snapshot, more)
        events = (*events, *more)
    return events


def _of_move(snapshot: Snapshot, move: Move) -> Iterator[Event]:
    transit = snapshot.networks[move.transit]
    ends = [snapshot.networks[name] for name in (move.source, move.target)]
    # It may begin nothing that neither end may begin, so an end has a zone if it needs one. It takes that one, and what
    # pods began on the source is known on it.
    zone = next((end.zone for end in ends if needs_zone(end.name, snapshot)), None)
    as_wanted = replace(
        transit, is_global=is_global(snapshot, move), zone=zone, dscp=ends[1].dscp, multicast=ends[1].multicast
    )
    if transit != as_wanted:
        yield Put(as_wanted)
    wanted = {connection.key: connection for connection in _connections(snapshot, move)}
    for peer in sorted(snapshot.peers.get(move.transit, {})):
        key = ConnectionKey.between(move.transit, peer)
        if key not in wanted:
            yield Remove(snapshot.connections[key])
    for key, connection in sorted(wanted.items()):
        if snapshot.connections.get(key) != connection:
            yield Put(connection)


def check_few_moves(snapshot: Snapshot, network: str) -> None:
    """Raise Refused when more projects move from or to a global network than may, once it is global no more.

    Transit networks of one end are all connected with each other, but for global ones.
    """
    under_way = len(snapshot.moves_of.get(network, {}))
    if under_way > MOST_MOVES:
        cause = f"{under_way} projects are being moved from or to it"
        raise Refused(Reason.IN_USE, f'network "{network}"', cause, "wait until they are there")


def is_global(snapshot: Snapshot, move: Move) -> bool:
    """Whether pods that move may talk with all."""
    return any(snapshot.networks[name].is_global for name in (move.source, move.target))


def _connections(snapshot: Snapshot, move: Move) -> Iterator[Connection]:
    ends = (move.source, move.target)
    known = [*ends, *(peer for end in ends for peer in snapshot.peers.get(end, {}))]
    near = {name for name in known if not snapshot.networks[name].is_transit and name != DEFAULT_NETWORK}
    for name in sorted(near):
        both = (name, name)
        for connection in _connection(move.transit, name, _may(snapshot, ends, both), _may(snapshot, both, ends)):
            yield replace(connection, is_tracked=_is_tracked(snapshot, ends, name))
    others = {project for name in (*near, *ends) for project in snapshot.moves_of.get(name, {})} - {move.project}
    for project in sorted(others):
        other = snapshot.moves[project]
        if is_global(snapshot, move) or is_global(snapshot, other):
            continue  # they may talk with all as it is
        theirs = (other.source, other.target)
        yield from _connection(move.transit, other.transit, _may(snapshot, ends, theirs), _may(snapshot, theirs, ends))


def _is_tracked(snapshot: Snapshot, ends: tuple[str, str], peer: str) -> bool:
    """Whether the tracker is told what is under way between an end of a move and a network."""
    found = (snapshot.connections.get(ConnectionKey.between(end, peer)) for end in ends if end != peer)
    return any(connection is not None and connection.is_tracked for connection in found)


def _connection(transit: str, peer: str, forth: Scope | None, back: Scope | None) -> Iterator[Connection]:
    """Yield the connection of two networks, if one of them may begin anything."""
    key = ConnectionKey.between(transit, peer)
    if (forth, back) != (None, None):
        yield Connection(key, *((forth, back) if key.first == transit else (back, forth)))


def _may(snapshot: Snapshot, sources: tuple[str, str], destinations: tuple[str, str]) -> Scope | None:
    """Return what may be begun before both have moved, or after both have."""
    before, after = (_begins(snapshot, *pair) for pair in zip(sources, destinations, strict=True))
    return either(before, after)


def _begins(snapshot: Snapshot, source: str, destination: str) -> Scope | None:
    return EVERYTHING if source == destination else scope(source, destination, snapshot)
