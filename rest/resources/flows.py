"""A switch's flows in words, with their owners and counters. Sentinels, which no packet meets, are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

import structlog

from rest.control import Control, Published, SwitchPhase
from rest.lookup import known
from rest.owners import feature_text, owner_text
from rest.routing import Access, Answer, Answerer, Call, Empty, Route
from rest.shapes import FlowView
from topology.compiler import FlowTable, SectionKey
from topology.flow import Entry
from topology.pipeline import Table
from topology.text import actions_text, match_text

log = structlog.get_logger(__name__)

# A switch that takes longer is shown without counters.
_COUNTERS_SECONDS: Final = 3.0

Counters = Mapping[int, tuple[int, int]]


def index(call: Call[Empty, Empty]) -> Answer:
    """The flows of a node's switch: those it has acknowledged, and those it must have."""
    node = known(call.control.published.snapshot.nodes, "node", call.where["node"]).name
    counters = _counters(call.control, node)
    published = call.control.published
    views = [_view(published, counters, *row) for row in _rows(published, node)]
    views.sort(key=lambda view: (view.table, -view.priority, view.match))
    return Answer(200, views)


def _counters(control: Control, node: str) -> Counters:
    status = control.published.switches.get(node)
    if status is None or status.phase is SwitchPhase.AWAY:
        return {}
    try:
        return control.counters(node, _COUNTERS_SECONDS)
    except (TimeoutError, ConnectionError) as error:
        log.warning("no counters", node=node, why=str(error) or type(error).__name__)
        return {}


State = Literal["Installed", "Pending", "Leaving"]


def _rows(published: Published, node: str) -> Iterator[tuple[SectionKey, Entry, State]]:
    """Yield every flow that a switch has or must have, with its section."""
    wanted, has = published.tables.get(node, FlowTable()), published.committed.get(node, FlowTable())
    for section, entries in wanted.sections.items():
        for entry in entries:
            yield section, entry, "Installed" if entry.cookie in has.owners else "Pending"
    for section, entries in has.sections.items():
        for entry in entries:
            if entry.cookie not in wanted.owners:
                yield section, entry, "Leaving"


def _view(published: Published, counters: Counters, section: SectionKey, entry: Entry, state: State) -> FlowView:
    packets, octets = counters.get(entry.cookie, (None, None))
    return FlowView(
        table=entry.flow.table,
        table_name=Table(entry.flow.table).name,
        priority=entry.flow.priority,
        match=match_text(entry.flow.match),
        actions=actions_text(entry.flow.actions),
        cookie=f"{entry.cookie:#018x}",
        feature=feature_text(section),
        owner=owner_text(section, published.snapshot),
        state=state,
        packets=packets,
        bytes=octets,
    )


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/v1/nodes/{node}/flows",
        "List the flows of a node's switch, with owners and counters",
        index,
        Access.NODE,
        answers={200: list[FlowView]},
        refusals=frozenset({404}),
        by=Answerer.NODE,
    ),
)
