"""Services: list, make, remove."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.arguments import named_port, node_ports_text, pair, ports_text, with_node_ports
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
        typer.Option(
            "--port", metavar="[NAME=]PORT[/PROTOCOL]", show_default=False, help="80, 80/tcp, dns=53/udp…; repeat."
        ),
    ],
    node_port: Annotated[
        list[str] | None,
        typer.Option(
            "--node-port",
            metavar="PORT=NUMBER",
            show_default=False,
            help="Also NUMBER of every node's own address: 80=30080, 53/udp=30053, dns=30053…; repeat.",
        ),
    ] = None,
    external: Annotated[
        list[str] | None,
        typer.Option("--external", metavar="IP", show_default=False, help="Also an address of the outside; repeat."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="CIDR",
            show_default=False,
            help="External addresses lead in from there only; repeat.",
        ),
    ] = None,
    external_local: Annotated[
        bool, typer.Option("--external-local", help="From outside, only endpoints on the node that a client comes to.")
    ] = False,
    health_port: Annotated[
        int, typer.Option(metavar="NUMBER", show_default=False, help="Where each node tells how many endpoints it has.")
    ] = 0,
    load_balancer: Annotated[
        bool, typer.Option("--load-balancer", help="Also an address of the cluster's pool.")
    ] = False,
    load_balancer_address: Annotated[
        str | None, typer.Option(metavar="IP", show_default=False, help="This one of the pool.")
    ] = None,
    affinity: Annotated[
        int,
        typer.Option(metavar="SECONDS", show_default=False, help="How long a client stays with its endpoint."),
    ] = 0,
    internal_local: Annotated[
        bool, typer.Option("--internal-local", help="Only endpoints on the client's own node.")
    ] = False,
    publish_not_ready: Annotated[
        bool, typer.Option("--publish-not-ready", help="Endpoints that are not ready, too.")
    ] = False,
) -> None:
    """Make a service, or replace the one of that name.

    Example: heddle create-service red/web --address 172.30.0.10 --port http=80 --port https=443 --node-port 80=30080
    """
    project, service = pair(name)
    body: dict[str, Any] = {"name": service, "project": project, "address": address}
    body["ports"] = with_node_ports(map(named_port, port), node_port or ())
    given = {"affinity": affinity, "internal_local": internal_local, "publish_not_ready": publish_not_ready}
    outside: dict[str, Any] = {
        "external": external,
        "sources": source,
        "external_local": external_local,
        "health_port": health_port,
    }
    is_balanced = load_balancer or load_balancer_address is not None
    outside |= {"load_balancer": is_balanced, "load_balancer_address": load_balancer_address}
    body |= {key: value for key, value in (given | outside).items() if value}
    changed = session.server.change("POST", "/services", body)
    done(session, changed, lambda made: f'service "{name}" is at {address}, ports {_ports(made)}{_at(made)}')


def delete_service(session: Session, name: Name) -> None:
    """Remove a service."""
    changed = session.server.change("DELETE", path("services", *pair(name)))
    done(session, changed, lambda _: f'service "{name}" deleted')


def _ports(service: Item) -> str:
    """Return a service's ports as they are given to create-service."""
    return ports_text(service.get("ports") or []) or NOTHING


def _at(service: Item) -> str:
    given = ", ".join(service.get("ingress") or ())
    return f", and for others at {given}" if given else ""


def _outer(service: Item) -> str:
    return ", ".join((*(service.get("external") or ()), *(service.get("ingress") or ()))) or NOTHING


def _node_ports(service: Item) -> str:
    return node_ports_text(service.get("ports") or []) or NOTHING


COLUMNS = (
    Column("PROJECT", "project"),
    Column("NAME", "name"),
    Column("ADDRESS", "address"),
    Column("PORTS", _ports, folds=True),
    Column("NODE PORTS", _node_ports, folds=True),
    Column("EXTERNAL", _outer, folds=True),
    Column("SOURCES", lambda service: ", ".join(service.get("sources") or ()) or NOTHING, folds=True),
    Column("AFFINITY", lambda service: f"{service['affinity']}s" if service.get("affinity") else NOTHING, right=True),
    Column("LOCAL ONLY", "internal_local"),
    Column("OUTER LOCAL", "external_local"),
    Column("HEALTH", lambda service: str(service.get("health_port") or NOTHING), right=True),
    Column("NOT READY TOO", "publish_not_ready"),
)
