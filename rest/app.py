"""The WSGI application: finds the route, checks who calls and what with, and turns what goes wrong into a Problem.

What the API consists of is in `rest.resources`; how it is served (sockets, TLS) is not REST's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
import structlog
from webob import Request, Response

from rest.auth import NOBODY, Authority
from rest.control import Control
from rest.forwarding import answerer, forward
from rest.metrics import Meter, metrics_route
from rest.openapi import document_route
from rest.options import Options
from rest.planning import Planned
from rest.problems import INTERNAL, NO_METHOD, NO_RESOURCE, Problem, of_malformed, of_refusal, of_store
from rest.problems import MALFORMED as MALFORMED_REQUEST
from rest.reading import MOST_BYTES, make_call
from rest.resources import ROUTES
from rest.routing import Answer, Found, Route, Table, Text
from store.base import StoreError
from store.fields import Malformed
from topology.requests import Refused

log = structlog.get_logger(__name__)

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class _Outcome(NamedTuple):
    """How a request went: for the answer, the log and the metrics."""

    answer: Answer
    route: Route | None
    caller: str


def make_app(control: Control, options: Options) -> WsgiApp:
    """Return the application that serves one controller. Several can be made, with other options."""
    meter = Meter(control)
    routes = (*ROUTES, metrics_route(meter))
    return Application(control, options, Table((*routes, document_route(routes, options))), meter)


class Application:
    """A WSGI application (PEP 3333)."""

    def __init__(self, control: Control, options: Options, table: Table, meter: Meter) -> None:
        self._setting = (control, options)
        self._authority = Authority(control, options)
        self._table = table
        self._meter = meter

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        began = perf_counter()
        request = Request(environ)
        outcome = self._perform(request)
        response = _response(outcome.answer)
        if _leaves_much_unread(request, outcome.answer):
            response.headers["Connection"] = "close"
        path = outcome.route.path if outcome.route else "none"
        self._meter.count(request.method, path, response.status_int, perf_counter() - began)
        if request.method not in _READING:
            log.info(
                "request", method=request.method, path=_path(request), by=outcome.caller, status=response.status_int
            )
        result: Iterable[bytes] = response(environ, start_response)
        return result

    def _perform(self, request: Request) -> _Outcome:
        route, caller = None, NOBODY
        try:
            found = self._find(request)
            route = _choose(found, request.method)
            caller = self._authority.check(route.access, found.where, request)
            control, options = self._setting
            other = answerer(route, found.where, request, control.published)
            if other is not None:
                return _Outcome(forward(control, options, other, route, request), route, caller)
            return _Outcome(route.handle(make_call(request, route, found.where, self._setting)), route, caller)
        except Planned as planned:
            return _Outcome(Answer(200, planned.view), route, caller)
        except Problem as problem:
            return _Outcome(_of_problem(problem, request), route, caller)
        except Refused as refused:
            return _Outcome(_of_problem(of_refusal(refused), request), route, caller)
        except Malformed as error:
            return _Outcome(_of_problem(of_malformed(error, "body"), request), route, caller)
        except StoreError as error:
            log.error("the store failed", why=str(error))
            return _Outcome(_of_problem(of_store(error), request), route, caller)
        except Exception:
            log.exception("request failed", method=request.method, path=_path(request))
            failure = Problem(INTERNAL, "controller", "an error in it", "look at its log, and report it")
            return _Outcome(_of_problem(failure, request), route, caller)

    def _find(self, request: Request) -> Found:
        try:
            path = request.path_info
        except UnicodeDecodeError:
            remedy = "encode it as UTF-8, then in percent notation"
            raise Problem(MALFORMED_REQUEST, "path", "is not UTF-8", remedy) from None
        found = self._table.find(path)
        if found is None:
            raise Problem(NO_RESOURCE, path, "there is nothing", "see /v1/openapi.json for what there is")
        return found


def _leaves_much_unread(request: Request, answer: Answer) -> bool:
    """Whether the client had better end the connection than send on what nobody wants."""
    stated = request.headers.get("Content-Length", "")
    unmeasured = not stated.isdigit() and "Transfer-Encoding" in request.headers
    return answer.status >= 400 and (unmeasured or (stated.isdigit() and int(stated[:18]) > MOST_BYTES))


def _choose(found: Found, method: str) -> Route:
    wanted = "GET" if method == "HEAD" else method
    route = found.routes.get(wanted)
    if route is None:
        allowed = ", ".join(sorted({*found.routes, *(["HEAD"] if "GET" in found.routes else [])}))
        path = next(iter(found.routes.values())).path
        raise Problem(NO_METHOD, path, f"has no method {method}", f"use {allowed}").sending(("Allow", allowed))
    return route


def _of_problem(problem: Problem, request: Request) -> Answer:
    return Answer(problem.kind.status, problem.document(_path(request)), problem.headers)


def _path(request: Request) -> str:
    """Return the path in percent notation (a URI reference, RFC 9457, section 3.1.5), whatever bytes it is of."""
    script, path = request.environ.get("SCRIPT_NAME", ""), request.environ.get("PATH_INFO", "")
    return quote((script + path).encode("latin-1"), safe="/:@!$&'()*+,;=~-._")


def _response(answer: Answer) -> Response:
    headers = [*answer.headers, *_ALWAYS]
    content, media_type = b"", None
    if isinstance(answer.content, Text):
        media_type, content = answer.content
    elif answer.content is not None:
        media_type = "application/json" if answer.status < 400 else "application/problem+json"
        content = msgspec.json.encode(answer.content)
        headers.append(("Cache-Control", "no-store"))
    response = Response(status=answer.status, body=content)
    if media_type is None:
        del response.content_type
    else:
        response.headers["Content-Type"] = media_type
    if answer.status == 204:
        del response.content_length
    for name, value in headers:
        response.headers[name] = value
    return response
