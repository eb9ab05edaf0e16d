"""`ovs`, which runs Open vSwitch in the DaemonSet: an exchange of it costs seconds, and the node is never cut off."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from lab.laboratory import Lab
from lab.node import Node
from tests.deploy import files
from tests.deploy.conftest import VENV, eventually
from tests.lab.watching import flows_return, forwarding, in_sync

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

PROGRAM = files.ROOT / "deploy/node/ovs"


class Switch:
    """The script on one node of a laboratory, in place of the laboratory's own daemons."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.log = node.directory / "ovs.log"
        self.running: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        folder = str(self.node.ovs.directory)
        settings = str(self.node.directory / "heddle-node.json")
        own = {"OVS_RUNDIR": folder, "OVS_DBDIR": folder, "HEDDLE_SETTINGS": settings}
        return {**own, "PATH": f"{VENV}:{os.environ['PATH']}"}

    def start(self) -> None:
        said = self.log.read_text().count("running:") if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.running = self.node.namespace.start(
                [str(PROGRAM)], self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        eventually(lambda: self.log.read_text().count("running:") > said, "Open vSwitch does not run", self.log)

    def stop(self) -> None:
        """End it as kubelet does."""
        assert self.running is not None
        self.running.terminate()
        assert self.running.wait(30) == 0
        self.running = None


@pytest.fixture(scope="module")
def cluster() -> Iterator[Lab]:
    with Lab(f"o{os.getpid()}", nodes=2) as lab:
        lab.network("red")
        lab.pods({"red/a": "n1", "red/b": "n2"})
        yield lab


@pytest.fixture
def switch(cluster: Lab) -> Iterator[Switch]:
    """Return what n1 runs, running; afterwards the laboratory's own daemons are there again."""
    node = cluster.node("n1")
    node.ovs.stop()
    switch = Switch(node)
    switch.start()
    eventually(partial(settled, cluster), "the switch does not come back", node.log)
    yield switch
    if switch.running is not None:
        switch.stop()
    node.ovs.start()
    eventually(partial(settled, cluster), "the switch does not come back", node.log)


def settled(lab: Lab) -> bool:
    """Whether n1 takes pods, every switch is as it should be, and the pods talk."""
    return lab.node("n1").runtime.ready() and in_sync(lab) and talks(lab)


def talks(lab: Lab) -> bool:
    return bool(lab.pods_by_name["red/a"].ping(lab.pods_by_name["red/b"], patience=0.5))


def reaches_outside(lab: Lab) -> bool:
    return bool(lab.node("n1").ping(lab.outside, patience=0.5))


def test_an_exchange(cluster: Lab, switch: Switch, record_property: Callable[[str, object], None]) -> None:
    before = forwarding(switch.node)
    a, b = (cluster.pods_by_name[name] for name in ("red/a", "red/b"))
    with cluster.pings([(a, b)]) as pings:
        switch.stop()
        switch.start()
        eventually(partial(settled, cluster), "pods do not talk again", switch.log)
    record_property("pings_lost", len(pings.tallies["red/a -> red/b"].lost))
    assert flows_return(switch.node, before) == {}
    assert "flows of br0 are those of before" in switch.log.read_text()


def test_an_exchange_while_no_controller_is_there(cluster: Lab, switch: Switch) -> None:
    before = forwarding(switch.node)
    cluster.controller.stop()
    try:
        switch.stop()
        switch.start()
        eventually(partial(talks, cluster), "pods do not talk without a controller", switch.log)
        assert forwarding(switch.node) == before
    finally:
        cluster.controller.start()
        eventually(partial(settled, cluster), "the switch does not come back", switch.node.log)
    assert forwarding(switch.node) == before


def test_the_node_keeps_its_way_out(cluster: Lab, switch: Switch) -> None:
    """Also while heddle-node does not run, as when everything is removed."""
    switch.node.stop_keeper()
    try:
        switch.stop()
        assert reaches_outside(cluster)
    finally:
        switch.start()
        switch.node.start_keeper()
        eventually(partial(settled, cluster), "pods do not talk again", switch.node.log)
    assert reaches_outside(cluster)


def test_a_crash_is_mended_in_place(cluster: Lab, switch: Switch) -> None:
    pid_file = switch.node.ovs.directory / "ovs-vswitchd.pid"
    before = pid_file.read_text()
    os.kill(int(before), signal.SIGSEGV)
    eventually(lambda: pid_file.exists() and pid_file.read_text() not in ("", before), "nobody restarts it", switch.log)
    eventually(partial(settled, cluster), "pods do not talk again", switch.log)
    assert switch.running is not None
    assert switch.running.poll() is None


def test_what_has_ended_is_told_to_kubelet(cluster: Lab, switch: Switch) -> None:
    assert cluster
    switch.node.ovs.stop(signal.SIGTERM)
    assert switch.running is not None
    assert switch.running.wait(30) == 1
    switch.running = None
    assert "ended by itself" in switch.log.read_text()


def test_two_do_not_share_a_node(cluster: Lab, switch: Switch) -> None:
    assert cluster
    done = switch.node.namespace.run([str(PROGRAM)], switch.environment, timeout=20)
    assert done.returncode == 1
    assert "another Open vSwitch runs on this node already" in done.stderr
    assert Path(switch.node.ovs.directory, "db.sock").exists()
