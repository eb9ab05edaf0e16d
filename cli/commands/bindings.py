"""Bindings: which networks projects and pods are on, by their labels. Who has which labels is in `projects`, `pods`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.arguments import attachment
from cli.client import path
from cli.commands.networks import PANEL
from cli.options import Session, command
from cli.render import Column, Item, cell, items, show, table
from cli.results import created, done
from cli.selectors import named, selector, selector_text


def attachment_text(found: Any) -> str:
    """Return an attachment as it is given to create-binding: NETWORK[:INTERFACE][,ADDRESS…][,MAC]."""
    if not isinstance(found, dict):
        return ""
    interface = f":{found['interface']}" if found.get("interface") else ""
    static = [*(found.get("addresses") or ()), *([found["mac"]] if found.get("mac") else [])]
    return ",".join([f"{found.get('network')}{interface}", *static])


COLUMNS = (
    Column("NAME", "name"),
    Column("PROJECTS", lambda binding: selector_text(binding.get("projects")), folds=True),
    Column("PODS", lambda binding: selector_text(binding.get("pods")), folds=True),
    Column("PRIMARY", lambda binding: attachment_text(binding.get("primary"))),
    Column("SECONDARY", lambda binding: [attachment_text(each) for each in items(binding, "secondary")], folds=True),
    Column("OPTIONAL", "optional", folds=True),
)

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The binding's name.")]
ProjectSelector = Annotated[
    str | None,
    typer.Option(
        "--projects",
        metavar="SELECTOR",
        show_default=False,
        help="By labels: team=red, 'tier in (a, b)', key, !key, with commas between; '' is all.",
    ),
]
ProjectNames = Annotated[
    list[str] | None,
    typer.Option("--project", "-p", metavar="PROJECT", show_default=False, help="By name; repeat."),
]
PodSelector = Annotated[
    str | None,
    typer.Option(
        "--pods", metavar="SELECTOR", show_default=False, help="Only these of their pods, among what they have."
    ),
]
Primary = Annotated[
    str | None,
    typer.Option("--primary", metavar="NETWORK", show_default=False, help="The network that they are on."),
]
Secondary = Annotated[
    list[str] | None,
    typer.Option(
        "--secondary",
        metavar="NETWORK[:INTERFACE][,ADDRESS][,MAC]",
        show_default=False,
        help="A network that each pod is on besides; address and MAC only with --pods. Repeat.",
    ),
]
Optional = Annotated[
    list[str] | None,
    typer.Option("--optional", metavar="NETWORK", show_default=False, help="One that a pod may ask for; repeat."),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, PANEL)
    add(bindings)
    add(create_binding)
    add(delete_binding)


def bindings(session: Session) -> None:
    """List the bindings: which projects or pods they select, and which networks they give them."""
    show(session.output, session.server.get("/bindings"), lambda body: table(COLUMNS, items(body, "bindings")))


def create_binding(
    session: Session,
    name: Name,
    projects: ProjectSelector = None,
    project: ProjectNames = None,
    pods: PodSelector = None,
    primary: Primary = None,
    secondary: Secondary = None,
    optional: Optional = None,
) -> None:
    """Put projects, or pods of them, on networks; a binding of that name is replaced.

    Without --pods it says what the projects have; with --pods it chooses among that.

    Example: heddle create-binding storage --projects team=red --secondary storage --optional backup
    """
    body: dict[str, Any] = {"name": name, "projects": _projects(projects, project)}
    if pods is not None:
        body["pods"] = selector(pods)
    if primary is not None:
        body["primary"] = attachment(primary)
    body |= {"secondary": [attachment(text) for text in secondary or ()], "optional": optional or []}
    changed = session.server.change("POST", "/bindings", body)
    done(session, changed, lambda made: f'binding "{name}" {created(changed, "is in force")}, {_selected(made)}')


def _projects(text: str | None, names: list[str] | None) -> dict[str, Any]:
    if text is None and not names:
        raise typer.BadParameter("give --projects SELECTOR or --project NAME; --projects '' selects all")
    found = selector(text or "")
    return {"match_expressions": [*found["match_expressions"], *([named(names)] if names else [])]}


def _selected(binding: Item) -> str:
    selected = binding.get("selected") or []
    if not selected:
        return "selects no project now"
    return f"selects {len(selected)} project{'' if len(selected) == 1 else 's'}: {cell(selected)}"


def delete_binding(session: Session, name: Name) -> None:
    """Remove a binding.

    It is refused while pods are on a network that only it gives them.
    """
    changed = session.server.change("DELETE", path("bindings", name))
    done(session, changed, lambda _: f'binding "{name}" deleted')
