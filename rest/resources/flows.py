"""A switch's flows."""

from rest.routing import Route

ROUTES: tuple[Route, ...] = ()
