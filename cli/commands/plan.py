"""What if: every command that changes the network, with the same words, told and not done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import typer

from cli.client import Access, Planned, Planner
from cli.commands import (
    bindings,
    connections,
    egresses,
    endpoints,
    groups,
    mirrors,
    networks,
    nodes,
    pods,
    projects,
    services,
)
from cli.failures import ExitStatus
from cli.options import Output, Session, with_common_options
from cli.render import Column, Item, Part, cell, items, show, table

_COMMANDS: Final = (
    networks.create_network,
    networks.delete_network,
    networks.make_global,
    networks.set_dscp,
    groups.set_multicast,
    connections.join_networks,
    connections.isolate_networks,
    projects.create_project,
    projects.move_project,
    projects.label_project,
    projects.delete_project,
    bindings.create_binding,
    bindings.delete_binding,
    egresses.create_egress,
    egresses.delete_egress,
    pods.set_pod,
    pods.forget_pod,
    services.create_service,
    services.delete_service,
    endpoints.set_endpoints,
    endpoints.delete_endpoints,
    mirrors.create_mirror,
    mirrors.delete_mirror,
    nodes.create_node,
    nodes.set_node,
    nodes.delete_node,
)

HELP: Final = """Tell what a change would do, and do nothing.

Takes the command as it would be given without `plan`. The exit status is 1 when the change would be refused, or is
not sound.

Example: heddle plan join-networks red blue --one-way
"""


def _scope(scope: object) -> str:
    """Return what may be begun, in words."""
    if not isinstance(scope, Mapping):
        return "nothing"
    ports = [f"{port.get('port')}/{cell(port.get('protocol')).lower()}" for port in items(scope, "ports")]
    if ports:
        return ", ".join(ports)
    return "services" if scope.get("services_only") else "everything"


def _name(network: object, item: Item) -> str:
    besides = cell(item.get("besides")) if item.get("besides") else ""
    return f"all but {besides}" if network == "*" and besides else "all" if network == "*" else cell(network)


OBJECTS = (Column("OBJECT", "kind"), Column("NAME", "name", folds=True), Column("WOULD BE", "what"))
REACH = (
    Column("FROM", lambda item: _name(item.get("from"), item), folds=True),
    Column("TO", lambda item: _name(item.get("to"), item), folds=True),
    Column("MAY BEGIN", lambda item: _scope(item.get("before")), folds=True),
    Column("WOULD", lambda item: _scope(item.get("after")), folds=True),
    Column("PODS", lambda item: f"{item.get('source_pods')} > {item.get('destination_pods')}"),
)
PODS = (
    Column("PODS", "pods", right=True),
    Column("LEAVE", "from"),
    Column("COME TO", "to"),
    Column("NEW ADDRESS", "readdressed", right=True),
)
FLOWS = (Column("SWITCH", "node"), Column("FLOWS ADDED", "added", right=True), Column("REMOVED", "removed", right=True))
CUT = (
    Column("CUT FROM", "from"),
    Column("TO", "to"),
    Column("PODS", lambda item: f"{item.get('source_pods')} > {item.get('destination_pods')}"),
    Column("WHY", "why", folds=True),
)
FINDINGS = (Column("FAULT", "kind"), Column("NODE", "node"), Column("HOW IT SHOWS", "text", folds=True))
_PARTS: Final = (
    ("objects", OBJECTS),
    ("reach", REACH),
    ("pods", PODS),
    ("cut", CUT),
    ("flows", FLOWS),
    ("findings", FINDINGS),
)


def register(app: typer.Typer) -> None:
    """Add `plan` with its commands to the app."""
    group = typer.Typer(name="plan", help=HELP, no_args_is_help=True, rich_markup_mode="markdown")
    for function in _COMMANDS:
        group.command(function.__name__.replace("_", "-"))(with_common_options(function, ask_for_plan))
    app.add_typer(group, rich_help_panel="What if")


def ask_for_plan(function: Any, access: Access, output: Output, arguments: Mapping[str, Any]) -> None:
    """Run a command up to its first change, and print what that would do."""
    with Planner(access) as server:
        try:
            function(Session(server, output), **arguments)
        except Planned as planned:
            show(output, planned.body, _view)
            if planned.body.get("refused") or planned.body.get("findings"):
                raise typer.Exit(ExitStatus.REFUSED) from None


def _view(body: Any) -> tuple[Part, ...]:
    refused = body.get("refused")
    if isinstance(refused, Mapping):
        return (f"refused: {cell(refused.get('subject'))} {cell(refused.get('cause'))}; {cell(refused.get('remedy'))}",)
    parts: list[Part] = []
    for key, columns in _PARTS:
        found = items(body, key)
        if found:
            parts += [table(columns, found), ""]
    return (*parts, _sentence(body))


def _sentence(body: Any) -> str:
    if items(body, "findings"):
        return "not sound: it would be refused"
    switches = len(items(body, "flows"))
    if not any(items(body, key) for key, _ in _PARTS):
        return "nothing would change"
    cut = "connections would be cut" if items(body, "cut") else "no connection would be cut"
    tracked = f"; tracking of {cell(body.get('tracking'))} begins or ends" if body.get("tracking") else ""
    return f"planned, not done: {switches} {'switch' if switches == 1 else 'switches'} touched, {cut}{tracked}"
