"""The ledger of addresses: who holds which, and whether it is sound."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.client import path
from cli.failures import ExitStatus, Misused
from cli.options import Session, command
from cli.render import Column, Item, Part, cell, items, show, table


class State(StrEnum):
    """How far an address is from being free."""

    ALLOTTED = "allotted"
    BOUND = "bound"
    QUARANTINED = "quarantined"


def _pod(entry: Item) -> object:
    port = entry.get("port")
    return f"{port.get('project')}/{port.get('pod')}" if isinstance(port, dict) else None


def _translated(entry: Item) -> list[str]:
    """Return what an address is in the networks that are joined by translation."""
    return [f"{item.get('address')} in {item.get('network')}" for item in items(entry, "translated")]


COLUMNS = (
    Column("ADDRESS", "address"),
    Column("SPACE", "space", right=True),
    Column("NETWORK", "network"),
    Column("STATE", "state"),
    Column("POD", _pod),
    Column("NODE", "node"),
    Column("ELSEWHERE", _translated, folds=True),
)
HISTORY = (
    Column("AT", "at"),
    Column("BECAME", "state"),
    Column("POD", "pod"),
    Column("NODE", "node"),
    Column("ATTACHMENT", "attachment", folds=True),
)
FINDINGS = (
    Column("FAULT", "kind"),
    Column("WITH", "subject", folds=True),
    Column("HOW IT SHOWS", "cause", folds=True),
)


History = Annotated[
    str | None,
    typer.Option("--history", metavar="ADDRESS", show_default=False, help="Show who has and had one address."),
]
Space = Annotated[int, typer.Option("--space", metavar="NUMBER", min=0, help="In which address space, with --history.")]


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    command(app, "What is there")(addresses)


def addresses(
    session: Session,
    network: Annotated[
        str | None, typer.Option("--network", metavar="NETWORK", show_default=False, help="Only those of this network.")
    ] = None,
    node: Annotated[
        str | None, typer.Option("--node", metavar="NODE", show_default=False, help="Only those on this node.")
    ] = None,
    state: Annotated[
        State | None, typer.Option("--state", show_default=False, help="Only those in this state.")
    ] = None,
    history: History = None,
    space: Space = 0,
    check: Annotated[bool, typer.Option("--check", help="Prove instead that all of it is sound.")] = False,
) -> None:
    """List the addresses that pods hold, and those that nobody may get yet.

    `bound`: the pod's switch delivers to it; `allotted`: it does not yet; `quarantined`: switches may still name it.
    Space 0 is the one that all nodes share; a network with subnets of its own has a space with its VNID as number.
    ELSEWHERE is what an address is in networks that are joined with its own by translation.

    With --check: no address is held twice; each is where it may be, and known to be taken; what is in quarantine
    nobody holds; and every pod's port is on its switch, and nobody else's. The exit status is 1 when one is not so.
    """
    if (network, node, state) != (None, None, None) and (check or history is not None):
        raise Misused("--check and --history look at all addresses; leave out --network, --node and --state")
    if check and history is not None:
        raise Misused("--check and --history answer different questions; give one of them")
    if history is not None:
        body = session.server.get(path("addresses", history), space=str(space))
        show(session.output, body, _history)
    elif check:
        _check(session)
    else:
        body = session.server.get("/addresses", network=network, node=node, state=state)
        show(session.output, body, lambda body: table(COLUMNS, items(body, "addresses")))


def _check(session: Session) -> None:
    body = session.server.get("/addresses/check")
    show(session.output, body, _proof)
    if not body.get("ok"):
        raise typer.Exit(ExitStatus.REFUSED)


def _history(body: Any) -> Part | tuple[Part, ...]:
    entry = body.get("entry")
    now = "free, or no pod's" if entry is None else f"{cell(entry.get('state'))}: {cell(_pod(entry))}"
    return table(HISTORY, items(body, "history")), "", f"now: {now}"


def _proof(body: Any) -> Part | tuple[Part, ...]:
    looked_at = (
        f"{cell(body.get('ports'))} ports, {cell(body.get('held'))} addresses held, "
        f"{cell(body.get('quarantined'))} in quarantine"
    )
    if body.get("ok"):
        return f"sound: {looked_at}"
    findings = items(body, "findings")
    return table(FINDINGS, findings), "", f"not sound: {len(findings)} findings; {looked_at}"
