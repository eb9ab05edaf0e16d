"""Projects (Kubernetes namespaces): make, label, show, move to another network, forget."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from rest.asked import Timeout
from rest.binding_shapes import ProjectChange, ProjectCreation, ProjectMade, Projects, ProjectView
from rest.binding_views import project_view
from rest.changes import Changed, ask, done, settled, status
from rest.lookup import known
from rest.problems import INVALID, Problem
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Late
from topology.labels import labels_of
from topology.requests import CreateProject, DeleteProject, MoveProject, SetProjectLabels


def index(call: Call[Empty, Empty]) -> Answer:
    """All projects, by name."""
    published = call.control.published
    projects = sorted(published.snapshot.projects.items())
    return Answer(200, Projects(projects=tuple(project_view(published, project) for _, project in projects)))


def show(call: Call[Empty, Empty]) -> Answer:
    """One project."""
    published = call.control.published
    return Answer(200, project_view(published, known(published.snapshot.projects, "project", call.where["project"])))


def create(call: Call[Timeout, ProjectCreation]) -> Answer:
    """Make a project, or give the one that exists other labels."""
    body = call.body
    labels = None if body.labels is None else labels_of(body.labels)
    changed = ask(call, CreateProject(body.name, body.network, labels))
    return _made(call, body.name, changed, made=body.name not in changed.before.snapshot.projects)


def change(call: Call[Timeout, ProjectChange]) -> Answer:
    """Replace a project's labels, or take it to another network; the answer comes when its pods are there."""
    name, asked = call.where["project"], call.body
    if (asked.labels is None) == (asked.network is None):
        raise Problem(INVALID, f'project "{name}"', "is to be changed in one thing", "give labels or network").at("$")
    if asked.labels is not None:
        return _made(call, name, ask(call, SetProjectLabels(name, labels_of(asked.labels))), made=False)
    return _made(call, name, ask(call, MoveProject(name, str(asked.network), asked.recreate)), made=False)


def delete(call: Call[Timeout, Empty]) -> Answer:
    """Forget a project."""
    return done(call, ask(call, DeleteProject(call.where["project"])))


def _made(call: Call[Timeout, Any], name: str, changed: Changed, *, made: bool) -> Answer:
    left = settled(call, changed, (name,))
    published = call.control.published
    project = known(published.snapshot.projects, "project", name)
    view = ProjectMade(**msgspec.structs.asdict(project_view(published, project)), late=left)
    number = 202 if view.moving else status(made, left)
    return Answer(number, view, (("Location", f"/v1/projects/{name}"),))


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/projects", "List the projects", index, Access.ADMINISTRATION, answers={200: Projects}),
    Route(
        "POST",
        "/v1/projects",
        "Make a project, at home on a network, or replace its labels",
        create,
        Access.ADMINISTRATION,
        answers={200: ProjectMade, 201: ProjectMade, 202: ProjectMade},
        refusals=frozenset({404, 409, 422, 507}),
    ),
    Route(
        "GET",
        "/v1/projects/{project}",
        "Show a project",
        show,
        Access.ADMINISTRATION,
        answers={200: ProjectView},
        refusals=frozenset({404}),
    ),
    Route(
        "PATCH",
        "/v1/projects/{project}",
        "Replace a project's labels, or take the project and its pods to another network",
        change,
        Access.ADMINISTRATION,
        answers={200: ProjectMade, 202: ProjectMade},
        refusals=frozenset({404, 409, 422, 507}),
    ),
    Route(
        "DELETE",
        "/v1/projects/{project}",
        "Forget a project without pods, services and endpoints",
        delete,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404, 409}),
    ),
)
