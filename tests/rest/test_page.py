"""The web page: its files are served, fit together, and load nothing from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from webtest import TestApp

from rest.control import SwitchPhase
from tests.rest.test_resources import report

WEB = {"protocol": "TCP", "port": 80}
STATIC = files("rest").joinpath("static")
NAMES = sorted(file.name for file in STATIC.iterdir())


def test_the_page_needs_no_token(closed: TestApp) -> None:
    page = closed.get("/")
    assert page.content_type == "text/html"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    closed.get("/v1/topology", status=401)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_served_as_it_is(app: TestApp, name: str) -> None:
    response = app.get("/" if name == "index.html" else f"/static/{name}")
    assert response.body == STATIC.joinpath(name).read_bytes()
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    assert response.content_type == kinds[name.rpartition(".")[2]]


@pytest.mark.parametrize("name", ["none.js", "..", "%2e%2e%2fapp.py", "page.js%00", "INDEX.HTML"])
def test_nothing_else_is_served(app: TestApp, name: str) -> None:
    app.get(f"/static/{name}", status=404)


def test_nothing_is_loaded_from_elsewhere() -> None:
    for name in NAMES:
        text = STATIC.joinpath(name).read_text()
        elsewhere = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^\s\"']*", text)) - {
            "http://www.w3.org/2000/svg"
        }
        assert not elsewhere, name


def test_the_files_fit_together(app: TestApp) -> None:
    page = app.get("/").text
    for path in re.findall(r'(?:src|href)="([^"]+)"', page):
        app.get(f"/{path}", status=200)
    script = STATIC.joinpath("page.js").read_text()
    assert set(re.findall(r'find\("([\w-]+)"\)', script)) <= set(re.findall(r'id="([\w-]+)"', page))
    for name in NAMES:
        imported = re.findall(r'from "\./([\w.]+)"', STATIC.joinpath(name).read_text())
        assert set(imported) <= set(NAMES)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", script)


def test_every_phase_of_a_switch_has_a_colour_and_is_explained() -> None:
    style, page = (STATIC.joinpath(name).read_text() for name in ("style.css", "index.html"))
    legend = page[page.index('class="legend"') :]
    for phase in SwitchPhase:
        assert re.search(rf"^\.{phase.value}\b", style, re.MULTILINE), phase
        assert f'<li class="{phase.value}">' in legend


def test_what_the_page_reads_is_there(network: TestApp) -> None:
    """Names of fields that the scripts use on answers are fields of them."""
    network.post_json("/v1/networks", {"name": "east", "projects": ["east"], "subnets": [{"cidr": "10.0.0.0/24"}]})
    network.post_json("/v1/connections", {"networks": ["red", "blue"], "forward": {"ports": [WEB]}, "backward": None})
    report(network, "n1", "c1", project="east")
    scripts = STATIC.joinpath("page.js").read_text() + STATIC.joinpath("draw.js").read_text()
    topology = network.get("/v1/topology").json
    used = {
        "node": set(re.findall(r"\bnode\.(\w+)", scripts)),
        "network": set(re.findall(r"\bnetwork\.(\w+)", scripts)),
        "topology": set(re.findall(r"\btopology\.(\w+)", scripts)),
        "tunnel": set(re.findall(r"\btunnel\.(\w+)", scripts)),
        "connection": set(re.findall(r"\bconnection\.(\w+)", scripts)),
        "scope": set(re.findall(r"\bscope\.(\w+)", scripts)),
        "subnet": set(re.findall(r"\b(?:subnet|own)\.(\w+)", scripts)),
        "port": set(re.findall(r"\bport\.(\w+)", scripts)),
    }
    assert used["node"] <= set(topology["nodes"][0])
    east = next(each for each in topology["networks"] if each["name"] == "east")
    assert used["network"] <= set(east)
    assert used["subnet"] <= set(east["subnets"][0])
    assert used["connection"] <= set(topology["connections"][0])
    assert used["scope"] <= set(topology["connections"][0]["backward"])
    assert used["port"] <= set(network.get("/v1/ports").json["ports"][0])
    assert used["topology"] <= set(topology)
    assert used["tunnel"] <= set(topology["tunnels"][0])
    assert all(used.values())
