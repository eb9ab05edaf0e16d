"""`heddle-node run`: the conflist follows the bridge, OVS restarts are noticed, and nothing is lost when it ends."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cni_shim.fake_apiserver import ACCOUNT, FakeApiServer
from tests.cni_shim.fake_controller import FakeController
from tests.cni_shim.machine import inside, run, until
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


def plugins_controllers(site: Site) -> list[str]:
    (plugin,) = json.loads(site.conflist.read_text())["plugins"]
    return sorted(plugin["controllers"])


def test_switch_and_plugin_follow_the_living_replicas(site: Site) -> None:
    started(site)
    other = FakeController()
    other.url = inside(site.machine.name, other.start)
    try:
        both = sorted((site.controller.url, other.url))
        targets = ["tcp:198.51.100.1:6653", "tcp:198.51.100.2:6653"]
        site.controller.configure(api=both, controllers=targets)
        until("both for the plugin", lambda: plugins_controllers(site) == both)
        until("both for the switch", lambda: sorted(site.machine.vsctl("get-controller", "br0").split()) == targets)
        other.configuration |= site.controller.configuration
        site.controller.stop()
        other.configure(api=[other.url], controllers=targets[1:])
        until("the one left for the plugin", lambda: plugins_controllers(site) == [other.url])
        until("the one left for the switch", lambda: site.machine.vsctl("get-controller", "br0").split() == targets[1:])
        # With no target for a moment, ovs-vswitchd would have flushed it.
        assert site.flows() == ["priority=7 actions=drop"]
        other.configure(controllers=[], api=[])
        until("the complaint", lambda: "controllers []" in site.log())
        assert site.machine.vsctl("get-controller", "br0").split() == targets[1:]
        assert plugins_controllers(site) == [other.url]
    finally:
        other.stop()


def test_a_node_of_a_cluster_starts_with_nothing_but_its_account(site: Site) -> None:
    server = FakeApiServer(site.folder)
    server.leases = {"a": (site.controller.url, "2030-01-01T00:00:00.000000Z")}
    told = server.settings(inside(site.machine.name, server.start))
    site.controller.account = ACCOUNT
    (site.folder / "token").unlink()
    site.write_settings(controllers=[], apiserver=told)
    try:
        started(site)
        assert (site.folder / "token").read_text() == "issued-1\n"
        assert plugins_controllers(site) == [site.controller.url]
    finally:
        server.stop()


def reaches_outside(site: Site) -> bool:
    words = ("ip", "netns", "exec", site.machine.name, "ping", "-c1", "-W1", OUTSIDE)
    return " 1 received" in run(*words, check=False)


def test_the_node_is_not_cut_off_when_ovs_stays_away(site: Site) -> None:
    """Its only interface is under br-ex: without ovs-vswitchd nobody would hear it, not even to start that again."""
    routes = site.routes()
    started(site)
    assert reaches_outside(site)
    site.machine.stop("ovs-vswitchd")
    site.machine.stop("ovsdb-server")
    # Routes come after the addresses that they need: the way out is there before the default route is.
    until("its routes", lambda: {route for route in site.routes() if route[2] == "wire0"} == routes)
    assert site.addresses("wire0") == ["198.51.100.1/24"]
    assert site.addresses("br-ex") == []
    assert reaches_outside(site)
    guard = site.nft("list", "chain", "inet", "heddle", "prerouting_guard")
    assert "iifgroup" in guard  # pods stay away from the kernel
    assert "wire0" not in guard
    site.machine.start_ovsdb()
    site.machine.start_vswitchd()
    until("the address on br-ex", lambda: site.addresses("br-ex") == ["198.51.100.1/24"])
    program(site)
    until("the conflist", site.conflist.exists)
    assert site.addresses("wire0") == []
    assert ("default", OUTSIDE, "br-ex") in site.routes()
    assert reaches_outside(site)


def test_a_restart_of_ovs_moves_nothing(site: Site) -> None:
    started(site)
    site.restart_switch()
    program(site)
    until("the conflist", site.conflist.exists)
    assert "without ovs-vswitchd" not in site.log()


def test_who_stops_ovs_can_give_the_node_back_at_once(site: Site) -> None:
    assert site.command("setup") == 0
    assert site.command("release") == 0  # br-ex works, and yet
    assert site.addresses("wire0") == ["198.51.100.1/24"]
    assert site.command("release") == 0
    assert site.command("setup") == 0
    assert site.addresses("br-ex") == ["198.51.100.1/24"]
    assert site.ensure() == []


def test_a_connection_survives_every_move(site: Site) -> None:
    """As that of kubelet to the API server, or of who is logged in: over the one interface that there is."""
    with longer_than_a_move(site) as exchange:
        assert exchange("before") == "before"
        started(site)
        assert exchange("under br-ex") == "under br-ex"
        site.machine.stop("ovs-vswitchd")
        until("the address on the uplink", lambda: site.addresses("wire0") != [])
        assert exchange("without ovs-vswitchd") == "without ovs-vswitchd"
        site.machine.start_vswitchd()
        until("the address on br-ex", lambda: site.addresses("br-ex") != [])
        assert exchange("under br-ex again") == "under br-ex again"
        site.stop()
        assert site.command("teardown") == 0
        assert exchange("after teardown") == "after teardown"


@contextmanager
def longer_than_a_move(site: Site) -> Iterator[Callable[[str], str]]:
    """A TCP connection from the node to the outside host by its default route; a function that has a word sent back."""
    far = "203.0.113.5"
    run("ip", "-n", site.outside, "address", "add", f"{far}/32", "dev", "lo")
    listener = inside(site.outside, lambda: socket.create_server((far, 7)))

    def echo() -> None:
        connection, _ = listener.accept()
        with connection:
            while piece := connection.recv(4096):
                connection.sendall(piece)

    threading.Thread(target=echo, daemon=True).start()
    with listener, inside(site.machine.name, lambda: socket.create_connection((far, 7), timeout=30)) as connection:

        def exchange(word: str) -> str:
            connection.sendall(word.encode())
            return connection.recv(4096).decode()

        yield exchange
