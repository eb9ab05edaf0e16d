"""What is on the switches: pods' ports, the switches themselves, and their flows."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.client import path
from cli.failures import Misused
from cli.options import Session, command
from cli.render import Column, Item, items, match, show, table

PANEL = "What is there"

PORTS = (
    Column("PROJECT", "project"),
    Column("POD", "pod"),
    Column("NETWORK", "network"),
    Column("NODE", "node"),
    Column("ADDRESSES", lambda port: [one.get("address") for one in items(port, "addresses")], folds=True),
    Column("CLUSTER ADDRESSES", "cluster_addresses", folds=True),
    Column("MAC", "mac"),
    Column("INTERFACE", "interface"),
    Column("OFPORT", "ofport", right=True),
    Column("PHASE", "phase"),
    Column("REASON", "reason", folds=True),
)
SWITCHES = (
    Column("NODE", "node"),
    Column("DATAPATH ID", "dpid"),
    Column("CONNECTED", lambda switch: "yes" if switch.get("connected") else "no"),
    Column("PHASE", "phase"),
    Column("COMMITTED", "committed_revision", right=True),
    Column("DESIRED", "desired_revision", right=True),
    Column("CONFLICTS", lambda switch: len(switch.get("conflicts") or []) or None, right=True),
    Column("FAULTS", lambda switch: len(switch.get("faults") or []) or None, right=True),
    Column("LAST ERROR", "last_error", folds=True),
)
FLOWS = (
    Column("TABLE", lambda flow: f"{flow.get('table')} {flow.get('table_name')}"),
    Column("PRIORITY", "priority", right=True),
    Column("PACKETS", "packets", right=True),
    Column("STATE", "state"),
    Column("OWNER", "owner", folds=True),
    Column("MATCH", match, folds=True),
    Column("ACTIONS", "actions", folds=True),
)


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, PANEL)
    add(ports)
    add(switches)
    add(flows)


def ports(
    session: Session,
    node: Annotated[
        str | None, typer.Option("--node", metavar="NODE", show_default=False, help="Only those on this node.")
    ] = None,
    network: Annotated[
        str | None, typer.Option("--network", metavar="NETWORK", show_default=False, help="Only those on this network.")
    ] = None,
    project: Annotated[
        str | None,
        typer.Option("--project", "-p", metavar="PROJECT", show_default=False, help="Only those of this project."),
    ] = None,
) -> None:
    """List the pods' ports: where they are, their addresses, and whether their flows are in the switch."""
    body = session.server.get("/ports", node=node, network=network, project=project)
    show(session.output, body, lambda body: table(PORTS, items(body, "ports")))


def switches(session: Session) -> None:
    """List each node's switch: connected or not, up to date or not, and its last error."""
    show(session.output, session.server.get("/switches"), lambda body: table(SWITCHES, items(body, "switches")))


def flows(
    session: Session,
    node: Annotated[str, typer.Argument(metavar="NODE", show_default=False, help="The node's name.")],
    table_name: Annotated[
        str | None,
        typer.Option("--table", "-t", metavar="NAME", show_default=False, help="Only this table (name or number)."),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option("--owner", metavar="TEXT", show_default=False, help="Only flows whose owner contains this."),
    ] = None,
) -> None:
    """List the flows of a node's switch with their owners and counters.

    Example: heddle flows n1 --table delivery
    """
    found = items(session.server.get(path("nodes", node, "flows")))
    if table_name is not None:
        found = _in_table(found, table_name, node)
    if owner is not None:
        found = [flow for flow in found if owner.lower() in str(flow.get("owner", "")).lower()]
    show(session.output, found, lambda _: table(FLOWS, found))


def _in_table(found: list[Item], name: str, node: str) -> list[Item]:
    """Return the flows of the table with this name or number. Raises Misused when there is none."""
    wanted = name.lower().replace("-", "_")
    chosen = [flow for flow in found if wanted in (str(flow.get("table")), str(flow.get("table_name")).lower())]
    if found and not chosen:
        names = dict.fromkeys(str(flow.get("table_name")) for flow in found)
        raise Misused(f'no flow of node "{node}" is in a table {name!r}; it has flows in {", ".join(names)}')
    return chosen
