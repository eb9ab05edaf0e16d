"""Connections: which networks may talk to each other, and what each of them may begin."""

from __future__ import annotations

from typing import Final

import msgspec

from rest.asked import ConnectionCreation, Listing, Timeout
from rest.changes import ask, done, late, status
from rest.lookup import known
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import ConnectionMade, Connections, ConnectionView, Late
from rest.views import connection_view, connections
from store.connections import Scope as ScopeShape
from topology.model import Connection, ConnectionKey, Scope
from topology.requests import IsolateNetworks, JoinNetworks


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
    forward, backward = _scope(body.forward), _scope(body.backward)
    changed = ask(call, JoinNetworks(*body.networks, forward, backward, body.translated))
    key = ConnectionKey.between(*body.networks)
    # The built-in network talks with all as it is: there is nothing to keep about it.
    connection = changed.after.snapshot.connections.get(key, Connection(key))
    made = key in changed.after.snapshot.connections and key not in changed.before.snapshot.connections
    left = late(call, changed.submitted)
    view = ConnectionMade(**msgspec.structs.asdict(connection_view(connection)), late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/connections/{key.first}/{key.second}"),))


def _scope(asked: ScopeShape | None) -> Scope | None:
    """Return a scope with its ports in order: the same ones in another order are no change."""
    scope = None if asked is None else asked.value()
    return None if scope is None else scope._replace(ports=tuple(sorted(scope.ports)))


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
