"""Connections: which networks may talk to each other."""

from __future__ import annotations

from typing import Final

from rest.asked import Timeout
from rest.changes import ask, done, late, status
from rest.lookup import known
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import ConnectionMade, Connections, ConnectionView, Late
from store.objects import Connection as ConnectionShape
from topology.model import Connection
from topology.requests import IsolateNetworks, JoinNetworks


def index(call: Call[Empty, Empty]) -> Answer:
    """All connections, by the names of their networks."""
    pairs = sorted(call.control.published.snapshot.connections)
    return Answer(200, Connections(connections=tuple(ConnectionView(networks=(a, b)) for a, b in pairs)))


def show(call: Call[Empty, Empty]) -> Answer:
    """One connection, whichever network is named first."""
    connection = Connection.between(call.where["network"], call.where["other"])
    found = known(call.control.published.snapshot.connections, "connection", connection)
    return Answer(200, ConnectionView(networks=(found.first, found.second)))


def create(call: Call[Timeout, ConnectionShape]) -> Answer:
    """Let two networks talk to each other."""
    pair = Connection.between(*call.body.networks)
    changed = ask(call, JoinNetworks(*call.body.networks))
    made = pair in changed.after.snapshot.connections and pair not in changed.before.snapshot.connections
    left = late(call, changed.submitted)
    view = ConnectionMade(networks=(pair.first, pair.second), late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/connections/{pair.first}/{pair.second}"),))


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
        "Let two networks talk to each other",
        create,
        Access.ADMINISTRATION,
        answers={200: ConnectionMade, 201: ConnectionMade, 202: ConnectionMade},
        refusals=frozenset({404, 422}),
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
