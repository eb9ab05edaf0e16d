"""Pods whose interface is a tap of the switch: made, checked, removed, and put back when ovs-vswitchd was restarted."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cni_shim.errors import BAD_CONFIGURATION, CHANGED, INTERFACE_EXISTS
from cni_shim.node import datapath, taps
from cni_shim.ovsdb import Database
from tests.cni_shim.fake_controller import FakeController
from tests.cni_shim.machine import Machine, inside, run, until
from tests.cni_shim.plugin_in_memory import Plugin

pytestmark = [pytest.mark.ovs, pytest.mark.netns]


@pytest.fixture
def tap(plugin: Plugin) -> Plugin:
    plugin.conf["interface"] = "tap"
    return plugin


@pytest.fixture
def other(tap: Plugin, namespace: Callable[[], str]) -> Plugin:
    """The plugin for another pod."""
    return Plugin(tap.machine, tap.url, tap.token_file, namespace(), container="c2", conf=tap.conf)


def wait_open(plugin: Plugin) -> None:
    until("ofport", lambda: plugin.machine.vsctl("get", "Interface", plugin.host, "ofport").strip().isdigit())


def kind(plugin: Plugin) -> str:
    """What the pod's interface is, to its kernel."""
    return str(plugin.machine.links(plugin.netns)["eth0"]["linkinfo"]["info_kind"])


def pings(source: Plugin, target: str) -> bool:
    words = ("ip", "netns", "exec", source.netns, "ping", "-c1", "-W1", target)
    return " 1 received" in run(*words, check=False)


def test_the_pods_end(tap: Plugin) -> None:
    result = tap.add()
    link = tap.machine.links(tap.netns)["eth0"]
    assert (kind(tap), link["mtu"], link["address"]) == ("tun", 1450, "0a:58:0a:80:00:02")
    assert "UP" in link["flags"]
    assert [(one["name"], one.get("sandbox")) for one in result["interfaces"]] == [("eth0", f"/run/netns/{tap.netns}")]
    assert tap.host not in tap.machine.links()
    assert tap.machine.interface(tap.host)["heddle-netns"] == f"/run/netns/{tap.netns}"
    wait_open(tap)
    assert tap.call("CHECK", prevResult=result).status == 0
    assert tap.call("DEL", prevResult=result).status == 0
    until("its end", lambda: "eth0" not in tap.machine.links(tap.netns))
    assert tap.machine.ports() == []
    assert tap.call("CHECK", prevResult=result).code == CHANGED
    assert tap.call("DEL").status == 0


def test_check_finds_what_is_wrong(tap: Plugin) -> None:
    result = tap.add()
    wait_open(tap)
    run("ip", "-n", tap.netns, "link", "set", "eth0", "mtu", "1400")
    assert "MTU of eth0" in tap.call("CHECK", prevResult=result).text
    tap.machine.vsctl("del-port", tap.host)
    until("its end", lambda: "eth0" not in tap.machine.links(tap.netns))
    assert "interface eth0 is not in" in tap.call("CHECK", prevResult=result).text


def test_a_pod_on_several_networks(tap: Plugin, controller: FakeController) -> None:
    """Each of its interfaces is a tap; another plugin's interface is not ours to check."""
    controller.others = ("net1",)
    result = tap.add()
    until("ofports", tap.machine.all_open)
    assert {"eth0", "net1"} <= tap.machine.links(tap.netns).keys()
    assert tap.call("CHECK", prevResult=result).status == 0
    more = {**result, "interfaces": [*result["interfaces"], {"name": "lan0", "sandbox": f"/run/netns/{tap.netns}"}]}
    assert tap.call("CHECK", prevResult=more).status == 0
    run("ip", "-n", tap.netns, "link", "set", "net1", "down")
    assert "the state of net1" in tap.call("CHECK", prevResult=result).text
    assert tap.call("DEL", prevResult=result).status == 0
    until("their end", lambda: not {"eth0", "net1"} & tap.machine.links(tap.netns).keys())


def test_a_veths_result_must_name_both_ends(plugin: Plugin) -> None:
    result = plugin.add()
    wait_open(plugin)
    result["interfaces"] = [one for one in result["interfaces"] if "sandbox" in one]
    for ip in result["ips"]:
        ip["interface"] = 0
    assert f"prevResult has no {plugin.host} with eth0" in plugin.call("CHECK", prevResult=result).text


def test_the_namespace_goes_before_del(tap: Plugin) -> None:
    tap.add()
    run("ip", "netns", "del", tap.netns)
    try:
        assert tap.call("DEL", environment={"CNI_NETNS": ""}).status == 0
        assert tap.machine.ports() == []
    finally:
        run("ip", "netns", "add", tap.netns)


