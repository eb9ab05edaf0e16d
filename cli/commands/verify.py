"""The proof of the network: whether its flows do what it allows, and whether it is still the one of a statement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.failures import ExitStatus, Misused
from cli.options import Session, command
from cli.render import Column, Item, Part, cell, items, show, table

NODES = (
    Column("NODE", "node"),
    Column("FLOWS", "flows", right=True),
    Column("DIGEST", "digest"),
    Column("ON SWITCH", lambda node: "yes" if node.get("installed") else "no"),
    Column("FINDINGS", lambda node: node.get("findings") or None, right=True),
)
FINDINGS = (
    Column("FAULT", "kind"),
    Column("NODE", "node"),
    Column("HOW IT SHOWS", lambda finding: _shown(finding), folds=True),
)


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    command(app, "What is there")(verify)


def verify(
    session: Session,
    statement: Annotated[
        Path | None,
        typer.Option(
            "--statement", metavar="FILE", show_default=False, help="Check whether it is still the network of this one."
        ),
    ] = None,
) -> None:
    """Prove that the flows of all nodes do what the network allows, and nothing else.

    The statement names digests of the network and of each node's flows, and how many flows each claim was proven of.
    Keep it with --output json; with --statement it is checked again: the network must be the same, and sound. The exit
    status is 1 when it is not.

    Example: heddle verify -o json > statement.json; heddle verify --statement statement.json
    """
    earlier = None if statement is None else _read(statement)
    body = session.server.get("/verification")
    differences = [] if earlier is None else _differences(earlier, body)
    shown = body if earlier is None else {**body, "differences": differences, "same": not differences}
    show(session.output, shown, _view)
    if differences or not body.get("proven"):
        raise typer.Exit(ExitStatus.REFUSED)


def _read(file: Path) -> Item:
    """Return the statement in a file. Raises Misused when there is none in it."""
    try:
        body = json.loads(file.read_text())
    except OSError as error:
        raise Misused(f"statement {file}: {error.strerror}; give a file that you can read") from error
    except ValueError as error:
        raise Misused(f"statement {file}: it is not JSON ({error}); make it with heddle verify -o json") from error
    if not isinstance(body, Mapping) or not isinstance(body.get("digest"), str) or not items(body, "nodes"):
        if isinstance(body, Mapping) and isinstance(body.get("digest"), str) and body.get("nodes") == []:
            return body
        raise Misused(f"statement {file}: it holds no statement; make it with heddle verify -o json")
    return body


def _differences(earlier: Item, now: Item) -> list[str]:
    """Return in what the network is not that of an earlier statement, one sentence each."""
    found = []
    if not earlier.get("proven"):
        found.append("the statement says itself that the network was not sound")
    if earlier.get("digest") != now.get("digest"):
        found.append(f"the network has changed since revision {cell(earlier.get('revision'))} of the statement")
    before, after = (_digests(body) for body in (earlier, now))
    for node in sorted({*before, *after}):
        if before.get(node) != after.get(node):
            what = "is new" if node not in before else "is gone" if node not in after else "has other flows"
            found.append(f"node {node} {what}")
    return found


def _digests(body: Item) -> dict[str, object]:
    return {cell(node.get("node")): node.get("digest") for node in items(body, "nodes")}


def _view(body: Any) -> tuple[Part, ...]:
    parts: list[Part] = [table(NODES, items(body, "nodes")), ""]
    findings = items(body, "findings")
    if findings:
        parts += [table(FINDINGS, findings), ""]
    parts += [f"left out on {cell(node.get('node'))}: {text}" for node, text in _left_out(body)]
    parts += [f"differs: {text}" for text in body.get("differences") or ()]
    return (*parts, _sentence(body, findings))


def _left_out(body: Any) -> list[tuple[Item, str]]:
    return [(node, cell(text)) for node in items(body, "nodes") for text in node.get("left_out") or ()]


def _sentence(body: Any, findings: list[Item]) -> str:
    many = f"{cell(body.get('flows') or 0)} flows of {len(items(body, 'nodes'))} nodes"
    took = f"revision {cell(body.get('revision'))}, digest {cell(body.get('digest'))}, {body.get('milliseconds')} ms"
    verdict = "proven" if body.get("proven") else f"not sound: {len(findings)} findings;"
    same = {True: "; the network of the statement", False: "; not the network of the statement", None: ""}
    behind = [cell(node.get("node")) for node in items(body, "nodes") if not node.get("installed")]
    waiting = f"; not acknowledged yet by the switches of {', '.join(behind)}" if behind else ""
    return f"{verdict} {many}: {took}{same[body.get('same')]}{waiting}"


def _shown(finding: Item) -> str:
    witness = finding.get("witness")
    more = f"; witness: {witness.get('text')}" if isinstance(witness, Mapping) else ""
    return f"{cell(finding.get('text'))}{more}"
