"""Whether the controller lives and is ready, and the kinds of problems it tells of."""

from __future__ import annotations

from typing import Final

from rest.problems import KINDS, NOT_READY, Problem
from rest.routing import Access, Answer, Call, Empty, Route
from rest.shapes import Health, ProblemKind, ProblemKinds

_RESPONSE_SECONDS: Final = 2.0


def health(call: Call[Empty, Empty]) -> Answer:
    """It answers, so it lives."""
    return Answer(200, Health(status="ok"))


def ready(call: Call[Empty, Empty]) -> Answer:
    """Whether all inputs are in sync, and what is asked for is taken up."""
    waiting_for = call.control.published.waiting_for
    if waiting_for:
        cause, remedy = f"it waits for {', '.join(waiting_for)}", "ask again; its log says what it is doing"
        raise Problem(NOT_READY, "controller", cause, remedy)
    if not call.control.responds(_RESPONSE_SECONDS):
        cause = f"what it was asked to decide was not taken up within {_RESPONSE_SECONDS:g} s"
        remedy = "ask again; if that goes on, its log says what it is doing, and restarting it disturbs no pod"
        raise Problem(NOT_READY, "controller", cause, remedy)
    return Answer(200, Health(status="ready"))


def problems(call: Call[Empty, Empty]) -> Answer:
    """What the types of problems mean."""
    kinds = tuple(
        ProblemKind(kind=kind.type_uri, status=kind.status, title=kind.title, meaning=kind.meaning) for kind in KINDS
    )
    return Answer(200, ProblemKinds(problems=kinds))


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/healthz", "Whether the controller lives", health, Access.PUBLIC, answers={200: Health}),
    Route(
        "GET",
        "/v1/readyz",
        "Whether the controller knows all its inputs",
        ready,
        Access.PUBLIC,
        answers={200: Health},
        refusals=frozenset({503}),
    ),
    Route("GET", "/v1/problems", "What kinds of problems there are", problems, Access.PUBLIC, {200: ProblemKinds}),
)
