"""What nodes say of their tunnels: who may say it, where it is shown, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from webtest import TestApp

from tests.rest.control import MemoryControl
from tests.rest.test_metrics import metrics
from tests.rest.test_resources import problem
from topology.model import Tunnel, TunnelStage

N1 = {"Authorization": "Bearer token-1-of-n1"}


@pytest.fixture
def three(network: TestApp, control: MemoryControl) -> TestApp:
    network.post_json("/v1/nodes", {"name": "n3", "underlay": "192.0.2.13"})
    control.connect("n3")
    return network


def told(app: TestApp, *down: str, unknown: tuple[str, ...] = (), status: int = 204, node: str = "n1") -> Any:
    headers = N1 if node == "n1" else {}
    body = {"down": list(down), "unknown": list(unknown)}
    return app.put_json(f"/v1/nodes/{node}/tunnels", body, headers=headers, status=status)


def tunnel(app: TestApp, *ends: str) -> dict[str, Any]:
    found = app.get("/v1/topology").json["tunnels"]
    return next(each for each in found if (each["from"], each["to"]) == ends)


def test_a_tunnel_that_is_down_is_shown_with_its_relay(three: TestApp, control: MemoryControl) -> None:
    assert tunnel(three, "n1", "n2") | {"kind": ""} == {
        "from": "n1",
        "to": "n2",
        "kind": "",
        "up": True,
        "laid": True,
        "down_by": [],
        "by": [],
    }
    told(three, "n2")
    shown = tunnel(three, "n1", "n2")
    assert (shown["up"], shown["down_by"], shown["by"]) == (False, ["n1"], ["n3"])
    assert tunnel(three, "n1", "n3")["up"]
    found = metrics(three)
    assert found["heddle_tunnel_down", (("first", "n1"), ("second", "n2"))] == 1
    assert [found["heddle_node_relayed", (("node", node),)] for node in ("n1", "n2", "n3")] == [1, 1, 0]
    assert [found["heddle_node_relays", (("node", node),)] for node in ("n1", "n2", "n3")] == [0, 0, 2]
    assert control.published.snapshot.severed[Tunnel("n1", "n2")].stage is TunnelStage.DOWN
    told(three, unknown=("n2",))
    assert tunnel(three, "n1", "n2")["down_by"] == ["n1"]
    told(three)
    assert tunnel(three, "n1", "n2")["up"]
    assert ("heddle_tunnel_down", (("first", "n1"), ("second", "n2"))) not in metrics(three)


def test_without_a_way_there_is_no_relay(three: TestApp) -> None:
    told(three, "n2", "n3")
    assert [tunnel(three, "n1", other)["by"] for other in ("n2", "n3")] == [[], []]


def test_a_node_speaks_for_itself_only(three: TestApp) -> None:
    three.put_json("/v1/nodes/n2/tunnels", {"down": ["n1"]}, headers=N1, status=403)
    told(three, "n1", status=422)
    told(three, node="n9", status=404)
    three.put_json("/v1/nodes/n1/tunnels", {"down": "n2"}, headers=N1, status=400)
    three.put_json("/v1/nodes/n1/tunnels", {"down": ["N 2"]}, headers=N1, status=400)
    told(three, "n9")  # gone meanwhile: nothing to say of it


def test_neighbours_are_declared(three: TestApp) -> None:
    changed = three.patch_json("/v1/nodes/n1", {"neighbours": ["n3"]}).json
    assert changed["neighbours"] == ["n3"]
    shown = tunnel(three, "n1", "n2")
    assert (shown["up"], shown["laid"], shown["by"]) == (False, False, ["n3"])
    probed = three.get("/v1/nodes/n1/configuration").json["tunnels"]
    assert probed == [{"node": "n3", "address": "192.0.2.13"}]
    assert three.patch_json("/v1/nodes/n1", {"neighbours": None}).json["neighbours"] is None
    assert tunnel(three, "n1", "n2")["laid"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"neighbours": None, "encapsulation": None}, 422),
        ({"neighbours": ["n1"]}, 422),
        ({"neighbours": []}, 400),
        ({"neighbours": "n2"}, 400),
    ],
)
def test_a_change_that_cannot_be_is_refused(three: TestApp, body: dict[str, Any], status: int) -> None:
    before = three.get("/v1/nodes/n1").json
    assert problem(three.patch_json("/v1/nodes/n1", body, status=status))["remedy"]
    assert three.get("/v1/nodes/n1").json == before
