"""Where a packet would go: it walks the flows that the switches must have. Nothing is sent."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, Literal

from msgspec import UNSET

from rest.asked import TraceQuery
from rest.control import Published
from rest.owners import feature_text, owner_text
from rest.problems import INVALID, UNKNOWN, Problem
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Place, Step, TraceView
from topology import trace
from topology.compiler import SectionKey
from topology.model import Address, Port, PortKey
from topology.outcome import Delivered, Dropped, Sent, Shared, Where
from topology.pipeline import Table
from topology.reach import known_as
from topology.text import actions_text, match_text

_DEFAULT_PORT: Final = 80
_SENT_TO: Final = {
    Where.NODE: "to the node itself",
    Where.SERVICE: "to the node, which refuses it: the service has no endpoint",
    Where.OUTSIDE: "to the outside",
}


def show(call: Call[TraceQuery, Empty]) -> Answer:
    """Follow one packet."""
    query, published = call.query, call.control.published
    source = _pod(published, query.source, "$.from")
    destination = _destination(published, query.destination, source)
    fabric = trace.Fabric(published.snapshot, published.tables)
    port = _DEFAULT_PORT if query.port is UNSET else query.port
    found = trace.trace_pods(fabric, source, destination, query.protocol.upper(), port)
    return Answer(200, _view(published, destination, found))


def _pod(published: Published, text: str, path: str) -> Port:
    """Return the primary port of `project/pod`; of several, the first. Raises Problem."""
    project, slash, pod = text.partition("/")
    if not (project and slash and pod) or "/" in pod:
        raise Problem(INVALID, f"query, {path}", f'"{text}" is no pod', "write it as PROJECT/POD").at(path)
    keys = published.snapshot.port_by_pod.get((project, pod))
    if not keys:
        remedy = "correct the name; GET /v1/ports has all that are known"
        raise Problem(UNKNOWN, f'pod "{text}"', "does not exist", remedy)
    ports = published.snapshot.ports
    return ports[min(keys, key=lambda key: (ports[key].is_secondary, key))]


def _destination(published: Published, text: str, source: Port) -> Address:
    """Return the address that a packet is sent to: as it is written, or one by which the source knows the pod."""
    try:
        return ip_address(text)
    except ValueError:
        pass
    if "/" not in text:
        remedy = "write it as PROJECT/POD, or as an IP address"
        raise Problem(INVALID, "query, $.to", f'"{text}" is neither a pod nor an IP address', remedy).at("$.to")
    port = _pod(published, text, "$.to")
    families = {address.version for address in source.addresses}
    known = known_as(port, source, published.snapshot)
    return next((address for address in known if address.version in families), known[0])


def _view(published: Published, destination: Address, found: trace.Trace) -> TraceView:
    outcome, dialled = found.outcome, str(destination)
    steps = tuple(_step(published, step) for step in found.steps)
    last = steps[-1] if steps else None
    at = Place(
        node=outcome.node,
        table=last.table if last else None,
        table_name=last.table_name if last else None,
        owner=last.owner if last else None,
    )
    verdict: Literal["delivered", "sent", "dropped"]
    match outcome:
        case Delivered(port=key):
            verdict, reason = "delivered", f"to pod {_named(published, key)}"
        case Shared(ports=keys):
            verdict, reason = (
                "delivered",
                f"to members of the group: {', '.join(_named(published, key) for key in keys)}",
            )
        case Sent(where=where, source=source):
            verdict, reason = "sent", _SENT_TO[where] if source is None else f"{_SENT_TO[where]}, from {source}"
        case Dropped(table=table, owner=owner):
            at = Place(
                node=outcome.node,
                table=table,
                table_name=None if table is None else Table(table).name,
                owner=None if owner is None else owner_text(SectionKey(*owner), published.snapshot),
            )
            verdict, reason = "dropped", f"by {at.owner or 'nobody'} in table {at.table_name or '-'}"
    copies = tuple(_named(published, copy.port) for copy in found.copies if isinstance(copy, Delivered))
    return TraceView(destination=dialled, verdict=verdict, at=at, steps=steps, reason=reason, copies=copies)


def _named(published: Published, key: PortKey) -> str:
    port = published.snapshot.ports[key]
    return f"{port.project}/{port.pod}"


def _step(published: Published, step: trace.Step) -> Step:
    flow = None if step.entry is None else step.entry.flow
    return Step(
        node=step.node,
        table=step.table,
        table_name=step.table_name,
        priority=None if flow is None else flow.priority,
        match=None if flow is None else match_text(flow.match),
        actions="drop" if flow is None else actions_text(flow.actions),
        feature=None if step.owner is None else feature_text(step.owner),
        owner=None if step.owner is None else owner_text(step.owner, published.snapshot),
    )


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/v1/trace",
        "Where a packet from a pod would go, step by step, and the verdict",
        show,
        Access.ADMINISTRATION,
        answers={200: TraceView},
        refusals=frozenset({404, 422}),
    ),
)
