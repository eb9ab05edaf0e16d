"""The proof of the whole network, as a statement that can be checked again."""

from __future__ import annotations

import time
from typing import Final

from rest.control import Published
from rest.findings import finding_views
from rest.routing import Access, Answer, Call, Empty, Route
from rest.verification_shapes import ClaimView, NodeStatementView, StatementView
from topology.compiler import FlowTable
from topology.pipeline import Table
from topology.verification.registry import BY_PLACE
from topology.verification.statement import NodeStatement, Scene, Statement, state

_MOST_FINDINGS: Final = 1000  # that are shown; nodes say how many there are


def show(call: Call[Empty, Empty]) -> Answer:
    """Prove what is published now."""
    published = call.control.published
    began = time.perf_counter()
    scene = Scene(published.revision, published.snapshot, published.tables, published.committed)
    # What is published is a value: while others work, it stays as it is.
    statement = state(scene, lambda: time.sleep(0))
    return Answer(200, _view(statement, published, time.perf_counter() - began))


def _view(statement: Statement, published: Published, seconds: float) -> StatementView:
    return StatementView(
        proven=statement.is_proven and not any(table.faults for table in published.tables.values()),
        revision=statement.revision,
        digest=statement.digest,
        milliseconds=round(seconds * 1000, 3),
        flows=sum(node.flows for node in statement.nodes),
        nodes=tuple(_node(node, published) for node in statement.nodes),
        claims=tuple(
            ClaimView(
                table=claim.table,
                table_name=Table(claim.table).name,
                priority=claim.priority,
                purpose=BY_PLACE[claim.table, claim.priority].stage.purpose,
                flows=claim.flows,
            )
            for claim in statement.claims
        ),
        findings=finding_views(statement.findings[:_MOST_FINDINGS], published.snapshot),
    )


def _node(node: NodeStatement, published: Published) -> NodeStatementView:
    faults = published.tables.get(node.node, FlowTable()).faults
    return NodeStatementView(
        node=node.node,
        digest=node.digest,
        flows=node.flows,
        installed=node.installed,
        findings=node.findings,
        left_out=tuple(fault.said for fault in faults),
    )


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/v1/verification",
        "Prove that the flows of all nodes do what the network allows, and nothing else",
        show,
        Access.ADMINISTRATION,
        answers={200: StatementView},
    ),
)
