"""Projects (Kubernetes namespaces): put on a network, show, move to another one, forget."""

from __future__ import annotations

from typing import Final

import msgspec

from rest.asked import ProjectChange, Timeout
from rest.changes import ask, done, late, status
from rest.control import Published, Submitted
from rest.lookup import known
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Late, ProjectMade, Projects, ProjectView
from rest.views import project_view
from store.objects import Project
from topology.requests import CreateProject, DeleteProject, MoveProject


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


def change(call: Call[Timeout, ProjectChange]) -> Answer:
    """Take a project to another network; the answer comes when its pods are there."""
    name, asked = call.where["project"], call.body
    earlier = call.control.published.snapshot.projects.get(name)
    changed = ask(call, MoveProject(name, asked.network, asked.recreate))
    if name in changed.after.snapshot.moves:
        call.control.wait("moves", lambda published: _not_moving(published, name), call.query.timeout)
        left = _late(call, {asked.network, asked.network if earlier is None else earlier.network})
    else:
        left = late(call, changed.submitted)
    published = call.control.published
    project = known(published.snapshot.projects, "project", name)
    view = ProjectMade(**msgspec.structs.asdict(project_view(published, project)), late=left)
    return Answer(202 if left or view.moving else 200, view)


def _not_moving(published: Published, project: str) -> bool | None:
    return True if project not in published.snapshot.moves else None


def _late(call: Call[Timeout, ProjectChange], networks: set[str]) -> tuple[str, ...]:
    """Wait for the last stage of a move on the nodes that host the networks; return those on which it is not in force.

    A move is a row of changes, and only the first was submitted here: what is waited for is what switches lack now.
    """
    published = call.control.published
    nodes = {node for network in networks for node in published.snapshot.hosts.get(network, {})}
    behind: dict[int, set[str]] = {}
    for node in nodes & set(published.switches):
        status = published.switches[node]
        if status.committed_revision < status.desired_revision:
            behind.setdefault(status.desired_revision, set()).add(node)
    waited = (Submitted(revision, frozenset(which)) for revision, which in behind.items())
    return tuple(sorted(node for each in waited for node in call.control.late(each, call.query.timeout)))


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
        "PATCH",
        "/v1/projects/{project}",
        "Take a project and its pods to another network",
        change,
        Access.ADMINISTRATION,
        answers={200: ProjectMade, 202: ProjectMade},
        refusals=frozenset({404, 409, 507}),
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
