"""What the API consists of: one file per kind of resource, with its handlers and its `ROUTES`; they are independent."""

from __future__ import annotations

from typing import Final

from rest.resources import (
    addresses,
    bindings,
    configuration,
    connections,
    egresses,
    endpoints,
    flows,
    groups,
    health,
    mirrors,
    networks,
    nodes,
    page,
    pods,
    ports,
    projects,
    replicas,
    services,
    switches,
    topology,
    trace,
    verification,
)
from rest.routing import Route

ROUTES: Final[tuple[Route, ...]] = (
    *topology.ROUTES,
    *nodes.ROUTES,
    *configuration.ROUTES,
    *networks.ROUTES,
    *projects.ROUTES,
    *bindings.ROUTES,
    *egresses.ROUTES,
    *pods.ROUTES,
    *connections.ROUTES,
    *services.ROUTES,
    *endpoints.ROUTES,
    *mirrors.ROUTES,
    *groups.ROUTES,
    *ports.ROUTES,
    *addresses.ROUTES,
    *switches.ROUTES,
    *replicas.ROUTES,
    *flows.ROUTES,
    *trace.ROUTES,
    *verification.ROUTES,
    *health.ROUTES,
    *page.ROUTES,
)
