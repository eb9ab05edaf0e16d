"""Connections: which networks may talk to each other, and what each of them may begin."""

from __future__ import annotations

from typing import Final

import msgspec

from rest.asked import Listing, Timeout
from rest.changes import ask, done, late, status
from rest.lookup import known
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import ConnectionMade, Connections, ConnectionView, Late
from rest.views import connection_view, connections
from store.asked import ConnectionCreation
from topology.model import Connection, ConnectionKey
from topology.requests import IsolateNetworks, JoinNetworks, TrackConnection

# How long the tracker sees what is under way before answers are left to it; one that takes longer can be lost.
_KNOWN_SECONDS: Final = 0.1


def index(call: Call[Listing, Empty]) -> Answer:
    """All connections, by the names of their networks."""
    found = connections(call.control.published.snapshot, transit=call.query.transit)
    return Answer(200, Connections(connections=tuple(map(connection_view, found))))


def show(call: Call[Empty, Empty]) -> Answer:
    """One connection, whichever network is named first."""
    key = ConnectionKey.between(call.where["network"], call.where["other"])
    return Answer(200, connection_view(known(call.control.published.snapshot.connections, "connection", key)))


def create(call: Call[Timeout, ConnectionCreation]) -> Answer:
    """Let two networks talk to each other, or change what each of them may begin."""
    body = call.body
    join = body.request()
    if not call.query.plan:
        _make_known(call, join)
    changed = ask(call, join)
    key = ConnectionKey.between(*body.networks)
    # The built-in network talks with all as it is: there is nothing to keep about it.
    connection = changed.after.snapshot.connections.get(key, Connection(key))
    made = key in changed.after.snapshot.connections and key not in changed.before.snapshot.connections
    left = late(call, changed.submitted)
    view = ConnectionMade(**msgspec.structs.asdict(connection_view(connection)), late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/connections/{key.first}/{key.second}"),))


def _make_known(call: Call[Timeout, ConnectionCreation], join: JoinNetworks) -> None:
    """Before a connection is narrowed: let the tracker see what is under way, whose answers are left to it then."""
    tracked = ask(call, TrackConnection(join)).submitted
    if tracked.nodes or tracked.marks:
        call.control.late(tracked, call.query.timeout)
        call.control.wait("", lambda _: None, _KNOWN_SECONDS)


def delete(call: Call[Timeout, Empty]) -> Answer:
    """End one connection."""
    return done(call, ask(call, IsolateNetworks(call.where["network"], call.where["other"])))


def isolate(call: Call[Timeout, Empty]) -> Answer:
    """End all connections of a network, and its being global."""
    return done(call, ask(call, IsolateNetworks(call.where["network"])))


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/connections", "List the connections", index, Access.ADMINISTRATION, answers={200: Connections}),
    Route(
        "POST",
        "/v1/connections",
        "Let two networks talk to each other, or change what each of them may begin",
        create,
        Access.ADMINISTRATION,
        answers={200: ConnectionMade, 201: ConnectionMade, 202: ConnectionMade},
        refusals=frozenset({404, 409, 422, 507}),
    ),
    Route(
        "DELETE",
        "/v1/connections/{network}",
        "End all connections of a network, and its being global",
        isolate,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404, 409}),
    ),
    Route(
        "GET",
        "/v1/connections/{network}/{other}",
        "Show the connection of two networks",
        show,
        Access.ADMINISTRATION,
        answers={200: ConnectionView},
        refusals=frozenset({404}),
    ),
    Route(
        "DELETE",
        "/v1/connections/{network}/{other}",
        "End the connection of two networks",
        delete,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404, 409, 422}),
    ),
)
