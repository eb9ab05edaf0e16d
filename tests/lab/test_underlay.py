"""The underlay, Open vSwitch on it, and what a crashed or a living laboratory leaves for the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import links
from lab.description import NodeSpec, PodName, Topology
from lab.errors import LabError
from lab.namespaces import NETNS_DIRECTORY, Namespace
from lab.ovs import OpenVSwitch
from lab.processes import end, marked
from lab.state import State, cleanup, known
from lab.underlay import Underlay
from tests.lab.conftest import Plain

pytestmark = [pytest.mark.netns, pytest.mark.ovs]


def test_predictable_names_and_addresses(state: State) -> None:
    underlay = Underlay(state, Topology.of(2, mtu=1400))
    assert underlay.namespace.name == f"{state.name}-underlay"
    assert {host.name for host in underlay.hosts.values()} == {
        f"{state.name}-{part}" for part in ("controller", "outside", "n1", "n2")
    }
    shown = underlay.hosts["n2"].run(["ip", "-oneline", "address", "show", "eth0"]).stdout
    assert "192.0.2.12/24" in shown
    assert "mtu 1400" in underlay.hosts["n2"].run(["ip", "link", "show", "eth0"]).stdout


def test_root_namespace_is_untouched(state: State) -> None:
    def links_and_rules() -> list[str]:
        commands = (["ip", "-oneline", "link"], ["ip", "route"], ["nft", "list", "ruleset"])
        return [subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands]

    before = links_and_rules()
    Underlay(state, Topology.of(1))
    assert links_and_rules() == before


def test_open_vswitch_starts_again_after_kill(plain: Plain) -> None:
    switch = plain.switches[0]
    switch.stop_switch(signal.SIGKILL)
    switch.start_switch()
    assert "br0" in switch.vsctl("list-br")
    assert "actions=NORMAL" in switch.ofctl("dump-flows")


def test_an_error_names_node_and_program(state: State, tmp_path: Path) -> None:
    (node,) = state.namespaces(["n1"])
    switch = OpenVSwitch(node, tmp_path / "absent")
    with pytest.raises(LabError, match=rf"{node.name}: ovs-vsctl"):
        switch.vsctl("--no-wait", "show")


def test_crashed_laboratory_is_cleaned_by_the_next(unique_name: Callable[[], str], tmp_path: Path) -> None:
    name = unique_name()
    script = f"""
import os, signal
from pathlib import Path
from lab.state import State
state = State({name!r}, Path({str(tmp_path)!r}))
one, = state.namespaces(["n1"])
child = one.start(["sleep", "1000"], stdout=-3)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    crashed = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    assert crashed.returncode == -signal.SIGKILL
    child = int(crashed.stdout)
    try:
        assert child in marked(str(tmp_path / name))
        assert (NETNS_DIRECTORY / f"{name}-n1").exists()
        assert known(tmp_path) == [name]
    finally:
        cleanup(name, tmp_path)
    assert not marked(str(tmp_path / name))
    assert end(child, signal.SIGCONT), "the process is gone or a zombie"
    assert not (NETNS_DIRECTORY / f"{name}-n1").exists()
    assert known(tmp_path) == []


def test_half_made_namespace_is_removed(unique_name: Callable[[], str], tmp_path: Path) -> None:
    name = unique_name()
    noted = tmp_path / name / "namespaces"
    noted.mkdir(parents=True)
    half = NETNS_DIRECTORY / f"{name}-n1"
    half.parent.mkdir(exist_ok=True)
    for path in (noted / half.name, half, noted / f"{name}-n2"):
        path.touch()
    cleanup(name, tmp_path)
    assert not half.exists()


def test_laboratory_in_use_is_refused(state: State) -> None:
    with pytest.raises(LabError, match=f"{state.name} is in use by process {os.getpid()}"):
        State(state.name, state.directory.parent)


def test_names_of_others_are_refused(state: State, unique_name: Callable[[], str], tmp_path: Path) -> None:
    state.namespaces(["n1"])
    with pytest.raises(LabError, match="exists and is not of laboratory"):
        state.namespaces(["n1"])
    with pytest.raises(LabError, match="is not allowed"):
        State("with-dash", tmp_path)


def test_needs_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root"):
        State("nobody", tmp_path)
    assert known(tmp_path) == []


def test_a_thread_enters_and_the_process_stays(state: State) -> None:
    (namespace,) = state.namespaces(["n1"])
    here = os.stat("/proc/thread-self/ns/net").st_ino
    there = namespace.call(lambda: os.stat("/proc/thread-self/ns/net").st_ino)
    assert there == namespace.path.stat().st_ino != here
    assert os.stat("/proc/thread-self/ns/net").st_ino == here


def test_what_happens_inside_comes_out(state: State) -> None:
    (namespace,) = state.namespaces(["n1"])
    with pytest.raises(ZeroDivisionError):
        namespace.call(lambda: 1 // 0)
    with pytest.raises(subprocess.TimeoutExpired):
        namespace.run(["sleep", "100"], timeout=0.05)
    with pytest.raises(LabError, match="Cannot find device"):
        namespace.ip(["link set nothing up"])
    with pytest.raises(OSError, match="No such device"):
        links.up(namespace, "nothing")
    with pytest.raises(LabError, match="does not exist"):
        Namespace("no-such-namespace", "").run(["true"])


@pytest.mark.parametrize(
    ("description", "words"),
    [
        (lambda: Topology.of(3, mtu=100), "MTU of 100"),
        (lambda: Topology.of(1000), "not 1000"),
        (lambda: Topology.of(1).nodes[0].__class__("outside", Topology.of(1).outside), "'outside'"),
        (lambda: Topology((*Topology.of(1).nodes, *Topology.of(1).nodes)), "used twice"),
        (lambda: Topology((NodeSpec("n1", Topology.of(1).controller),)), "used twice"),
        (lambda: PodName.parse("red"), "project/pod"),
        (lambda: PodName.parse("Red/a"), "'Red'"),
    ],
)
def test_bad_descriptions(description: Callable[[], object], words: str) -> None:
    with pytest.raises(LabError, match=words):
        description()
