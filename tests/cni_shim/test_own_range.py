"""A pod whose network has a range of its own: the tenant address is in the pod, the cluster address in the result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cni_shim import errors
from cni_shim.request import VERSIONS
from tests.cni_shim.fake_controller import FakeController
from tests.cni_shim.machine import Machine, run, until
from tests.cni_shim.plugin_in_memory import Outcome, Plugin

pytestmark = [pytest.mark.ovs, pytest.mark.netns]

TENANT, CLUSTER, GATEWAY = "10.0.0.5/24", "10.128.0.2/32", "10.0.0.1"


@pytest.fixture
def own_range(controller: FakeController) -> FakeController:
    """The controller, whose pods are on a network with a range of its own."""
    controller.own_range = True
    return controller


@pytest.fixture
def result(plugin: Plugin, own_range: FakeController, machine: Machine) -> dict[str, Any]:
    """What ADD said; the switch has opened the port."""
    said = plugin.add()
    until("ofport", lambda: machine.vsctl("get", "Interface", plugin.host, "ofport").strip().isdigit())
    return said


def test_the_pod_has_its_tenant_address_alone(plugin: Plugin, result: dict[str, Any], machine: Machine) -> None:
    link = machine.links(plugin.netns)["eth0"]
    inet = [f"{item['local']}/{item['prefixlen']}" for item in link["addr_info"] if item["family"] == "inet"]
    assert (link["address"], inet) == ("0a:58:0a:00:00:05", [TENANT])
    routes = json.loads(run("ip", "-n", plugin.netns, "-json", "route"))
    assert {(route["dst"], route.get("gateway")) for route in routes} == {("default", GATEWAY), ("10.0.0.0/24", None)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("own_range")
def test_the_result_carries_the_cluster_address(plugin: Plugin, version: str) -> None:
    said = plugin.add(cniVersion=version)
    family = {"version": "4"} if version in ("0.3.1", "0.4.0") else {}
    assert said["ips"] == [{"address": CLUSTER, "interface": 1, **family}]
    assert said["interfaces"][1]["name"] == "eth0"
    assert said["interfaces"][1]["sandbox"]
    assert said["routes"] == [{"dst": "0.0.0.0/0", "gw": GATEWAY}]  # as it is in the pod


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_check(plugin: Plugin, result: dict[str, Any], version: str) -> None:
    outcome = check(plugin, {**result, "cniVersion": version}, cniVersion=version)
    assert (outcome.status, outcome.value, outcome.log) == (0, None, "")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("address", "del", TENANT, "dev", "eth0"), TENANT),
        (("route", "del", "default"), "0.0.0.0/0"),
        (("route", "replace", "default", "via", "10.0.0.9"), "0.0.0.0/0"),
    ],
)
def test_check_finds_tampering_in_the_pod(
    plugin: Plugin, result: dict[str, Any], change: tuple[str, ...], named: str
) -> None:
    run("ip", "-n", plugin.netns, *change)
    assert_changed(check(plugin, result), named)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cluster_addresses": ["10.128.0.3"]}, "10.128.0.3/32"),
        ({"cluster_addresses": []}, "10.0.0.5/24"),
        ({"addresses": [{"address": "10.0.0.6/24", "gateway": GATEWAY}]}, "10.0.0.6/24"),
    ],
)
def test_check_finds_another_reservation(
    plugin: Plugin, own_range: FakeController, result: dict[str, Any], change: dict[str, Any], named: str
) -> None:
    own_range.ports["c1", "eth0"] |= change
    assert_changed(check(plugin, result), named)


def test_nothing_is_left_of_it(plugin: Plugin, machine: Machine, result: dict[str, Any]) -> None:
    assert plugin.call("DEL", prevResult=result).status == 0
    assert machine.traces() == []


def test_gc_takes_it_away(plugin: Plugin, machine: Machine, own_range: FakeController, result: dict[str, Any]) -> None:
    assert plugin.call("GC", **{"cni.dev/valid-attachments": []}).status == 0
    assert (machine.traces(), own_range.ports) == ([], {})


@pytest.mark.usefixtures("own_range")
def test_portmap_leads_to_the_cluster_address(plugin: Plugin, machine: Machine) -> None:
    """A hostPort is forwarded by the node's kernel, which knows the pod by nothing else."""
    said = plugin.add(cniVersion="1.0.0")
    portmap = {
        "cniVersion": "1.0.0",
        "name": "heddle",
        "type": "portmap",
        "runtimeConfig": {"portMappings": [{"hostPort": 8081, "containerPort": 80, "protocol": "tcp"}]},
        "prevResult": said,
    }
    final = json.loads(plugin.chained("/usr/lib/cni/portmap", "ADD", portmap))
    assert final == said
    assert "--to-destination 10.128.0.2:80" in nat_rules(machine)
    assert plugin.call("CHECK", cniVersion="1.0.0", prevResult=final).status == 0
    plugin.chained("/usr/lib/cni/portmap", "DEL", portmap)
    assert plugin.call("DEL", cniVersion="1.0.0", prevResult=final).status == 0
    assert "10.128.0.2" not in nat_rules(machine)


@pytest.mark.parametrize(("network", "pods"), [(1300, 1300), (1450, 1450), (9000, 1450), (None, 1450)])
def test_the_mtu_is_the_smaller_of_the_nodes_and_the_networks(
    plugin: Plugin, controller: FakeController, machine: Machine, network: int | None, pods: int
) -> None:
    controller.mtu = network
    said = plugin.add()
    assert machine.links(plugin.netns)["eth0"]["mtu"] == pods
    assert machine.links()[plugin.host]["mtu"] == 1450  # there heddle-node sees what is too large for the pod
    assert machine.interface(plugin.host).get("heddle-mtu") == (str(pods) if pods < 1450 else None)
    assert [interface["mtu"] for interface in said["interfaces"]] == [1450, pods]
    until("ofport", lambda: machine.vsctl("get", "Interface", plugin.host, "ofport").strip().isdigit())
    assert check(plugin, said).status == 0


@pytest.mark.parametrize(
    "spoilt", [{"mtu": 0}, {"mtu": "1400"}, {"mtu": True}, {"cluster_addresses": ["x"]}, {"cluster_addresses": 7}]
)
def test_an_assignment_that_cannot_be_used(plugin: Plugin, controller: FakeController, spoilt: dict[str, Any]) -> None:
    original = controller._put  # the one place where the fake makes an assignment

    def put(key: tuple[str, str], body: Any) -> tuple[int, Any]:
        status, value = original(key, body)
        return status, {**value, **spoilt}

    controller._put = put  # type: ignore[method-assign]
    outcome = plugin.call("ADD")
    assert outcome.code == errors.UNDECODABLE
    assert plugin.machine.traces() == []


def check(plugin: Plugin, result: dict[str, Any], **configuration: Any) -> Outcome:
    return plugin.call("CHECK", prevResult=result, **configuration)


def assert_changed(outcome: Outcome, named: str) -> None:
    assert (outcome.status, outcome.code) == (1, errors.CHANGED)
    assert named in outcome.text


def nat_rules(machine: Machine) -> str:
    return run("ip", "netns", "exec", machine.name, "iptables-save", "-t", "nat")
