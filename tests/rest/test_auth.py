"""Who may do what: no token, the administrator's, a node's, another node's, a wrong one; on open and closed sockets."""

from __future__ import annotations

from hashlib import sha256
from ipaddress import IPv4Address

import pytest
from webtest import TestApp

from rest.app import make_app
from rest.options import Options
from rest.resources import ROUTES
from rest.routing import Access, Route, parameters
from tests.rest.conftest import ADMIN_TOKEN, CLOSED, OPEN
from tests.rest.control import MemoryControl
from topology.requests import CreateNode

WHERE = {
    "node": "n1",
    "network": "red",
    "other": "blue",
    "project": "red",
    "service": "web",
    "slice": "web-1",
    "binding": "storage",
    "egress": "red",
    "mirror": "watch",
    "external_vtep": "f5",
    "pod": "a",
    "container": "c1",
    "address": "10.128.0.2",
    "interface": "eth0",
}
GUARDED = [route for route in ROUTES if route.access is not Access.PUBLIC]
NOWHERE = Options()  # neither a token nor an open socket


@pytest.fixture
def control() -> MemoryControl:
    """A controller with nodes n1 and n2 and their tokens, token-1-of-n1 and token-2-of-n2."""
    control = MemoryControl()
    for number in (1, 2):
        control.submit(CreateNode(f"n{number}", IPv4Address(f"192.0.2.1{number}")))
        control.create_node_token(f"n{number}")
    return control


def answer(control: MemoryControl, options: Options, route: Route, token: str | None) -> int:
    """Return the status of a call without a usable body: one that gets past the door is no 401 or 403."""
    app = TestApp(make_app(control, options))
    path = route.path.format(**{name: WHERE[name] for name in parameters(route.path)})
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return app.request(path, method=route.method, headers=headers, expect_errors=True).status_int


def named(route: Route) -> str:
    return route.name


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_the_administrator_may_do_everything(control: MemoryControl, route: Route) -> None:
    assert answer(control, CLOSED, route, ADMIN_TOKEN) not in {401, 403}


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_nobody_may_do_anything_where_a_token_is_set_up(control: MemoryControl, route: Route) -> None:
    assert answer(control, CLOSED, route, None) == 401


@pytest.mark.parametrize("route", GUARDED, ids=named)
@pytest.mark.parametrize("options", [OPEN, CLOSED, NOWHERE], ids=["open", "closed", "nowhere"])
def test_a_wrong_token_opens_nothing(control: MemoryControl, route: Route, options: Options) -> None:
    assert answer(control, options, route, "wrong") == 401


@pytest.mark.parametrize("route", GUARDED, ids=named)
@pytest.mark.parametrize("options", [OPEN, CLOSED, NOWHERE], ids=["open", "closed", "nowhere"])
def test_a_node_may_only_act_for_itself(control: MemoryControl, route: Route, options: Options) -> None:
    own = answer(control, options, route, "token-1-of-n1")
    assert (own == 403) == (route.access is Access.ADMINISTRATION)
    assert own != 401
    assert answer(control, options, route, "token-2-of-n2") == 403


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_an_open_socket_asks_for_tokens_only_for_reports_of_ports(control: MemoryControl, route: Route) -> None:
    assert (answer(control, OPEN, route, None) == 401) == (route.access is Access.PORTS)


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_no_token_set_up_and_no_open_socket_is_closed(control: MemoryControl, route: Route) -> None:
    assert answer(control, NOWHERE, route, None) == (401 if route.access is Access.PORTS else 403)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.access is Access.PUBLIC], ids=named)
def test_the_public_is_let_in(control: MemoryControl, route: Route) -> None:
    app = TestApp(make_app(control, NOWHERE))
    assert app.get(route.path.format(file="style.css"), expect_errors=True).status_int in {200, 503}


def test_refusals_say_who_and_how(control: MemoryControl) -> None:
    app = TestApp(make_app(control, CLOSED))
    body = {"project": "red", "pod": "a", "host_interface": "v1"}
    other = app.put_json(
        "/v1/nodes/n2/ports/c1/eth0", body, headers={"Authorization": "Bearer token-1-of-n1"}, status=403
    ).json
    assert other["subject"] == 'token of node "n1"'
    assert '"n2"' in other["cause"]
    assert control.published.snapshot.ports.get(("n2", "c1", "eth0")) is None

    missing = app.get("/v1/nodes", status=401)
    assert missing.headers["WWW-Authenticate"] == 'Bearer realm="heddle"'
    wrong = app.get("/v1/nodes", headers={"Authorization": "Bearer x"}, status=401)
    assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
    for header in ("Basic eDp5", "Bearer", "Bearer ", "token-1-of-n1"):
        app.get("/v1/nodes", headers={"Authorization": header}, status=401)


def test_tokens_may_be_any_bytes(control: MemoryControl) -> None:
    token = "pass wörd"
    options = Options(admin_sha256=sha256(token.encode()).hexdigest())
    app = TestApp(make_app(control, options))
    sent = f"Bearer {token}".encode().decode("latin-1")
    assert app.get("/v1/nodes", extra_environ={"HTTP_AUTHORIZATION": sent}).status_int == 200
    app.get("/v1/nodes", extra_environ={"HTTP_AUTHORIZATION": "Bearer \xff\xfe"}, status=401)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "localhost:8080", "[::1]:8080", "controller:8080", "x.localhost"]
)
def test_an_open_socket_answers_to_local_names(control: MemoryControl, host: str) -> None:
    app = TestApp(make_app(control, OPEN))
    app.get("/v1/nodes", extra_environ={"HTTP_HOST": host}, status=200)


@pytest.mark.parametrize("host", ["evil.example.org", "evil.example.org:8080", "127.0.0.1.evil.example", "a@b.example"])
def test_an_open_socket_does_not_answer_to_a_page_elsewhere(control: MemoryControl, host: str) -> None:
    app = TestApp(make_app(control, OPEN))
    told = app.get("/v1/nodes", extra_environ={"HTTP_HOST": host}, status=403).json
    assert "--heddle-admin-token-file" in told["remedy"]
    closed = TestApp(make_app(control, CLOSED))
    token = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    closed.get("/v1/nodes", headers=token, extra_environ={"HTTP_HOST": host}, status=200)


def test_a_form_of_a_page_elsewhere_changes_nothing(control: MemoryControl) -> None:
    """What a browser sends across sites without asking first is no JSON."""
    app = TestApp(make_app(control, OPEN))
    app.post("/v1/nodes/n1/token", "", content_type="text/plain", status=415)
    app.post("/v1/networks", '{"name": "red"}', content_type="application/x-www-form-urlencoded", status=415)
    assert control.node_of_token("token-1-of-n1") == "n1"
