"""CHECK finds each thing that somebody tampered with, and STATUS says whether an ADD would succeed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from cni_shim import errors
from tests.cni_shim.fake_controller import FakeController
from tests.cni_shim.machine import Machine, run, until
from tests.cni_shim.plugin_in_memory import Outcome, Plugin

pytestmark = [pytest.mark.ovs, pytest.mark.netns]


@pytest.fixture
def result(plugin: Plugin, machine: Machine) -> dict[str, Any]:
    """What ADD said; the switch has opened the port."""
    said = plugin.add()
    until("ofport", lambda: machine.vsctl("get", "Interface", plugin.host, "ofport").strip().isdigit())
    return said


def check(plugin: Plugin, result: dict[str, Any], **configuration: Any) -> Outcome:
    return plugin.call("CHECK", prevResult=result, **configuration)


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_all_is_well(plugin: Plugin, result: dict[str, Any], version: str) -> None:
    outcome = check(plugin, {**result, "cniVersion": version}, cniVersion=version)
    assert (outcome.status, outcome.value, outcome.log) == (0, None, "")


def test_the_namespace_may_have_another_path(plugin: Plugin, result: dict[str, Any]) -> None:
    path = f"/var/run/netns/{plugin.netns}"
    assert plugin.call("CHECK", {"CNI_NETNS": path}, prevResult=result).status == 0


IN_POD = [
    (("link", "set", "eth0", "down"), "state of eth0"),
    (("link", "set", "eth0", "mtu", "1400"), "MTU of eth0"),
    (("link", "set", "eth0", "address", "0a:58:0a:80:00:99"), "MAC address of eth0"),
    (("address", "del", "10.128.0.2/23", "dev", "eth0"), "10.128.0.2/23"),
    (("route", "del", "default"), "0.0.0.0/0"),
    (("route", "replace", "default", "via", "10.128.0.9"), "0.0.0.0/0"),
    (("link", "del", "eth0"), "eth0 is not in"),
]


@pytest.mark.parametrize(("change", "named"), IN_POD)
def test_tampering_in_the_pod(plugin: Plugin, result: dict[str, Any], change: tuple[str, ...], named: str) -> None:
    run("ip", "-n", plugin.netns, *change)
    assert_changed(check(plugin, result), named)


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
    machine.ip("link", "set", plugin.host, *change)
    outcome = check(plugin, result)
    if change[0] == "name":
        machine.ip("link", "del", "elsewhere")
    assert_changed(outcome, named, plugin.host)


@pytest.mark.parametrize("key", ["heddle-network", "heddle-container", "heddle-ifname", "attached-mac"])
def test_tampering_with_the_row(plugin: Plugin, machine: Machine, result: dict[str, Any], key: str) -> None:
    machine.vsctl("set", "Interface", plugin.host, f"external_ids:{key}=somebody-elses")
    assert_changed(check(plugin, result), key)


def test_a_port_that_is_not_on_the_bridge(plugin: Plugin, machine: Machine, result: dict[str, Any]) -> None:
    machine.vsctl("del-port", plugin.host)
    assert_changed(check(plugin, result), plugin.host)


def test_a_port_on_another_bridge(plugin: Plugin, machine: Machine, result: dict[str, Any]) -> None:
    ids = [f"external_ids:{key}={value}" for key, value in machine.interface(plugin.host).items()]
    machine.vsctl("add-br", "br7", "--", "set", "bridge", "br7", "datapath_type=netdev")
    try:
        machine.vsctl(
            "del-port", plugin.host, "--", "add-port", "br7", plugin.host, "--", "set", "Interface", plugin.host, *ids
        )
        assert_changed(check(plugin, result), "bridge br0")
    finally:
        machine.vsctl("del-br", "br7")


def test_a_port_that_the_switch_could_not_open(plugin: Plugin, machine: Machine, result: dict[str, Any]) -> None:
    machine.vsctl("set", "Interface", plugin.host, "type=internal")
    until("the error", lambda: machine.vsctl("get", "Interface", plugin.host, "ofport").strip() == "-1")
    assert_changed(check(plugin, result), plugin.host)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"mac": "0a:58:0a:80:00:03"}, "MAC"),
        ({"addresses": [{"address": "10.128.0.3/23", "gateway": "10.128.0.1"}]}, "addresses"),
        ({"addresses": [{"address": "10.128.0.2/23", "gateway": "10.128.0.9"}]}, "addresses"),
    ],
)
def test_another_reservation(
    plugin: Plugin, controller: FakeController, result: dict[str, Any], change: dict[str, Any], named: str
) -> None:
    controller.ports["c1", "eth0"] |= change
    assert_changed(check(plugin, result), named)


def test_no_reservation(plugin: Plugin, controller: FakeController, result: dict[str, Any]) -> None:
    del controller.ports["c1", "eth0"]
    assert_changed(check(plugin, result), "not reserved")


@pytest.mark.parametrize("phase", ["Pending", "Failed"])
def test_no_flows(plugin: Plugin, controller: FakeController, result: dict[str, Any], phase: str) -> None:
    controller.phase = phase
    assert_changed(check(plugin, result), phase)


def test_a_controller_that_is_away(plugin: Plugin, result: dict[str, Any]) -> None:
    assert check(plugin, result, controllers=["http://127.0.0.1:9"]).code == errors.TRY_AGAIN


def test_a_switch_that_is_away(plugin: Plugin, result: dict[str, Any]) -> None:
    assert check(plugin, result, ovsdb="unix:/nonexistent/db.sock").code == errors.IO_FAILURE


def test_a_namespace_that_is_gone(plugin: Plugin, result: dict[str, Any]) -> None:
    outcome = plugin.call("CHECK", {"CNI_NETNS": "/run/netns/gone"}, prevResult=result)
    assert outcome.code == errors.UNKNOWN_CONTAINER


def test_no_previous_result(plugin: Plugin, result: dict[str, Any]) -> None:
    outcome = plugin.call("CHECK")
    assert outcome.code == errors.BAD_CONFIGURATION
    assert "prevResult" in outcome.text


def test_a_previous_result_of_somebody_else(plugin: Plugin, result: dict[str, Any]) -> None:
    other = copy.deepcopy(result)
    other["interfaces"][0]["name"] = "vother"
    assert_changed(check(plugin, other), plugin.host)


def test_other_plugins_parts_of_the_result_are_theirs(plugin: Plugin, result: dict[str, Any]) -> None:
    more = copy.deepcopy(result)
    more["interfaces"].append({"name": "ifb0"})
    more["routes"].append({"dst": "192.0.2.0/24", "gw": "192.0.2.1"})
    assert check(plugin, more).status == 0


def assert_changed(outcome: Outcome, *named: str) -> None:
    assert outcome.status == 1
    assert outcome.code == errors.CHANGED
    for word in named:
        assert word in outcome.text


# -- STATUS -----------------------------------------------------------------------------------------------------------


def test_ready(plugin: Plugin) -> None:
    outcome = plugin.call("STATUS")
    assert (outcome.status, outcome.value) == (0, None)


def test_not_ready(plugin: Plugin, controller: FakeController) -> None:
    controller.ready = False
    outcome = plugin.call("STATUS")
    assert outcome.code == errors.NOT_READY
    assert "not connected" in outcome.text


def test_an_exhausted_pool_is_not_ready(plugin: Plugin, controller: FakeController) -> None:
    controller.pool = 0
    outcome = plugin.call("STATUS")
    assert outcome.code == errors.NOT_READY
    assert "exhausted" in outcome.text


def test_without_a_controller_pods_keep_what_they_have(plugin: Plugin) -> None:
    assert plugin.call("STATUS", controllers=["http://127.0.0.1:9"]).code == errors.NOT_READY
    assert plugin.call("STATUS", token_file="/nonexistent").code == errors.NOT_READY


def test_without_a_switch_pods_are_cut_off(plugin: Plugin, namespace: Callable[[], str]) -> None:
    assert plugin.call("STATUS", ovsdb="unix:/nonexistent/db.sock").code == errors.NOT_READY_DISCONNECTED
    assert plugin.call("STATUS", bridge="br7").code == errors.NOT_READY_DISCONNECTED
    elsewhere = Plugin(Machine(namespace(), plugin.machine.folder), plugin.url, plugin.token_file, plugin.netns)
    outcome = elsewhere.call("STATUS")
    assert outcome.code == errors.NOT_READY_DISCONNECTED
    assert "tun0" in outcome.text


def test_without_vswitchd_pods_are_cut_off(plugin: Plugin, machine: Machine) -> None:
    machine.stop("ovs-vswitchd")
    try:
        outcome = plugin.call("STATUS")
        assert outcome.code == errors.NOT_READY_DISCONNECTED
        assert "ovs-vswitchd" in outcome.text
    finally:
        machine.start_vswitchd()
        until("tun0", lambda: "tun0" in machine.links())
