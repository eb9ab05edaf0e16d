"""Pods, as tenants describe them: labels, networks asked for, limits. Their ports are in `ports`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.arguments import pair
from cli.client import path
from cli.commands.networks import PANEL
from cli.options import Session, command
from cli.render import Column, Item, Part, items, show, table
from cli.results import done
from cli.selectors import label, labels_text

COLUMNS = (
    Column("PROJECT", "project"),
    Column("POD", "pod"),
    Column("LABELS", lambda pod: labels_text(pod.get("labels")), folds=True),
    Column("ASKS FOR", "networks", folds=True),
    Column("INGRESS", "ingress_bandwidth", right=True),
    Column("EGRESS", "egress_bandwidth", right=True),
)
INTERFACES = (
    Column("INTERFACE", lambda one: one.get("interface") or "primary"),
    Column("NETWORK", "network"),
    Column("ADDRESSES", "addresses", folds=True),
    Column("MAC", "mac"),
)

Pod = Annotated[str, typer.Argument(metavar="PROJECT/POD", show_default=False, help="The pod.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, PANEL)
    add(pods)
    add(set_pod)
    add(forget_pod)


def pods(
    session: Session,
    pod: Annotated[
        str | None,
        typer.Argument(metavar="[PROJECT/POD]", show_default=False, help="One pod: which networks it would be on."),
    ] = None,
) -> None:
    """List what was said of pods, or show on which networks one would be if it came now, and why not."""
    if pod is None:
        show(session.output, session.server.get("/pods"), lambda body: table(COLUMNS, items(body, "pods")))
    else:
        show(session.output, session.server.get(path("pods", *pair(pod))), _interfaces)


def _interfaces(pod: Item) -> Part:
    refusal = pod.get("refusal")
    return f"would be refused: {refusal}" if refusal else table(INTERFACES, items(pod, "attachments"))


def set_pod(
    session: Session,
    pod: Pod,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", metavar="KEY=VALUE", show_default=False, help="A label; repeat."),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option("--network", "-n", metavar="NETWORK", show_default=False, help="One that it asks for; repeat."),
    ] = None,
    ingress: Annotated[
        str | None,
        typer.Option("--ingress-bandwidth", metavar="RATE", show_default=False, help="Bits a second that it may get."),
    ] = None,
    egress: Annotated[
        str | None,
        typer.Option("--egress-bandwidth", metavar="RATE", show_default=False, help="Bits a second that it may send."),
    ] = None,
) -> None:
    """Say which labels a pod has, which networks it asks for and its limits; what was said before is replaced.

    Labels and networks count when the pod is attached, and give it nothing that its project does not have. Limits
    (500k, 10M, 1.5G) are in force at once, by each of its ports.

    Example: heddle set-pod red/db --label role=db --network backup --egress-bandwidth 10M
    """
    project, name = pair(pod)
    body: dict[str, Any] = {"project": project, "pod": name, "labels": dict(label(text) for text in labels or ())}
    body |= {"networks": network or [], "ingress_bandwidth": ingress, "egress_bandwidth": egress}
    changed = session.server.change("POST", "/pods", body)
    done(session, changed, lambda made: f'pod "{pod}" noted; it would be {_outlook(made)}')


def _outlook(pod: Item) -> str:
    if pod.get("refusal"):
        return f"refused: {pod['refusal']}"
    return f"on {', '.join(str(one.get('network')) for one in items(pod, 'attachments'))}"


def forget_pod(session: Session, pod: Pod) -> None:
    """Forget what was said of a pod; the pod itself stays."""
    changed = session.server.change("DELETE", path("pods", *pair(pod)))
    done(session, changed, lambda _: f'pod "{pod}" forgotten')
