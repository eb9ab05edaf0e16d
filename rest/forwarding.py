"""Calls that another replica answers: which, and what of the call goes there. How it goes there is the control's.

Where several replicas share the network, each answers all that only reads; a change is answered by who decides on it,
and what a node asks and reports by who programs its switch. The caller is checked where the call arrives, and again
where it is answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from webob import Request

from rest.control import Control, Forwarded, Published, Replica, Replicas
from rest.options import Options
from rest.problems import NO_REPLICA, Problem
from rest.reading import read_content
from rest.routing import Answer, Answerer, Route, Text

MARK: Final = "Heddle-Forwarded-By"
_PATIENCE: Final = 15.0  # seconds that an answer may take beyond what the call itself asks to wait
_MOST_WAIT: Final = 60.0
_USUAL_WAIT: Final = 10.0
_HEADERS: Final = ("Accept", "Content-Type")
_OF_ANSWERS: Final = ("Allow", "Cache-Control", "Location", "Retry-After", "WWW-Authenticate")
_REMEDY: Final = "ask again in a few seconds: another takes over; GET /v1/replicas says who answers for what"


def answerer(route: Route, where: Mapping[str, str], request: Request, published: Published) -> Replica | None:
    """Return the replica that a call has to go to, None when it is this one. Raises Problem when there is none."""
    replicas = published.replicas
    if not replicas.living or route.answerer is Answerer.ANY or _is_plan(request):
        return None
    if route.answerer is Answerer.NODE:
        node = where["node"]
        if node not in published.snapshot.nodes:
            return None  # which anybody can say
        what, share, name = f'node "{node}"', replicas.shares.get(node), replicas.masters.get(node)
    else:
        what, share, name = "what concerns the whole network", "decisions", replicas.decides
    if name == replicas.me:
        return None
    found = replicas.find(name)
    if found is None or MARK in request.headers:
        said = what if share is None else f"{what} (share {share})"
        cause = f"no replica answers for {said} now: {_why(replicas, name, request)}"
        raise Problem(NO_REPLICA, "controller", cause, _REMEDY).sending(("Retry-After", "1"))
    return found


def forward(control: Control, options: Options, replica: Replica, route: Route, request: Request) -> Answer:
    """Return another replica's answer to a call. Raises Problem when it gives none."""
    headers = [(name, request.headers[name]) for name in _HEADERS if request.headers.get(name)]
    headers.append((MARK, control.published.replicas.me))
    token = request.headers.get("Authorization") or options.own_authorization
    if token:
        headers.append(("Authorization", token))
    body = read_content(request) if route.has_body else b""
    call = Forwarded(request.method, request.path_qs, tuple(headers), body, _wait(request) + _PATIENCE)
    try:
        reply = control.forward(replica, call)
    except ConnectionError as error:
        cause = f"replica {replica.name} at {replica.api}, which answers for this, cannot be asked ({error})"
        raise Problem(NO_REPLICA, "controller", cause, _REMEDY).sending(("Retry-After", "1")) from None
    given = {name.lower(): value for name, value in reply.headers}
    if "location" in given:  # who asked here goes on here
        given["location"] = urlsplit(given["location"])._replace(scheme="", netloc="").geturl()
    kept = tuple((name, given[name.lower()]) for name in _OF_ANSWERS if name.lower() in given)
    return Answer(reply.status, Text(given.get("content-type", ""), reply.body) if reply.body else None, kept)


def _why(replicas: Replicas, name: str | None, request: Request) -> str:
    if MARK in request.headers:
        return f"{request.headers[MARK]} has passed this on to {replicas.me}, which knows of {name or 'nobody'}"
    return "nobody has that" if name is None else f"{name} had that, and gives no sign of life"


def _is_plan(request: Request) -> bool:
    try:
        return request.GET.get("plan") in ("true", "1")
    except UnicodeDecodeError:
        return True  # it is refused, and anybody can do that


def _wait(request: Request) -> float:
    """Return for how many seconds a call asks to wait."""
    try:
        wait = float(request.GET.get("wait") or request.GET.get("timeout") or _USUAL_WAIT)
    except ValueError:
        return 0.0  # it is refused
    return wait if 0 <= wait <= _MOST_WAIT else 0.0
