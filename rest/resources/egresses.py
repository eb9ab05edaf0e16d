"""Egresses: by which addresses networks leave for the outside. Made by the administrator alone."""

from __future__ import annotations

from typing import Final

import msgspec

from rest.asked import Timeout
from rest.changes import ask, done, settled, status
from rest.egress_shapes import Egresses, EgressMade, EgressView, HeldAddress
from rest.lookup import known
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Late
from store.egresses import Egress
from topology import model
from topology.requests import CreateEgress, DeleteEgress
from topology.snapshot import Snapshot


def index(call: Call[Empty, Empty]) -> Answer:
    """All egresses, by name."""
    snapshot = call.control.published.snapshot
    return Answer(200, Egresses(egresses=tuple(_view(each, snapshot) for _, each in sorted(snapshot.egresses.items()))))


def show(call: Call[Empty, Empty]) -> Answer:
    """One egress."""
    snapshot = call.control.published.snapshot
    return Answer(200, _view(known(snapshot.egresses, "egress", call.where["egress"]), snapshot))


def create(call: Call[Timeout, Egress]) -> Answer:
    """Make or replace an egress."""
    changed = ask(call, CreateEgress(call.body.value()))
    name = call.body.name
    made = name not in changed.before.snapshot.egresses
    left = settled(call, changed)
    view = _view(changed.after.snapshot.egresses[name], changed.after.snapshot)
    return Answer(
        status(made, left),
        EgressMade(**msgspec.structs.asdict(view), late=left),
        (("Location", f"/v1/egresses/{name}"),),
    )


def delete(call: Call[Timeout, Empty]) -> Answer:
    """Remove an egress."""
    return done(call, ask(call, DeleteEgress(call.where["egress"])))


def _view(egress: model.Egress, snapshot: Snapshot) -> EgressView:
    held = (HeldAddress(address=str(each), node=snapshot.held.get(each)) for each in egress.addresses)
    return EgressView(**msgspec.structs.asdict(Egress.of(egress)), held=tuple(held))


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/v1/egresses",
        "List the egresses, and which nodes hold their addresses",
        index,
        Access.ADMINISTRATION,
        answers={200: Egresses},
    ),
    Route(
        "POST",
        "/v1/egresses",
        "Make or replace an egress: by which addresses pods of a network leave for the outside",
        create,
        Access.ADMINISTRATION,
        answers={200: EgressMade, 201: EgressMade, 202: EgressMade},
        refusals=frozenset({404, 409, 422, 507}),
    ),
    Route(
        "GET",
        "/v1/egresses/{egress}",
        "Show an egress, and which nodes hold its addresses",
        show,
        Access.ADMINISTRATION,
        answers={200: EgressView},
        refusals=frozenset({404}),
    ),
    Route(
        "DELETE",
        "/v1/egresses/{egress}",
        "Remove an egress; what it was for leaves by the nodes' own addresses again",
        delete,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404, 507}),
    ),
)
