"""Tokens that somebody else knows: people by what they may, nodes by which they are."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from webtest import TestApp

from rest.app import make_app
from rest.options import Options
from rest.routing import Access, Route, parameters
from tests.rest.conftest import ADMIN_TOKEN, CLOSED
from tests.rest.control import MemoryControl
from tests.rest.test_auth import GUARDED, WHERE, named


class Person(NamedTuple):
    username: str
    node: str | None = None


class Reviewer:
    """Knows ann, who may everything, bob, who may look, and the nodes n1 and n2."""

    def __init__(self) -> None:
        self.is_away = False

    def review(self, token: str) -> Person | None:
        if self.is_away:
            raise ConnectionError("refused")
        known = {"ann": Person("ann"), "bob": Person("bob"), "n1": Person("sa", "n1"), "n2": Person("sa", "n2")}
        return known.get(token)

    def may(self, person: Person, verb: str) -> bool:
        return person.username == "ann" or verb == "get"


@pytest.fixture
def reviewer() -> Reviewer:
    return Reviewer()


@pytest.fixture
def app(control: MemoryControl, network: TestApp, reviewer: Reviewer) -> TestApp:
    return TestApp(make_app(control, Options(admin_sha256="0" * 64, reviewer=reviewer)))


def by(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_people_may_what_they_may(app: TestApp) -> None:
    app.get("/v1/networks", headers=by("ann"), status=200)
    app.get("/v1/networks", headers=by("bob"), status=200)
    app.post_json("/v1/networks", {"name": "green"}, headers=by("ann"), status=201)
    refused = app.post_json("/v1/networks", {"name": "brown"}, headers=by("bob"), status=403)
    assert "user bob: may not update networks.heddle.sdn" in refused.json["detail"]


def test_nobody_is_nobody(app: TestApp) -> None:
    app.get("/v1/networks", headers=by("carl"), status=401)


def test_a_node_gets_its_own_token_and_no_other(app: TestApp, control: MemoryControl) -> None:
    made = app.post_json("/v1/nodes/n1/token", {}, headers=by("n1"), status=201).json["token"]
    app.get("/v1/nodes/n1/configuration", headers=by(made), status=200)
    app.post_json("/v1/nodes/n1/token", {}, headers=by("n2"), status=403)
    app.post_json("/v1/networks", {"name": "green"}, headers=by("n1"), status=403)


def test_a_reviewer_that_is_away_is_no_refusal(app: TestApp, control: MemoryControl, reviewer: Reviewer) -> None:
    reviewer.is_away = True
    answer = app.get("/v1/networks", headers=by("ann"), status=503)
    assert "cannot be reviewed now" in answer.json["detail"]
    assert answer.headers["Retry-After"] == "2"
    app.post_json("/v1/networks", {"name": "green"}, headers=by("ann"), status=503)
    assert "green" not in control.published.snapshot.networks


def test_own_tokens_need_no_reviewer(app: TestApp, control: MemoryControl, reviewer: Reviewer) -> None:
    reviewer.is_away = True
    app.get("/v1/nodes/n1/configuration", headers=by(control.create_node_token("n1")), status=200)
    app.get("/v1/networks", status=401)
    closed = TestApp(make_app(control, Options(admin_sha256=CLOSED.admin_sha256, reviewer=reviewer)))
    closed.get("/v1/networks", headers=by(ADMIN_TOKEN), status=200)


# --- everybody at every door -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_who_may_update_may_everything(app: TestApp, route: Route) -> None:
    assert status(app, route, "ann") not in {401, 403}


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_who_may_get_may_what_only_reads(app: TestApp, route: Route) -> None:
    assert (status(app, route, "bob") == 403) == (route.method != "GET")


@pytest.mark.parametrize("route", GUARDED, ids=named)
@pytest.mark.parametrize("token", ["carl", ""])
def test_a_stranger_may_nothing(app: TestApp, route: Route, token: str) -> None:
    assert status(app, route, token) == 401


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_a_node_s_account_may_what_the_node_may(app: TestApp, route: Route) -> None:
    own = status(app, route, "n1")
    assert own != 401
    assert (own == 403) == (route.access is Access.ADMINISTRATION)
    assert status(app, route, "n2") == 403


def status(app: TestApp, route: Route, token: str) -> int:
    path = route.path.format(**{name: WHERE[name] for name in parameters(route.path)})
    headers = by(token) if token else {}
    found: int = app.request(path, method=route.method, headers=headers, expect_errors=True).status_int
    return found
