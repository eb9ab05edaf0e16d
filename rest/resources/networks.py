"""Networks: make, show, make global, remove."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET

from rest.asked import Listing, NetworkChange, NetworkDeletion, Timeout
from rest.changes import Changed, ask, done, late, status
from rest.lookup import known
from rest.problems import INVALID, Problem
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Late, NetworkDetail, NetworkMade, Networks
from rest.views import network_detail, network_view, networks
from store.asked import NetworkCreation
from topology.requests import DeleteNetwork, SetDscp, SetGlobal, SetMulticast


def index(call: Call[Listing, Empty]) -> Answer:
    """All networks, by name."""
    published = call.control.published
    found = networks(published.snapshot, transit=call.query.transit)
    return Answer(200, Networks(networks=tuple(network_view(published, network) for network in found)))


def show(call: Call[Empty, Empty]) -> Answer:
    """One network."""
    published = call.control.published
    return Answer(200, network_detail(published, known(published.snapshot.networks, "network", call.where["network"])))


def create(call: Call[Timeout, NetworkCreation]) -> Answer:
    """Make a network and its projects."""
    body = call.body
    changed = ask(call, body.request())
    made = body.name not in changed.before.snapshot.networks
    return _made(call, body.name, changed, made=made)


def change(call: Call[Timeout, NetworkChange]) -> Answer:
    """Make a network global, or no longer; or give its pods' packets a DSCP; or switch multicast on, or off."""
    name, body = call.where["network"], call.body
    if (body.is_global is not None) + (body.dscp is not UNSET) + (body.multicast is not UNSET) != 1:
        remedy = "give global, dscp or multicast"
        raise Problem(INVALID, f'network "{name}"', "is to be changed in one thing", remedy).at("$")
    if body.multicast is not UNSET:
        return _made(call, name, ask(call, SetMulticast(name, body.multicast, body.provider)), made=False)
    if body.dscp is not UNSET:
        return _made(call, name, ask(call, SetDscp(name, body.dscp, body.provider)), made=False)
    return _made(call, name, ask(call, SetGlobal(name, bool(body.is_global), body.provider)), made=False)


def delete(call: Call[NetworkDeletion, Empty]) -> Answer:
    """Remove a network with its projects and connections, or let it be drained."""
    name, query = call.where["network"], call.query
    changed = ask(call, DeleteNetwork(name, query.drain, query.provider))
    if name in changed.after.snapshot.networks:
        return _made(call, name, changed, made=False)
    return done(call, changed)


def _made(call: Call[Any, Any], name: str, changed: Changed, *, made: bool) -> Answer:
    left = late(call, changed.submitted)
    network = changed.after.snapshot.networks[name]
    view = NetworkMade(**msgspec.structs.asdict(network_view(changed.after, network)), late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/networks/{name}"),))


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/networks", "List the networks", index, Access.ADMINISTRATION, answers={200: Networks}),
    Route(
        "POST",
        "/v1/networks",
        "Make a network, with the projects that are to be on it",
        create,
        Access.ADMINISTRATION,
        answers={200: NetworkMade, 201: NetworkMade, 202: NetworkMade},
        refusals=frozenset({409, 422, 507}),
    ),
    Route(
        "GET",
        "/v1/networks/{network}",
        "Show a network",
        show,
        Access.ADMINISTRATION,
        answers={200: NetworkDetail},
        refusals=frozenset({404}),
    ),
    Route(
        "PATCH",
        "/v1/networks/{network}",
        "Make a network global, or no longer; or give its pods' packets a DSCP; or switch its multicast on, or off",
        change,
        Access.ADMINISTRATION,
        answers={200: NetworkMade, 202: NetworkMade},
        refusals=frozenset({404, 409, 422}),
    ),
    Route(
        "DELETE",
        "/v1/networks/{network}",
        "Remove a network with its connections and its unused projects; with drain, when nobody uses it any more",
        delete,
        Access.ADMINISTRATION,
        answers={200: NetworkMade, 204: None, 202: (NetworkMade, Late)},
        refusals=frozenset({404, 409}),
    ),
)
