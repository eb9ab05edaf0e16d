"""Projects (Kubernetes namespaces) and the network that each is on: list, make, remove."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.client import path
from cli.commands.networks import PANEL
from cli.options import Session, command
from cli.render import Column, items, show, table
from cli.results import created, done

COLUMNS = (
    Column("NAME", "name"),
    Column("NETWORK", "network"),
    Column("PORTS", "ports", right=True),
)

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The project's name.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, PANEL)
    add(projects)
    add(create_project)
    add(delete_project)


def projects(session: Session) -> None:
    """List the projects and the network of each."""
    show(session.output, session.server.get("/projects"), lambda body: table(COLUMNS, items(body, "projects")))


def create_project(
    session: Session,
    name: Name,
    network: Annotated[
        str, typer.Option("--network", "-n", metavar="NETWORK", show_default=False, help="The network it is on.")
    ],
) -> None:
    """Put a project on a network.

    Example: heddle create-project shop --network red
    """
    changed = session.server.change("POST", "/projects", {"name": name, "network": network})
    done(session, changed, lambda _: f'project "{name}" {created(changed)}, on network "{network}"')


def delete_project(session: Session, name: Name) -> None:
    """Forget a project.

    It is refused while it has pods or services.
    """
    changed = session.server.change("DELETE", path("projects", name))
    done(session, changed, lambda _: f'project "{name}" deleted')
