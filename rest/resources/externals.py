"""External VTEPs: hosts of a network behind an appliance. Made by the administrator alone."""

from __future__ import annotations

from typing import Final

import msgspec

from rest.asked import Timeout
from rest.changes import ask, done, late, status
from rest.external_shapes import ExternalVtepMade, ExternalVteps, external_view, external_views
from rest.lookup import known
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import ExternalVtepView, Late
from store.externals import ExternalVtepCreation
from topology.requests import CreateExternalVtep, DeleteExternalVtep


def index(call: Call[Empty, Empty]) -> Answer:
    """All external VTEPs, by name."""
    return Answer(200, ExternalVteps(external_vteps=external_views(call.control.published.snapshot)))


def show(call: Call[Empty, Empty]) -> Answer:
    """One external VTEP."""
    snapshot = call.control.published.snapshot
    found = known(snapshot.externals, "external VTEP", call.where["external_vtep"])
    return Answer(200, external_view(snapshot, found))


def create(call: Call[Timeout, ExternalVtepCreation]) -> Answer:
    """Make or replace an external VTEP."""
    changed = ask(call, CreateExternalVtep(call.body.asked(), call.body.vnid))
    name = call.body.name
    made = name not in changed.before.snapshot.externals
    left = late(call, changed.submitted)
    snapshot = changed.after.snapshot
    shape = msgspec.structs.asdict(external_view(snapshot, snapshot.externals[name]))
    view = ExternalVtepMade(**shape, late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/external-vteps/{name}"),))


def delete(call: Call[Timeout, Empty]) -> Answer:
    """Remove an external VTEP."""
    return done(call, ask(call, DeleteExternalVtep(call.where["external_vtep"])))


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/v1/external-vteps",
        "List the external VTEPs",
        index,
        Access.ADMINISTRATION,
        answers={200: ExternalVteps},
    ),
    Route(
        "POST",
        "/v1/external-vteps",
        "Make or replace an external VTEP: an appliance, and hosts of a network behind it",
        create,
        Access.ADMINISTRATION,
        answers={200: ExternalVtepMade, 201: ExternalVtepMade, 202: ExternalVtepMade},
        refusals=frozenset({404, 409, 422}),
    ),
    Route(
        "GET",
        "/v1/external-vteps/{external_vtep}",
        "Show an external VTEP",
        show,
        Access.ADMINISTRATION,
        answers={200: ExternalVtepView},
        refusals=frozenset({404}),
    ),
    Route(
        "DELETE",
        "/v1/external-vteps/{external_vtep}",
        "Remove an external VTEP",
        delete,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404}),
    ),
)
