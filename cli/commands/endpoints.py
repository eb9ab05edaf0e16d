"""Endpoints of services: list, set, remove; in slices, as the API has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cli.arguments import endpoint, named_port, pair, ports_text
from cli.client import path
from cli.options import Session, command
from cli.render import NOTHING, Column, Item, items, show, table
from cli.results import done

Name = Annotated[
    str,
    typer.Argument(metavar="PROJECT/NAME", show_default=False, help="The slice of endpoints, after its project."),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, "Services")
    add(endpoints)
    add(set_endpoints)
    add(delete_endpoints)


def endpoints(session: Session) -> None:
    """List the endpoints of services: which slice each is in, where it is, and whether it is ready."""
    show(session.output, session.server.get("/endpoints"), lambda body: table(COLUMNS, _rows(body)))


def set_endpoints(
    session: Session,
    name: Name,
    service: Annotated[
        str, typer.Option("--service", metavar="NAME", show_default=False, help="Whose they are, in the project.")
    ],
    port: Annotated[
        list[str],
        typer.Option(
            "--port",
            metavar="[NAME=]PORT[/PROTOCOL]",
            show_default=False,
            help="Their own port for the service's of that name: 8080/tcp, http=8080…; repeat.",
        ),
    ],
    found: Annotated[
        list[str] | None,
        typer.Option("--endpoint", metavar="ADDRESS[@NODE][=ZONE,…]", show_default=False, help="One; repeat."),
    ] = None,
) -> None:
    """Set a slice of a service's endpoints; those that it had are replaced. They are taken to be ready.

    A service may have several slices, and they may come before it. Where all endpoints say for which zones they are,
    clients are led to those for the zone of their node.

    Example: heddle set-endpoints red/web-1 --service web --port 8080 --endpoint 10.128.0.5@n1 --endpoint 10.128.2.7@n2
    """
    project, slice_name = pair(name)
    body: dict[str, Any] = {"name": slice_name, "project": project, "service": service}
    body["ports"] = [named_port(text) for text in port]
    body["endpoints"] = [endpoint(text) for text in found or ()]
    changed = session.server.change("POST", "/endpoints", body)
    done(session, changed, lambda made: f'service "{project}/{service}" has {_count(made)} in "{name}"')


def delete_endpoints(session: Session, name: Name) -> None:
    """Remove a slice of endpoints."""
    changed = session.server.change("DELETE", path("endpoints", *pair(name)))
    done(session, changed, lambda _: f'endpoints "{name}" deleted')


def _count(found: Item) -> str:
    count = len(items(found, "endpoints"))
    return f"{count} endpoint{'' if count == 1 else 's'}"


def _rows(body: Any) -> Iterator[Item]:
    """Yield what a table shows: each endpoint with its slice, and a slice without any."""
    for found in items(body, "endpoints"):
        for each in items(found, "endpoints") or [{}]:
            yield {**found, **each}


def _state(row: Item) -> str:
    """Return what an endpoint is good for, in words."""
    if "ready" not in row:
        return NOTHING
    state = "ready" if row["ready"] else "serving" if row.get("serving") else "not ready"
    return f"{state}, terminating" if row.get("terminating") else state


COLUMNS = (
    Column("PROJECT", "project"),
    Column("NAME", "name"),
    Column("SERVICE", "service"),
    Column("PORTS", lambda row: ports_text(items(row, "ports")), folds=True),
    Column("ADDRESS", "address"),
    Column("NODE", "node"),
    Column("STATE", _state),
    Column("FOR ZONES", "zones", folds=True),
)
