"""heddle-node's set-up of a node on real OVS: what it makes, that it makes it once, that it repairs and undoes it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.cni_shim.machine import run, until
from tests.cni_shim.site import OUTSIDE, UNDERLAY, Site
from topology.model import GENEVE_OFPORT, ICMP_OFPORT, IGMP_OFPORT

pytestmark = [pytest.mark.ovs, pytest.mark.netns]


def column(site: Site, table: str, record: str, name: str) -> Any:
    """A column's value as JSON."""
    text = site.machine.vsctl("--format=json", f"--columns={name}", "list", table, record)
    return json.loads(text)["data"][0][0]


def neighbours(site: Site) -> set[tuple[str, str, str]]:
    """The IPv4 addresses behind tun0 whose MAC address the kernel knows, with how it does."""
    found = json.loads(site.machine.ip("-4", "-json", "neighbour", "show", "dev", "tun0"))
    return {(item["dst"], item["lladdr"], " ".join(item["state"])) for item in found if "lladdr" in item}


def test_the_bridge(site: Site) -> None:
    assert site.command("setup") == 0
    assert column(site, "Bridge", "br0", "datapath_type") == "netdev"
    assert column(site, "Bridge", "br0", "fail_mode") == "secure"
    assert column(site, "Bridge", "br0", "protocols") == "OpenFlow15"
    other = dict(column(site, "Bridge", "br0", "other_config")[1])
    assert other == {"datapath-id": "0000000000000001", "disable-in-band": "true"}
    assert column(site, "Bridge", "br0", "datapath_id") == "0000000000000001"
    assert site.machine.vsctl("get-controller", "br0").split() == ["tcp:198.51.100.1:6653"]
    assert column(site, "Interface", "vxlan0", "ofport") == 1
    assert column(site, "Interface", "tun0", "ofport") == 2
    assert column(site, "Interface", "icmp0", "ofport") == ICMP_OFPORT
    assert column(site, "Interface", "igmp0", "ofport") == IGMP_OFPORT
    assert dict(column(site, "Interface", "vxlan0", "options")[1]) == {
        "remote_ip": "flow",
        "key": "flow",
        "local_ip": UNDERLAY,
        "dst_port": "4789",
        "tos": "0",
    }
    assert column(site, "Interface", "geneve0", "ofport") == GENEVE_OFPORT
    assert column(site, "Interface", "geneve0", "type") == "geneve"
    assert dict(column(site, "Interface", "geneve0", "options")[1]) == {
        **dict(column(site, "Interface", "vxlan0", "options")[1]),
        "dst_port": "6081",
    }


def test_the_tunnels_header_carries_the_inner_dscp_if_the_file_says_so(site: Site) -> None:
    site.write_settings(inherit_dscp=True)
    assert site.command("setup") == 0
    assert dict(column(site, "Interface", "vxlan0", "options")[1])["tos"] == "inherit"
    site.write_settings()
    assert site.command("setup") == 0
    assert dict(column(site, "Interface", "vxlan0", "options")[1])["tos"] == "0"


def test_the_nodes_address_moves_under_br_ex(site: Site) -> None:
    before = site.machine.links()["wire0"]["address"]
    assert site.command("setup") == 0
    assert site.addresses("wire0") == []
    assert site.addresses("br-ex") == [f"{UNDERLAY}/24"]
    assert site.machine.links()["br-ex"]["address"] != before
    assert ("default", OUTSIDE, "br-ex") in site.routes()
    until("an answer", lambda: " 1 received" in run(*ping(site.outside, UNDERLAY), check=False))


