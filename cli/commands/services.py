"""Services: list, make, remove."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.arguments import pair, ports_text, service_port
from cli.client import path
from cli.options import Session, command
from cli.render import NOTHING, Column, Item, items, show, table
from cli.results import done

Name = Annotated[
    str, typer.Argument(metavar="PROJECT/NAME", show_default=False, help="The service, after the project it is of.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, "Services")
    add(services)
    add(create_service)
    add(delete_service)


def services(session: Session) -> None:
    """List the services with their addresses and ports."""
    show(session.output, session.server.get("/services"), lambda body: table(COLUMNS, items(body, "services")))


def create_service(
    session: Session,
    name: Name,
    address: Annotated[str, typer.Option("--address", "-a", metavar="IP", show_default=False, help="Its address.")],
    port: Annotated[
        list[str],
        typer.Option("--port", metavar="PORT[/PROTOCOL]", show_default=False, help="80, 80/tcp, 53/udp…; repeat."),
    ],
) -> None:
    """Make a service, or replace the one of that name.

    Example: heddle create-service red/web --address 172.30.0.10 --port 80 --port 443
    """
    project, service = pair(name)
    body = {"name": service, "project": project, "address": address, "ports": [service_port(text) for text in port]}
    changed = session.server.change("POST", "/services", body)
    done(session, changed, lambda _: f'service "{name}" is at {address}, ports {_ports(body)}')


def delete_service(session: Session, name: Name) -> None:
    """Remove a service."""
    changed = session.server.change("DELETE", path("services", *pair(name)))
    done(session, changed, lambda _: f'service "{name}" deleted')


def _ports(service: Item) -> str:
    """Return a service's ports as they are given to create-service."""
    return ports_text(service.get("ports") or []) or NOTHING


COLUMNS = (
    Column("PROJECT", "project"),
    Column("NAME", "name"),
    Column("ADDRESS", "address"),
    Column("PORTS", _ports),
)
