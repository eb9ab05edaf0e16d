"""DEL and GC: everything goes, whoever is away, any number of times; and nothing else goes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from cni_shim import errors, remove
from tests.cni_shim.fake_controller import FakeController
from tests.cni_shim.machine import Machine, run, until
from tests.cni_shim.plugin_in_memory import UNSET, Plugin

pytestmark = [pytest.mark.ovs, pytest.mark.netns]


def test_del_takes_everything_and_needs_no_controller(plugin: Plugin, controller: FakeController) -> None:
    plugin.add()
    asked = len(controller.requests)
    outcome = plugin.call("DEL", controllers=["http://127.0.0.1:9"])
    assert (outcome.status, outcome.value, outcome.log) == (0, None, "")
    assert plugin.machine.traces() == []
    assert set(plugin.machine.links(plugin.netns)) == {"lo"}
    assert len(controller.requests) == asked  # the switch tells it of the vanished port


def test_del_twice_and_of_what_never_was(plugin: Plugin, controller: FakeController) -> None:
    for _ in range(3):
        outcome = plugin.call("DEL")
        assert (outcome.status, outcome.value) == (0, None)
    assert controller.count("DELETE", "c1/eth0") == 3  # no port vanished, so the controller is told


@pytest.mark.parametrize("netns", [UNSET, "", "/run/netns/gone"])
def test_del_without_the_namespace(plugin: Plugin, netns: str) -> None:
    plugin.add()
    assert plugin.call("DEL", {"CNI_NETNS": netns}).status == 0
    assert plugin.machine.traces() == []


def test_del_after_the_namespace_went(plugin: Plugin, machine: Machine, namespace: Callable[[], str]) -> None:
    passing = f"{namespace()}x"
    run("ip", "netns", "add", passing)
    pod = Plugin(machine, plugin.url, plugin.token_file, passing, container="passing")
    pod.add()
    run("ip", "netns", "del", passing)
    until("the veth's end", lambda: machine.veths() == [])
    assert machine.ports() == [pod.host]
    assert pod.call("DEL").status == 0
    assert machine.traces() == []


def test_del_with_everybody_away(plugin: Plugin, machine: Machine) -> None:
    plugin.add()
    away = {"controllers": ["http://127.0.0.1:9"], "token_file": "/nonexistent", "ovsdb": "unix:/nonexistent/db.sock"}
    outcome = plugin.call("DEL", **away)
    assert (outcome.status, outcome.value) == (0, None)
    assert "/nonexistent/db.sock" in outcome.log
    assert machine.veths() == []
    assert machine.ports() == [plugin.host]  # stale: heddle-node takes it away, or a later DEL
    assert plugin.call("DEL").status == 0
    assert machine.ports() == []


def test_del_while_ovs_is_away(plugin: Plugin, machine: Machine) -> None:
    plugin.add()
    machine.stop("ovs-vswitchd")
    try:
        assert plugin.call("DEL").status == 0
        assert machine.traces() == []
    finally:
        machine.start_vswitchd()


def test_an_add_can_follow_a_del_at_once(plugin: Plugin) -> None:
    for _ in range(5):
        plugin.add()
        assert plugin.call("DEL").status == 0


def test_a_pods_own_interfaces_stay(plugin: Plugin) -> None:
    plugin.add()
    run("ip", "-n", plugin.netns, "link", "add", "name", "own0", "type", "bridge")
    assert plugin.call("DEL").status == 0
    assert set(plugin.machine.links(plugin.netns)) == {"lo", "own0"}


def test_del_leaves_no_process(plugin: Plugin) -> None:
    plugin.add()
    assert plugin.call("DEL").status == 0
    children = run("ps", "-o", "stat=,comm=", "--ppid", str(os.getpid())).split("\n")
    assert [line for line in children if line.startswith("Z")] == []


def pods(plugin: Plugin, namespace: Callable[[], str], count: int, name: str = "heddle") -> list[Plugin]:
    """So many attached pods of network `name`."""
    made = []
    for number in range(count):
        pod = Plugin(plugin.machine, plugin.url, plugin.token_file, namespace(), container=f"{name}-{number}")
        pod.conf["name"] = name
        pod.add()
        made.append(pod)
    return made


def valid(*kept: Plugin) -> list[dict[str, str]]:
    return [{"containerID": pod.container, "ifname": pod.ifname} for pod in kept]


def test_gc_keeps_what_is_valid_and_other_networks(plugin: Plugin, namespace: Callable[[], str]) -> None:
    kept, gone, lost = pods(plugin, namespace, 3)
    (foreign,) = pods(plugin, namespace, 1, "other")
    outcome = plugin.call("GC", **{"cni.dev/valid-attachments": valid(kept)})
    assert (outcome.status, outcome.value) == (0, None)
    assert plugin.machine.ports() == sorted([kept.host, foreign.host])
    assert plugin.machine.veths() == sorted([kept.host, foreign.host])
    assert set(plugin.machine.links(gone.netns)) == {"lo"}
    assert set(plugin.machine.links(lost.netns)) == {"lo"}
    assert "eth0" in plugin.machine.links(kept.netns)


def test_gc_of_an_empty_list_takes_all_of_the_network(plugin: Plugin, namespace: Callable[[], str]) -> None:
    pods(plugin, namespace, 2)
    assert plugin.call("GC", **{"cni.dev/valid-attachments": []}).status == 0
    assert plugin.machine.traces() == []


def test_gc_finds_a_link_without_a_row_and_a_row_without_a_link(
    plugin: Plugin, machine: Machine, namespace: Callable[[], str]
) -> None:
    without_row, without_link = pods(plugin, namespace, 2)
    machine.vsctl("del-port", without_row.host)
    machine.ip("link", "del", without_link.host)
    assert plugin.call("GC", **{"cni.dev/valid-attachments": []}).status == 0
    assert machine.traces() == []


def test_gc_has_the_controller_forget_what_no_port_stands_for(
    plugin: Plugin, controller: FakeController, machine: Machine, namespace: Callable[[], str]
) -> None:
    (kept,) = pods(plugin, namespace, 1)
    controller.ports["lost", "eth0"] = dict(controller.ports[kept.container, "eth0"])
    assert plugin.call("GC", **{"cni.dev/valid-attachments": valid(kept)}).status == 0
    assert set(controller.ports) == {(kept.container, "eth0")}
    assert machine.ports() == [kept.host]


def test_gc_goes_on_after_an_error_and_tells_it(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch, namespace: Callable[[], str]
) -> None:
    first, second = pods(plugin, namespace, 2)
    original = remove._delete_link

    def stubborn(name: str) -> None:
        if name == first.host:
            raise errors.ShimError(errors.IO_FAILURE, f"{name} sticks")
        original(name)

    monkeypatch.setattr("cni_shim.remove._delete_link", stubborn)
    outcome = plugin.call("GC", controllers=["http://127.0.0.1:9"], **{"cni.dev/valid-attachments": []})
    assert outcome.code == errors.INCOMPLETE
    assert f"{first.container}/eth0: {first.host} sticks" in outcome.value["details"]
    assert "no controller answers" in outcome.value["details"]
    assert second.host not in plugin.machine.veths()
    assert plugin.machine.ports() == []


def test_gc_without_a_list_touches_nothing(plugin: Plugin, namespace: Callable[[], str]) -> None:
    (pod,) = pods(plugin, namespace, 1)
    outcome = plugin.call("GC")
    assert outcome.code == errors.BAD_CONFIGURATION
    assert "cni.dev/valid-attachments" in outcome.text
    assert plugin.machine.traces() == [pod.host, pod.host]


def test_gc_without_a_switch(plugin: Plugin) -> None:
    outcome = plugin.call("GC", ovsdb="unix:/nonexistent/db.sock", **{"cni.dev/valid-attachments": []})
    assert outcome.code == errors.IO_FAILURE


def test_portmap_can_follow_in_the_chain(plugin: Plugin, machine: Machine) -> None:
    """Debian's own portmap takes our result, and DEL in reverse order works."""
    result = plugin.add(cniVersion="1.0.0")
    portmap = {
        "cniVersion": "1.0.0",
        "name": "heddle",
        "type": "portmap",
        "runtimeConfig": {"portMappings": [{"hostPort": 8081, "containerPort": 80, "protocol": "tcp"}]},
        "prevResult": result,
    }
    final = plugin.chained("/usr/lib/cni/portmap", "ADD", portmap)
    assert json.loads(final) == result
    rules = run("ip", "netns", "exec", machine.name, "iptables-save", "-t", "nat")
    assert "--to-destination 10.128.0.2:80" in rules
    plugin.chained("/usr/lib/cni/portmap", "DEL", portmap)
    assert plugin.call("CHECK", cniVersion="1.0.0", prevResult=json.loads(final)).status == 0
    assert plugin.call("DEL", cniVersion="1.0.0", prevResult=json.loads(final)).status == 0
    assert "10.128.0.2" not in run("ip", "netns", "exec", machine.name, "iptables-save", "-t", "nat")


def test_bandwidth_can_follow_in_the_chain(plugin: Plugin, machine: Machine) -> None:
    """Debian's own bandwidth finds the host's end by our result."""
    result = plugin.add(cniVersion="1.0.0")
    rate = {"ingressRate": 1_000_000, "ingressBurst": 100_000}
    bandwidth = {
        "cniVersion": "1.0.0",
        "name": "heddle",
        "type": "bandwidth",
        "runtimeConfig": {"bandwidth": rate},
        "prevResult": result,
    }
    plugin.chained("/usr/lib/cni/bandwidth", "ADD", bandwidth)
    assert "tbf" in run("tc", "-n", machine.name, "qdisc", "show", "dev", plugin.host)
    plugin.chained("/usr/lib/cni/bandwidth", "DEL", bandwidth)
    assert plugin.call("DEL").status == 0
