"""Multicast: switch it on for a network, and see where what is sent to groups goes."""

from __future__ import annotations

from typing import Any

import typer

from cli.client import path
from cli.commands.networks import PANEL, Name, Provider
from cli.options import Session, command
from cli.render import Column, Item, items, show, table
from cli.results import done

COLUMNS = (
    Column("GROUP", "group"),
    Column("POD", "pod"),
    Column("NETWORK", "network"),
    Column("NODE", "node"),
    Column("INTERFACE", "interface"),
)


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, PANEL)
    add(set_multicast)
    add(groups)


def set_multicast(
    session: Session,
    name: Name,
    off: bool = typer.Option(False, "--off", help="Switch it off again: all multicast is dropped."),
    provider: Provider = None,
) -> None:
    """Let what a network's pods send to multicast groups get to the pods that joined them (IGMPv2, IGMPv3).

    Example: heddle set-multicast red
    """
    body: dict[str, Any] = {"multicast": not off} | ({} if provider is None else {"provider": provider})
    changed = session.server.change("PATCH", path("networks", name), body)
    done(session, changed, lambda _: f'multicast is {"off" if off else "on"} in network "{name}"')


def groups(session: Session, name: Name) -> None:
    """Show which multicast groups have members that hear a network's pods, and who these are.

    Example: heddle groups red
    """
    body = session.server.get(path("networks", name, "groups"))
    show(
        session.output,
        body,
        lambda answer: table(COLUMNS, [row for group in items(answer, "groups") for row in _rows(group)]),
    )


def _rows(group: Item) -> list[Item]:
    return [{**member, "group": group.get("group")} for member in items(group, "members")]
