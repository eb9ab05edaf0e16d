"""Projects (Kubernetes namespaces) and the networks that each is on: list, make, label, move, remove."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from cli.client import path
from cli.commands.networks import PANEL
from cli.options import Session, command
from cli.render import Column, Item, cell, items, show, table
from cli.results import created, done
from cli.selectors import label, labels_text


def _move(project: Item) -> object:
    """Return the move that a project is in, and how far it is."""
    move = project.get("moving")
    return f"to {cell(move.get('to'))}, {cell(move.get('stage'))}" if isinstance(move, dict) else None


COLUMNS = (
    Column("NAME", "name"),
    Column("NETWORK", "network"),
    Column("HOME", "home"),
    Column("SECONDARY", "secondary", folds=True),
    Column("OPTIONAL", "optional", folds=True),
    Column("LABELS", lambda project: labels_text(project.get("labels")), folds=True),
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
    add(label_project)
    add(delete_project)


def projects(session: Session) -> None:
    """List the projects and the network of each."""
    show(session.output, session.server.get("/projects"), lambda body: table(COLUMNS, items(body, "projects")))


def create_project(
    session: Session,
    name: Name,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            "-n",
            metavar="NETWORK",
            show_default=False,
            help="Where it is at home; else on its own or the default one, as the controller is set up.",
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label", "-l", metavar="KEY=VALUE", show_default=False, help="A label, in place of all; repeat."
        ),
    ] = None,
) -> None:
    """Make a project, on a network unless a binding puts it on another one.

    Example: heddle create-project shop --network red --label team=a
    """
    body: dict[str, Any] = {"name": name}
    if network is not None:
        body["network"] = network
    if labels:
        body["labels"] = dict(label(text) for text in labels)
    changed = session.server.change("POST", "/projects", body)
    done(session, changed, lambda made: f'project "{name}" {created(changed)}, on network "{made.get("network")}"')


def label_project(
    session: Session,
    name: Name,
    labels: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE…", show_default=False, help="Labels to set; KEY- takes one away."),
    ],
) -> None:
    """Set labels of a project, or take them away; the others stay.

    Bindings that select by them put its next pods on other networks.

    Example: heddle label-project shop team=a tier-
    """
    gone = [text for text in labels if text.endswith("-") and "=" not in text]
    given = dict(label(text) for text in labels if text not in gone)
    known = session.server.get(path("projects", name)).get("labels") or {}
    kept = {key: value for key, value in known.items() if f"{key}-" not in gone}
    changed = session.server.change("PATCH", path("projects", name), {"labels": kept | given})
    done(session, changed, _labelled(name))


def _labelled(name: str) -> Callable[[Item], str]:
    def sentence(project: Item) -> str:
        labels = cell(labels_text(project.get("labels")))
        return f'project "{name}" has labels {labels}, and is on network "{project.get("network")}"'

    return sentence


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

    It is refused while it has pods, services or endpoints.
    """
    changed = session.server.change("DELETE", path("projects", name))
    done(session, changed, lambda _: f'project "{name}" deleted')
