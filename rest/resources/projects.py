"""Projects (Kubernetes namespaces): put on a network, show, forget."""

from __future__ import annotations

from typing import Final

import msgspec

from rest.asked import Timeout
from rest.changes import ask, done, late, status
from rest.lookup import known
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Late, ProjectMade, Projects, ProjectView
from rest.views import project_view
from store.objects import Project
from topology.requests import CreateProject, DeleteProject


def index(call: Call[Empty, Empty]) -> Answer:
    """All projects, by name."""
    published = call.control.published
    projects = sorted(published.snapshot.projects.items())
    return Answer(200, Projects(projects=tuple(project_view(published, project) for _, project in projects)))


def show(call: Call[Empty, Empty]) -> Answer:
    """One project."""
    published = call.control.published
    return Answer(200, project_view(published, known(published.snapshot.projects, "project", call.where["project"])))


def create(call: Call[Timeout, Project]) -> Answer:
    """Put a project on a network."""
    name = call.body.name
    changed = ask(call, CreateProject(name, call.body.network))
    made = name not in changed.before.snapshot.projects
    left = late(call, changed.submitted)
    project = changed.after.snapshot.projects[name]
    view = ProjectMade(**msgspec.structs.asdict(project_view(changed.after, project)), late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/projects/{name}"),))


def delete(call: Call[Timeout, Empty]) -> Answer:
    """Forget a project."""
    return done(call, ask(call, DeleteProject(call.where["project"])))


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/projects", "List the projects", index, Access.ADMINISTRATION, answers={200: Projects}),
    Route(
        "POST",
        "/v1/projects",
        "Put a project on a network",
        create,
        Access.ADMINISTRATION,
        answers={200: ProjectMade, 201: ProjectMade, 202: ProjectMade},
        refusals=frozenset({404, 409, 422}),
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
        "DELETE",
        "/v1/projects/{project}",
        "Forget a project without pods and services",
        delete,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404, 409}),
    ),
)
