"""Nodes: list, register (with the node's token), change, forget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.arguments import datapath_id
from cli.client import Changed, path
from cli.failures import Refused
from cli.options import Session, command
from cli.render import Column, Item, Part, cell, items, show, table
from cli.results import done
from cli.tokenfile import TokenFile

COLUMNS = (
    Column("NAME", "name"),
    Column("UNDERLAY", "underlay"),
    Column("SUBNETS", "subnets", folds=True),
    Column("DATAPATH ID", "dpid"),
    Column("SENDS BY", "encapsulation"),
    Column("ZONE", "zone"),
    Column("PHASE", "phase"),
    Column("PORTS", "ports", right=True),
    Column("FREE", "free_addresses", right=True),
    Column("MTU", "mtu", right=True),
)

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The node's name.")]

TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        show_default=False,
        help="Write the node's token there (mode 0600, a new file) and do not print it.",
    ),
]
_ANOTHER = "heddle renew-token makes another one, and the old one void"


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    add = command(app, "Nodes")
    add(nodes)
    add(create_node)
    add(set_node)
    add(renew_token)
    add(delete_node)


def nodes(session: Session) -> None:
    """List the nodes with their addresses and pod subnets, and what they warn of."""
    show(session.output, session.server.get("/nodes"), _view)


def _view(body: object) -> tuple[Part, ...]:
    found = items(body, "nodes")
    warned = ((cell(node.get("name")), cell(text)) for node in found for text in node.get("warnings") or ())
    return table(COLUMNS, found), *(f"warning: {name}: {text}" for name, text in warned)


def create_node(
    session: Session,
    name: Name,
    underlay: Annotated[
        str, typer.Option("--underlay", "-u", metavar="IP", show_default=False, help="Its address between the nodes.")
    ],
    dpid: Annotated[
        str | None,
        typer.Option("--dpid", metavar="N", show_default=False, help="Its bridge's datapath id; else a free one."),
    ] = None,
    subnet: Annotated[
        list[str] | None,
        typer.Option("--subnet", metavar="CIDR", show_default=False, help="Its pods' subnet; else a free one. Repeat."),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option("--zone", metavar="ZONE", show_default=False, help="Where it stands, for endpoints with hints."),
    ] = None,
    token_file: TokenFileOption = None,
) -> None:
    """Register a node and print its token, this once.

    The token is what heddle-node and the CNI plugin on that node show to the controller; the controller keeps a
    digest of it only. Your own token file, if you need one, is named before the command:
    heddle --token-file admin.token create-node n1 --underlay 192.0.2.11 --token-file n1.token
    """
    body: dict[str, object] = {"name": name, "underlay": underlay}
    if dpid is not None:
        body["dpid"] = datapath_id(dpid)
    if subnet:
        body["subnets"] = subnet
    if zone is not None:
        body["zone"] = zone
    if token_file is None:
        done(session, session.server.change("POST", "/nodes", body), lambda node: f"{_made(node)}\n{_token(node)}")
        return
    with TokenFile(token_file) as file:
        changed = session.server.change("POST", "/nodes", body)
        node = dict(changed.body)
        token = node.pop("token", None)
        if token is None:
            raise Refused(f'node "{name}": is registered already, and its token was shown then; {_ANOTHER}')
        file.keep(str(token))
    done(session, Changed(node, changed.status), lambda node: f"{_made(node)}\nits token is in {token_file}")


def set_node(
    session: Session,
    name: Name,
    encapsulation: Annotated[
        str | None,
        typer.Option(
            "--encapsulation", metavar="vxlan|geneve|default", show_default=False, help="default: as the cluster's is."
        ),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option("--zone", metavar="ZONE", show_default=False, help="Where it stands; an empty one: nowhere."),
    ] = None,
    neighbours: Annotated[
        str | None,
        typer.Option(
            "--neighbours",
            metavar="NODE,...|all",
            show_default=False,
            help="To which nodes its underlay leads: others are reached over these. all: to all (default).",
        ),
    ] = None,
) -> None:
    """Let a node send to others by VXLAN or Geneve, say in which zone it stands, or to which nodes its underlay leads.

    Every node accepts both encapsulations, so nodes change one by one, live; but its heddle-node must have made geneve0
    first, which one of an earlier version does not. In Kubernetes, zones are for Nodes' label
    topology.kubernetes.io/zone to say.

    Example: heddle set-node edge-1 --neighbours core-1,core-2
    """
    if [encapsulation, zone, neighbours].count(None) != 2:
        raise typer.BadParameter("give --encapsulation, --zone or --neighbours, one at a time")
    where = path("nodes", name)
    if zone is not None:
        changed = session.server.change("PATCH", where, {"zone": zone})
        done(session, changed, lambda node: f'node "{name}" stands in {_zone(node)}')
    elif neighbours is not None:
        named = None if neighbours == "all" else [each for each in neighbours.split(",") if each]
        changed = session.server.change("PATCH", where, {"neighbours": named})
        done(session, changed, lambda node: f'node "{name}" has tunnels to {_neighbours(node)}')
    else:
        chosen = None if encapsulation == "default" else encapsulation
        changed = session.server.change("PATCH", where, {"encapsulation": chosen})
        done(session, changed, lambda node: f'node "{name}" sends by {node.get("encapsulation")}')


def _neighbours(node: Item) -> str:
    named = node.get("neighbours")
    return "all nodes that do not say otherwise" if named is None else ", ".join(map(str, named))


def renew_token(session: Session, name: Name, token_file: TokenFileOption = None) -> None:
    """Make a new token for a node and print it, this once; the old one is void at once.

    Example: heddle renew-token n1 --token-file n1.token
    """
    where = path("nodes", name, "token")
    if token_file is None:
        done(session, session.server.order("POST", where, {}), _token)
        return
    with TokenFile(token_file) as file:
        changed = session.server.order("POST", where, {})
        node = dict(changed.body)
        file.keep(str(node.pop("token")))
    done(session, Changed(node, changed.status), lambda _: f'the new token of node "{name}" is in {token_file}')


def delete_node(
    session: Session,
    name: Name,
    drain: Annotated[bool, typer.Option("--drain", help="Also when pods are on it: forget them too.")] = False,
) -> None:
    """Forget a node; its token is void, its switch is not let in any more.

    It is refused while pods are on it, unless --drain is given.
    """
    changed = session.server.change("DELETE", path("nodes", name), drain="true" if drain else None)
    done(session, changed, lambda _: f'node "{name}" deleted')


def _zone(node: Item) -> str:
    return f'zone "{node.get("zone")}"' if node.get("zone") else "no zone"


def _made(node: Item) -> str:
    subnets, dpid = cell(node.get("subnets")), cell(node.get("dpid"))
    verb = "is there already" if node.get("token", "") is None else "created"
    return f'node "{node.get("name")}" {verb}, subnets {subnets}, datapath id {dpid}'


def _token(node: Item) -> str:
    if node.get("token") is None:
        return f"its token was shown when it was made; {_ANOTHER}"
    return f"token: {node.get('token')} (shown this once; keep it in a file that only root on the node can read)"
