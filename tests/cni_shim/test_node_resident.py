"""`heddle-node run`: the conflist follows the bridge, OVS restarts are noticed, and nothing is lost when it ends."""

from __future__ import annotations

import json

import pytest

from tests.cni_shim.machine import inside, until
from tests.cni_shim.site import OUTSIDE, Site

pytestmark = [pytest.mark.ovs, pytest.mark.netns]


def program(site: Site) -> None:
    """Do the controller's part: flows in the bridge, and the word that they are."""
    until("br0", lambda: (site.machine.rundir / "br0.mgmt").exists())
    site.add_flow("priority=7,actions=drop")
    site.controller.configure(programmed=True)


def started(site: Site) -> None:
    """`run`, with a programmed bridge and the conflist there."""
    site.run()
    program(site)
    until("the conflist", site.conflist.exists)


def test_it_sets_up_and_writes_the_conflist_when_programmed(site: Site) -> None:
    site.run()
    until("tun0", lambda: "tun0" in site.machine.links())
    until("a reason", lambda: "not ready" in site.log())
    assert not site.conflist.exists()
    program(site)
    until("the conflist", site.conflist.exists)
    content = json.loads(site.conflist.read_text())
    assert content == {
        "cniVersion": "1.0.0",
        "cniVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"],
        "name": "heddle",
        "plugins": [
            {
                "type": "heddle",
                "node": "n1",
                "controllers": [site.controller.url],
                "token_file": str(site.folder / "token"),
                "ca_file": None,
                "ovsdb": site.machine.database,
                "bridge": "br0",
            }
        ],
    }
    assert [path.name for path in site.conflist.parent.iterdir()] == [site.conflist.name]


def test_extras_go_into_the_plugins_configuration(site: Site) -> None:
    site.write_settings(cni_config={"timeout": 60}, cni_file="05-first.conflist")
    site.run()
    program(site)
    path = site.conflist.parent / "05-first.conflist"
    until("the conflist", path.exists)
    assert json.loads(path.read_text())["plugins"][0]["timeout"] == 60


def test_the_conflist_goes_when_the_bridge_is_not_programmed(site: Site) -> None:
    started(site)
    site.controller.configure(programmed=False)
    until("its absence", lambda: not site.conflist.exists())
    site.controller.configure(programmed=True)
    until("the conflist", site.conflist.exists)


def test_the_conflist_goes_when_the_flows_do(site: Site) -> None:
    """Without any word of the controller."""
    started(site)
    site.machine.vsctl("del-controller", "br0")  # flushes the flows
    until("its absence", lambda: not site.conflist.exists())
    until("the repair", lambda: site.machine.vsctl("get-controller", "br0").strip() != "")


def test_the_conflist_stays_while_the_controller_is_away(site: Site) -> None:
    started(site)
    site.controller.stop()
    until("the notice", lambda: "programmed before the controller went away" in site.log())
    assert site.conflist.exists()


def test_a_restart_while_the_controller_is_away(site: Site) -> None:
    """The last good configuration, the bridge with its flows: the node stays ready."""
    started(site)
    assert site.stop() == 0
    site.controller.stop()
    site.conflist.unlink()
    site.run()
    until("the conflist", site.conflist.exists)
    assert site.flows() == ["priority=7 actions=drop"]


def test_a_restart_of_ovs(site: Site) -> None:
    started(site)
    mac = site.machine.links(site.outside)["wire0"]["address"]
    until("the neighbour", lambda: site.neighbours().get(OUTSIDE) == mac)
    site.machine.stop("ovs-vswitchd")
    until("the absence of the conflist", lambda: not site.conflist.exists())
    site.machine.start_vswitchd()
    until("the neighbour", lambda: site.neighbours().get(OUTSIDE) == mac)
    assert not site.conflist.exists()  # the controller's earlier word does not count any more
    program(site)
    until("the conflist", site.conflist.exists)


def test_a_peer_that_comes_later(site: Site) -> None:
    site.controller.configuration["peers"] = []
    started(site)
    assert OUTSIDE not in site.neighbours()
    site.controller.configure(peers=[OUTSIDE])
    until("the neighbour", lambda: OUTSIDE in site.neighbours())


def test_a_changed_configuration_is_applied(site: Site) -> None:
    started(site)
    site.controller.configure(controllers=["tcp:198.51.100.9:6653"], peers=[OUTSIDE, "198.51.100.8"])
    until("the target", lambda: "198.51.100.9" in site.machine.vsctl("get-controller", "br0"))
    until("the rules", lambda: "198.51.100.8" in site.nft("list", "table", "inet", "heddle"))
    assert site.flows() == ["priority=7 actions=drop"]


def test_a_configuration_that_cannot_be_used_is_not(site: Site) -> None:
    started(site)
    site.controller.configure(cluster_cidrs=["10.128.0.0"], gateways=["10.129.0.1"])
    until("the complaint", lambda: "gateways" in site.log())
    assert site.addresses("tun0") == ["10.128.0.1/23"]
    assert site.conflist.exists()
    site.controller.configure(cluster_cidrs=["10.128.0.0/14"], gateways=["10.128.4.1/23"])
    until("the good one", lambda: site.addresses("tun0") == ["10.128.4.1/23"])


def test_it_ends_and_leaves_the_data_path(site: Site) -> None:
    started(site)
    links = set(site.machine.links())
    assert site.stop() == 0
    assert set(site.machine.links()) == links
    assert site.flows() == ["priority=7 actions=drop"]
    assert site.conflist.exists()
    assert "Traceback" not in site.log()


def test_it_waits_for_ovs_and_for_the_controller(site: Site) -> None:
    port = int(site.controller.url.rpartition(":")[2])
    site.controller.stop()
    site.machine.stop("ovs-vswitchd")
    site.run()
    until("the complaint", lambda: "no controller answers" in site.log())
    site.machine.start_vswitchd()
    inside(site.machine.name, lambda: site.controller.start(port=port))
    program(site)
    until("the conflist", site.conflist.exists)


def test_one_at_a_time(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    process = site.run()
    until("its work", lambda: "keeping node" in site.log())
    assert site.command("setup") == 1
    said = capfd.readouterr().err
    assert str(process.pid) in said
    assert site.command("teardown") == 1
    assert site.stop() == 0
    assert site.command("setup") == 0