def test_tun0(site: Site) -> None:
    assert site.command("setup") == 0
    link = site.machine.links()["tun0"]
    assert (link["address"], link["mtu"]) == ("0a:58:0a:80:00:01", 1450)
    assert site.addresses("tun0") == ["10.128.0.1/23"]
    routes = json.loads(site.machine.ip("-json", "route", "show", "dev", "tun0"))
    assert {(route["dst"], route.get("gateway"), route["prefsrc"]) for route in routes} == {
        ("10.128.0.0/23", None, "10.128.0.1"),
        ("10.128.0.0/14", None, "10.128.0.1"),
        ("169.254.42.1", None, "10.128.0.1"),
        ("172.30.0.0/16", "169.254.42.1", "10.128.0.1"),
        ("169.254.43.0/24", "169.254.42.1", "10.128.0.1"),
    }
    assert neighbours(site) == {("169.254.42.1", "0a:58:a9:fe:2a:01", "PERMANENT")}
    assert run("ip", "netns", "exec", site.machine.name, "cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"


def test_the_tunnels_other_ends_are_known_to_the_switch(site: Site) -> None:
    assert site.command("setup") == 0
    mac = site.machine.links(site.outside)["wire0"]["address"]
    assert site.neighbours().get(OUTSIDE) == mac


def test_a_second_time_changes_nothing(site: Site) -> None:
    assert site.command("setup") == 0
    before = (column(site, "Open_vSwitch", ".", "next_cfg"), site.nft("--handle", "list", "ruleset"), site.routes())
    assert site.ensure() == []
    assert site.command("setup") == 0
    after = (column(site, "Open_vSwitch", ".", "next_cfg"), site.nft("--handle", "list", "ruleset"), site.routes())
    assert re.sub(r"packets \d+ bytes \d+", "", after[1]) == re.sub(r"packets \d+ bytes \d+", "", before[1])
    assert (after[0], after[2]) == (before[0], before[2])


TAMPERING = [
    ("vsctl", "set-fail-mode", "br0", "standalone"),
    ("vsctl", "set", "bridge", "br0", "protocols=OpenFlow13"),
    ("vsctl", "set", "bridge", "br0", "other_config:datapath-id=00000000000000ff"),
    ("vsctl", "remove", "bridge", "br0", "other_config", "disable-in-band"),
    ("vsctl", "set-controller", "br0", "tcp:198.51.100.9:6653"),
    ("vsctl", "del-port", "vxlan0"),
    ("vsctl", "del-port", "geneve0"),
    ("vsctl", "set", "interface", "vxlan0", "options:local_ip=198.51.100.9"),
    ("vsctl", "del-port", "tun0"),
    ("vsctl", "del-port", "icmp0"),
    ("vsctl", "del-port", "igmp0"),
    ("ip", "link", "set", "icmp0", "down"),
    ("ip", "link", "set", "igmp0", "down"),
    ("vsctl", "set", "interface", "tun0", "mtu_request=1500"),
    ("vsctl", "set", "bridge", "br-ex", "fail_mode=secure"),
    ("vsctl", "del-port", "wire0"),
    ("ip", "address", "del", "10.128.0.1/23", "dev", "tun0"),
    ("ip", "address", "add", "10.128.0.9/23", "dev", "tun0"),
    ("ip", "link", "set", "tun0", "down"),
    ("ip", "route", "del", "172.30.0.0/16"),
    ("ip", "route", "replace", "172.30.0.0/16", "dev", "tun0", "src", "10.128.0.1"),  # as an earlier version made it
    ("ip", "route", "replace", "172.30.0.0/16", "via", "169.254.42.1", "dev", "tun0", "onlink"),
    ("ip", "route", "replace", "172.30.0.0/16", "via", "10.128.0.9", "dev", "tun0", "onlink", "src", "10.128.0.1"),
    ("ip", "route", "del", "169.254.42.1"),
    ("ip", "route", "replace", "169.254.42.1", "dev", "tun0"),
    ("ip", "neighbour", "del", "169.254.42.1", "dev", "tun0"),
    ("ip", "neighbour", "replace", "169.254.42.1", "lladdr", "0a:58:00:00:00:01", "dev", "tun0", "nud", "permanent"),
    ("ip", "neighbour", "replace", "169.254.42.1", "lladdr", "0a:58:a9:fe:2a:01", "dev", "tun0", "nud", "stale"),
    ("ip", "route", "replace", "10.128.0.0/14", "dev", "tun0"),
    ("ip", "route", "del", "default"),
    ("ip", "address", "del", f"{UNDERLAY}/24", "dev", "br-ex"),
    ("nft", "flush", "chain", "inet", "heddle", "forward"),
    ("nft", "delete", "table", "inet", "heddle"),
    ("nft", "delete", "table", "arp", "heddle"),
    ("nft", "add", "rule", "inet", "heddle", "input", "accept"),
]


@pytest.mark.parametrize("change", TAMPERING, ids=" ".join)
def test_what_somebody_changes_is_put_right(site: Site, change: tuple[str, ...]) -> None:
    assert site.command("setup") == 0
    assert site.ensure() == []
    {"vsctl": site.machine.vsctl, "ip": site.machine.ip, "nft": site.nft}[change[0]](*change[1:])
    assert site.ensure() != []
    assert site.ensure() == []
    test_is_whole(site)


def test_is_whole(site: Site) -> None:
    """The node works: bridges, address, tunnel and rules are there. (Also the last step of other tests.)"""
    assert site.command("setup") == 0
    assert site.addresses("br-ex") == [f"{UNDERLAY}/24"]
    assert site.addresses("tun0") == ["10.128.0.1/23"]
    assert set(site.machine.vsctl("list-ports", "br0").split()) == {"vxlan0", "geneve0", "tun0", "icmp0", "igmp0"}
    assert all("UP" in site.machine.links()[name]["flags"] for name in ("icmp0", "igmp0"))
    assert site.machine.vsctl("get-controller", "br0").split() == ["tcp:198.51.100.1:6653"]
    assert "masquerade" in site.nft("list", "table", "inet", "heddle")
    assert ("default", OUTSIDE, "br-ex") in site.routes()
    assert ("172.30.0.0/16", "169.254.42.1", "tun0") in site.routes()
    assert ("169.254.42.1", "0a:58:a9:fe:2a:01", "PERMANENT") in neighbours(site)


def test_controllers_change_without_a_moment_of_none(site: Site) -> None:
    assert site.command("setup") == 0
    site.add_flow("priority=7,actions=drop")
    for targets in (["tcp:198.51.100.1:6654"], ["tcp:198.51.100.1:6653", "tcp:198.51.100.2:6653"]):
        site.controller.configure(controllers=targets)
        assert site.ensure() != []
        assert sorted(site.machine.vsctl("get-controller", "br0").split()) == targets
        # With no controller for a moment, ovs-vswitchd would have flushed it.
        assert site.flows() == ["priority=7 actions=drop"]


def test_new_subnets_and_peers(site: Site) -> None:
    assert site.command("setup") == 0
    site.controller.configure(gateways=["10.128.2.1/23"], service_cidrs=["172.31.0.0/16"], peers=["198.51.100.7"])
    assert site.ensure() != []
    assert site.addresses("tun0") == ["10.128.2.1/23"]
    assert site.machine.links()["tun0"]["address"] == "0a:58:0a:80:02:01"
    assert ("172.31.0.0/16", "169.254.42.1", "tun0") in site.routes()
    assert "198.51.100.7" in site.nft("list", "table", "inet", "heddle")
    assert site.ensure() == []


def test_ports_whose_link_is_gone_are_taken_away(site: Site) -> None:
    assert site.command("setup") == 0
    for name, ids in (("vstale", "external_ids:heddle-container=c1"), ("other", "external_ids:owner=else")):
        site.machine.vsctl("add-port", "br0", name, "--", "set", "Interface", name, ids)
    assert site.ensure() == ["stale port vstale removed"]
    assert "vstale" not in site.machine.vsctl("list-ports", "br0")
    assert "other" in site.machine.vsctl("list-ports", "br0")


def test_after_a_reboot(site: Site) -> None:
    """The database has everything, the kernel nothing: the taps are new, the address is on the uplink again."""
    assert site.command("setup") == 0
    site.machine.vsctl(
        "--no-wait", "add-port", "br0", "vpod", "--", "set", "Interface", "vpod", "external_ids:heddle-container=c"
    )
    site.machine.stop("ovs-vswitchd")
    for name in ("br-ex", "br0", "tun0", "ovs-netdev"):
        site.machine.ip("link", "del", name)
    site.nft("flush", "ruleset")
    site.machine.ip("address", "add", f"{UNDERLAY}/24", "dev", "wire0")
    site.machine.ip("route", "add", "default", "via", OUTSIDE)
    site.machine.start_vswitchd()
    test_is_whole(site)
    assert site.addresses("wire0") == []
    assert site.ensure() == []


def test_a_move_that_was_interrupted_is_taken_up_again(site: Site) -> None:
    assert site.command("setup") == 0
    site.machine.ip("address", "del", f"{UNDERLAY}/24", "dev", "br-ex")  # takes the routes along
    assert ("default", OUTSIDE, "br-ex") not in site.routes()
    test_is_whole(site)


def test_the_uplink_by_name(site: Site) -> None:
    site.write_settings(uplink="wire0")
    assert site.command("setup") == 0
    assert site.addresses("br-ex") == [f"{UNDERLAY}/24"]


def test_teardown_gives_everything_back(site: Site) -> None:
    before = site.routes()
    assert site.command("setup") == 0
    assert site.command("teardown") == 0
    assert set(site.machine.links()) == {"lo", "wire0"}
    assert site.addresses("wire0") == [f"{UNDERLAY}/24"]
    assert site.routes() == before
    assert "heddle" not in site.nft("list", "tables")
    assert site.machine.vsctl("list-br").split() == []
    assert site.command("teardown") == 0
    assert site.command("setup") == 0


def test_the_last_good_configuration_serves_while_the_controller_is_away(site: Site) -> None:
    assert site.command("setup") == 0
    site.controller.stop()
    site.machine.ip("link", "set", "tun0", "down")
    assert site.command("setup") == 0
    assert "UP" in site.machine.links()["tun0"]["flags"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"underlay": "198.51.100.77"}, "198.51.100.77"),
        ({"underlay": "nowhere"}, "underlay"),
        ({"cluster_cidrs": ["10.128.0.1/14"]}, "cluster_cidrs"),
    ],
)
def test_a_configuration_that_cannot_be_used_changes_nothing(
    site: Site, capfd: pytest.CaptureFixture[str], change: dict[str, Any], named: str
) -> None:
    site.controller.configure(**change)
    assert site.command("--wait", "0", "setup") == 1
    assert named in capfd.readouterr().err
    assert site.machine.vsctl("list-br").split() == []
    assert site.addresses("wire0") == [f"{UNDERLAY}/24"]


