"""Where a packet would go, step by step, and the verdict."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.arguments import pair
from cli.failures import ExitStatus
from cli.options import Session, command
from cli.render import Column, Item, Part, cell, items, match, show, table

STEPS = (
    Column("NODE", "node"),
    Column("TABLE", lambda step: f"{step.get('table')} {step.get('table_name')}"),
    Column("PRIORITY", "priority", right=True),
    Column("OWNER", "owner", folds=True),
    Column("MATCH", match, folds=True),
    Column("ACTIONS", "actions", folds=True),
)


class Protocol(StrEnum):
    """What the packet carries."""

    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    command(app, "What is there")(trace)


def trace(
    session: Session,
    source: Annotated[
        str, typer.Option("--from", metavar="PROJECT/POD", show_default=False, help="The pod that sends.")
    ],
    destination: Annotated[
        str, typer.Option("--to", metavar="PROJECT/POD|IP", show_default=False, help="A pod, or an address.")
    ],
    protocol: Annotated[Protocol | None, typer.Option("--protocol", show_default=False, help="Default: icmp.")] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="N", min=1, max=65535, show_default=False, help="The destination port. Default: 80."
        ),
    ] = None,
) -> None:
    """Walk a packet from a pod through the tables of every node that it meets, and tell where it ends.

    Nothing is sent: the flows that the switches must have are asked. The exit status is 0 when the packet is
    delivered to a pod or sent outside, and 5 when it is dropped.

    Example: heddle trace --from red/a --to blue/b --protocol tcp --port 80
    """
    pair(source)
    if "/" in destination:
        pair(destination)
    query = {"from": source, "to": destination, "protocol": protocol, "port": None if port is None else str(port)}
    body = session.server.get("/trace", **query)
    show(session.output, body, _walk)
    if body.get("verdict") == "dropped":
        raise typer.Exit(ExitStatus.DROPPED)


def _walk(body: Any) -> tuple[Part, ...]:
    return table(STEPS, items(body, "steps")), "", _verdict(body)


def _verdict(body: Item) -> str:
    """Return the verdict with the place where it fell."""
    at = body.get("at") or {}
    dialled = f", as {cell(body.get('destination'))}" if body.get("destination") else ""
    copied = f"; copied to {cell(body.get('copies'))}" if body.get("copies") else ""
    return f"{cell(body.get('verdict'))} on {cell(at.get('node'))}, {cell(body.get('reason'))}{dialled}{copied}"
