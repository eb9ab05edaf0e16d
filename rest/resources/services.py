"""Services: addresses of projects, and their ports."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from rest.asked import Timeout
from rest.changes import ask, done, late, status
from rest.lookup import known
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Late, ServiceMade, Services
from store.services import Service
from topology.model import ServiceKey
from topology.requests import CreateService, DeleteService


def index(call: Call[Empty, Empty]) -> Answer:
    """All services, by project and name."""
    services = sorted(call.control.published.snapshot.services.items())
    return Answer(200, Services(services=tuple(Service.of(service) for _, service in services)))


def show(call: Call[Empty, Empty]) -> Answer:
    """One service."""
    key = _key(call)
    return Answer(200, Service.of(known(call.control.published.snapshot.services, "service", key)))


def create(call: Call[Timeout, Service]) -> Answer:
    """Make or replace a service."""
    service = call.body.value()
    changed = ask(call, CreateService(service))
    made = service.key not in changed.before.snapshot.services
    left = late(call, changed.submitted)
    view = ServiceMade(**msgspec.structs.asdict(Service.of(service)), late=left)
    return Answer(status(made, left), view, (("Location", f"/v1/services/{'/'.join(service.key)}"),))


def delete(call: Call[Timeout, Empty]) -> Answer:
    """Remove a service."""
    return done(call, ask(call, DeleteService(_key(call))))


def _key(call: Call[Any, Any]) -> ServiceKey:
    return ServiceKey(call.where["project"], call.where["service"])


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/services", "List the services", index, Access.ADMINISTRATION, answers={200: Services}),
    Route(
        "POST",
        "/v1/services",
        "Make or replace a service",
        create,
        Access.ADMINISTRATION,
        answers={200: ServiceMade, 201: ServiceMade, 202: ServiceMade},
        refusals=frozenset({404, 409, 422}),
    ),
    Route(
        "GET",
        "/v1/services/{project}/{service}",
        "Show a service",
        show,
        Access.ADMINISTRATION,
        answers={200: Service},
        refusals=frozenset({404}),
    ),
    Route(
        "DELETE",
        "/v1/services/{project}/{service}",
        "Remove a service",
        delete,
        Access.ADMINISTRATION,
        answers={204: None, 202: Late},
        refusals=frozenset({404, 409}),
    ),
)
