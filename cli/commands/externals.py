"""External VTEPs: hosts of a network behind an appliance that is no node."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer

from cli.client import path
from cli.commands.networks import PANEL
from cli.options import Session, command
from cli.render import Column, Item, cell, items, show, table
from cli.results import created, done


class Tunnel(Enum):
    """How packets to and from it are encapsulated."""

    VXLAN = "vxlan"
    GENEVE = "geneve"


COLUMNS = (
    Column("NAME", "name"),
    Column("ADDRESS", "address"),
    Column("NETWORK", "network"),
    Column("VNID", "vnid", right=True),
    Column("SUBNETS", "subnets", folds=True),
    Column("BY", "encapsulation"),
    Column("MAC", lambda external: external.get("mac") or "derived"),
)

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The external VTEP's name.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, PANEL)
    add(external_vteps)
    add(create_external_vtep)
    add(delete_external_vtep)


def external_vteps(session: Session) -> None:
    """List the external VTEPs: where they are, whose hosts are behind them, and how packets go there."""
    show(
        session.output,
        session.server.get("/external-vteps"),
        lambda body: table(COLUMNS, items(body, "external_vteps")),
    )


def create_external_vtep(
    session: Session,
    name: Name,
    address: Annotated[
        str,
        typer.Option("--address", "-a", metavar="ADDRESS", show_default=False, help="By which nodes reach the VTEP."),
    ],
    subnet: Annotated[
        list[str],
        typer.Option("--subnet", metavar="CIDR", show_default=False, help="Of hosts behind it; repeat."),
    ],
    network: Annotated[
        str | None,
        typer.Option("--network", "-n", metavar="NETWORK", show_default=False, help="Whose hosts they are."),
    ] = None,
    vnid: Annotated[
        int | None, typer.Option("--vnid", metavar="NUMBER", show_default=False, help="The network, by its VNID.")
    ] = None,
    by: Annotated[Tunnel, typer.Option("--encapsulation", help="How packets go there and come from there.")] = (
        Tunnel.VXLAN
    ),
    mac: Annotated[
        str | None,
        typer.Option(
            "--mac",
            metavar="MAC",
            show_default=False,
            help="The MAC that it takes packets by; none: 0a:58 and each host's address.",
        ),
    ] = None,
) -> None:
    """Let pods reach hosts behind an appliance's VTEP, and these reach pods, as if they were pods of a network.

    One of that name is replaced.

    Example: heddle create-external-vtep f5 --address 192.0.2.50 --subnet 203.0.113.128/26 --network red
    """
    if (network is None) == (vnid is None):
        raise typer.BadParameter("give --network NETWORK or --vnid NUMBER")
    body: dict[str, Any] = {"name": name, "address": address, "subnets": list(subnet), "encapsulation": by.value}
    body |= {"network": network} if network is not None else {"vnid": vnid}
    body |= {} if mac is None else {"mac": mac}
    changed = session.server.change("POST", "/external-vteps", body)
    done(session, changed, lambda made: f'external VTEP "{name}" {created(changed, "is in force")}, {_what(made)}')


def _what(external: Item) -> str:
    subnets = ", ".join(map(str, external.get("subnets") or ()))
    return f"with {subnets} of {cell(external.get('network'))} behind {cell(external.get('address'))}"


def delete_external_vtep(session: Session, name: Name) -> None:
    """Remove an external VTEP: nothing is sent there any more, and nothing is taken from there."""
    changed = session.server.change("DELETE", path("external-vteps", name))
    done(session, changed, lambda _: f'external VTEP "{name}" deleted')