def test_an_uplink_that_is_not_there(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.write_settings(uplink="wire9")
    assert site.command("setup") == 1
    assert "wire9" in capfd.readouterr().err
    assert site.addresses("wire0") == [f"{UNDERLAY}/24"]


def test_no_switch(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.machine.stop("ovsdb-server")
    assert site.command("setup") == 1
    assert "db.sock" in capfd.readouterr().err
    assert site.addresses("wire0") == [f"{UNDERLAY}/24"]
    site.machine.start_ovsdb()


def test_no_controller_was_ever_heard(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.controller.stop()
    assert site.command("--wait", "0", "setup") == 1
    assert "no controller answers" in capfd.readouterr().err


def test_a_node_that_nobody_registered(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.controller.node = "n7"
    assert site.command("--wait", "0", "setup") == 1
    assert "Node not found" in capfd.readouterr().err


def test_a_port_of_ours_on_another_bridge(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.machine.vsctl(
        "add-br", "br9", "--", "add-port", "br9", "tun0", "--", "set", "interface", "tun0", "type=internal"
    )
    site.machine.vsctl("add-br", "br0")
    assert site.command("setup") == 1
    assert "br9" in capfd.readouterr().err


def test_status(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    assert site.command("status") == 1
    before = json.loads(capfd.readouterr().out)
    assert before["tun0"] is None
    assert not before["ready"]
    assert site.command("setup") == 0
    site.add_flow("actions=drop")
    capfd.readouterr()
    assert site.command("status") == 1
    after = json.loads(capfd.readouterr().out)
    assert after["switch"]["flows"]
    assert after["tun0"] == {"addresses": ["10.128.0.1/23"], "mtu": 1450}
    assert len(after["problems"]) == 1
    assert "conflist" in after["problems"][0]
    assert after["switch"]["connections"]["limit"] > 0
    assert after["warnings"] == []


def test_a_table_of_connections_that_is_nearly_full_is_a_warning(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    assert site.command("setup") == 0
    site.machine.appctl("dpctl/ct-set-maxconns", "0")
    capfd.readouterr()
    site.command("status")
    (warning,) = json.loads(capfd.readouterr().out)["warnings"]
    assert "0 of 0 connections" in warning
    assert "ct-set-maxconns" in warning


def ping(namespace: str, address: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", namespace, "ping", "-c1", "-W1", address)
