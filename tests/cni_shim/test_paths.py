"""What the underlay carries, measured by real packets: a router between takes less than the interface says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cni_shim.errors import ShimError
from cni_shim.node import paths, survey
from cni_shim.node.survey import Survey
from tests.cni_shim.machine import inside, run, until
from tests.cni_shim.site import OUTSIDE, UNDERLAY, Site

pytestmark = [pytest.mark.netns]

NARROW = 1300
SOURCES = {4: "198.51.100.1", 6: "fd00:1::1"}
NEAR = {4: "198.51.100.2", 6: "fd00:1::2"}
FAR = {4: "203.0.113.2", 6: "fd00:2::2"}
NOBODY = {4: "203.0.113.9", 6: "fd00:2::9"}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers take no time here."""
    monkeypatch.setattr(paths, "PATIENCE", 0.15)


def ping(name: str, address: str) -> str:
    return run("ip", "netns", "exec", name, "ping", "-c1", "-W1", address, check=False)


@pytest.fixture
def node(namespace: Callable[[], str]) -> str:
    """A namespace: a router is next to it, and a host behind a link of this router's that takes less."""
    node, router, far = (namespace() for _ in range(3))
    for name in (node, router, far):
        run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
    run("ip", "link", "add", "left", "netns", node, "type", "veth", "peer", "name", "left", "netns", router)
    words = ("type", "veth", "peer", "name", "right", "mtu", str(NARROW), "netns", far)
    run("ip", "link", "add", "right", "mtu", str(NARROW), "netns", router, *words)
    places = [(node, "left", SOURCES), (router, "left", NEAR), (far, "right", FAR)]
    places.append((router, "right", {4: "203.0.113.1", 6: "fd00:2::1"}))
    for name, link, addresses in places:
        run("ip", "-n", name, "address", "add", f"{addresses[4]}/24", "dev", link)
        run("ip", "-n", name, "address", "add", f"{addresses[6]}/64", "dev", link, "nodad")
        run("ip", "-n", name, "link", "set", link, "up")
    for name, hop in ((node, NEAR), (far, {4: "203.0.113.1", 6: "fd00:2::1"})):
        for version in (4, 6):
            run("ip", f"-{version}", "-n", name, "route", "add", "default", "via", hop[version])
    for switch in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        run("ip", "netns", "exec", router, "sysctl", "-qw", f"{switch.replace('/', '.')}=1")
    for address in FAR.values():
        until("the route", lambda address=address: " 1 received" in ping(node, address))
    return node


@pytest.mark.parametrize("version", [4, 6])
def test_what_gets_to_each_peer(node: str, version: int) -> None:
    peers = (NEAR[version], FAR[version], NOBODY[version], "192.0.2.1" if version == 6 else "fd00::1")
    found = inside(node, lambda: paths.largest(SOURCES[version], peers, 1500, time.monotonic() + 60))
    assert found == {NEAR[version]: 1500, FAR[version]: NARROW, NOBODY[version]: 0}


def test_other_sizes_times_and_addresses(node: str) -> None:
    """Larger than the interface takes; no time for all; an address of somebody else."""
    found = inside(node, lambda: paths.largest(SOURCES[4], [NEAR[4]], 1600, time.monotonic() + 60))
    assert found == {NEAR[4]: 1500}
    assert inside(node, lambda: paths.largest(SOURCES[4], [NEAR[4]], 1500, time.monotonic() - 1)) == {}
    with pytest.raises(ShimError, match=r"192\.0\.2\.99 is not an address of this node"):
        inside(node, lambda: paths.largest("192.0.2.99", [NEAR[4]], 1500, time.monotonic() + 60))


# -- in words ----------------------------------------------------------------------------------------------------------


def test_pairs_are_named_and_many_are_counted(tmp_path: Path) -> None:
    few = Survey(1450, 1500, {"192.0.2.2": 1500, "192.0.2.3": 1400, "192.0.2.4": 0})
    (said,) = few.warnings("192.0.2.1")
    assert said.startswith("packets of 1500 bytes do not get from 192.0.2.1 to 192.0.2.3, 1400 do: ")
    assert few.silent == ("192.0.2.4",)
    many = Survey(1450, 1500, {f"192.0.2.{number}": 1400 for number in range(10, 30)})
    said = many.warnings("192.0.2.1")
    assert len(said) == survey.MOST_TOLD + 1
    assert said[-1] == "nor do they to 12 more peers, from 192.0.2.18 on; 1400 do to all of these"
    assert survey.last(tmp_path) is None
    survey.save(many, tmp_path)
    assert survey.last(tmp_path) == many


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"mtu": 1, "full": 2, "reached": []}'])
def test_a_kept_survey_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / survey.FILE_NAME).write_text(text)
    assert survey.last(tmp_path) is None


# -- on a node ---------------------------------------------------------------------------------------------------------


@pytest.mark.ovs
def test_set_up_warns_of_a_path_and_run_reports_it(
    site: Site, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    run("ip", "-n", site.outside, "link", "set", "wire0", "mtu", str(NARROW))
    assert site.command("setup") == 0
    told = f"packets of 1500 bytes do not get from {UNDERLAY} to {OUTSIDE}"
    assert told in caplog.text
    capfd.readouterr()
    site.command("status")
    status = json.loads(capfd.readouterr().out)
    assert [warning.startswith(told) for warning in status["warnings"]] == [True]
    # A veth takes room for a VLAN tag besides its MTU.
    narrow = status["paths"].pop("narrow")
    assert (status["paths"], list(narrow)) == ({"bytes": 1500, "good": 0, "silent": []}, [OUTSIDE])
    assert NARROW <= narrow[OUTSIDE] <= NARROW + 4
    site.run()
    until("the report", lambda: site.controller.reports)
    report = site.controller.reports[-1]
    assert (report["mtu"], report["warnings"]) == (1450, status["warnings"])


@pytest.mark.ovs
def test_an_underlay_that_is_too_narrow_for_pods(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.machine.ip("link", "set", "wire0", "mtu", "600")
    assert site.command("setup") == 1
    assert "pods would have an MTU of 550 bytes, and need 576: wire0 has 600" in capfd.readouterr().err
    site.machine.ip("link", "set", "wire0", "mtu", "1320")
    site.controller.configure(gateways=["10.128.0.1/23", "fd00:10::1/64"])
    assert site.command("setup") == 1
    assert "need 1280: wire0 has 1320, tunnels take 50 of these: give wire0 1330" in capfd.readouterr().err
