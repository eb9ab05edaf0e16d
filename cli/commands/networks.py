"""Networks: list, make, remove, make global. Who of them may talk with whom is in `connections`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.arguments import subnet as read_subnet
from cli.client import path
from cli.options import Session, command
from cli.render import Column, Item, cell, items, show, table
from cli.results import created, done

PANEL = "Networks and projects"


def ranges(network: Item) -> list[str]:
    """Return the subnets of a network's own, as ranges; of a flat network they are marked so."""
    flat = " (flat)" if network.get("flat") else ""
    return [f"{subnet.get('cidr')}{flat}" for subnet in items(network, "subnets")]


COLUMNS = (
    Column("NAME", "name"),
    Column("VNID", "vnid", right=True),
    Column("GLOBAL", "global"),
    Column("SUBNETS", ranges, folds=True),
    Column("MTU", "mtu", right=True),
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
    subnet: Annotated[
        list[str] | None,
        typer.Option(
            "--subnet",
            metavar="[NAME=]CIDR[,GATEWAY]",
            show_default=False,
            help="A range of its own, which may be others' too; else it shares the nodes' ranges. Repeat.",
        ),
    ] = None,
    flat: Annotated[bool, typer.Option("--flat", help="Any address of its subnets may be on any node.")] = False,
    mtu: Annotated[
        int | None,
        typer.Option("--mtu", metavar="BYTES", show_default=False, help="At most this; else what the nodes offer."),
    ] = None,
) -> None:
    """Make a network; its projects are made too.

    Example: heddle create-network red --project red --subnet 10.0.0.0/24
    """
    body: dict[str, Any] = {"name": name, "global": is_global, "projects": project or []}
    if subnet:
        body["subnets"] = [read_subnet(text) for text in subnet]
    given = {"vnid": vnid, "flat": flat or None, "mtu": mtu}
    body |= {field: value for field, value in given.items() if value is not None}
    changed = session.server.change("POST", "/networks", body)
    done(session, changed, lambda made: f'network "{name}" {created(changed)}, {_numbers(made)}')


def _numbers(network: Item) -> str:
    own = ranges(network)
    return f"VNID {cell(network.get('vnid'))}{f', subnets {cell(own)}' if own else ''}"


def delete_network(session: Session, name: Name) -> None:
    """Remove a network, its connections and its empty projects.

    It is refused while pods or services are on it.
    """
    changed = session.server.change("DELETE", path("networks", name))
    done(session, changed, lambda _: f'network "{name}" deleted')


def make_global(session: Session, name: Name) -> None:
    """Let a network talk with every other one, in both directions.

    It keeps its VNID. heddle isolate-networks NAME takes it back.
    """
    changed = session.server.change("PATCH", path("networks", name), {"global": True})
    done(session, changed, lambda _: f'network "{name}" is global')
