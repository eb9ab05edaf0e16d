"""ADD of a pod that the controller gives several interfaces: each as it said, each answering for itself, in one result;
and whatever fails, nothing is left of any of them."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cni_shim import add, attachment, errors, netlink, several
from cni_shim.attachment import LINK_GROUP, Attachment
from cni_shim.request import VERSIONS
from tests.cni_shim.fake_controller import FakeController
from tests.cni_shim.machine import Machine, inside, run, until
from tests.cni_shim.plugin_in_memory import Outcome, Plugin

pytestmark = [pytest.mark.ovs, pytest.mark.netns]

ADDRESSES = {"eth0": "10.128.0.2", "net1": "10.201.0.3", "net2": "10.202.0.4"}
MACS = {"eth0": "0a:58:0a:80:00:02", "net1": "0a:58:c9:00:00:03", "net2": "0a:58:ca:00:00:04"}


@pytest.fixture
def two(controller: FakeController) -> FakeController:
    """The controller, which gives every pod net1 and net2 besides."""
    controller.others = ("net1", "net2")
    return controller


def host(name: str, container: str = "c1") -> str:
    return Attachment("heddle", container, name).host


def route_get(netns: str, *words: str) -> dict[str, Any]:
    """What the pod's kernel would do with a packet."""
    (found,) = json.loads(run("ip", "-n", netns, "-json", "route", "get", *words))
    return dict(found)


def nothing_left(plugin: Plugin) -> None:
    assert plugin.machine.traces() == []
    assert set(plugin.machine.links(plugin.netns)) == {"lo"}
    assert plugin.machine.rules(plugin.netns) == []


# -- what is made ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("two")
def test_the_pods_ends_are_as_the_controller_said(plugin: Plugin, machine: Machine) -> None:
    plugin.add()
    links = machine.links(plugin.netns)
    assert set(links) == {"lo", *ADDRESSES}
    for name, address in ADDRESSES.items():
        inet = [item["local"] for item in links[name]["addr_info"] if item["family"] == "inet"]
        assert (links[name]["address"], links[name]["mtu"], inet) == (MACS[name], 1450, [address])
        assert "UP" in links[name]["flags"]
        features = run("ip", "netns", "exec", plugin.netns, "ethtool", "-k", name)
        assert "tx-checksumming: off" in features
    routes = json.loads(run("ip", "-n", plugin.netns, "-json", "route"))
    assert {(route["dst"], route.get("gateway"), route["dev"]) for route in routes} == {
        ("default", "10.128.0.1", "eth0"),
        ("10.128.0.0/23", None, "eth0"),
        ("10.201.0.0/16", "10.201.0.1", "net1"),
        ("10.201.0.0/24", None, "net1"),
        ("10.202.0.0/16", "10.202.0.1", "net2"),
        ("10.202.0.0/24", None, "net2"),
    }


@pytest.mark.usefixtures("two")
def test_the_hosts_ends(plugin: Plugin, machine: Machine) -> None:
    plugin.add()
    assert machine.veths() == machine.ports() == sorted(host(name) for name in ADDRESSES)
    for name in ADDRESSES:
        link = machine.links()[host(name)]
        assert (link["group"], link["addr_info"], "UP" in link["flags"]) == (str(LINK_GROUP), [], True)
    assert machine.links()[host("eth0")]["ifalias"] == "heddle heddle c1 eth0"
    assert machine.links()[host("net2")]["ifalias"] == "heddle heddle c1 net2 with eth0"


@pytest.mark.usefixtures("two")
def test_the_ports_on_the_switch(plugin: Plugin, machine: Machine) -> None:
    plugin.add()
    common = {"heddle-network": "heddle", "heddle-container": "c1"}
    marks = {"eth0": {"heddle-others": "net1 net2"}, "net1": {"heddle-with": "eth0"}, "net2": {"heddle-with": "eth0"}}
    for name in ADDRESSES:
        own = {"heddle-ifname": name, "iface-id": f"red/a/{name}", "attached-mac": MACS[name]}
        assert machine.interface(host(name)) == {**common, **own, **marks[name]}
        assert host(name) in machine.vsctl("list-ports", "br0").split()


