"""Mirrors: copies of what a network's pods, or one pod, send and get, to another pod."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

import typer

from cli.arguments import pair
from cli.client import path
from cli.commands.networks import PANEL
from cli.options import Session, command
from cli.render import Column, Item, cell, items, show, table
from cli.results import created, done


class Direction(Enum):
    """What is copied: what pods get, send, or both."""

    IN = "in"
    OUT = "out"
    BOTH = "both"


def _pod(value: object) -> str | None:
    return f"{value.get('project')}/{value.get('pod')}" if isinstance(value, dict) else None


COLUMNS = (
    Column("NAME", "name"),
    Column("COPIES", lambda mirror: mirror.get("network") or _pod(mirror.get("pod"))),
    Column("DIRECTION", "direction"),
    Column("PORTS", "ports", right=True),
    Column("TO", lambda mirror: _pod(mirror.get("target"))),
    Column("NODE", "node"),
)

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The mirror's name.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, PANEL)
    add(mirrors)
    add(create_mirror)
    add(delete_mirror)


def mirrors(session: Session) -> None:
    """List the mirrors: whose packets are copied, and to which pod; without a node nothing is, for it is not there."""
    show(session.output, session.server.get("/mirrors"), lambda body: table(COLUMNS, items(body, "mirrors")))


def create_mirror(
    session: Session,
    name: Name,
    to: Annotated[
        str, typer.Option("--to", metavar="PROJECT/POD", show_default=False, help="The pod that gets the copies.")
    ],
    network: Annotated[
        str | None,
        typer.Option("--network", "-n", metavar="NETWORK", show_default=False, help="Copy what its pods send and get."),
    ] = None,
    pod: Annotated[
        str | None,
        typer.Option("--pod", metavar="PROJECT/POD", show_default=False, help="Copy what this pod sends and gets."),
    ] = None,
    direction: Annotated[
        Direction, typer.Option("--direction", "-d", help="Only what they get (in), or send (out).")
    ] = Direction.BOTH,
) -> None:
    """Copy the packets of a network's pods, or of one pod, to another pod; a mirror of that name is replaced.

    The target sees them on its first interface, to a MAC address that is nobody's.

    Example: heddle create-mirror watch --network red --to ops/probe
    """
    if (network is None) == (pod is None):
        raise typer.BadParameter("give --network NETWORK or --pod PROJECT/POD")
    body: dict[str, Any] = {"name": name, "target": _named(to), "direction": direction.value}
    body |= {"network": network} if network is not None else {"pod": _named(str(pod))}
    changed = session.server.change("POST", "/mirrors", body)
    done(session, changed, lambda made: f'mirror "{name}" {created(changed, "is in force")}, {_reach(made)}')


def _reach(mirror: Item) -> str:
    target = _pod(mirror.get("target"))
    where = f"{target} on {mirror['node']}" if mirror.get("node") else f"nobody: {target} is not there"
    return f"copies {cell(mirror.get('ports'))} ports to {where}"


def _named(text: str) -> dict[str, str]:
    project, name = pair(text)
    return {"project": project, "pod": name}


def delete_mirror(session: Session, name: Name) -> None:
    """Remove a mirror."""
    changed = session.server.change("DELETE", path("mirrors", name))
    done(session, changed, lambda _: f'mirror "{name}" deleted')
