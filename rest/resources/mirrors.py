"""Mirrors: whose packets are copied to which pod. Made by the administrator alone: copies pass by all isolation."""

from __future__ import annotations

from typing import Final

import msgspec

from rest.asked import Timeout
from rest.changes import ask, done, late, status
from rest.lookup import known
from rest.mirror_shapes import MirrorMade, Mirrors, MirrorView, mirror_view
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Late
from store.mirrors import MirrorCreation
from topology.requests import CreateMirror, DeleteMirror


def index(call: Call[Empty, Empty]) -> Answer:
    """All mirrors, by name."""
    snapshot = call.control.published.snapshot
    views = (mirror_view(snapshot, mirror) for _, mirror in sorted(snapshot.mirrors.items()))
    return Answer(200, Mirrors(mirrors=tuple(views)))


def show(call: Call[Empty, Empty]) -> Answer:
    """One mirror."""
    snapshot = call.control.published.snapshot
    return Answer(200, mirror_view(snapshot, known(snapshot.mirrors, "mirror", call.where["mirror"])))


def create(call: Call[Timeout, MirrorCreation]) -> Answer:
    """Make or replace a mirror."""
    changed = ask(call, CreateMirror(call.body.asked()))
    name = call.body.name
    made = name not in changed.before.snapshot.mirrors
    left = late(call, changed.submitted)
    snapshot = changed.after.snapshot
    view = MirrorMade(**msgspec.structs.asdict(mirror_view(snapshot, snapshot.mirrors[name])), late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/mirrors/{name}"),))


def delete(call: Call[Timeout, Empty]) -> Answer:
    """Remove a mirror."""
    return done(call, ask(call, DeleteMirror(call.where["mirror"])))


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/mirrors", "List the mirrors", index, Access.ADMINISTRATION, answers={200: Mirrors}),
    Route(
        "POST",
        "/v1/mirrors",
        "Make or replace a mirror: what a network's pods, or one pod, send and get is copied to another pod",
        create,
        Access.ADMINISTRATION,
        answers={200: MirrorMade, 201: MirrorMade, 202: MirrorMade},
        refusals=frozenset({404, 409, 422, 507}),
    ),
    Route(
        "GET",
        "/v1/mirrors/{mirror}",
        "Show a mirror: how many ports it copies, and where to",
        show,
        Access.ADMINISTRATION,
        answers={200: MirrorView},
        refusals=frozenset({404}),
    ),
    Route(
        "DELETE",
        "/v1/mirrors/{mirror}",
        "Remove a mirror",
        delete,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404}),
    ),
)
