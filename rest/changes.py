"""What every changing call does: ask for the change (or its plan), wait until it is in force, say where it is not."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

from rest.asked import Planning, Timeout
from rest.control import Published, Submitted
from rest.planning import planned
from rest.routing import Answer, Call
from rest.shapes import Late
from topology.model import Move
from topology.requests import Request


class Changed(NamedTuple):
    """An accepted change: what was published right before it, and right after it."""

    submitted: Submitted
    before: Published
    after: Published


def ask(call: Call[Any, Any], request: Request) -> Changed:
    """Submit a request. Raises Refused, and Planned if it is only to be planned: then nothing is submitted."""
    before = call.control.published
    if isinstance(call.query, Planning) and call.query.plan:
        raise planned(before, request)
    submitted = call.control.submit(request)
    return Changed(submitted, before, call.control.published)


def late(call: Call[Any, Any], submitted: Submitted, *, without: str | None = None) -> tuple[str, ...]:
    """Wait until a change is in force; return the nodes on which it is not. Node `without` is not asked."""
    query: Timeout = call.query
    wanted = submitted._replace(nodes=submitted.nodes - {without}) if without else submitted
    left = call.control.late(wanted, query.timeout) if wanted.nodes or wanted.marks else ()
    return tuple(node for node in left if node != without)


def settled(call: Call[Any, Any], changed: Changed, projects: Iterable[str] = ()) -> tuple[str, ...]:
    """Wait until a change is in force, and the moves of projects are done that it began, and those of `projects`.

    Returns the nodes on which it is not, as `late`. A move is a row of changes, of which only the first was submitted
    here: in the end what is waited for is what switches lack then.
    """
    left = late(call, changed.submitted)
    earlier, begun = changed.before.snapshot.moves, changed.after.snapshot.moves
    moves = [begun[name] for name in sorted(begun) if name not in earlier or name in projects]
    for move in moves:
        call.control.wait("moves", partial(_is_done, project=move.project), call.query.timeout)
    return (*left, *(node for node in _behind(call, moves) if node not in left)) if moves else left


def _is_done(published: Published, project: str) -> bool | None:
    return True if project not in published.snapshot.moves else None


def _behind(call: Call[Any, Any], moves: Iterable[Move]) -> tuple[str, ...]:
    published = call.control.published
    networks = {name for move in moves for name in (move.source, move.target)}
    nodes = {node for network in networks for node in published.snapshot.hosts.get(network, {})}
    behind: dict[int, set[str]] = {}
    for node in nodes & set(published.switches):
        status = published.switches[node]
        if status.committed_revision < status.desired_revision:
            behind.setdefault(status.desired_revision, set()).add(node)
    waited = (Submitted(revision, frozenset(which)) for revision, which in behind.items())
    return tuple(sorted(node for each in waited for node in call.control.late(each, call.query.timeout)))


def done(call: Call[Any, Any], changed: Changed) -> Answer:
    """Return the answer to a change that leaves nothing to show."""
    left = settled(call, changed)
    return Answer(202, Late(late=left)) if left else Answer(204)


def status(made: bool, late_nodes: tuple[str, ...]) -> int:
    """Return the status of a change that shows an object: 202 late, 201 new, 200 as it was or changed."""
    if late_nodes:
        return 202
    return 201 if made else 200
