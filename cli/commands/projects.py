"""Projects (Kubernetes namespaces) and the network that each is on: list, make, move, remove."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from cli.client import path
from cli.commands.networks import PANEL
from cli.options import Session, command
from cli.render import Column, Item, cell, items, show, table
from cli.results import created, done


def _move(project: Item) -> object:
    """Return the move that a project is in, and how far it is."""
    move = project.get("moving")
    return f"to {cell(move.get('to'))}, {cell(move.get('stage'))}" if isinstance(move, dict) else None


COLUMNS = (
    Column("NAME", "name"),
    Column("NETWORK", "network"),
    Column("PORTS", "ports", right=True),
    Column("OUTDATED", "outdated", right=True),
    Column("MOVING", _move),
)

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The project's name.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, PANEL)
    add(projects)
    add(create_project)
    add(move_project)
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


def move_project(
    session: Session,
    name: Name,
    network: Annotated[str, typer.Argument(metavar="NETWORK", show_default=False, help="The network to move to.")],
    recreate: Annotated[
        bool, typer.Option("--recreate", help="Pods whose addresses cannot go along stay until they are made anew.")
    ] = False,
) -> None:
    """Take a project and its pods to another network while they talk.

    Nothing is lost that both networks allow, and nothing passes that neither allows.

    Example: heddle move-project shop blue
    """
    body = {"network": network, **({"recreate": True} if recreate else {})}
    done(session, session.server.change("PATCH", path("projects", name), body), _moved(name))


def _moved(name: str) -> Callable[[Item], str]:
    def sentence(project: Item) -> str:
        if project.get("moving"):
            return f'project "{name}" is on its way to network "{cell(project["moving"].get("to"))}"'
        left = project.get("outdated")
        rest = f"; pods that stay where they are until they are made anew: {cell(left)}" if left else ""
        return f'project "{name}" is on network "{cell(project.get("network"))}"{rest}'

    return sentence


def delete_project(session: Session, name: Name) -> None:
    """Forget a project.

    It is refused while it has pods or services.
    """
    changed = session.server.change("DELETE", path("projects", name))
    done(session, changed, lambda _: f'project "{name}" deleted')
