"""ADD on a real switch and in real namespaces: what it makes, what it says, and that a failed one leaves nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cni_shim import errors
from cni_shim.attachment import LINK_GROUP
from cni_shim.request import VERSIONS
from tests.cni_shim.fake_controller import FakeController
from tests.cni_shim.machine import Machine, run, until
from tests.cni_shim.plugin_in_memory import Outcome, Plugin

pytestmark = [pytest.mark.ovs, pytest.mark.netns]


def test_the_pods_end_is_as_the_controller_said(plugin: Plugin, machine: Machine) -> None:
    plugin.add()
    link = machine.links(plugin.netns)["eth0"]
    assert link["address"] == "0a:58:0a:80:00:02"
    assert link["mtu"] == 1450
    assert "UP" in link["flags"]
    inet = [item for item in link["addr_info"] if item["family"] == "inet"]
    assert [(item["local"], item["prefixlen"], item["broadcast"]) for item in inet] == [
        ("10.128.0.2", 23, "10.128.1.255")
    ]
    routes = json.loads(run("ip", "-n", plugin.netns, "-json", "route"))
    assert {(route["dst"], route.get("gateway")) for route in routes} == {
        ("default", "10.128.0.1"),
        ("10.128.0.0/23", None),
    }


def test_the_userspace_path_needs_offload_off_and_a_small_window(plugin: Plugin, machine: Machine) -> None:
    plugin.add()
    for namespace, name in ((plugin.netns, "eth0"), (machine.name, plugin.host)):
        features = run("ip", "netns", "exec", namespace, "ethtool", "-k", name)
        assert "tx-checksumming: off" in features
    assert run("ip", "netns", "exec", plugin.netns, "cat", "/proc/sys/net/ipv4/tcp_rmem").split() == [
        "4096",
        "65536",
        "131072",
    ]


def test_the_hosts_end(plugin: Plugin, machine: Machine) -> None:
    plugin.add()
    link = machine.links()[plugin.host]
    assert link["mtu"] == 1450
    assert "UP" in link["flags"]
    assert link["group"] == str(LINK_GROUP)
    assert link["ifalias"] == "heddle heddle c1 eth0"
    assert link["addr_info"] == []  # no address of the node's may be on it, link-local neither


def test_the_port_on_the_switch(plugin: Plugin, machine: Machine) -> None:
    plugin.add()
    assert machine.interface(plugin.host) == {
        "heddle-network": "heddle",
        "heddle-container": "c1",
        "heddle-ifname": "eth0",
        "iface-id": "red/a/eth0",
        "attached-mac": "0a:58:0a:80:00:02",
    }
    assert plugin.host in machine.vsctl("list-ports", "br0").split()
    until("ofport", lambda: machine.vsctl("get", "Interface", plugin.host, "ofport").strip().isdigit())


def test_the_report_to_the_controller(plugin: Plugin, controller: FakeController) -> None:
    plugin.add()
    assert [method for method, _ in controller.requests] == ["PUT", "GET"]
    report = controller.ports["c1", "eth0"]
    assert (report["project"], report["pod"], report["pod_uid"], report["host_interface"]) == (
        "red",
        "a",
        "u-1",
        plugin.host,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_the_result_in_each_version(plugin: Plugin, machine: Machine, version: str) -> None:
    result = plugin.add(cniVersion=version, dns={"nameservers": ["192.0.2.53"]})
    mac = machine.links()[plugin.host]["address"]
    mtu = {"mtu": 1450} if version == "1.1.0" else {}
    family = {"version": "4"} if version in ("0.3.1", "0.4.0") else {}
    assert result == {
        "cniVersion": version,
        "interfaces": [
            {"name": plugin.host, "mac": mac, **mtu},
            {"name": "eth0", "mac": "0a:58:0a:80:00:02", "sandbox": f"/run/netns/{plugin.netns}", **mtu},
        ],
        "ips": [{"address": "10.128.0.2/23", "gateway": "10.128.0.1", "interface": 1, **family}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.128.0.1"}],
        "dns": {"nameservers": ["192.0.2.53"]},
    }


def test_what_an_earlier_plugin_said_is_passed_on(plugin: Plugin) -> None:
    before = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "first0", "sandbox": "/x"}],
        "ips": [{"address": "192.0.2.7/24", "interface": 0}],
        "routes": [{"dst": "192.0.2.0/24"}],
        "dns": {"domain": "example.org"},
        "custom": {"kept": True},
    }
    result = plugin.add(prevResult=before)
    assert [interface["name"] for interface in result["interfaces"]] == ["first0", plugin.host, "eth0"]
    assert [(ip["address"], ip["interface"]) for ip in result["ips"]] == [("192.0.2.7/24", 0), ("10.128.0.2/23", 2)]
    assert [route["dst"] for route in result["routes"]] == ["192.0.2.0/24", "0.0.0.0/0"]
    assert result["dns"] == {"domain": "example.org"}
    assert result["custom"] == {"kept": True}


def test_it_waits_for_the_flows(plugin: Plugin, controller: FakeController) -> None:
    controller.commit = False
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(plugin.call("ADD")))
    thread.start()
    until("the wait", lambda: controller.count("GET", "wait=") == 1)
    assert outcomes == []
    controller.commit_all()
    thread.join()
    assert outcomes[0].status == 0


def test_a_second_interface_of_a_pod_keeps_the_first_route(plugin: Plugin, machine: Machine) -> None:
    plugin.add()
    second = Plugin(machine, plugin.url, plugin.token_file, plugin.netns, ifname="net1")
    result = second.add()
    assert result["routes"] == []  # it made none
    until("ofports", machine.all_open)
    assert second.call("CHECK", prevResult=result).status == 0
    routes = json.loads(run("ip", "-n", plugin.netns, "-json", "route", "show", "default"))
    assert [route["dev"] for route in routes] == ["eth0"]
    assert second.host != plugin.host


def test_a_second_add_fails_and_leaves_the_first_alone(plugin: Plugin, controller: FakeController) -> None:
    plugin.add()
    before = dict(controller.ports)
    outcome = plugin.call("ADD")
    assert outcome.code == errors.INTERFACE_EXISTS
    assert "eth0" in outcome.text
    assert "DEL" in outcome.text
    assert plugin.machine.traces() == [plugin.host, plugin.host]
    assert controller.ports == before
    assert controller.count("DELETE") == 0
    run("ip", "netns", "exec", plugin.netns, "ip", "link", "show", "eth0")


def test_an_interface_of_somebody_else_stays(plugin: Plugin, controller: FakeController) -> None:
    run("ip", "-n", plugin.netns, "link", "add", "name", "eth0", "type", "bridge")
    outcome = plugin.call("ADD")
    assert outcome.code == errors.INTERFACE_EXISTS
    assert plugin.machine.traces() == []
    assert controller.requests == []
    assert "eth0" in plugin.machine.links(plugin.netns)


def test_a_row_left_from_before_a_reboot_is_replaced(plugin: Plugin, machine: Machine) -> None:
    machine.vsctl(
        "add-port", "br0", plugin.host, "--", "set", "Interface", plugin.host, "external_ids:heddle-container=x"
    )
    plugin.add()
    assert machine.interface(plugin.host)["heddle-container"] == "c1"
    assert machine.ports() == [plugin.host]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, errors.REFUSED),
        (404, errors.REFUSED),
        (409, errors.REFUSED),
        (429, errors.TRY_AGAIN),
        (500, errors.TRY_AGAIN),
        (503, errors.TRY_AGAIN),
        (507, errors.POOL_EXHAUSTED),
    ],
)
def test_a_refusal_leaves_nothing(plugin: Plugin, controller: FakeController, status: int, code: int) -> None:
    controller.failure = (status, "Project not found", "no project 'red'")
    outcome = plugin.call("ADD")
    assert outcome.code == code
    assert outcome.text == "Project not found: no project 'red'"
    nothing_left(plugin)
    assert controller.count("DELETE") == (1 if status in (500, 503) else 0)


def test_an_unknown_project_is_named(plugin: Plugin) -> None:
    args = "K8S_POD_NAMESPACE=mauve;K8S_POD_NAME=a"
    outcome = plugin.call("ADD", {"CNI_ARGS": args})
    assert outcome.code == errors.REFUSED
    assert "'mauve'" in outcome.text
    nothing_left(plugin)


def test_an_exhausted_pool(plugin: Plugin, controller: FakeController) -> None:
    controller.pool = 0
    outcome = plugin.call("ADD")
    assert outcome.code == errors.POOL_EXHAUSTED
    nothing_left(plugin)


def test_flows_that_do_not_come(plugin: Plugin, controller: FakeController) -> None:
    controller.commit = False
    outcome = plugin.call("ADD", timeout=1)
    assert outcome.code == errors.TRY_AGAIN
    assert "red/a/eth0" in outcome.text
    nothing_left(plugin)
    assert controller.ports == {}


def test_flows_that_cannot_be_made(plugin: Plugin, controller: FakeController) -> None:
    controller.phase, controller.phase_reason = "Failed", "two subjects want one flow"
    outcome = plugin.call("ADD")
    assert outcome.code == errors.REFUSED
    assert "two subjects want one flow" in outcome.text
    nothing_left(plugin)
    assert controller.ports == {}


BOTH = {
    "addresses": [
        {"address": "10.128.0.2/23", "gateway": "10.128.0.1"},
        {"address": "fd00:10::2/64", "gateway": "fd00:10::1"},
    ],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.128.0.1"}, {"dst": "::/0", "gw": "fd00:10::1"}],
}
SIX = {name: values[1:] for name, values in BOTH.items()}


def _assigned(controller: FakeController, assignment: dict[str, Any]) -> None:
    original = controller._put  # the one place where the fake makes an assignment

    def put(*arguments: Any) -> tuple[int, Any]:
        status, value = original(*arguments)
        return status, {**value, **assignment}

    controller._put = put  # type: ignore[method-assign]


@pytest.mark.parametrize("assignment", [BOTH, SIX], ids=["both families", "IPv6"])
@pytest.mark.parametrize("is_off", [False, True])
def test_an_address_of_ipv6(
    plugin: Plugin, controller: FakeController, machine: Machine, assignment: dict[str, Any], is_off: bool
) -> None:
    """At once usable, though the runtime may have switched IPv6 off, with a static default route and no router's."""
    if is_off:
        run("ip", "netns", "exec", plugin.netns, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    _assigned(controller, assignment)
    result = plugin.add()
    wanted = [item["address"] for item in assignment["addresses"]]
    assert [item["address"] for item in result["ips"]] == wanted
    link = machine.links(plugin.netns)["eth0"]
    there = [item for item in link["addr_info"] if item["scope"] == "global"]
    assert [f"{item['local']}/{item['prefixlen']}" for item in there] == wanted
    assert not any(item.get("tentative") for item in there)
    routes = json.loads(run("ip", "-n", plugin.netns, "-6", "-json", "route", "show", "default"))
    assert [(route["gateway"], route["protocol"]) for route in routes] == [("fd00:10::1", "static")]
    for key in ("accept_ra", "autoconf", "accept_dad"):
        path = f"/proc/sys/net/ipv6/conf/eth0/{key}"
        assert run("ip", "netns", "exec", plugin.netns, "cat", path).strip() == "0"


def test_ipv6_needs_an_mtu(plugin: Plugin, controller: FakeController, machine: Machine) -> None:
    _assigned(controller, {**BOTH, "mtu": 1279})
    outcome = plugin.call("ADD")
    assert outcome.code == errors.UNDECODABLE
    assert "1279" in outcome.text
    assert "IPv6 needs 1280" in outcome.text
    assert "eth0" not in machine.links(plugin.netns)


@pytest.mark.parametrize(
    "assignment",
    [
        {"mac": "zz"},
        {"mac": "01:58:0a:80:00:02"},
        {"mac": None},
        {"addresses": []},
        {"addresses": [{"address": "10.128.0.2"}]},
        {"addresses": [{"address": "10.128.0.2/33"}]},
        {"addresses": [{"address": "10.128.0.2/23", "gateway": "fe80::1"}]},
        {"addresses": "10.128.0.2/23"},
        {"routes": [{"dst": "everywhere"}]},
        {"routes": [{"gw": "10.128.0.1"}]},
    ],
)
def test_an_assignment_that_cannot_be_used(plugin: Plugin, controller: FakeController, assignment: Any) -> None:
    original = controller._put  # the one place where the fake makes an assignment

    def spoilt(key: tuple[str, str], body: Any) -> tuple[int, Any]:
        status, value = original(key, body)
        return status, {**value, **assignment}

    controller._put = spoilt  # type: ignore[method-assign]
    outcome = plugin.call("ADD")
    assert outcome.code == errors.UNDECODABLE
    assert "assignment" in outcome.text
    nothing_left(plugin)
    assert controller.ports == {}


def test_an_address_that_the_kernel_refuses(plugin: Plugin, controller: FakeController) -> None:
    original = controller._put

    def spoilt(key: tuple[str, str], body: Any) -> tuple[int, Any]:
        status, value = original(key, body)
        return status, {**value, "routes": [{"dst": "0.0.0.0/0", "gw": "192.0.2.1"}]}

    controller._put = spoilt  # type: ignore[method-assign]
    outcome = plugin.call("ADD")
    assert outcome.code == errors.IO_FAILURE
    assert "192.0.2.1" in outcome.text
    nothing_left(plugin)
    assert controller.ports == {}


def test_no_controller(plugin: Plugin) -> None:
    outcome = plugin.call("ADD", controllers=["http://127.0.0.1:9", "unix:/nonexistent"])
    assert outcome.code == errors.TRY_AGAIN
    assert "http://127.0.0.1:9" in outcome.text
    assert "unix:/nonexistent" in outcome.text
    nothing_left(plugin)


def test_no_token(plugin: Plugin, tmp_path: Path) -> None:
    outcome = plugin.call("ADD", token_file="/nonexistent")
    assert outcome.code == errors.IO_FAILURE
    assert "/nonexistent" in outcome.text
    (tmp_path / "empty").write_text("\n")
    assert plugin.call("ADD", token_file=str(tmp_path / "empty")).code == errors.IO_FAILURE
    nothing_left(plugin)


def test_a_wrong_token(plugin: Plugin, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("somebody-elses")
    outcome = plugin.call("ADD", token_file=str(tmp_path / "wrong"))
    assert outcome.code == errors.REFUSED
    assert "token" in outcome.text
    nothing_left(plugin)


def test_no_switch(plugin: Plugin, controller: FakeController) -> None:
    outcome = plugin.call("ADD", ovsdb="unix:/nonexistent/db.sock")
    assert outcome.code == errors.IO_FAILURE
    assert "/nonexistent/db.sock" in outcome.text
    nothing_left(plugin)
    assert controller.requests == []


def test_no_bridge(plugin: Plugin, controller: FakeController) -> None:
    outcome = plugin.call("ADD", bridge="br7")
    assert outcome.code == errors.IO_FAILURE
    assert "br7" in outcome.text
    nothing_left(plugin)
    assert controller.ports == {}


def test_no_tun0(plugin: Plugin, namespace: Callable[[], str]) -> None:
    elsewhere = Plugin(Machine(namespace(), plugin.machine.folder), plugin.url, plugin.token_file, plugin.netns)
    outcome = elsewhere.call("ADD")
    assert outcome.code == errors.IO_FAILURE
    assert "tun0" in outcome.text
    nothing_left(plugin)


def test_a_namespace_that_is_gone(plugin: Plugin) -> None:
    outcome = plugin.call("ADD", {"CNI_NETNS": "/run/netns/gone"})
    assert outcome.code == errors.UNKNOWN_CONTAINER
    assert "CNI_NETNS /run/netns/gone" in outcome.text


def test_a_namespace_that_is_none(plugin: Plugin, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (str(tmp_path / "file"), str(tmp_path), "/proc/self/ns/mnt", f"/run/netns/{plugin.machine.name}"):
        outcome = plugin.call("ADD", {"CNI_NETNS": path})
        assert outcome.code == errors.BAD_ENVIRONMENT
        assert "CNI_NETNS" in outcome.text
    nothing_left(plugin)


def test_many_at_once(
    plugin: Plugin, machine: Machine, controller: FakeController, namespace: Callable[[], str]
) -> None:
    pods = [Plugin(machine, plugin.url, plugin.token_file, namespace(), container=f"many{n}") for n in range(16)]
    results: dict[str, dict[str, Any]] = {}
    threads = [threading.Thread(target=lambda p=pod: results.update({p.container: p.add(timeout=60)})) for pod in pods]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    addresses = {result["ips"][0]["address"] for result in results.values()}
    assert len(addresses) == len(pods)
    assert machine.ports() == sorted(pod.host for pod in pods)
    for pod in pods:
        assert machine.links(pod.netns)["eth0"]["address"] == results[pod.container]["interfaces"][1]["mac"]
        assert pod.call("DEL").status == 0
    assert machine.traces() == []


def test_packets_pass(plugin: Plugin, machine: Machine, namespace: Callable[[], str]) -> None:
    other = Plugin(machine, plugin.url, plugin.token_file, namespace(), container="c2")
    plugin.add()
    other.add()
    run("ovs-ofctl", "add-flow", f"unix:{machine.rundir}/br0.mgmt", "actions=NORMAL")
    try:
        address = machine.links(other.netns)["eth0"]["addr_info"][0]["local"]
        until("ping", lambda: " 1 received" in run(*_ping(plugin.netns, address), check=False))
    finally:
        run("ovs-ofctl", "del-flows", f"unix:{machine.rundir}/br0.mgmt")


def _ping(namespace: str, address: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", namespace, "ping", "-c1", "-W1", address)


def nothing_left(plugin: Plugin) -> None:
    assert plugin.machine.traces() == []
    assert set(plugin.machine.links(plugin.netns)) == {"lo"}