def test_each_interface_is_reported_and_waited_for(plugin: Plugin, two: FakeController) -> None:
    plugin.add()
    path = "/v1/nodes/n1/ports/c1"
    puts = [("PUT", f"{path}/{name}") for name in ADDRESSES]
    asked = [(method, target.partition("?")[0]) for method, target in two.requests]
    assert asked == [*puts, *(("GET", target) for _, target in puts)]
    for name in ADDRESSES:
        report = two.ports["c1", name]
        assert (report["project"], report["pod"], report["pod_uid"]) == ("red", "a", "u-1")
        assert report["host_interface"] == host(name)


def test_a_pod_without_others_costs_what_it_did(plugin: Plugin, controller: FakeController, machine: Machine) -> None:
    opened: list[str] = []
    original = attachment.Database.__init__

    def count(self: Any, address: str, timeout: float = 10.0) -> None:
        opened.append(address)
        original(self, address, timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attachment.Database, "__init__", count)
        plugin.add()
    assert [method for method, _ in controller.requests] == ["PUT", "GET"]
    assert len(opened) == 1
    assert machine.rules(plugin.netns) == []
    settings = run("ip", "netns", "exec", plugin.netns, "sysctl", "-n", "net.ipv4.conf.eth0.arp_ignore")
    assert settings.strip() == run("ip", "netns", "exec", plugin.netns, "sysctl", "-n", f"{CONF}.lo.arp_ignore").strip()


CONF = "net.ipv4.conf"