def test_a_second_add_leaves_the_first_alone(tap: Plugin) -> None:
    tap.add()
    again = tap.call("ADD")
    assert (again.code, "eth0 exists already" in again.text) == (INTERFACE_EXISTS, True)
    assert kind(tap) == "tun"
    assert tap.machine.ports() == [tap.host]


def test_an_add_that_fails_leaves_nothing(tap: Plugin, controller: FakeController) -> None:
    controller.phase, controller.phase_reason = "Failed", "its flows collide"
    assert "collide" in tap.call("ADD").text
    assert tap.machine.ports() == []
    until("its end", lambda: "eth0" not in tap.machine.links(tap.netns))
    assert controller.ports == {}


@pytest.mark.parametrize("value", ["macvlan", "", 1, None])
def test_another_kind_is_refused(plugin: Plugin, value: Any) -> None:
    refused = plugin.call("ADD", interface=value)
    assert (refused.code, "'veth' or 'tap'" in refused.text) == (BAD_CONFIGURATION, True)


def test_a_restart_of_vswitchd_is_repaired(tap: Plugin, other: Plugin, machine: Machine) -> None:
    """Index, addresses and routes are as before, and a connection goes on."""
    result = tap.add()
    other.add()
    machine.vsctl("set-fail-mode", "br0", "standalone")  # a learning switch does for packets here
    run("ip", "-n", tap.netns, "route", "add", "203.0.113.0/24", "via", "10.128.0.1", "metric", "7", "table", "1234")
    try:
        until("packets", lambda: pings(tap, "10.128.0.3"))
        before = machine.links(tap.netns)["eth0"]
        server, client = connected(tap, other)
        machine.stop("ovs-vswitchd")
        machine.start_vswitchd()
        until("its new link", lambda: {tap.host, other.host} <= machine.links().keys())
        changed = repair(machine)
        assert [words.split(":")[0] for words in sorted(changed)] == ["eth0 of red/a/eth0 put back into the pod"] * 2
        assert repair(machine) == []
        after = machine.links(tap.netns)["eth0"]
        for name in ("ifindex", "address", "mtu", "addr_info"):
            assert _lasting(after[name]) == _lasting(before[name])
        table = json.loads(run("ip", "-n", tap.netns, "-json", "route", "show", "table", "1234"))
        assert [(one["dst"], one["gateway"], one["metric"]) for one in table] == [("203.0.113.0/24", "10.128.0.1", 7)]
        wait_open(tap)
        assert tap.call("CHECK", prevResult=result).status == 0
        until("packets", lambda: pings(tap, "10.128.0.3"))
        client.sendall(b"still there?")
        assert server.recv(100) == b"still there?"
        client.close()
        server.close()
    finally:
        machine.vsctl("set-fail-mode", "br0", "secure")
        other.call("DEL")


def connected(one: Plugin, another: Plugin) -> tuple[socket.socket, socket.socket]:
    """A connection between two pods: the end in `another`, where it was accepted, and the one that began it."""

    def listen() -> socket.socket:
        listener = socket.socket()
        listener.settimeout(10)
        listener.bind(("10.128.0.3", 5001))
        listener.listen()
        return listener

    with inside(another.netns, listen) as listener:
        client = inside(one.netns, socket.socket)
        client.settimeout(10)
        client.connect(("10.128.0.3", 5001))
        server, _ = listener.accept()
    server.settimeout(20)
    return server, client


def repair(machine: Machine) -> list[str]:
    def put_back() -> list[str]:
        database = Database(machine.database)
        try:
            return taps.ensure(database)
        finally:
            database.close()

    return inside(machine.name, put_back)


def _lasting(value: Any) -> Any:
    """Addresses that last; the kernel makes link-local ones by itself."""
    if not isinstance(value, list):
        return value
    return [(one["local"], one["prefixlen"]) for one in value if one["scope"] == "global"]


def test_stale_are_those_whose_namespace_is_gone(tap: Plugin, other: Plugin, machine: Machine, tmp_path: Path) -> None:
    tap.add()
    other.add()

    def remove() -> list[str]:
        database = Database(machine.database)
        try:
            return datapath.remove_stale_ports("br0", database)
        finally:
            database.close()

    assert inside(machine.name, remove) == []
    ids = f"external_ids:heddle-netns={tmp_path}/gone"
    machine.vsctl("set", "Interface", other.host, ids)
    assert inside(machine.name, remove) == [f"stale port {other.host} removed"]
    assert machine.ports() == [tap.host]
