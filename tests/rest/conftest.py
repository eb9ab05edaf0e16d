"""What tests of REST start from."""

from __future__ import annotations

from hashlib import sha256

import pytest
from webtest import TestApp

from rest.app import make_app
from rest.options import Options
from tests.rest.control import MemoryControl

ADMIN_TOKEN = "of-the-administrator"
CLOSED = Options(admin_sha256=sha256(ADMIN_TOKEN.encode()).hexdigest())
OPEN = Options(open_administration=True, controllers=("tcp:192.0.2.1:6653",))


@pytest.fixture
def control() -> MemoryControl:
    return MemoryControl()


@pytest.fixture
def app(control: MemoryControl) -> TestApp:
    """An API at whose socket everybody is the administrator."""
    return TestApp(make_app(control, OPEN))


@pytest.fixture
def closed(control: MemoryControl) -> TestApp:
    """An API with an administrator's token."""
    return TestApp(make_app(control, CLOSED))


@pytest.fixture
def network(app: TestApp, control: MemoryControl) -> TestApp:
    """The open API of a small network: nodes n1 and n2 (connected), networks red and blue."""
    for number in (1, 2):
        app.post_json("/v1/nodes", {"name": f"n{number}", "underlay": f"192.0.2.1{number}"}, status=(201, 202))
    control.connect("n1", "n2")
    for name in ("red", "blue"):
        app.post_json("/v1/networks", {"name": name, "projects": [name]}, status=201)
    return app
