"""The OpenAPI document is true: what it says of each call holds for calls drawn at random, good and bad ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import schemathesis
from hypothesis import HealthCheck, assume, settings
from jsonschema_rs import validator_for
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from webtest import TestApp

from rest.app import make_app
from rest.control import Published
from rest.options import Options
from rest.resources import ROUTES
from rest.routing import Access
from tests.rest.conftest import ADMIN_TOKEN, OPEN
from tests.rest.control import MemoryControl
from topology.labels import Selector
from topology.model import (
    Attachment,
    Binding,
    Endpoint,
    EndpointSlice,
    ExternalVtep,
    Mirror,
    NamedPort,
    Pod,
    PodKey,
    PortKey,
    Service,
    ServiceKey,
    SliceKey,
    Subnet,
)
from topology.requests import (
    CreateBinding,
    CreateExternalVtep,
    CreateMirror,
    CreateNetwork,
    CreateNode,
    CreateService,
    JoinNetworks,
    PortSeen,
    PutEndpoints,
    ReportPort,
    SetPod,
)

OPTIONS = Options(admin_sha256=sha256(ADMIN_TOKEN.encode()).hexdigest())
# As in the examples of the shapes: calls drawn from them find something.
NODE, NETWORK, KEY = "node-1", "red", PortKey("node-1", "8d5f0c", "eth0")


def furnished() -> MemoryControl:
    """A controller with one of everything that the examples name."""
    control = MemoryControl()
    for number in (1, 2):
        control.submit(CreateNode(f"node-{number}", IPv4Address(f"192.0.2.2{number}")))
    control.connect("node-1")
    for name in (NETWORK, "blue"):
        control.submit(CreateNetwork(name, projects=(name,)))
    own = Subnet("default", IPv4Network("10.0.0.0/24"), IPv4Address("10.0.0.1"))
    control.submit(CreateNetwork("east", projects=("east",), subnets=(own,), mtu=1400))
    control.submit(CreateNetwork("storage"))
    storage = (Attachment("storage"),)
    control.submit(CreateBinding(Binding(NETWORK, Selector(), secondary=storage, optional=("blue",))))
    control.submit(SetPod(Pod(PodKey(NETWORK, NODE), (("team", "red"),), ("blue",))))
    control.submit(JoinNetworks(NETWORK, "blue"))
    control.submit(JoinNetworks(NETWORK, "east", backward=None))
    web = Service(ServiceKey(NETWORK, "web"), IPv4Address("172.30.0.10"), (NamedPort("TCP", 80),))
    control.submit(CreateService(web))
    endpoints = (Endpoint(IPv4Address("10.128.0.2"), NODE),)
    control.submit(PutEndpoints(EndpointSlice(SliceKey(NETWORK, NODE), "web", (NamedPort("TCP", 8080),), endpoints)))
    control.submit(CreateMirror(Mirror(NETWORK, 0, PodKey(NETWORK, NODE), "blue")))
    f5 = ExternalVtep(NETWORK, IPv4Address("192.0.2.50"), NETWORK, (IPv4Network("198.18.0.0/24"),))
    control.submit(CreateExternalVtep(f5))
    control.submit(ReportPort(KEY, NETWORK, "a", "v0"))
    control.submit(PortSeen("node-1", "v0", 5))
    control.submit(ReportPort(KEY._replace(container="c1"), "east", "a", "v1"))
    return control


CONTROL = furnished()
PUBLISHED: Published = CONTROL.published
APPLICATION = make_app(CONTROL, OPTIONS)


def fresh(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer each request from the same state, so that no call depends on another."""
    CONTROL.publish(PUBLISHED)
    return APPLICATION(environ, start_response)


CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 2,
        "checks": {
            # What is of its schema is never malformed; what is not is refused (or it is another resource's path).
            "positive_data_acceptance": {"expected-statuses": ["200", "201", "202", "204", "404", "409", "422", "507"]},
            "negative_data_rejection": {"expected-statuses": ["400", "401", "404", "405", "415", "422"]},
            "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "503", "507"]},
        },
    }
)
schema = schemathesis.openapi.from_wsgi("/v1/openapi.json", fresh, config=CONFIG)


@schema.parametrize()
@settings(max_examples=20, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_document_is_true(case: Case) -> None:
    # A list without members is not sent at all: if that is what is wrong with a call, nothing is wrong with it.
    is_bad = case.meta is not None and case.meta.generation.mode.is_negative
    assume(not (is_bad and [] in (case.query or {}).values()))
    case.call_and_validate(headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})


def test_the_document_is_openapi(app: TestApp) -> None:
    document = app.get("/v1/openapi.json").json
    assert document["openapi"] == "3.1.0"
    operations = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    served = {(route.method, route.path) for route in ROUTES if route.path.startswith("/v1/")}
    assert operations == {*served, ("GET", "/metrics"), ("GET", "/v1/openapi.json")}
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))
    for name, component in document["components"]["schemas"].items():
        validator_for({**component, "components": document["components"]})
        assert component.get("description"), f"{name} has no description"


def test_what_needs_a_token_says_so(app: TestApp, closed: TestApp) -> None:
    for document, is_open in ((app.get("/v1/openapi.json").json, True), (closed.get("/v1/openapi.json").json, False)):
        for route in ROUTES:
            operation = document["paths"].get(route.path, {}).get(route.method.lower())
            if operation is None:
                continue
            optional = is_open and route.access is not Access.PORTS
            expected = None if route.access is Access.PUBLIC else [{"token": []}, *([{}] if optional else [])]
            assert operation.get("security") == expected, route.name


def test_the_options_are_as_in_production() -> None:
    assert OPEN.open_administration
    assert not Options().open_administration


def test_what_is_late_is_told_with_the_network_that_is_drained_or_without_one_that_is_gone() -> None:
    document = TestApp(make_app(furnished(), OPEN)).get("/v1/openapi.json").json
    answer = document["paths"]["/v1/networks/{network}"]["delete"]["responses"]["202"]
    shapes = answer["content"]["application/json"]["schema"]["anyOf"]
    assert {shape["$ref"].rpartition("/")[2] for shape in shapes} == {"NetworkMade", "Late"}
