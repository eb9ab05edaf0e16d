"""Switches: what each should have, what it has acknowledged, and its last error."""

from __future__ import annotations

from typing import Final

from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Switches
from rest.views import switch_view


def index(call: Call[Empty, Empty]) -> Answer:
    """All switches, by node."""
    published = call.control.published
    nodes = sorted(published.snapshot.nodes.items())
    return Answer(200, Switches(switches=tuple(switch_view(published, node) for _, node in nodes)))


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/switches", "How far each switch is", index, Access.ADMINISTRATION, answers={200: Switches}),
)
