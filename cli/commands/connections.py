"""Connections: which networks may talk with each other, and what each of the two may begin."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.arguments import ports_text, service_port
from cli.client import path
from cli.commands.networks import PANEL
from cli.options import Session, command
from cli.render import Column, Item, cell, items, show, table
from cli.results import done


def scope_text(scope: Any) -> str:
    """Return what a network may begin: everything, nothing, services, or ports as they are given to join-networks."""
    if not isinstance(scope, dict):
        return "nothing"
    if scope.get("services_only"):
        return "services"
    return ports_text(scope["ports"]) if scope.get("ports") else "everything"


def _end(connection: Item, position: int) -> object:
    networks = connection.get("networks") or ("", "")
    return networks[position]


def translations(connection: Item) -> list[str]:
    """Return which prefix of either network is which in the other."""
    one, other = (str(_end(connection, position)) for position in (0, 1))
    return [
        f"{item.get('cidr')} of {item.get('network')} is {item.get('seen_as')} in "
        f"{other if item.get('network') == one else one}"
        for item in items(connection, "translations")
    ]


COLUMNS = (
    Column("A", lambda connection: _end(connection, 0)),
    Column("B", lambda connection: _end(connection, 1)),
    Column("A MAY BEGIN", lambda connection: scope_text(connection.get("forward")), folds=True),
    Column("B MAY BEGIN", lambda connection: scope_text(connection.get("backward")), folds=True),
    Column("TRANSLATION", translations, folds=True),
)


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, PANEL)
    add(connections)
    add(join_networks)
    add(isolate_networks)


def connections(session: Session) -> None:
    """List which networks are joined, and what each of the two may begin towards the other."""
    show(session.output, session.server.get("/connections"), lambda body: table(COLUMNS, items(body, "connections")))


def join_networks(
    session: Session,
    first: Annotated[str, typer.Argument(metavar="A", show_default=False, help="A network.")],
    second: Annotated[str, typer.Argument(metavar="B", show_default=False, help="Another network.")],
    one_way: Annotated[
        bool, typer.Option("--one-way", help="Only A may begin; B may answer, and begin nothing.")
    ] = False,
    services_only: Annotated[bool, typer.Option("--services-only", help="Only services, not pods.")] = False,
    port: Annotated[
        list[str] | None,
        typer.Option("--port", metavar="PORT[/PROTOCOL]", show_default=False, help="Only this: 80, 53/udp…; repeat."),
    ] = None,
    translate: Annotated[
        bool, typer.Option("--translate", help="Each knows the other's ranges by others: they may overlap.")
    ] = False,
) -> None:
    """Let two networks talk with each other, or change what they may begin.

    Without --one-way the same holds in both directions. It is not transitive: red-blue and blue-green joined, red and
    green stay apart.

    With --translate the controller gives each range of A a prefix by which B knows it, and each of B one for A. They
    stay as long as the two are joined; heddle connections shows them.

    Example: heddle join-networks red blue --one-way --port 80 --port 53/udp
    """
    body: dict[str, Any] = {"networks": [first, second]}
    scope: dict[str, Any] = {"services_only": True} if services_only else {}
    if port:
        scope["ports"] = [service_port(text) for text in port]
    if scope or one_way:
        body |= {"forward": scope, "backward": None if one_way else scope}
    if translate:
        body["translated"] = True
    changed = session.server.change("POST", "/connections", body)
    done(session, changed, _joined(first, second))


def _joined(first: str, second: str) -> Any:
    def sentence(made: Item) -> str:
        one, other = (cell(_end(made, position)) for position in (0, 1))
        forward, backward = scope_text(made.get("forward")), scope_text(made.get("backward"))
        joined = f'networks "{first}" and "{second}" joined'
        scopes = (
            ()
            if forward == backward == "everything"
            else (f'"{one}" may begin {forward}', f'"{other}" may begin {backward}')
        )
        return "; ".join((joined, *scopes, *translations(made)))

    return sentence


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
