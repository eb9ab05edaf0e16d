"""The OpenAPI 3.1 document, made from the table of routes and the shapes; nothing in it is written by hand twice."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec

from rest.asked import Planning
from rest.options import Options
from rest.problems import ProblemDocument
from rest.routing import PARAMETERS, Access, Answer, Call, Empty, Route, Text, parameters
from rest.verification_shapes import PlanView

PATH: Final = "/v1/openapi.json"
_REFS: Final = "#/components/schemas/{name}"
_TITLE: Final = "Heddle"
_ABOUT: Final = (
    "Isolated tenant networks on Open vSwitch, held as one graph. A changing call returns when the change is in force "
    "on all switches that it touches, or with 202 and the nodes on which it is not. "
    "Errors are problem details (RFC 9457)."
)
_REASONS: Final = {
    200: "As asked",
    201: "Made",
    202: "Accepted, and not in force yet on the nodes that `late` names",
    204: "Done",
    400: "Path, query or body are malformed",
    401: "The token is missing or unknown",
    403: "The token is not for this call",
    404: "An object that is named does not exist",
    409: "In conflict with what exists",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "A value that can never be granted",
    500: "The controller failed",
    503: "Not ready",
    507: "A pool of addresses or numbers is empty",
}


def document_route(others: Iterable[Route], options: Options) -> Route:
    """Return the route that shows the document of itself and all `others`."""
    content: list[bytes] = []

    def show(call: Call[Empty, Empty]) -> Answer:
        return Answer(200, Text("application/json", content[0]))

    route = Route("GET", PATH, "This document", show, Access.PUBLIC, answers={200: dict[str, Any]})
    content.append(msgspec.json.encode(describe((*others, route), options)))
    return route


def describe(routes: Iterable[Route], options: Options) -> dict[str, Any]:
    """Return the document of routes."""
    documented = [route for route in routes if route.path.startswith(("/v1/", "/metrics"))]
    shapes = _Shapes(documented)
    paths: dict[str, dict[str, Any]] = {}
    for route in documented:
        operations = paths.setdefault(route.path, {})
        operations[route.method.lower()] = _operation(route, shapes, options)
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": _version(), "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": shapes.components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "Of a node, or admin."}},
        },
    }


class _Shapes:
    """The schemas of all shapes that routes use."""

    def __init__(self, routes: list[Route]) -> None:
        used: dict[Any, None] = {ProblemDocument: None, Empty: None}
        for route in routes:
            shapes = (shape for answer in route.answers.values() for shape in _each(answer))
            used.update(dict.fromkeys(shape for shape in shapes if shape not in (None, Text)))
            used.update({PlanView: None} if _can_be_planned(route) else {})
            used.update({route.query: None, route.body: None})
            used.update(dict.fromkeys(PARAMETERS[name] for name in parameters(route.path)))
        schemas, self.components = msgspec.json.schema_components(list(used), ref_template=_REFS)
        self._schemas = dict(zip(used, schemas, strict=True))

    def schema(self, shape: Any) -> Any:
        """Return the schema of a shape, or a reference to it."""
        return self._schemas[shape]

    def fields(self, shape: type[Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the schemas of a Struct's fields, and which are required."""
        found = self.components[shape.__name__]
        return found["properties"], found["required"]


def _operation(route: Route, shapes: _Shapes, options: Options) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*_where(route, shapes), *_query(route, shapes)],
        "responses": _responses(route, shapes),
    }
    if route.has_body:
        schema = {"schema": shapes.schema(route.body)}
        operation["requestBody"] = {"required": True, "content": {"application/json": schema}}
    if route.access is not Access.PUBLIC:
        operation["security"] = [{"token": []}, *([{}] if _may_do_without(route, options) else [])]
        operation["description"] = f"For {route.access.value}."
    return operation


def _may_do_without(route: Route, options: Options) -> bool:
    open_here = options.admin_sha256 is None and options.open_administration
    return open_here and route.access is not Access.PORTS


def _where(route: Route, shapes: _Shapes) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": shapes.schema(PARAMETERS[name])}
        for name in parameters(route.path)
    ]


def _query(route: Route, shapes: _Shapes) -> list[dict[str, Any]]:
    properties, required = shapes.fields(route.query)
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in properties.items()
    ]


def _responses(route: Route, shapes: _Shapes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, shape in route.answers.items():
        found[str(status)] = {"description": _REASONS[status], **_content(shape, shapes)}
    if _can_be_planned(route):
        found["200"] = _planned(route, shapes)
    problem = {"application/problem+json": {"schema": shapes.schema(ProblemDocument)}}
    for status in sorted(_refusals(route)):
        found[str(status)] = {"description": _REASONS[status], "content": problem}
    return found


def _can_be_planned(route: Route) -> bool:
    return issubclass(route.query, Planning)


def _planned(route: Route, shapes: _Shapes) -> dict[str, Any]:
    """Return what 200 means where it may be a plan as well."""
    answers = [shape for shape in (*_each(route.answers.get(200)), PlanView) if shape is not None]
    description = "As asked, or the plan" if len(answers) > 1 else "The plan"
    return {"description": description, **_content(tuple(answers), shapes)}


def _content(shape: Any, shapes: _Shapes) -> dict[str, Any]:
    if shape is None:
        return {}
    if shape is Text:
        return {"content": {"text/plain": {"schema": {"type": "string"}}}}
    schemas = [shapes.schema(each) for each in _each(shape)]
    return {"content": {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}}


def _each(answer: Any) -> tuple[Any, ...]:
    """Return the shapes that an answer may have."""
    return answer if isinstance(answer, tuple) else (answer,)


def _refusals(route: Route) -> set[int]:
    """Return the error statuses of a route: its own, and those that follow from what kind of a route it is."""
    # Any route can be asked with a query it does not know.
    statuses = {400, 500, *route.refusals}
    if route.access is not Access.PUBLIC:
        statuses |= {401, 403}
    if route.has_body:
        statuses |= {413, 415}
    if route.method != "GET":
        statuses.add(503)
    return statuses


def _version() -> str:
    try:
        return version("heddle")
    except PackageNotFoundError:
        return "0"
