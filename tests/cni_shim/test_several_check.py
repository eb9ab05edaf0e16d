"""CHECK of a pod with several interfaces finds each thing that somebody tampered with, on any of them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from cni_shim import errors
from cni_shim.attachment import Attachment
from cni_shim.several import FIRST_TABLE
from tests.cni_shim.fake_controller import FakeController
from tests.cni_shim.machine import Machine, run, until
from tests.cni_shim.plugin_in_memory import Outcome, Plugin

pytestmark = [pytest.mark.ovs, pytest.mark.netns]

NAMES = ("eth0", "net1", "net2")


@pytest.fixture
def result(plugin: Plugin, machine: Machine, controller: FakeController) -> dict[str, Any]:
    """What ADD said; the switch has opened the ports."""
    controller.others = NAMES[1:]
    said = plugin.add()
    until("ofports", machine.all_open)
    return said


def host(name: str) -> str:
    return Attachment("heddle", "c1", name).host


def check(plugin: Plugin, result: dict[str, Any], **configuration: Any) -> Outcome:
    return plugin.call("CHECK", prevResult=result, **configuration)


def assert_changed(outcome: Outcome, *named: str) -> None:
    assert (outcome.status, outcome.code) == (1, errors.CHANGED)
    for word in named:
        assert word in outcome.text


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_all_is_well(plugin: Plugin, result: dict[str, Any], controller: FakeController, version: str) -> None:
    before = len(controller.requests)
    outcome = check(plugin, {**result, "cniVersion": version}, cniVersion=version)
    assert (outcome.status, outcome.value, outcome.log) == (0, None, "")
    assert [method for method, _ in controller.requests[before:]] == ["GET"] * 3


@pytest.mark.parametrize("others", [["net1"], [], None])
def test_a_controller_that_does_not_list_them_any_more(
    plugin: Plugin, result: dict[str, Any], controller: FakeController, others: Any
) -> None:
    """As when by now the pod could not come: what it has is still its own."""
    controller.ports["c1", "eth0"]["others"] = others
    assert check(plugin, result).status == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("link", "set", "net1", "down"), "state of net1"),
        (("link", "set", "net1", "mtu", "1400"), "MTU of net1"),
        (("link", "set", "net2", "address", "0a:58:0a:80:00:99"), "MAC address of net2"),
        (("address", "del", "10.201.0.3/24", "dev", "net1"), "10.201.0.3/24"),
        (("route", "del", "10.202.0.0/16"), "10.202.0.0/16"),
        (("route", "replace", "10.202.0.0/16", "via", "10.201.0.1"), "10.202.0.0/16"),
        (("route", "replace", "default", "via", "10.201.0.1"), "0.0.0.0/0"),
        (("link", "del", "net2"), "net2 is not in"),
        (("rule", "del", "from", "10.201.0.3"), "from 10.201.0.3/32"),
        (("rule", "del", "from", "10.128.0.2"), "from 10.128.0.2/32"),
        (("rule", "del", "oif", "net2"), "oif net2"),
    ],
)
def test_tampering_in_the_pod(plugin: Plugin, result: dict[str, Any], change: tuple[str, ...], named: str) -> None:
    run("ip", "-n", plugin.netns, *change)
    assert_changed(check(plugin, result), named)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["default", "subnet"])
def test_tampering_with_a_table(plugin: Plugin, machine: Machine, result: dict[str, Any], name: str, way: str) -> None:
    table = str(FIRST_TABLE + machine.links(plugin.netns)[name]["ifindex"])
    routes = json.loads(run("ip", "-n", plugin.netns, "-json", "route", "show", "table", table))
    destination = next(one["dst"] for one in routes if (one["dst"] == "default") is (way == "default"))
    run("ip", "-n", plugin.netns, "route", "del", destination, "table", table)
    assert_changed(check(plugin, result), f"in table {table}", name)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("down",), "state of"),
        (("group", "0"), "link group"),
        (("address", "06:00:00:00:00:01"), "MAC address"),
        (("name", "elsewhere"), "not the other end"),
    ],
)
def test_tampering_on_the_node(
    plugin: Plugin, machine: Machine, result: dict[str, Any], change: tuple[str, ...], named: str
) -> None:
    machine.ip("link", "set", host("net1"), *change)
    outcome = check(plugin, result)
    if change[0] == "name":
        machine.ip("link", "del", "elsewhere")
    assert_changed(outcome, named, host("net1"))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("eth0", "heddle-others"), ("eth0", "heddle-with"), ("net1", "heddle-with"), ("net1", "heddle-others"),
        ("net2", "heddle-container"), ("net2", "heddle-ifname"), ("net2", "attached-mac"),
    ],
)  # fmt: skip
def test_tampering_with_a_row(plugin: Plugin, machine: Machine, result: dict[str, Any], name: str, key: str) -> None:
    machine.vsctl("set", "Interface", host(name), f"external_ids:{key}=somebody-elses")
    assert_changed(check(plugin, result), key, host(name))


def test_a_port_that_is_not_on_the_bridge(plugin: Plugin, machine: Machine, result: dict[str, Any]) -> None:
    machine.vsctl("del-port", host("net2"))
    assert_changed(check(plugin, result), host("net2"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"mac": "0a:58:0a:80:00:03"}, "MAC address for the port net1"),
        ({"addresses": [{"address": "10.201.0.9/24", "gateway": "10.201.0.1"}]}, "addresses for the port net1"),
        ({"cluster_addresses": ["10.128.0.9"]}, "addresses for the port net1"),
    ],
)
def test_another_reservation(
    plugin: Plugin, controller: FakeController, result: dict[str, Any], change: dict[str, Any], named: str
) -> None:
    controller.ports["c1", "net1"] |= change
    assert_changed(check(plugin, result), named)


def test_no_reservation(plugin: Plugin, controller: FakeController, result: dict[str, Any]) -> None:
    del controller.ports["c1", "net2"]
    assert_changed(check(plugin, result), "does not know the port net2")


def test_an_interface_that_the_pod_has_to_get(
    plugin: Plugin, controller: FakeController, result: dict[str, Any]
) -> None:
    controller.ports["c1", "eth0"]["others"] = ["net1", "net2", "net3"]
    assert_changed(check(plugin, result), "lacks net3")


def test_no_flows(plugin: Plugin, controller: FakeController, result: dict[str, Any]) -> None:
    controller.ports["c1", "net2"] |= {"phase": "Pending"}
    controller.held.add("net2")
    assert_changed(check(plugin, result), "phase of the port net2's flows", "Pending")


@pytest.mark.parametrize("missing", ["net1", "net2", "eth0"])
def test_a_previous_result_that_lacks_an_interface(plugin: Plugin, result: dict[str, Any], missing: str) -> None:
    other = copy.deepcopy(result)
    other["interfaces"] = [end for end in result["interfaces"] if end["name"] not in (missing, host(missing))]
    assert check(plugin, other).code == errors.CHANGED


def test_other_plugins_parts_of_the_result_are_theirs(plugin: Plugin, result: dict[str, Any]) -> None:
    more = copy.deepcopy(result)
    more["interfaces"] += [{"name": "ifb0"}, {"name": "lan0", "sandbox": result["interfaces"][1]["sandbox"]}]
    more["routes"] += [{"dst": "192.0.2.0/24", "gw": "192.0.2.1"}, {"dst": "somewhere"}]
    assert check(plugin, more).status == 0


def test_own_ranges_are_told_by_cluster_addresses(plugin: Plugin, controller: FakeController, machine: Machine) -> None:
    """Both of the pod's networks have one range: each interface is told by an address that nobody else has."""
    controller.others, controller.own_range = ("net1",), True
    controller.subnets = {"net1": "10.0.0"}
    original = controller._beside

    def beside(interface: str, number: int) -> dict[str, Any]:
        return {**original(interface, number), "cluster_addresses": [f"10.128.0.{number}"]}

    controller._beside = beside  # type: ignore[method-assign]
    said = plugin.add()
    assert [(ip["address"], ip["interface"]) for ip in said["ips"]] == [("10.128.0.2/32", 1), ("10.128.0.3/32", 3)]
    inside = machine.links(plugin.netns)
    assert [inside[name]["addr_info"][0]["local"] for name in NAMES[:2]] == ["10.0.0.5", "10.0.0.3"]
    until("ofports", machine.all_open)
    assert check(plugin, said).status == 0
