"""What every changing call does: ask for the change (or its plan), wait until it is in force, say where it is not."""

from __future__ import annotations

from typing import Any, NamedTuple

from rest.asked import Planning, Timeout
from rest.control import Published, Submitted
from rest.planning import planned
from rest.routing import Answer, Call
from rest.shapes import Late
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
    wanted = Submitted(submitted.revision, submitted.nodes - {without} if without else submitted.nodes)
    return call.control.late(wanted, query.timeout) if wanted.nodes else ()


def done(call: Call[Any, Any], changed: Changed) -> Answer:
    """Return the answer to a change that leaves nothing to show."""
    left = late(call, changed.submitted)
    return Answer(202, Late(late=left)) if left else Answer(204)


def status(made: bool, late_nodes: tuple[str, ...]) -> int:
    """Return the status of a change that shows an object: 202 late, 201 new, 200 as it was or changed."""
    if late_nodes:
        return 202
    return 201 if made else 200
