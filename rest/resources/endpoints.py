"""Endpoints: the addresses that answer for services, in slices. A slice may be there before its service."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from rest.asked import Timeout
from rest.changes import ask, done, late, status
from rest.lookup import known
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Endpoints, EndpointsMade, Late
from store.services import EndpointSlice
from topology.model import SliceKey
from topology.requests import DeleteEndpoints, PutEndpoints


def index(call: Call[Empty, Empty]) -> Answer:
    """All slices of endpoints, by project and name."""
    slices = sorted(call.control.published.snapshot.slices.items())
    return Answer(200, Endpoints(endpoints=tuple(EndpointSlice.of(found) for _, found in slices)))


def show(call: Call[Empty, Empty]) -> Answer:
    """One slice of endpoints."""
    return Answer(200, EndpointSlice.of(known(call.control.published.snapshot.slices, "endpoints", _key(call))))


def put(call: Call[Timeout, EndpointSlice]) -> Answer:
    """Make or replace a slice of endpoints."""
    found = call.body.value()
    changed = ask(call, PutEndpoints(found))
    made = found.key not in changed.before.snapshot.slices
    left = late(call, changed.submitted)
    view = EndpointsMade(**msgspec.structs.asdict(EndpointSlice.of(found)), late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/endpoints/{'/'.join(found.key)}"),))


def delete(call: Call[Timeout, Empty]) -> Answer:
    """Remove a slice of endpoints."""
    return done(call, ask(call, DeleteEndpoints(_key(call))))


def _key(call: Call[Any, Any]) -> SliceKey:
    return SliceKey(call.where["project"], call.where["slice"])


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET", "/v1/endpoints", "List the slices of endpoints", index, Access.ADMINISTRATION, answers={200: Endpoints}
    ),
    Route(
        "POST",
        "/v1/endpoints",
        "Make or replace a slice of a service's endpoints",
        put,
        Access.ADMINISTRATION,
        answers={200: EndpointsMade, 201: EndpointsMade, 202: EndpointsMade},
        refusals=frozenset({404, 409, 422}),
    ),
    Route(
        "GET",
        "/v1/endpoints/{project}/{slice}",
        "Show a slice of endpoints",
        show,
        Access.ADMINISTRATION,
        answers={200: EndpointSlice},
        refusals=frozenset({404}),
    ),
    Route(
        "DELETE",
        "/v1/endpoints/{project}/{slice}",
        "Remove a slice of endpoints",
        delete,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404, 409}),
    ),
)
