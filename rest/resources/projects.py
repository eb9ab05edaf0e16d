"""Projects (Kubernetes namespaces): put on a network, show, move to another one, forget."""

from __future__ import annotations

from typing import Final

import msgspec

from rest.asked import ProjectChange, Timeout
from rest.changes import ask, done, late, status
from rest.control import Published
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
    before = call.control.published.snapshot.projects.get(name)
    changed = ask(call, MoveProject(name, asked.network, asked.recreate))
    left: tuple[str, ...] = ()
    if name in changed.after.snapshot.moves:
        call.control.wait("moves", lambda published: _not_moving(published, name), call.query.timeout)
    else:
        left = late(call, changed.submitted)
    published = call.control.published
    project = known(published.snapshot.projects, "project", name)
    if before is not None:
        left = tuple(sorted({*left, *_behind(published, before.network, asked.network)}))
    view = ProjectMade(**msgspec.structs.asdict(project_view(published, project)), late=left)
    return Answer(202 if left or view.moving else 200, view)


def _not_moving(published: Published, project: str) -> bool | None:
    return True if project not in published.snapshot.moves else None


def _behind(published: Published, *networks: str) -> set[str]:
    """Return the nodes that host one of some networks, and whose switches do not have all they must have."""
    nodes = {node for name in networks for node in published.snapshot.hosts.get(name, {})}
    statuses = [published.switches[node] for node in nodes if node in published.switches]
    return {status.node for status in statuses if status.committed_revision < status.desired_revision}


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
