"""Networks: list, make, remove, join, isolate, make global."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.client import path
from cli.options import Session, command
from cli.render import Column, items, show, table
from cli.results import created, done

PANEL = "Networks and projects"
COLUMNS = (
    Column("NAME", "name"),
    Column("VNID", "vnid", right=True),
    Column("GLOBAL", "global"),
    Column("PROJECTS", "projects", folds=True),
    Column("NODES", lambda network: len(network.get("nodes") or []), right=True),
    Column("PORTS", "ports", right=True),
)

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The network's name.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, PANEL)
    add(networks)
    add(create_network)
    add(delete_network)
    add(join_networks)
    add(isolate_networks)
    add(make_global)


def networks(session: Session) -> None:
    """List the networks with their VNIDs."""
    show(session.output, session.server.get("/networks"), lambda body: table(COLUMNS, items(body, "networks")))


def create_network(
    session: Session,
    name: Name,
    project: Annotated[
        list[str] | None,
        typer.Option("--project", "-p", metavar="PROJECT", show_default=False, help="A project to put on it; repeat."),
    ] = None,
    vnid: Annotated[
        int | None,
        typer.Option("--vnid", metavar="N", show_default=False, help="Its VXLAN network identifier; else a free one."),
    ] = None,
    is_global: Annotated[bool, typer.Option("--global", help="It may talk with every network.")] = False,
) -> None:
    """Make a network; its projects are made too.

    Example: heddle create-network red --project red
    """
    body = {"name": name, "global": is_global, "projects": project or []}
    if vnid is not None:
        body["vnid"] = vnid
    changed = session.server.change("POST", "/networks", body)
    done(session, changed, lambda made: f'network "{name}" {created(changed)}, VNID {made.get("vnid", "-")}')


def delete_network(session: Session, name: Name) -> None:
    """Remove a network, its connections and its empty projects.

    It is refused while pods or services are on it.
    """
    changed = session.server.change("DELETE", path("networks", name))
    done(session, changed, lambda _: f'network "{name}" deleted')


def join_networks(
    session: Session,
    first: Annotated[str, typer.Argument(metavar="A", show_default=False, help="A network.")],
    second: Annotated[str, typer.Argument(metavar="B", show_default=False, help="Another network.")],
) -> None:
    """Let two networks talk with each other.

    It is not transitive: red-blue and blue-green joined, red and green stay apart.
    """
    changed = session.server.change("POST", "/connections", {"networks": [first, second]})
    done(session, changed, lambda _: f'networks "{first}" and "{second}" joined')


def isolate_networks(
    session: Session,
    first: Annotated[str, typer.Argument(metavar="A", show_default=False, help="A network.")],
    second: Annotated[
        str | None, typer.Argument(metavar="B", show_default=False, help="Another one; without it, from all.")
    ] = None,
) -> None:
    """Part two networks that were joined, or one from all others.

    With A alone, A is also no longer global.
    """
    others = (second,) if second is not None else ()
    changed = session.server.change("DELETE", path("connections", first, *others))
    parted = f'networks "{first}" and "{second}" isolated from each other'
    done(session, changed, lambda _: parted if others else f'network "{first}" isolated from all others')


def make_global(session: Session, name: Name) -> None:
    """Let a network talk with every other one, in both directions.

    It keeps its VNID. heddle isolate-networks NAME takes it back.
    """
    changed = session.server.change("PATCH", path("networks", name), {"global": True})
    done(session, changed, lambda _: f'network "{name}" is global')
