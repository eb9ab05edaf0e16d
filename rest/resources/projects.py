"""Projects (Kubernetes namespaces): make, label, show, forget."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from rest.asked import Timeout
from rest.binding_shapes import ProjectChange, ProjectCreation, ProjectMade, Projects, ProjectView
from rest.binding_views import project_view
from rest.changes import Changed, ask, done, late, status
from rest.lookup import known
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Late
from topology.labels import labels_of
from topology.requests import CreateProject, DeleteProject, SetProjectLabels


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
    """Replace a project's labels."""
    name = call.where["project"]
    return _made(call, name, ask(call, SetProjectLabels(name, labels_of(call.body.labels))), made=False)


def delete(call: Call[Timeout, Empty]) -> Answer:
    """Forget a project."""
    return done(call, ask(call, DeleteProject(call.where["project"])))


def _made(call: Call[Timeout, Any], name: str, changed: Changed, *, made: bool) -> Answer:
    left = late(call, changed.submitted)
    project = changed.after.snapshot.projects[name]
    view = ProjectMade(**msgspec.structs.asdict(project_view(changed.after, project)), late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/projects/{name}"),))


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
        "Replace a project's labels",
        change,
        Access.ADMINISTRATION,
        answers={200: ProjectMade, 202: ProjectMade},
        refusals=frozenset({404, 409, 422}),
    ),
    Route(
        "DELETE",
        "/v1/projects/{project}",
        "Forget a project without pods and services",
        delete,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404, 409}),
    ),
)
