"""Nodes: register, show, forget; new tokens."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET

from rest.asked import Deletion, NodeChange, NodeCreation, NodeReport, NodeTunnels, Timeout
from rest.changes import ask, done, late, status
from rest.lookup import known
from rest.problems import INVALID, NOT_READY, Problem
from rest.reports import Report
from rest.routing import Access, Answer, Answerer, Call, Empty, Route
from rest.shapes import Late, NodeChanged, NodeMade, Nodes, NodeView, Token
from rest.views import node_view, node_views
from store.fields import address, prefixes
from topology.requests import CreateNode, DeleteNode, ReportTunnels, SetNeighbours, SetNode, SetZone


def index(call: Call[Empty, Empty]) -> Answer:
    """All nodes, by name."""
    published = call.control.published
    nodes = sorted(published.snapshot.nodes.items())
    return Answer(200, Nodes(nodes=node_views(published, (node for _, node in nodes), call.control.reports)))


def show(call: Call[Empty, Empty]) -> Answer:
    """One node."""
    published = call.control.published
    node = known(published.snapshot.nodes, "node", call.where["node"])
    return Answer(200, node_view(published, node, call.control.reports))


def create(call: Call[Timeout, NodeCreation]) -> Answer:
    """Register a node, and make its token. Its own switch is not waited for: its set-up needs the token first."""
    body = call.body
    request = CreateNode(
        name=body.name,
        underlay=address(body.underlay, "$.underlay"),
        dpid=None if body.dpid is None else int(body.dpid, 16),
        subnets=prefixes(body.subnets, "$.subnets"),
        zone=body.zone,
    )
    changed = ask(call, request)
    made = body.name not in changed.before.snapshot.nodes
    token = call.control.create_node_token(body.name) if made else None
    left = late(call, changed.submitted, without=body.name)
    published = call.control.published
    node = known(published.snapshot.nodes, "node", body.name)
    view = NodeMade(**msgspec.structs.asdict(node_view(published, node, call.control.reports)), token=token, late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/nodes/{body.name}"),))


def change(call: Call[Timeout, NodeChange]) -> Answer:
    """Let a node send by an encapsulation of its own, stand in a zone, or name its neighbours; one at a time."""
    left = late(call, ask(call, _asked(call, call.where["node"])).submitted)
    published = call.control.published
    node = known(published.snapshot.nodes, "node", call.where["node"])
    view = msgspec.structs.asdict(node_view(published, node, call.control.reports))
    return Answer(status(False, left), NodeChanged(**view, late=left))


def _asked(call: Call[Timeout, NodeChange], name: str) -> SetNode | SetZone | SetNeighbours:
    body, before = call.body, call.control.published
    if [body.encapsulation, body.zone, body.neighbours].count(UNSET) != 2:
        cause, remedy = "is to be changed in one thing", "give encapsulation, zone or neighbours"
        raise Problem(INVALID, f'node "{name}"', cause, remedy).at("$")
    if body.zone is not UNSET:
        return SetZone(name, body.zone)
    if body.neighbours is not UNSET:
        return SetNeighbours(name, body.neighbours)
    assert body.encapsulation is not UNSET
    lacking = sorted(status.node for status in before.switches.values() if not status.takes_geneve)
    if lacking and (body.encapsulation or before.snapshot.cluster.encapsulation) == "geneve":
        cause = f"cannot send by Geneve: {', '.join(lacking)} has no geneve0"
        raise Problem(NOT_READY, f'node "{name}"', cause, "install the present heddle-node there first")
    return SetNode(name, body.encapsulation)


def delete(call: Call[Deletion, Empty]) -> Answer:
    """Forget a node, its token too."""
    return done(call, ask(call, DeleteNode(call.where["node"], drain=call.query.drain)))


def renew_token(call: Call[Empty, Empty]) -> Answer:
    """Make a new token in place of the earlier one."""
    name = known(call.control.published.snapshot.nodes, "node", call.where["node"]).name
    return Answer(201, Token(node=name, token=call.control.create_node_token(name)))


def report(call: Call[Empty, NodeReport]) -> Answer:
    """Take what a node says of itself, in place of what it said last."""
    nodes = call.control.published.snapshot.nodes
    name = known(nodes, "node", call.where["node"]).name
    call.control.reports.take(name, Report(call.body.mtu, call.body.warnings), nodes)
    return Answer(204)


def tunnels(call: Call[Empty, NodeTunnels]) -> Answer:
    """Take what a node says of its tunnels, in place of what it said last."""
    name = known(call.control.published.snapshot.nodes, "node", call.where["node"]).name
    call.control.submit(ReportTunnels(name, call.body.down, call.body.unknown))
    return Answer(204)


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/nodes", "List the nodes", index, Access.ADMINISTRATION, answers={200: Nodes}),
    Route(
        "POST",
        "/v1/nodes",
        "Register a node; its token is in the answer, this once",
        create,
        Access.ADMINISTRATION,
        answers={200: NodeMade, 201: NodeMade, 202: NodeMade},
        refusals=frozenset({409, 422, 507}),
    ),
    Route(
        "GET", "/v1/nodes/{node}", "Show a node", show, Access.NODE, answers={200: NodeView}, refusals=frozenset({404})
    ),
    Route(
        "PATCH",
        "/v1/nodes/{node}",
        "Let a node send by an encapsulation (null: the cluster's), stand in a zone, or name neighbours (null: all)",
        change,
        Access.ADMINISTRATION,
        answers={200: NodeChanged, 202: NodeChanged},
        refusals=frozenset({404, 409, 422, 503}),
    ),
    Route(
        "DELETE",
        "/v1/nodes/{node}",
        "Forget a node; with drain, its ports too",
        delete,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404, 409}),
    ),
    Route(
        "POST",
        "/v1/nodes/{node}/token",
        "Make a new token for a node; earlier ones are void",
        renew_token,
        Access.NODE,
        answers={201: Token},
        refusals=frozenset({404}),
        by=Answerer.ANY,
    ),
    Route(
        "PUT",
        "/v1/nodes/{node}/report",
        "What a node says of itself: the MTU of its pods, and warnings; for this replica, and not stored",
        report,
        Access.NODE,
        answers={204: None},
        refusals=frozenset({404}),
        by=Answerer.ANY,
    ),
    Route(
        "PUT",
        "/v1/nodes/{node}/tunnels",
        "To which nodes a node's tunnels are down, by its own probes",
        tunnels,
        Access.NODE,
        answers={204: None},
        refusals=frozenset({404, 422}),
        by=Answerer.DECISIONS,
    ),
)