@pytest.mark.usefixtures("two")
def test_the_primary_row_names_the_others_before_there_is_anything_of_them(
    plugin: Plugin, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By it DEL finds them after an ADD that was killed."""
    begun: list[Any] = []
    seen: list[tuple[bool, str]] = []
    original = add.Interface.begin

    def begin(self: Any) -> None:
        if begun:
            seen.append((begun[0]._database.unanswered, machine.interface(plugin.host)["heddle-others"]))
        begun.append(self)
        original(self)

    monkeypatch.setattr("cni_shim.add.Interface.begin", begin)
    plugin.add()
    assert seen == [(False, "net1 net2")] * 2


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("version", VERSIONS)
def test_the_result_in_each_version(plugin: Plugin, machine: Machine, version: str) -> None:
    result = plugin.add(cniVersion=version)
    links = machine.links()
    mtu = {"mtu": 1450} if version == "1.1.0" else {}
    family = {"version": "4"} if version in ("0.3.1", "0.4.0") else {}
    sandbox = f"/run/netns/{plugin.netns}"
    ends = [
        [
            {"name": host(name), "mac": links[host(name)]["address"], **mtu},
            {"name": name, "mac": MACS[name], "sandbox": sandbox, **mtu},
        ]
        for name in ADDRESSES
    ]
    assert result == {
        "cniVersion": version,
        "interfaces": [end for pair in ends for end in pair],
        "ips": [
            {"address": "10.128.0.2/23", "gateway": "10.128.0.1", "interface": 1, **family},
            {"address": "10.201.0.3/24", "gateway": "10.201.0.1", "interface": 3, **family},
            {"address": "10.202.0.4/24", "gateway": "10.202.0.1", "interface": 5, **family},
        ],
        "routes": [
            {"dst": "0.0.0.0/0", "gw": "10.128.0.1"},
            {"dst": "10.201.0.0/16", "gw": "10.201.0.1"},
            {"dst": "10.202.0.0/16", "gw": "10.202.0.1"},
        ],
        "dns": {},
    }


@pytest.mark.usefixtures("two")
def test_what_an_earlier_plugin_said_is_passed_on(plugin: Plugin) -> None:
    before = {"cniVersion": "1.1.0", "interfaces": [{"name": "first0", "sandbox": "/x"}], "ips": [], "routes": []}
    result = plugin.add(prevResult=before)
    assert [ip["interface"] for ip in result["ips"]] == [2, 4, 6]
    assert [result["interfaces"][number]["name"] for number in (2, 4, 6)] == list(ADDRESSES)


def test_another_interface_has_its_networks_mtu(plugin: Plugin, machine: Machine, two: FakeController) -> None:
    spoil(two, "net1", {"mtu": 1300})
    result = plugin.add()
    assert [machine.links(plugin.netns)[name]["mtu"] for name in ADDRESSES] == [1450, 1300, 1450]
    assert [machine.links()[host(name)]["mtu"] for name in ADDRESSES] == [1450, 1450, 1450]
    assert [machine.interface(host(name)).get("heddle-mtu") for name in ADDRESSES] == [None, "1300", None]
    assert [end["mtu"] for end in result["interfaces"]] == [1450, 1450, 1450, 1300, 1450, 1450]


@pytest.mark.usefixtures("two")
def test_a_row_left_from_before_a_reboot_is_replaced(plugin: Plugin, machine: Machine) -> None:
    left = host("net1")
    machine.vsctl("add-port", "br0", left, "--", "set", "Interface", left, "external_ids:heddle-container=x")
    plugin.add()
    assert machine.interface(left)["heddle-container"] == "c1"


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("chained", ["portmap", "bandwidth"])
def test_a_chained_plugin_takes_the_primary_interface(plugin: Plugin, machine: Machine, chained: str) -> None:
    result = plugin.add(cniVersion="1.0.0")
    mapping = [{"hostPort": 8081, "containerPort": 80, "protocol": "tcp"}]
    rate = {"ingressRate": 1_000_000, "ingressBurst": 100_000}
    runtime = {"portMappings": mapping} if chained == "portmap" else {"bandwidth": rate}
    common = {"cniVersion": "1.0.0", "name": "heddle", "type": chained, "prevResult": result}
    configuration = {**common, "runtimeConfig": runtime}
    final = json.loads(plugin.chained(f"/usr/lib/cni/{chained}", "ADD", configuration))
    assert [ip["address"] for ip in final["ips"]] == [ip["address"] for ip in result["ips"]]
    if chained == "portmap":
        rules = run("ip", "netns", "exec", machine.name, "iptables-save", "-t", "nat")
        assert "--to-destination 10.128.0.2:80" in rules
        assert "10.201" not in rules
    else:
        shaped = json.loads(run("tc", "-n", machine.name, "-json", "qdisc", "show"))
        assert [one["dev"] for one in shaped if one["kind"] == "tbf"] == [plugin.host]
    until("ofports", machine.all_open)
    assert plugin.call("CHECK", cniVersion="1.0.0", prevResult=final).status == 0
    plugin.chained(f"/usr/lib/cni/{chained}", "DEL", {**configuration, "prevResult": final})
    assert plugin.call("DEL", cniVersion="1.0.0", prevResult=final).status == 0


# -- answering for itself --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("two")
def test_what_an_interface_sends_goes_by_its_own_gateway(plugin: Plugin) -> None:
    """Also to where the main table leads over another interface, and by the primary one's address."""
    plugin.add()
    for name, address in ADDRESSES.items():
        gateway = address.rpartition(".")[0] + ".1"
        for target in (
            "192.0.2.1",
            *(f"10.{other}.7.7" for other in (201, 202) if not address.startswith(f"10.{other}")),
        ):
            for way in (("from", address), ("oif", name)):
                found = route_get(plugin.netns, target, *way)
                assert (found["dev"], found["gateway"]) == (name, gateway), (name, target, way)
        near = route_get(plugin.netns, address.rpartition(".")[0] + ".77", "from", address)
        assert (near["dev"], near.get("gateway")) == (name, None)


@pytest.mark.usefixtures("two")
def test_the_rules(plugin: Plugin, machine: Machine) -> None:
    plugin.add()
    indexes = {name: machine.links(plugin.netns)[name]["ifindex"] for name in ADDRESSES}
    found = [
        (rule["src"], rule.get("oif"), rule["table"], rule["priority"], rule["protocol"])
        for rule in machine.rules(plugin.netns)
    ]
    wanted: list[Any] = []
    for name, address in ADDRESSES.items():
        table = str(several.FIRST_TABLE + indexes[name])
        wanted += [(address, None, table, 30000, "104"), ("all", name, table, 30000, "104")]
    assert found == wanted


def test_overlapping_ranges(plugin: Plugin, machine: Machine, two: FakeController) -> None:
    """What the main table has already stays the first one's; each address is still answered for by its interface."""
    two.subnets = {"net1": "10.128.0", "net2": "10.128.0"}
    result = plugin.add()
    addresses = {"eth0": "10.128.0.2", "net1": "10.128.0.3", "net2": "10.128.0.4"}
    for name, address in addresses.items():
        for target in ("10.128.0.77", "10.128.77.7", "192.0.2.1"):
            for way in (("from", address), ("oif", name)):
                assert route_get(plugin.netns, target, *way)["dev"] == name
    assert route_get(plugin.netns, "10.128.77.7")["dev"] == "net1"  # the first that has this route
    assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.128.0.1"}, {"dst": "10.128.0.0/16", "gw": "10.128.0.1"}]
    until("ofports", machine.all_open)
    assert plugin.call("CHECK", prevResult=result).status == 0


def test_the_same_address_twice_is_the_first_ones(plugin: Plugin, machine: Machine, two: FakeController) -> None:
    same = {"address": "10.128.0.2/23", "gateway": "10.128.0.1"}
    spoil(two, "net1", {"addresses": [same], "routes": [{"dst": "10.128.0.0/16", "gw": "10.128.0.1"}]})
    result = plugin.add()
    assert route_get(plugin.netns, "192.0.2.1", "from", "10.128.0.2")["dev"] == "eth0"
    assert route_get(plugin.netns, "192.0.2.1", "oif", "net1")["dev"] == "net1"
    until("ofports", machine.all_open)
    assert plugin.call("CHECK", prevResult=result).status == 0
    assert plugin.call("DEL").status == 0
    nothing_left(plugin)


def test_both_families(plugin: Plugin, machine: Machine, two: FakeController) -> None:
    old, new = (
        {"address": "10.201.0.3/24", "gateway": "10.201.0.1"},
        {"address": "fd00:1::3/64", "gateway": "fd00:1::1"},
    )
    routes = [{"dst": "10.201.0.0/16", "gw": "10.201.0.1"}, {"dst": "fd00::/16", "gw": "fd00:1::1"}]
    spoil(two, "net1", {"addresses": [old, new], "routes": routes})
    result = plugin.add()
    assert [ip["interface"] for ip in result["ips"]] == [1, 3, 3, 5]
    for target, source in (("192.0.2.1", "10.201.0.3"), ("2001:db8::1", "fd00:1::3")):
        for way in (("from", source), ("oif", "net1")):
            assert route_get(plugin.netns, target, *way)["dev"] == "net1"
    table = str(several.FIRST_TABLE + machine.links(plugin.netns)["net1"]["ifindex"])
    rules = machine.rules(plugin.netns, "-6")
    assert [(rule["src"], rule.get("oif"), rule["table"]) for rule in rules] == [
        ("fd00:1::3", None, table),
        ("all", "net1", table),
    ]
    until("ofports", machine.all_open)
    assert plugin.call("CHECK", prevResult=result).status == 0
    run("ip", "-6", "-n", plugin.netns, "rule", "del", "oif", "net1")
    assert "oif net1" in plugin.call("CHECK", prevResult=result).text
    assert plugin.call("DEL").status == 0
    nothing_left(plugin)
    assert machine.rules(plugin.netns, "-6") == []


@pytest.mark.usefixtures("two")
def test_the_kernel_keeps_interfaces_apart(plugin: Plugin) -> None:
    run("ip", "netns", "exec", plugin.netns, "sysctl", "-qw", f"{CONF}.all.rp_filter=1", f"{CONF}.default.rp_filter=1")
    plugin.add()
    for name in ADDRESSES:
        keys = [f"{CONF}.{name}.{key}" for key in ("arp_ignore", "arp_announce", "rp_filter")]
        found = run("ip", "netns", "exec", plugin.netns, "sysctl", "-n", *keys).split()
        assert found == ["1", "2", "1" if name == "eth0" else "2"]


def test_settings_that_cannot_be_written_are_told(
    plugin: Plugin, two: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where /proc/sys is read-only."""
    two.others = ("net1",)
    monkeypatch.setattr("cni_shim.several.ARP", {"no_such_key": "1"})
    outcome = plugin.call("ADD")
    assert outcome.status == 0
    assert "no_such_key of eth0 stays as it is" in outcome.log
    assert "no_such_key of net1 stays as it is" in outcome.log


@pytest.mark.usefixtures("two")
def test_each_address_is_answered_by_its_own_interface(
    plugin: Plugin, machine: Machine, namespace: Callable[[], str]
) -> None:
    """By packets: all interfaces are in one broadcast domain here, and each ARP request reaches all of them."""
    plugin.add()
    asker = Plugin(machine, plugin.url, plugin.token_file, namespace(), container="c2")
    asker.add()
    run("ovs-ofctl", "add-flow", f"unix:{machine.rundir}/br0.mgmt", "actions=NORMAL")
    try:
        assert {name: answerers(asker.netns, address) for name, address in ADDRESSES.items()} == {
            name: {mac} for name, mac in MACS.items()
        }
    finally:
        run("ovs-ofctl", "del-flows", f"unix:{machine.rundir}/br0.mgmt")


def answerers(netns: str, address: str) -> set[str]:
    """Who answers ARP requests for `address`, until two requests have been answered."""
    with inside(netns, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))) as wire:
        wire.bind(("eth0", 0))
        mac = wire.getsockname()[4]
        request = b"\xff" * 6 + mac + bytes.fromhex("08060001080006040001") + mac + bytes(4) + bytes(6)
        seen: list[str] = []

        def asked() -> bool:
            wire.send(request + socket.inet_aton(address))
            while select.select([wire], [], [], 0.1)[0]:
                frame = wire.recv(2048)
                if frame[20:22] == b"\0\2" and frame[28:32] == socket.inet_aton(address):  # ARP reply (RFC 826)
                    seen.append(frame[22:28].hex(":"))
            return len(seen) >= 2

        until(f"answers for {address}", asked)
    return set(seen)


@pytest.mark.usefixtures("two")
def test_packets_pass_by_each_interface(plugin: Plugin, machine: Machine, namespace: Callable[[], str]) -> None:
    other = Plugin(machine, plugin.url, plugin.token_file, namespace(), container="c2")
    plugin.add()
    other.add()
    run("ovs-ofctl", "add-flow", f"unix:{machine.rundir}/br0.mgmt", "actions=NORMAL")
    try:
        for name, own in ADDRESSES.items():
            target = machine.links(other.netns)[name]["addr_info"][0]["local"]
            ping = ("ip", "netns", "exec", plugin.netns, "ping", "-c1", "-W1", "-I", own, target)
            until(f"ping over {name}", lambda words=ping: " 1 received" in run(*words, check=False))
            (learnt,) = json.loads(run("ip", "-n", plugin.netns, "-json", "neigh", "show", "to", target))
            assert (learnt["dev"], learnt["lladdr"]) == (name, machine.links(other.netns)[name]["address"])
    finally:
        run("ovs-ofctl", "del-flows", f"unix:{machine.rundir}/br0.mgmt")


# -- what fails ------------------------------------------------------------------------------------------------------


def spoil(controller: FakeController, interface: str, changes: dict[str, Any]) -> None:
    """Have the controller give interfaces of this name something else."""
    original = controller._put  # the one place where the fake makes an assignment

    def put(key: tuple[str, str], body: Any) -> tuple[int, Any]:
        status, value = original(key, body)
        if key[1] == interface and status < 400:
            value |= changes
        return status, value

    controller._put = put  # type: ignore[method-assign]


@pytest.mark.parametrize("interface", ["net1", "net2"])
@pytest.mark.parametrize(
    ("status", "code"),
    [(404, errors.REFUSED), (409, errors.REFUSED), (500, errors.TRY_AGAIN), (507, errors.POOL_EXHAUSTED)],
)
def test_a_refusal_leaves_nothing(plugin: Plugin, two: FakeController, interface: str, status: int, code: int) -> None:
    two.refused[interface] = (status, "Network not found", "no network 'beside'")
    outcome = plugin.call("ADD")
    assert outcome.code == code
    assert outcome.text == f"{interface}: Network not found: no network 'beside'"
    nothing_left(plugin)
    assert two.ports == {}


def test_what_another_pod_has_under_the_name_stays(plugin: Plugin, two: FakeController) -> None:
    foreign = {"project": "blue", "pod": "x", "phase": "Committed"}
    two.ports["c1", "net2"] = foreign
    assert plugin.call("ADD").code == errors.REFUSED
    nothing_left(plugin)
    assert two.ports == {("c1", "net2"): foreign}


@pytest.mark.parametrize("interface", ["net1", "net2"])
def test_flows_that_do_not_come(plugin: Plugin, two: FakeController, interface: str) -> None:
    two.held.add(interface)
    outcome = plugin.call("ADD", timeout=1)
    assert outcome.code == errors.TRY_AGAIN
    assert f"red/a/{interface}" in outcome.text
    nothing_left(plugin)
    assert two.ports == {}


def test_flows_that_cannot_be_made(plugin: Plugin, two: FakeController) -> None:
    original = two._get

    def get(key: tuple[str, str], wait: float) -> tuple[int, Any]:
        status, value = original(key, wait)
        return status, {**value, "phase": "Failed", "reason": "two subjects want one flow"} if key[
            1
        ] == "net2" else value

    two._get = get  # type: ignore[method-assign]
    outcome = plugin.call("ADD")
    assert outcome.code == errors.REFUSED
    assert "red/a/net2" in outcome.text
    assert "two subjects want one flow" in outcome.text
    nothing_left(plugin)
    assert two.ports == {}


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("interface", ["net1", "net2"])
def test_a_row_that_the_database_refuses(plugin: Plugin, monkeypatch: pytest.MonkeyPatch, interface: str) -> None:
    original = attachment.add_port

    def spoilt(bridge: str, name: str, ids: dict[str, str], kind: str) -> list[dict[str, Any]]:
        operations = original(bridge, name, ids, kind)
        if name == host(interface):
            operations[1]["row"]["no_such_column"] = 1
        return operations

    monkeypatch.setattr("cni_shim.attachment.add_port", spoilt)
    outcome = plugin.call("ADD")
    assert outcome.code == errors.IO_FAILURE
    assert "no_such_column" in outcome.text
    nothing_left(plugin)


@pytest.mark.parametrize("interface", ["eth0", "net1", "net2"])
def test_a_route_that_the_kernel_refuses(plugin: Plugin, two: FakeController, interface: str) -> None:
    spoil(two, interface, {"routes": [{"dst": "198.51.100.0/24", "gw": "192.0.2.1"}]})
    outcome = plugin.call("ADD")
    assert outcome.code == errors.IO_FAILURE
    assert "192.0.2.1" in outcome.text
    nothing_left(plugin)
    assert two.ports == {}


def test_a_rule_that_the_kernel_refuses(plugin: Plugin, two: FakeController, monkeypatch: pytest.MonkeyPatch) -> None:
    original = several.new_rule

    def spoilt(rule: Any) -> netlink.Message:
        message = original(rule)
        last = rule[2] == "net2"
        return netlink.Message(message.kind, message.flags, message.body[:8] if last else message.body, message.what)

    monkeypatch.setattr("cni_shim.several.new_rule", spoilt)
    outcome = plugin.call("ADD")
    assert outcome.code == errors.IO_FAILURE
    assert "add the rule oif net2" in outcome.text
    nothing_left(plugin)
    assert two.ports == {}


def test_an_interface_of_somebody_else_stays(plugin: Plugin, machine: Machine, two: FakeController) -> None:
    run("ip", "-n", plugin.netns, "link", "add", "name", "net2", "type", "bridge")
    outcome = plugin.call("ADD")
    assert outcome.code == errors.INTERFACE_EXISTS
    assert "net2" in outcome.text
    assert machine.traces() == []
    assert set(machine.links(plugin.netns)) == {"lo", "net2"}
    assert two.ports == {}


def test_an_interface_that_the_runtime_asked_for_stays(
    plugin: Plugin, machine: Machine, controller: FakeController
) -> None:
    asked = Plugin(machine, plugin.url, plugin.token_file, plugin.netns, ifname="net2")
    result = asked.add()
    before = dict(controller.ports)
    controller.others = ("net1", "net2")
    outcome = plugin.call("ADD")
    assert outcome.code == errors.INTERFACE_EXISTS
    assert "net2" in outcome.text
    assert machine.traces() == [asked.host, asked.host]
    assert controller.ports == before
    until("ofport", machine.all_open)
    assert asked.call("CHECK", prevResult=result).status == 0


@pytest.mark.parametrize(
    "others", [["eth0"], ["net1", "net1"], ["a/b"], [""], ["x" * 16], [7], "net1", {"net1": 1}, True]
)
def test_others_that_cannot_be_used(plugin: Plugin, controller: FakeController, others: Any) -> None:
    spoil(controller, "eth0", {"others": others})
    outcome = plugin.call("ADD")
    assert outcome.code == errors.UNDECODABLE
    assert "assignment" in outcome.text
    nothing_left(plugin)
    assert controller.ports == {}


@pytest.mark.parametrize("interface", ["eth0", "net1"])
def test_an_interface_without_routes(plugin: Plugin, two: FakeController, machine: Machine, interface: str) -> None:
    spoil(two, interface, {"routes": []})
    result = plugin.add()
    until("ofports", machine.all_open)
    assert plugin.call("CHECK", prevResult=result).status == 0


@pytest.mark.parametrize("others", [[], None])
def test_no_others_said_in_words(plugin: Plugin, controller: FakeController, others: Any) -> None:
    spoil(controller, "eth0", {"others": others})
    assert [end["name"] for end in plugin.add()["interfaces"]] == [host("eth0"), "eth0"]


# -- many ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("two")
def test_many_at_once(plugin: Plugin, machine: Machine, namespace: Callable[[], str]) -> None:
    pods = [Plugin(machine, plugin.url, plugin.token_file, namespace(), container=f"many{n}") for n in range(8)]
    outcomes: dict[str, Outcome] = {}
    threads = [
        threading.Thread(target=lambda p=pod: outcomes.update({p.container: p.call("ADD", timeout=60)})) for pod in pods
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {outcome.status for outcome in outcomes.values()} == {0}
    assert machine.ports() == machine.veths() == sorted(host(name, pod.container) for pod in pods for name in ADDRESSES)
    addresses = {ip["address"] for outcome in outcomes.values() for ip in outcome.value["ips"]}
    assert len(addresses) == len(pods) * len(ADDRESSES)
    for pod in pods:
        for end in outcomes[pod.container].value["interfaces"][1::2]:
            assert machine.links(pod.netns)[end["name"]]["address"] == end["mac"]
        assert pod.call("DEL").status == 0
    assert machine.traces() == []
