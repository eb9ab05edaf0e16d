"""Egresses: by which addresses pods of a network leave for the outside."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.arguments import pair
from cli.client import path
from cli.commands.networks import PANEL
from cli.options import Session, command
from cli.render import Column, Item, items, show, table
from cli.results import created, done
from cli.selectors import selector, selector_text


def _held(egress: Item) -> list[str]:
    """Each address with the node that holds it; or the pod that forwards it."""
    via = egress.get("via")
    if isinstance(via, dict):
        return [f"pod {via.get('project')}/{via.get('pod')}"]
    return [f"{each.get('address')} on {each.get('node') or 'no node'}" for each in items(egress, "held")]


COLUMNS = (
    Column("NAME", "name"),
    Column("NETWORK", "network"),
    Column("PODS", lambda egress: selector_text(egress.get("pods")) or "all"),
    Column("ADDRESSES", _held, folds=True),
    Column("NODES", lambda egress: egress.get("nodes") or "all", folds=True),
    Column("FAIL", "fail"),
)

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The egress's name.")]
Network = Annotated[
    str, typer.Option("--network", "-n", metavar="NETWORK", show_default=False, help="Whose pods leave by it.")
]
Address = Annotated[
    list[str] | None,
    typer.Option("--address", "-a", metavar="ADDRESS", show_default=False, help="By which they leave; repeat."),
]
Via = Annotated[
    str | None,
    typer.Option(
        "--via", metavar="PROJECT/POD", show_default=False, help="A pod that forwards it, in place of addresses."
    ),
]
PodSelector = Annotated[
    str | None,
    typer.Option("--pods", metavar="SELECTOR", show_default=False, help="Only these of its pods, by their labels."),
]
Node = Annotated[
    list[str] | None,
    typer.Option("--node", metavar="NODE", show_default=False, help="One that may hold the addresses; repeat."),
]
FailOpen = Annotated[
    bool,
    typer.Option(
        "--fail-open", help="While no such node lives, let pods leave by their own nodes, instead of not at all."
    ),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, PANEL)
    add(egresses)
    add(create_egress)
    add(delete_egress)


def egresses(session: Session) -> None:
    """List the egresses: by which addresses networks leave for the outside, and which nodes hold them."""
    show(session.output, session.server.get("/egresses"), lambda body: table(COLUMNS, items(body, "egresses")))


def create_egress(
    session: Session,
    name: Name,
    network: Network,
    address: Address = None,
    via: Via = None,
    pods: PodSelector = None,
    node: Node = None,
    fail_open: FailOpen = False,
) -> None:
    """Let pods of a network leave for the outside by fixed addresses, or by a pod; an egress of that name is replaced.

    Of several addresses each pod has one, always the same. One of the nodes holds an address; when that fails, another.

    Example: heddle create-egress red --network red --address 203.0.113.5
    """
    body: dict[str, Any] = {"name": name, "network": network, "addresses": address or [], "nodes": node or []}
    if via is not None:
        project, pod = pair(via)
        body["via"] = {"project": project, "pod": pod}
    if pods is not None:
        body["pods"] = selector(pods)
    body["fail"] = "open" if fail_open else "closed"
    changed = session.server.change("POST", "/egresses", body)
    done(session, changed, lambda made: f'egress "{name}" {created(changed, "is in force")}: {", ".join(_held(made))}')


def delete_egress(session: Session, name: Name) -> None:
    """Remove an egress: what it was for leaves by the nodes' own addresses again."""
    changed = session.server.change("DELETE", path("egresses", name))
    done(session, changed, lambda _: f'egress "{name}" deleted')
