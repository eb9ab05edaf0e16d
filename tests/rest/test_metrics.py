"""Metrics: what is published as gauges, and the requests as counters."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from webtest import TestApp

from tests.rest.control import MemoryControl
from tests.rest.test_resources import report
from topology.compiler import compile_node

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def metrics(app: TestApp) -> Samples:
    response = app.get("/metrics")
    assert response.content_type == "text/plain"
    families = text_string_to_metric_families(response.text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_state_of_the_network(network: TestApp, control: MemoryControl) -> None:
    report(network, "n1", "c1")
    report(network, "n1", "c2")
    network.delete("/v1/nodes/n1/ports/c2/eth0", headers={"Authorization": "Bearer token-1-of-n1"})
    control.disconnect("n2")
    found = metrics(network)
    n1, n2 = (("node", "n1"),), (("node", "n2"),)
    assert found["heddle_revision", ()] == control.published.revision
    assert found["heddle_networks", ()] == 3
    assert found["heddle_connections", ()] == 0
    assert found["heddle_ports", n1] == 1
    assert found["heddle_addresses_held", n1] == 1
    assert found["heddle_addresses_quarantined", n1] == 1
    assert found["heddle_addresses_free", n1] == 507
    assert found["heddle_addresses_free", n2] == 509
    assert found["heddle_switch_connected", n1] == 1
    assert found["heddle_switch_connected", n2] == 0
    assert found["heddle_switch_phase", (*n2, ("phase", "Away"))] == 1
    assert found["heddle_switch_phase", (*n2, ("phase", "InSync"))] == 0
    assert found["heddle_switch_committed_revision", n1] == found["heddle_switch_desired_revision", n1]
    assert found["heddle_switch_conflicts", n1] == 0


def test_addresses_of_networks_with_ranges_of_their_own(network: TestApp) -> None:
    subnets = [{"cidr": "10.0.0.0/29"}, {"cidr": "10.0.1.0/29"}]
    network.post_json("/v1/networks", {"name": "east", "projects": ["east"], "subnets": subnets}, status=201)
    for container in ("c1", "c2", "c3"):
        report(network, "n1", container, project="east")
    network.delete("/v1/nodes/n1/ports/c3/eth0", headers={"Authorization": "Bearer token-1-of-n1"})
    found = metrics(network)
    n1, east = (("node", "n1"),), (("network", "east"),)
    assert found["heddle_network_addresses_held", east] == 2
    assert found["heddle_network_addresses_quarantined", east] == 1
    assert found["heddle_network_addresses_free", east] == 2 * 5 - 3
    assert ("heddle_network_addresses_held", (("network", "red"),)) not in found
    # Each of them has a cluster address besides.
    assert found["heddle_addresses_held", n1] == 2
    assert found["heddle_addresses_quarantined", n1] == 1
    assert found["heddle_addresses_free", n1] == 506


def test_flows_by_feature_are_those_of_the_table(network: TestApp, control: MemoryControl) -> None:
    def counted(node: str) -> dict[str, float]:
        return {
            dict(labels)["feature"]: value
            for (name, labels), value in metrics(network).items()
            if name == "heddle_switch_flows" and ("node", node) in labels
        }

    before = counted("n1")
    assert sum(before.values()) == len(list(compile_node("n1", control.published.snapshot).entries()))
    network.post_json("/v1/nodes", {"name": "n3", "underlay": "192.0.2.13"})
    after = counted("n1")
    assert after["tunnels"] == 2 * before["tunnels"]
    network.delete("/v1/nodes/n3")
    assert counted("n1") == before
    assert counted("n3") == {}


def test_requests_are_counted_by_route(app: TestApp) -> None:
    app.get("/v1/networks/red", status=404)
    app.get("/v1/networks/blue", status=404)
    app.get("/nowhere", status=404)
    app.request("/v1/networks", method="OPTIONS", expect_errors=True)
    found = metrics(app)

    def requests(method: str, route: str, status: str) -> float:
        return found["heddle_rest_requests_total", (("method", method), ("route", route), ("status", status))]

    assert requests("GET", "/v1/networks/{network}", "404") == 2
    assert requests("GET", "none", "404") == 1
    assert requests("other", "none", "405") == 1
    assert found["heddle_rest_request_seconds_count", (("route", "/v1/networks/{network}"),)] == 2


def test_two_applications_count_apart(app: TestApp, closed: TestApp) -> None:
    closed.get("/v1/healthz")
    assert not [labels for name, labels in metrics(app) if ("route", "/v1/healthz") in labels]
