"""Requests that are not well-formed: each gets a problem that names the place, the cause and the remedy."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from webob import Request, Response
from webtest import TestApp

from rest.reading import MOST_BYTES
from tests.rest.control import MemoryControl
from tests.rest.test_resources import problem


@pytest.mark.parametrize(
    ("body", "path", "cause"),
    [
        ({"name": "red", "vnid": "ten"}, "$.vnid", "Expected int | null, got str"),
        ({"name": "red", "vnid": 1.5}, "$.vnid", "Expected int | null, got float"),
        ({"name": 7}, "$.name", "Expected str, got int"),
        ({"name": None}, "$.name", "Expected str, got null"),
        ({}, "$.name", "this field is required"),
        ({"name": "red", "colour": "crimson"}, "$.colour", "no such field is known"),
        ({"name": "red", "global": "yes"}, "$.global", "Expected bool, got str"),
        ({"name": "red", "projects": "red"}, "$.projects", "Expected array, got str"),
        ({"name": "red", "projects": [1]}, "$.projects[0]", "Expected str, got int"),
        ([], "$", "Expected object, got array"),
        (None, "$", "Expected object, got null"),
        ("red", "$", "Expected object, got str"),
    ],
)
def test_wrong_shapes(app: TestApp, control: MemoryControl, body: Any, path: str, cause: str) -> None:
    before = control.published
    told = problem(app.post_json("/v1/networks", body, status=400))
    assert (told["path"], told["cause"]) == (path, cause)
    assert "NetworkCreation" in told["remedy"] or "the fields are: name, vnid, global, projects" in told["remedy"]
    assert control.published is before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"name": "red"',
        b"{'name': 'red'}",
        b"nonsense",
        b'{"name": "\xff"}',
        b"\x00",
        b'{"vnid": NaN}',
        b"{}{}",
    ],
)
def test_what_is_not_json(app: TestApp, body: bytes) -> None:
    told = problem(app.post("/v1/networks", body, content_type="application/json", status=400))
    assert told["subject"].startswith("body")


def test_deep_nesting_is_no_crash(app: TestApp) -> None:
    for body in (b"[" * 100_000, b'{"name":' * 100_000, b'{"name": ' + b"[" * 100_000 + b"}"):
        assert problem(app.post("/v1/networks", body, content_type="application/json", status=400))["cause"]


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "multipart/form-data", ""])
def test_other_media_types(app: TestApp, media_type: str) -> None:
    told = problem(app.post("/v1/networks", b'{"name": "red"}', content_type=media_type, status=415))
    assert "application/json" in told["remedy"]


def test_json_with_a_charset(app: TestApp) -> None:
    app.post("/v1/networks", b'{"name": "red"}', content_type="application/json; charset=utf-8", status=201)


def send(app: TestApp, stream: Any, length: str) -> Response:
    """Post to /v1/networks what a stream gives, with any Content-Length."""
    environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": length}
    request = Request.blank("/v1/networks", environ | {"wsgi.input": stream})
    return request.get_response(app.app)


def test_a_huge_body_is_not_read(app: TestApp) -> None:
    class Watched:
        asked = 0

        def read(self, size: int = -1) -> bytes:
            Watched.asked += 1
            return b""

    response = send(app, Watched(), str(MOST_BYTES + 1))
    assert response.status_int == 413
    assert problem(response)["type"] == "/v1/problems#too-large"
    assert response.headers["Connection"] == "close"
    assert Watched.asked == 0
    app.post("/v1/networks", b'{"name": "red"}' + b" " * (MOST_BYTES - 15), content_type="application/json", status=201)


@pytest.mark.parametrize("length", ["many", "-1", "1e3", "0x10", "9" * 30, "٣"])
def test_a_length_that_is_none(app: TestApp, length: str) -> None:
    response = send(app, BytesIO(b"{}"), length.encode().decode("latin-1"))
    assert response.status_int in {400, 413}
    assert problem(response)


def test_a_body_that_ends_early(app: TestApp) -> None:
    class Broken:
        def read(self, size: int = -1) -> bytes:
            raise OSError("unexpected end")

    response = send(app, Broken(), "20")
    assert response.status_int == 400
    assert "unexpected end" in problem(response)["cause"]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("wait=soon", "$.wait"),
        ("wait=-1", "$.wait"),
        ("wait=61", "$.wait"),
        ("wait=nan", "$.wait"),
        ("wait=", "$.wait"),
        ("wait=1&wait=2", "$.wait"),
        ("hurry=1", "$.hurry"),
        ("after=x", "$.after"),
    ],
)
def test_wrong_queries(network: TestApp, query: str, path: str) -> None:
    told = problem(network.get(f"/v1/nodes/n1/configuration?{query}", status=400))
    assert told["path"] == path
    assert told["subject"].startswith("query")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nodes/%FF",
        "/v1/nodes?node=%FF",
        "/v1/nodes/UPPER",
        "/v1/nodes/n1/ports/c%201/eth0",
        "/v1/nodes/n1/ports/c1/much-too-long-a-name",
        "/v1/networks/red%0A",
        "/v1/networks/" + "x" * 64,
    ],
)
def test_wrong_paths(network: TestApp, path: str) -> None:
    problem(network.get(path, status=400))


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v2/nodes", "/v1/nodes/", "/v1/nodes//", "/static/../app.py", "/favicon.ico"]
)
def test_nothing_there(app: TestApp, path: str) -> None:
    assert problem(app.get(path, status=404))["type"] == "/v1/problems#no-resource"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/nodes", "GET, HEAD, POST"),
        ("POST", "/v1/topology", "GET, HEAD"),
        ("OPTIONS", "/v1/networks/red", "DELETE, GET, HEAD, PATCH"),
        ("TRACE", "/v1/healthz", "GET, HEAD"),
        ("GET", "/v1/connections/red", "DELETE"),
        ("HEAD", "/v1/connections/red", "DELETE"),
    ],
)
def test_methods_that_are_not_there(app: TestApp, method: str, path: str, allowed: str) -> None:
    response = app.request(path, method=method, expect_errors=True)
    assert response.status_int == 405
    assert response.headers["Allow"] == allowed
    if method != "HEAD":
        assert allowed in problem(response)["remedy"]


def test_head_is_get_without_content(app: TestApp) -> None:
    head, get = app.head("/v1/networks"), app.get("/v1/networks")
    assert head.body == b""
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert head.headers["Content-Type"] == "application/json"


def test_answers_are_not_kept_and_not_guessed_at(app: TestApp) -> None:
    response = app.get("/v1/networks")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
