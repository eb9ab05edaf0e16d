"""The whole network as a graph."""

from __future__ import annotations

from typing import Final

from rest import views
from rest.asked import TopologyQuery
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Topology


def show(call: Call[TopologyQuery, Empty]) -> Answer:
    """Nodes and tunnels, networks and connections."""
    return Answer(200, views.topology(call.control.published, call.control.reports, with_tunnels=call.query.tunnels))


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/topology", "The network as a graph", show, Access.ADMINISTRATION, answers={200: Topology}),
)
