"""The whole at a glance: the topology as a tree, and whether the controller is ready."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

from cli.failures import ExitStatus
from cli.options import Session, command
from cli.render import Item, cell, items, show, tree

if TYPE_CHECKING:
    from rich.tree import Tree

_SPELT_OUT = 8  # nodes: up to here every tunnel is named


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, "What is there")
    add(topology)
    add(status)


def topology(session: Session) -> None:
    """Show the network as a tree: networks with whom they may talk, nodes with their tunnels."""
    show(session.output, session.server.get("/topology"), _tree)


def status(session: Session) -> None:
    """Tell whether the controller is ready to take requests.

    The exit status is 0 when it is and 1 when it is not.
    """
    ready, body = session.server.health("/readyz")
    show(session.output, body, lambda _: f"{session.server.url}: {_readiness(ready, body)}")
    if not ready:
        raise typer.Exit(ExitStatus.REFUSED)


def _readiness(ready: bool, body: Any) -> str:
    detail = cell(body.get("detail")) if isinstance(body, dict) else ""
    return "ready" if ready else f"not ready: {detail}"


def _tree(body: Any) -> Tree:
    root = tree(f"revision {cell(body.get('revision'))}")
    _add_networks(root, items(body, "networks"), _adjacent(_joined(items(body, "connections"))))
    _add_nodes(root, items(body, "nodes"), _adjacent(_tunnelled(items(body, "tunnels"))))
    return root


def _add_networks(root: Tree, networks: list[Item], joined: Mapping[str, set[str]]) -> None:
    branch = root.add(f"networks ({len(networks)})")
    for network in networks:
        leaf = branch.add(
            f"{cell(network.get('name'))}  VNID {cell(network.get('vnid'))}  ports: {cell(network.get('ports'))}"
        )
        if projects := network.get("projects"):
            leaf.add(f"projects {cell(projects)}")
        if network.get("global"):
            leaf.add("global: talks with every network")
        if others := joined.get(str(network.get("name"))):
            leaf.add(f"joined with {cell(sorted(others))}")


def _add_nodes(root: Tree, nodes: list[Item], reached: Mapping[str, set[str]]) -> None:
    branch = root.add(f"nodes ({len(nodes)})")
    names = {str(node.get("name")) for node in nodes}
    for node in nodes:
        name = str(node.get("name"))
        place = f"{cell(node.get('underlay'))}  pods in {cell(node.get('subnets'))}"
        leaf = branch.add(f"{cell(name)}  {place}  ports: {cell(node.get('ports'))}  {cell(node.get('phase'))}")
        others = reached.get(name, set())
        # The mesh is the usual case; with hundreds of nodes nobody wants it spelt out.
        mesh = len(names) > _SPELT_OUT and others == names - {name}
        if others:
            leaf.add("tunnels to all others" if mesh else f"tunnels to {cell(sorted(others))}")


def _joined(connections: Iterable[Item]) -> Iterator[tuple[str, str]]:
    return ((str(first), str(second)) for first, second in (edge["networks"] for edge in connections))


def _tunnelled(tunnels: Iterable[Item]) -> Iterator[tuple[str, str]]:
    return ((str(edge.get("from")), str(edge.get("to"))) for edge in tunnels)


def _adjacent(edges: Iterable[tuple[str, str]]) -> Mapping[str, set[str]]:
    """Return for each end of an edge the other ends; edges lead both ways."""
    found: dict[str, set[str]] = {}
    for first, second in edges:
        found.setdefault(first, set()).add(second)
        found.setdefault(second, set()).add(first)
    return found
