"""Networks: list, make, remove, make global, mark. Who of them may talk with whom is in `connections`."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from cli.arguments import subnet as read_subnet
from cli.client import path
from cli.options import Session, command
from cli.render import Column, Item, Part, cell, items, show, table
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
    Column("DSCP", "dscp", right=True),
    Column("MULTICAST", "multicast"),
    Column("PHASE", "phase"),
    Column("PROJECTS", "projects", folds=True),
    Column("NODES", lambda network: len(network.get("nodes") or []), right=True),
    Column("PORTS", "ports", right=True),
)

CONDITIONS = (
    Column("CONDITION", "type"),
    Column("STATUS", lambda condition: str(condition.get("status"))),
    Column("REASON", "reason"),
    Column("MESSAGE", "message", folds=True),
)

Provider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        metavar="PROVIDER",
        show_default=False,
        help="Who supplies its specification; else heddle.",
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The network's name.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, PANEL)
    add(networks)
    add(create_network)
    add(delete_network)
    add(make_global)
    add(set_dscp)


def networks(
    session: Session,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", show_default=False, help="One network: why it is in its phase.")
    ] = None,
    transit: Annotated[bool, typer.Option("--transit", help="Also those that exist for the length of a move.")] = False,
) -> None:
    """List the networks with their VNIDs and phases; of one, also its conditions."""
    if name is None:
        body = session.server.get("/networks", transit="true" if transit else None)
        show(session.output, body, lambda body: table(COLUMNS, items(body, "networks")))
    else:
        show(session.output, session.server.get(path("networks", name)), _detail)


def _detail(network: Any) -> tuple[Part, ...]:
    outdated = network.get("outdated") or 0
    late = ("", f"pods that come up on another network when they are made anew: {cell(outdated)}") if outdated else ()
    return (table(COLUMNS, [network]), "", table(CONDITIONS, items(network, "conditions")), *late)


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
    dscp: Annotated[
        int | None,
        typer.Option("--dscp", metavar="N", show_default=False, help="Its pods' packets carry it; else their own."),
    ] = None,
    multicast: Annotated[
        bool, typer.Option("--multicast", help="What its pods send to groups gets to those that joined them.")
    ] = False,
    provider: Provider = None,
) -> None:
    """Make a network; its projects are made too.

    Example: heddle create-network red --project red --subnet 10.0.0.0/24
    """
    body: dict[str, Any] = {"name": name, "global": is_global, "projects": project or []}
    if subnet:
        body["subnets"] = [read_subnet(text) for text in subnet]
    given = {
        "vnid": vnid,
        "flat": flat or None,
        "mtu": mtu,
        "dscp": dscp,
        "multicast": multicast or None,
        "provider": provider,
    }
    body |= {field: value for field, value in given.items() if value is not None}
    changed = session.server.change("POST", "/networks", body)
    done(session, changed, lambda made: f'network "{name}" {created(changed)}, {_numbers(made)}')


def _numbers(network: Item) -> str:
    own = ranges(network)
    return f"VNID {cell(network.get('vnid'))}{f', subnets {cell(own)}' if own else ''}"


def delete_network(
    session: Session,
    name: Name,
    drain: Annotated[bool, typer.Option("--drain", help="Take in nobody new, and go when the last pod has.")] = False,
    provider: Provider = None,
) -> None:
    """Remove a network, its connections and its empty projects.

    It is refused while pods, services or endpoints are on it, unless it is to be drained.
    """
    changed = session.server.change(
        "DELETE", path("networks", name), drain="true" if drain else None, provider=provider
    )
    done(session, changed, lambda left: f'network "{name}" {"is being drained" if left.get("name") else "deleted"}')


def make_global(session: Session, name: Name, provider: Provider = None) -> None:
    """Let a network talk with every other one, in both directions.

    It keeps its VNID. heddle isolate-networks NAME takes it back.
    """
    body = {"global": True} | ({} if provider is None else {"provider": provider})
    changed = session.server.change("PATCH", path("networks", name), body)
    done(session, changed, lambda _: f'network "{name}" is global')


def set_dscp(
    session: Session,
    name: Name,
    dscp: Annotated[str, typer.Argument(metavar="N|none", show_default=False, help="From 0 to 63; none: their own.")],
    provider: Provider = None,
) -> None:
    """Let the packets of a network's pods carry a DSCP, whatever they have written there themselves.

    Example: heddle set-dscp red 46
    """
    if not re.fullmatch(r"[0-9]{1,2}|none", dscp):
        raise typer.BadParameter(f"{dscp!r} is no DSCP; write a number from 0 to 63, or none")
    number = None if dscp == "none" else int(dscp)
    body: dict[str, Any] = {"dscp": number} | ({} if provider is None else {"provider": provider})
    changed = session.server.change("PATCH", path("networks", name), body)
    done(session, changed, lambda _: f'packets of network "{name}" carry {_carried(number)}')


def _carried(dscp: int | None) -> str:
    return "the DSCP that its pods give them" if dscp is None else f"DSCP {dscp}"
