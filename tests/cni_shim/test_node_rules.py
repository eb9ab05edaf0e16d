"""heddle-node's decisions without a node: settings and configuration at the door, readiness, firewall text, pauses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni_shim.attachment import LINK_GROUP
from cni_shim.errors import ShimError
from cni_shim.node import bridges, configuration, conflist, firewall, main, readiness, settings
from cni_shim.node.events import FIRST_PAUSE, LONGEST_PAUSE, pause
from cni_shim.node.readiness import GRACE, Known
from tests.cni_shim.fake_controller import configuration as from_controller

SETTINGS = {
    "node": "n1",
    "controllers": ["http://192.0.2.1:8080"],
    "token_file": "/etc/heddle/token",
    "ovs_rundir": "/run/openvswitch",
    "datapath": "netdev",
    "state_dir": "/var/lib/heddle",
}


# -- settings ---------------------------------------------------------------------------------------------------------


def test_settings() -> None:
    found = settings.parse({**SETTINGS, "ca_file": None, "uplink": "eth0", "cni_conf_dir": "/etc/cni/net.d"})
    assert found.database == "unix:/run/openvswitch/db.sock"
    assert found.uplink == "eth0"
    assert found.cni_conf_dir == Path("/etc/cni/net.d")


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "controllers"])
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(ShimError, match=f"'{name}' is missing"):
        settings.parse({key: value for key, value in SETTINGS.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("node", ""),
        ("node", "a/b"),
        ("node", 7),
        ("controllers", "http://192.0.2.1"),
        ("controllers", ["192.0.2.1:8080"]),
        ("controllers", [7]),
        ("token_file", "token"),
        ("token_file", None),
        ("ca_file", "ca.pem"),
        ("ovs_rundir", "run"),
        ("datapath", "dpdk"),
        ("uplink", "a-name-of-sixteen"),
        ("uplink", "eth 0"),
        ("uplink", ".."),
        ("state_dir", 7),
        ("cni_conf_dir", "net.d"),
        ("cni_config", []),
        ("cni_file", "../heddle.conflist"),
        ("cni_file", "heddle.conf"),
        ("cni_chained", {"type": "portmap"}),
        ("cni_chained", ["portmap"]),
        ("cni_chained", [{"capabilities": {}}]),
        ("openflow_tls", {"private_key": "/k"}),
        ("openflow_tls", {"private_key": "k", "certificate": "/c", "ca_certificate": "/a"}),
        ("inherit_dscp", "yes"),
        ("colour", "red"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: Any) -> None:
    with pytest.raises(ShimError, match=name):
        settings.parse({**SETTINGS, name: value})


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_a_settings_file_that_is_none(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "node.json"
    path.write_text(text)
    assert main.main(["--config", str(path), "status"]) == 1
    assert str(path) in capsys.readouterr().err


def test_a_settings_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--config", "/nonexistent.json", "setup"]) == 1
    assert "/nonexistent.json" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])
    said = capsys.readouterr().out
    for word in ("setup", "run", "status", "teardown", "--config", "--wait"):
        assert word in said


# -- configuration ----------------------------------------------------------------------------------------------------


def test_a_configuration() -> None:
    found = configuration.parse({**from_controller(), "of_a_later_version": 1}, "n1")
    assert found.gateway_mac == "0a:58:0a:80:00:01"
    assert found.controllers == ("tcp:198.51.100.1:6653",)


def test_a_configuration_of_two_families() -> None:
    found = configuration.parse(from_controller(gateways=["fd00::1/64", "10.128.0.1/23"]), "n1")
    assert found.gateways == ("fd00::1/64", "10.128.0.1/23")
    assert found.gateway_mac == "0a:58:0a:80:00:01"


def test_a_configuration_of_ipv6_alone() -> None:
    found = configuration.parse(from_controller(gateways=["fd00:10:0:7::1/64"], cluster_cidrs=["fd00:10::/48"]), "n1")
    assert found.gateway_mac == "0a:58:00:07:00:01"


LATER = (
    "hairpin",
    "node_ports",
    "external",
    "local",
    "health",
    "control_plane",
)  # fields that an older controller does not know


def test_an_older_controller_leaves_services_to_a_proxy() -> None:
    found = configuration.parse({name: value for name, value in from_controller().items() if name not in LATER}, "n1")
    assert (found.hairpin, found.node_ports, found.external) == ((), None, ())


def ports(**changes: Any) -> dict[str, Any]:
    return {"first": 30000, "last": 32767, "prefixes": ["169.254.43.0/24"], **changes}


def door(**changes: Any) -> list[dict[str, Any]]:
    of_one = {"address": "203.0.113.5", "protocol": "TCP", "port": 80, "service": "172.30.0.10", "node_port": 30080}
    return [{**of_one, **changes}]


def local(**changes: Any) -> list[dict[str, Any]]:
    return [{"service": "172.30.0.10", "protocol": "TCP", "port": 80, "node_port": 30080, **changes}]


@pytest.mark.parametrize("name", [name for name in from_controller() if name not in LATER])
def test_a_missing_field_is_named(name: str) -> None:
    content = from_controller()
    del content[name]
    with pytest.raises(ShimError, match=name):
        configuration.parse(content, "n1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("revision", "1"),
        ("revision", True),
        ("node", "n2"),
        ("bridge", "a bridge"),
        ("bridge", "--may-exist"),
        ("datapath_id", "1"),
        ("datapath_id", "0" * 16),
        ("datapath_id", "000000000000000G"),
        ("underlay", "198.51.100.1/24"),
        ("underlay", 7),
        ("gateways", []),
        ("gateways", ["10.128.0.1"]),
        ("gateways", "10.128.0.1/23"),
        ("cluster_cidrs", []),
        ("cluster_cidrs", ["10.128.0.1/14"]),
        ("service_cidrs", ["all"]),
        ("hairpin", ["169.254.42.1/32"]),
        ("hairpin", ["fe80::2a01%tun0"]),
        ("node_ports", [30000, 32767]),
        ("node_ports", {"first": 30000, "last": 32767}),
        ("node_ports.first", ports(first=0)),
        ("node_ports.last", ports(last=65536)),
        ("node_ports", ports(first=32768)),
        ("node_ports.prefixes", ports(prefixes=["169.254.43.1/24"])),
        ("external", [{"address": "203.0.113.5"}]),
        ("external.address", door(address="203.0.113.5; drop")),
        ("external.protocol", door(protocol="ICMP")),
        ("external.port", door(port=0)),
        ("external.service", door(service="")),
        ("external.node_port", door(node_port=65536)),
        ("local", [{"service": "172.30.0.10"}]),
        ("local.service", local(service="web")),
        ("local.node_port", local(node_port=65536)),
        ("health.endpoints", [{"port": 30000, "project": "red", "service": "web", "endpoints": -1}]),
        ("health.service", [{"port": 30000, "project": "red", "service": None, "endpoints": 1}]),
        ("external.sources", door(sources="any")),
        ("external.sources", door(sources=["192.0.2.1/24"])),
        ("held", ["203.0.113.5/32"]),
        ("held", "203.0.113.5"),
        ("mtu_overhead", -1),
        ("mtu_overhead", 50.0),
        ("controllers", ["tcp:198.51.100.1"]),
        ("controllers", ["tcp:controller:6653"]),
        ("controllers", ["ptcp:6653"]),
        ("controllers", ["unix:relative"]),
        ("peers", ["n2"]),
        ("guarded_tcp_ports", [0]),
        ("guarded_udp_ports", [65536]),
        ("programmed", 1),
    ],
)
def test_a_wrong_field_is_named(name: str, value: Any) -> None:
    with pytest.raises(ShimError, match=name):
        configuration.parse(from_controller(**{name.partition(".")[0]: value}), "n1")


@pytest.mark.parametrize("content", [None, [], "x"])
def test_a_configuration_that_is_none(content: Any) -> None:
    with pytest.raises(ShimError):
        configuration.parse(content, "n1")


def test_the_last_good_one_is_kept(tmp_path: Path) -> None:
    assert configuration.last_good(tmp_path, "n1") is None
    wanted = configuration.parse(from_controller(), "n1")
    configuration.save(wanted, tmp_path)
    assert configuration.last_good(tmp_path, "n1") == wanted
    assert configuration.last_good(tmp_path, "n2") is None
    (tmp_path / configuration.FILE_NAME).write_text("{")
    assert configuration.last_good(tmp_path, "n1") is None


def test_a_file_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    assert configuration.write_by_rename(path, "a")
    before = path.stat().st_ino
    assert not configuration.write_by_rename(path, "a")
    assert path.stat().st_ino == before
    assert configuration.write_by_rename(path, "b")
    assert [item.name for item in path.parent.iterdir()] == ["file"]


def test_extras_replace_the_plugins_fields() -> None:
    wanted = configuration.parse(from_controller(), "n1")
    found = conflist.content(wanted, settings.parse({**SETTINGS, "cni_config": {"timeout": 9, "ca_file": "/ca.pem"}}))
    (plugin,) = found["plugins"]
    assert (plugin["timeout"], plugin["ca_file"], plugin["type"]) == (9, "/ca.pem", "heddle")
    assert json.dumps(found)


def test_other_plugins_follow_in_the_chain() -> None:
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    wanted = configuration.parse(from_controller(), "n1")
    found = conflist.content(wanted, settings.parse({**SETTINGS, "cni_chained": [portmap]}))
    assert [plugin["type"] for plugin in found["plugins"]] == ["heddle", "portmap"]
    assert found["plugins"][1] == portmap


# -- readiness --------------------------------------------------------------------------------------------------------

READY = Known(kept=True, switch_runs=True, has_flows=True, controller_answers=True, said=True)


def test_ready() -> None:
    assert readiness.ready(READY)[0]
    assert readiness.ready(replace(READY, controller_answers=False))[0]


@pytest.mark.parametrize(
    "change",
    [
        {"kept": False},
        {"switch_runs": False},
        {"has_flows": False},
        {"said": None},
        {"said": False, "denied_for": GRACE},
        {"said": False, "denied_for": float("inf")},
        {"said": None, "controller_answers": False},
    ],
)
def test_not_ready(change: dict[str, Any]) -> None:
    assert not readiness.ready(replace(READY, **change))[0]


def test_a_controller_that_restarts_has_a_moment() -> None:
    assert readiness.ready(replace(READY, said=False, denied_for=GRACE / 2))[0]


@given(
    st.builds(Known, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from([True, False, None]))
)
def test_never_ready_without_switch_and_flows(known: Known) -> None:
    ready, reason = readiness.ready(known)
    assert reason
    if ready:
        assert known.kept
        assert known.switch_runs
        assert known.has_flows


# -- rules, bridges, pauses -------------------------------------------------------------------------------------------


def wanted(**changes: Any) -> configuration.Configuration:
    return configuration.parse(from_controller(**changes), "n1")


@pytest.mark.parametrize("addresses", [1, 50])
def test_external_addresses_are_one_look_for_what_goes_elsewhere(addresses: int) -> None:
    """Their ports are asked one by one, but in a chain that only what is for one of these addresses comes to."""
    doors = [door(address=f"203.0.113.{last}", port=port)[0] for last in range(addresses) for port in (80, 443)]
    chains = firewall.ruleset(wanted(external=doors), None).split("chain ")
    entrances = [chain for chain in chains if chain.startswith(("entrance ", "own_entrance "))]
    assert [chain.count("jump ") for chain in entrances] == [1, 1]
    assert {chain.count("\n") for chain in entrances} == {entrances[0].count("\n")} == {5}
    external = [chain for chain in chains if chain.startswith(("entrance_ip ", "own_entrance_ip "))]
    assert [chain.count("dnat") for chain in external] == [2 * addresses] * 2


def test_the_firewall(golden: Callable[[str, str], None]) -> None:
    plain = wanted(peers=["198.51.100.2", "198.51.100.3"])
    from_somewhere = [
        *door(port=82, sources=["192.0.2.0/24", "203.0.113.0/24", "2001:db8::/64"]),
        *door(port=83, sources=["2001:db8::/64"]),
        *door(address="2001:db8::7", port=84, service="fd00:20::9", sources=["2001:db8::/64"]),
    ]
    both = wanted(
        gateways=["10.128.0.1/23", "fd00:10::1/64"],
        cluster_cidrs=["10.128.0.0/14", "fd00:10::/48"],
        service_cidrs=["172.30.0.0/16", "fd00:20::/108"],
        hairpin=["169.254.42.1", "fe80::2a01"],
        node_ports=ports(prefixes=["169.254.43.0/24", "fd68:6564:646c:6501::/120"]),
        external=[
            *door(),
            *door(address="2001:db8::7", service="fd00:20::9"),
            *door(port=81, node_port=0),
            *from_somewhere,
        ],
        local=[*local(), *local(protocol="UDP", node_port=0), *local(service="fd00:20::9")],
        health=[{"port": 30999, "project": "red", "service": "web", "endpoints": 1}],
        peers=["2001:db8::2"],
        controllers=["ssl:[2001:db8::9]:6653", "unix:/run/x"],
        guarded_udp_ports=[],
    )
    golden("cni_shim/firewall-netdev.nft", firewall.ruleset(plain, "eth0"))
    golden("cni_shim/firewall-system.nft", firewall.ruleset(plain, None))
    golden("cni_shim/firewall-two-families.nft", firewall.ruleset(both, "eth0"))
    golden("cni_shim/firewall-older-controller.nft", firewall.ruleset(wanted(hairpin=[], node_ports=None), "eth0"))


@pytest.mark.parametrize("uplink", ['eth0" accept', "eth*", "eth{0}"])
def test_a_name_that_would_be_more_than_a_name(uplink: str) -> None:
    with pytest.raises(ShimError, match="uplink"):
        firewall.ruleset(wanted(), uplink)


def test_the_guard_knows_the_plugins_link_group() -> None:
    assert firewall.POD_LINK_GROUP == LINK_GROUP
    assert f"iifgroup {LINK_GROUP}" in firewall.ruleset(wanted(), "eth0")


@given(st.binary(min_size=6, max_size=6))
def test_br_ex_has_a_mac_address_of_its_own(octets: bytes) -> None:
    text = octets.hex(":")
    found = bridges.local_mac(text)
    assert found != text
    first = int(found[:2], 16)
    assert first & 0x02  # locally administered
    assert not first & 0x01  # a station's


def test_br0_of_a_kernel_data_path() -> None:
    row = bridges.pod_bridge(wanted(), settings.parse({**SETTINGS, "datapath": "system"}), 1450)
    assert row.columns["datapath_type"] == "system"
    assert row.controllers == ("tcp:198.51.100.1:6653",)


@given(st.integers(0, 1000), st.floats(0, 1))
def test_pauses_grow_and_end_growing(failures: int, chance: float) -> None:
    assert FIRST_PAUSE / 2 <= pause(failures, lambda: chance) <= LONGEST_PAUSE
    assert pause(0, lambda: chance) <= FIRST_PAUSE
    assert pause(20, lambda: 1.0) == LONGEST_PAUSE


def test_a_configuration_survives_json() -> None:
    assert configuration.parse(json.loads(json.dumps(asdict(wanted()))), "n1") == wanted()
