"""The whole at a glance: the topology as a tree, and whether the controller is ready."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import typer

from cli.commands.connections import scope_text
from cli.commands.networks import ranges
from cli.failures import ExitStatus
from cli.options import Session, command
from cli.render import Column, Item, Part, Tree, cell, items, show, table


def _names(replica: Item) -> list[object]:
    return [share.get("name") for share in items(replica, "shares")]


def _taken(replica: Item) -> str | None:
    """Return when the latest of a replica's shares became its own."""
    return _moment(max((str(share.get("since") or "") for share in items(replica, "shares")), default=""))


def _moment(text: object) -> str | None:
    """Return a time without its fraction of a second."""
    whole, dot, _ = str(text or "").partition(".")
    return f"{whole}Z" if dot else whole or None


REPLICAS = (
    Column("NAME", "name"),
    Column("ASKED", lambda replica: "yes" if replica.get("me") else None),
    Column("API", "api"),
    Column("OPENFLOW", "openflow"),
    Column("SINCE", lambda replica: _moment(replica.get("since"))),
    Column("SHARES", _names, folds=True),
    Column("LAST TAKEN", _taken),
    Column("NODES", lambda replica: len(replica.get("nodes") or []), right=True),
)
_SPELT_OUT = 8  # nodes: up to here every tunnel is named


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, "What is there")
    add(topology)
    add(status)
    add(replicas)


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


def replicas(session: Session) -> None:
    """List the replicas of the controller that share the switches, and what each answers for.

    The one that is asked is marked. A controller that is alone has none.
    """
    show(session.output, session.server.get("/replicas"), _replicas)


def _replicas(body: Any) -> Part:
    found = items(body, "replicas")
    return table(REPLICAS, found) if found else "this controller is alone"


def _readiness(ready: bool, body: Any) -> str:
    detail = cell(body.get("detail")) if isinstance(body, dict) else ""
    return "ready" if ready else f"not ready: {detail}"


def _external(external: Item) -> str:
    behind = ", ".join(map(str, external.get("subnets") or ()))
    return f"{external.get('name')}  {external.get('address')}  {behind} of {external.get('network')}"


def _tree(body: Any) -> Tree:
    connections, tunnels = items(body, "connections"), items(body, "tunnels")
    up = _adjacent((edge["from"], edge["to"]) for edge in tunnels if edge.get("up"))
    down = _adjacent((edge["from"], edge["to"]) for edge in tunnels if not edge.get("up") and not edge.get("by"))
    bridged = (edge for edge in tunnels if not edge.get("up") and edge.get("by"))
    relayed = {(str(edge["from"]), str(edge["to"])): list(edge["by"]) for edge in bridged}
    networks = tuple(_network(network, connections) for network in items(body, "networks"))
    names = {str(node.get("name")) for node in items(body, "nodes")}
    nodes = tuple(_node(node, names, {"up": up, "down": down}, relayed) for node in items(body, "nodes"))
    below: tuple[Tree, ...] = (Tree(f"networks ({len(networks)})", networks), Tree(f"nodes ({len(nodes)})", nodes))
    externals = tuple(Tree(_external(external)) for external in items(body, "external_vteps"))
    below += (Tree(f"external VTEPs ({len(externals)})", externals),) if externals else ()
    return Tree(f"revision {cell(body.get('revision'))}", below)


def _network(network: Item, connections: Sequence[Item]) -> Tree:
    name, below = str(network.get("name")), []
    if own := ranges(network):
        below.append(Tree(f"subnets {cell(own)}"))
    if projects := network.get("projects"):
        below.append(Tree(f"projects {cell(projects)}"))
    if network.get("global"):
        below.append(Tree("global: talks with every network"))
    below.extend(map(Tree, _relations(name, connections)))
    label = f"{cell(name)}  VNID {cell(network.get('vnid'))}  ports: {cell(network.get('ports'))}"
    return Tree(label, tuple(below))


def _relations(name: str, connections: Sequence[Item]) -> Iterator[str]:
    """Yield whom a network is joined with: all with whom it is so without restriction in one line, others by scope."""
    freely, others = [], []
    for connection in connections:
        ends = list(connection.get("networks") or ())
        if name not in ends:
            continue
        scopes = [scope_text(connection.get(field)) for field in ("forward", "backward")]
        there, back = scopes if ends[0] == name else reversed(scopes)
        peer = ends[1] if ends[0] == name else ends[0]
        if there == back == "everything":
            freely.append(peer)
        else:
            others.append(f"joined with {cell(peer)}: may begin {there}; {cell(peer)} may begin {back}")
    if freely:
        yield f"joined with {cell(sorted(freely))}"
    yield from sorted(others)


def _node(
    node: Item,
    names: set[str],
    tunnels: Mapping[str, Mapping[str, set[str]]],
    relayed: Mapping[tuple[str, str], list[str]],
) -> Tree:
    name, below = str(node.get("name")), []
    for state, reached in tunnels.items():
        if others := reached.get(name):
            # The mesh is the usual case; with hundreds of nodes nobody wants it spelt out.
            mesh = len(names) > _SPELT_OUT and others == names - {name}
            below.append(Tree(f"tunnels {state}: {'to all others' if mesh else cell(sorted(others))}"))
    for ends, relays in sorted(relayed.items()):
        if name in ends:
            below.append(Tree(f"to {ends[ends[0] == name]} over {cell(relays)}"))
    place = f"{cell(node.get('underlay'))}  pods in {cell(node.get('subnets'))}"
    label = f"{cell(name)}  {place}  ports: {cell(node.get('ports'))}  {cell(node.get('phase'))}"
    return Tree(label, tuple(below))


def _adjacent(edges: Iterable[Sequence[str]]) -> Mapping[str, set[str]]:
    """Return for each end of an edge the other ends; edges lead both ways."""
    found: dict[str, set[str]] = {}
    for first, second in edges:
        found.setdefault(first, set()).add(second)
        found.setdefault(second, set()).add(first)
    return found
