"""Ports: the list for administrators, and what a node reports and asks about its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import UNSET

from rest.asked import Planning, PortFilter, PortReport, Wait
from rest.binding_views import other_interfaces
from rest.changes import ask
from rest.control import Published
from rest.lookup import known
from rest.routing import Access, Answer, Answerer, Call, Empty, Route
from rest.shapes import Assignment, Ports, PortView
from rest.views import assignment, port_view
from topology.model import Port, PortKey
from topology.requests import ForgetPort, Reason, Refused, ReportPort


def index(call: Call[PortFilter, Empty]) -> Answer:
    """All ports that fit a filter."""
    published, query = call.control.published, call.query
    ports = published.snapshot.ports
    chosen: Iterable[Port] = ports.values()
    if query.node is not UNSET:
        chosen = [ports[key] for key in published.snapshot.ports_on.get(query.node, ())]
    if query.network is not UNSET:
        chosen = [port for port in chosen if port.network == query.network]
    if query.project is not UNSET:
        chosen = [port for port in chosen if port.project == query.project]
    return _list(published, chosen)


def index_of_node(call: Call[Empty, Empty]) -> Answer:
    """The ports of one node."""
    published = call.control.published
    name = known(published.snapshot.nodes, "node", call.where["node"]).name
    ports = published.snapshot.ports
    return _list(published, [ports[key] for key in published.snapshot.ports_on.get(name, ())])


def report(call: Call[Planning, PortReport]) -> Answer:
    """A pod is to be attached: decide its network and addresses. The same report again gets the same answer.

    Refused, too, when the pod is there and could not come now: nobody knows which interfaces it should have.
    """
    key, body = _key(call), call.body
    changed = ask(call, ReportPort(key, body.project, body.pod, body.host_interface, body.pod_uid))
    made = key not in changed.before.snapshot.ports
    port = known(changed.after.snapshot.ports, "port", key)
    others = other_interfaces(changed.after.snapshot, port)
    return Answer(201 if made else 200, assignment(changed.after, port, others))


def show(call: Call[Wait, Empty]) -> Answer:
    """One port; with a wait, once it is decided whether its flows are in the switch."""
    key, control = _key(call), call.control
    port = control.wait(key.node, lambda published: _decided(published, key), call.query.wait)
    published = control.published
    if isinstance(port, PortView):
        return Answer(200, port)
    return Answer(200, port_view(published, known(published.snapshot.ports, "port", key)))


def forget(call: Call[Planning, Empty]) -> Answer:
    """An attachment is gone, or never was."""
    try:
        ask(call, ForgetPort(_key(call)))
    except Refused as refused:
        if refused.reason is not Reason.UNKNOWN:
            raise
    return Answer(204)


def _decided(published: Published, key: PortKey) -> PortView | bool | None:
    """Return a port that is committed or failed, False when there is none, and None while it is pending."""
    port = published.snapshot.ports.get(key)
    if port is None:
        return False
    view = port_view(published, port)
    return None if view.phase == "Pending" else view


def _list(published: Published, ports: Iterable[Port]) -> Answer:
    views = tuple(port_view(published, port) for port in sorted(ports, key=lambda port: port.key))
    return Answer(200, Ports(ports=views))


def _key(call: Call[Any, Any]) -> PortKey:
    return PortKey(call.where["node"], call.where["container"], call.where["interface"])


_ONE: Final = "/v1/nodes/{node}/ports/{container}/{interface}"

ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/ports", "List the ports", index, Access.ADMINISTRATION, answers={200: Ports}),
    Route(
        "GET",
        "/v1/nodes/{node}/ports",
        "List a node's ports",
        index_of_node,
        Access.NODE,
        answers={200: Ports},
        refusals=frozenset({404}),
    ),
    Route(
        "PUT",
        _ONE,
        "Report that a pod is to be attached; network, addresses and routes are in the answer",
        report,
        Access.PORTS,
        answers={200: Assignment, 201: Assignment},
        refusals=frozenset({404, 409, 422, 507}),
        by=Answerer.NODE,
    ),
    Route(
        "GET",
        _ONE,
        "Show a port; with wait, as soon as it is Committed or Failed",
        show,
        Access.NODE,
        answers={200: PortView},
        refusals=frozenset({404}),
        by=Answerer.NODE,
    ),
    Route(
        "DELETE",
        _ONE,
        "Report that an attachment is gone",
        forget,
        Access.PORTS,
        answers={204: None},
        by=Answerer.NODE,
    ),
)
