"""Bindings: which networks projects and pods are on, by their labels. Made by the administrator alone."""

from __future__ import annotations

from typing import Final

import msgspec

from rest.asked import Timeout
from rest.binding_shapes import BindingDetail, BindingMade, Bindings
from rest.binding_views import binding_detail
from rest.changes import ask, done, settled, status
from rest.lookup import known
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Late
from store.bindings import Binding
from topology.requests import CreateBinding, DeleteBinding


def index(call: Call[Empty, Empty]) -> Answer:
    """All bindings, by name."""
    bindings = sorted(call.control.published.snapshot.bindings.items())
    return Answer(200, Bindings(bindings=tuple(Binding.of(binding) for _, binding in bindings)))


def show(call: Call[Empty, Empty]) -> Answer:
    """One binding."""
    published = call.control.published
    return Answer(200, binding_detail(published, known(published.snapshot.bindings, "binding", call.where["binding"])))


def create(call: Call[Timeout, Binding]) -> Answer:
    """Make or replace a binding."""
    changed = ask(call, CreateBinding(call.body.value()))
    name = call.body.name
    made = name not in changed.before.snapshot.bindings
    left = settled(call, changed)
    detail = binding_detail(changed.after, changed.after.snapshot.bindings[name])
    view = BindingMade(**msgspec.structs.asdict(detail), late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/bindings/{name}"),))


def delete(call: Call[Timeout, Empty]) -> Answer:
    """Remove a binding."""
    return done(call, ask(call, DeleteBinding(call.where["binding"])))


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/bindings", "List the bindings", index, Access.ADMINISTRATION, answers={200: Bindings}),
    Route(
        "POST",
        "/v1/bindings",
        "Make or replace a binding: which networks the selected projects, or pods of them, are on",
        create,
        Access.ADMINISTRATION,
        answers={200: BindingMade, 201: BindingMade, 202: BindingMade},
        refusals=frozenset({404, 409, 422, 507}),
    ),
    Route(
        "GET",
        "/v1/bindings/{binding}",
        "Show a binding and what it selects",
        show,
        Access.ADMINISTRATION,
        answers={200: BindingDetail},
        refusals=frozenset({404}),
    ),
    Route(
        "DELETE",
        "/v1/bindings/{binding}",
        "Remove a binding; projects go to the networks that they then are on",
        delete,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404, 409, 507}),
    ),
)
