"""From an HTTP request to checked values: path parameters, query, JSON body. A fault is a Problem that says where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from webob import Request

from rest.problems import MALFORMED, NOT_JSON, TOO_LARGE, Problem, of_validation
from rest.routing import Call, Route, check_parameters
from store import fields

MOST_BYTES: Final = 1 << 20

_WORDS: Final = {
    fields.LABEL: "a DNS label: lower-case letters, digits and inner hyphens, at most 63",
    fields.SUBDOMAIN: "a DNS name: lower-case letters, digits, and inner hyphens and dots",
    fields.CONTAINER: "a container id: a letter or digit, then letters, digits, _, . and -",
    fields.INTERFACE: "an interface name: at most 15 characters, no white space, / or :",
    fields.DPID: "a datapath id: 16 hexadecimal digits",
    fields.PREFIX: "a CIDR such as 10.128.0.0/23",
    fields.PROTOCOL: "TCP, UDP or SCTP",
    fields.LABEL_KEY: "a label's key: letters, digits, -, _ and ., at most 63, after a DNS name and / if any",
    fields.LABEL_VALUE: "a label's value: letters, digits, -, _ and . inside, at most 63",
    fields.MAC: "a MAC address: six pairs of lower-case hexadecimal digits with colons",
    fields.UID: "a uid: letters, digits, _, ., : and -",
}


def check_where(where: Mapping[str, str]) -> None:
    """Check the parameters of a path. Raises Problem."""
    try:
        check_parameters(where)
    except msgspec.ValidationError as error:
        raise of_validation(error, "path", None, _WORDS) from None


def read_query(request: Request, route: Route) -> Any:
    """Return the query in its shape. Raises Problem."""
    given: dict[str, str] = {}
    for name, value in _decoded(request):
        if name in given:
            raise Problem(MALFORMED, f"query, $.{name}", "is given twice", "give it once").at(f"$.{name}")
        given[name] = value
    try:
        return msgspec.convert(given, route.query, strict=False)
    except msgspec.ValidationError as error:
        raise of_validation(error, "query", route.query, _WORDS) from None


def read_body(request: Request, route: Route) -> Any:
    """Return the body in its shape. Raises Problem."""
    if not route.has_body:
        return None
    media_type = request.content_type
    if media_type != "application/json":
        cause = f'its media type is "{media_type}"' if media_type else "its media type is missing"
        raise Problem(NOT_JSON, "body", cause, "send JSON, with Content-Type: application/json")
    content = read_content(request)
    try:
        return _decode(content, route)
    except msgspec.ValidationError as error:
        raise of_validation(error, "body", route.body, _WORDS) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(MALFORMED, "body", f"is not JSON ({error})", "send one JSON object in UTF-8").at("$") from None
    except RecursionError:
        raise Problem(MALFORMED, "body", "is nested too deeply", f"see {route.body.__name__}").at("$") from None


def make_call(request: Request, route: Route, where: Mapping[str, str], setting: tuple[Any, Any]) -> Call[Any, Any]:
    """Return the call that a request is; `setting` has the control and the options. Raises Problem."""
    check_where(where)
    query = read_query(request, route)
    control, options = setting
    return Call(control, options, where, query, read_body(request, route))


def _decode(content: bytes, route: Route) -> Any:
    """Return a body in its shape. A whole number may be written with a fraction of zero (JSON Schema, "integer")."""
    try:
        return msgspec.json.decode(content, type=route.body)
    except msgspec.ValidationError:
        return msgspec.convert(_whole(msgspec.json.decode(content)), route.body)


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return {name: _whole(part) for name, part in value.items()} if isinstance(value, dict) else value


def _decoded(request: Request) -> list[tuple[str, str]]:
    try:
        return list(request.GET.items())
    except UnicodeDecodeError:
        raise Problem(MALFORMED, "query", "is not UTF-8", "encode it as UTF-8, then in percent notation") from None


def read_content(request: Request) -> bytes:
    """Return the whole body. Raises Problem, also when it is larger than any valid one."""
    stated = request.headers.get("Content-Length")
    if stated is not None and not re.fullmatch("[0-9]{1,18}", stated):
        raise (
            _too_large()
            if stated.isdigit()
            else Problem(MALFORMED, "Content-Length", "is not a number of bytes", "leave it to the HTTP library")
        )
    length = int(stated) if stated is not None else MOST_BYTES + 1
    if stated is not None and length > MOST_BYTES:
        raise _too_large()
    chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    if stated is None and not chunked:
        return b""
    try:
        content: bytes = request.environ["wsgi.input"].read(length)
    except (OSError, ValueError) as error:
        raise Problem(MALFORMED, "body", f"ended early ({error})", "send it again") from None
    if len(content) > MOST_BYTES:
        raise _too_large()
    return content


def _too_large() -> Problem:
    cause = f"is larger than {MOST_BYTES} bytes"
    return Problem(TOO_LARGE, "body", cause, "send less at once").sending(("Connection", "close"))
