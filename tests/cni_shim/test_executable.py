"""The plugin as a runtime executes it: one process, JSON on stdout, quick to start, and an ADD cut short takes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cni_shim
from cni_shim import errors
from tests.cni_shim.fake_controller import FakeController
from tests.cni_shim.machine import Machine, until
from tests.cni_shim.plugin_in_memory import Plugin

EXECUTABLE = Path(cni_shim.__file__).parent / "heddle"

# Parts of the standard library that cost a start a millisecond or more.
EXPENSIVE = {
    "argparse", "array", "collections", "ctypes", "dataclasses", "encodings.idna", "enum", "hashlib", "http", "inspect",
    "ipaddress", "json", "logging", "os", "pathlib", "re", "selectors", "signal", "site", "socket", "ssl", "subprocess",
    "typing",
}  # fmt: skip


def test_version_from_an_empty_environment() -> None:
    done = subprocess.run([EXECUTABLE], input=b"{}", env={"CNI_COMMAND": "VERSION"}, capture_output=True, check=True)
    assert json.loads(done.stdout)["supportedVersions"] == ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]
    assert done.stderr == b""


def test_a_failure_is_json_and_a_status() -> None:
    done = subprocess.run([EXECUTABLE], input=b"", env={}, capture_output=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == errors.BAD_ENVIRONMENT
    assert done.stderr == b""


def test_it_starts_isolated(tmp_path: Path) -> None:
    """Neither the environment nor the current folder may change what is imported."""
    (tmp_path / "_socket.py").write_text("raise SystemExit('imported from the current folder')")
    (tmp_path / "fcntl.py").write_text("raise SystemExit('imported from PYTHONPATH')")
    environment = {"CNI_COMMAND": "VERSION", "PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path)}
    done = subprocess.run([EXECUTABLE], input=b"", env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0


def test_it_works_by_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "heddle").symlink_to(EXECUTABLE)
    done = subprocess.run([tmp_path / "heddle"], input=b"", env={"CNI_COMMAND": "VERSION"}, check=True)
    assert done.returncode == 0


# The plugin's own modules in an ADD of a pod with one interface.
OWN = {
    "add", "attachment", "controller", "errors", "ethtool", "jsontext", "netlink", "netns", "ovsdb", "plugin",
    "request", "result",
}  # fmt: skip

REPORTING = """
import posix, sys
sys.path.append({folder!r})
from cni_shim.plugin import main
environment = {{k.decode(): v.decode() for k, v in posix.environ.items()}}
status = main(environment, sys.stdin.buffer, sys.stdout, sys.stderr)
sys.stdout.flush()
sys.stderr.write(" ".join(sys.modules))
sys.stderr.flush()
posix._exit(status)
"""


Imported = Callable[[str, dict[str, object] | None], tuple[set[str], dict[str, object]]]


@pytest.fixture
def imported(plugin: Plugin, machine: Machine) -> Imported:
    """A function that executes a command: the modules that it imported, and what it answered."""
    program = REPORTING.format(folder=str(EXECUTABLE.parent.parent))
    words = ["ip", "netns", "exec", machine.name, "/usr/bin/python3", "-ISE", "-c", program]

    def execute(command: str, previous: dict[str, object] | None) -> tuple[set[str], dict[str, object]]:
        if command == "CHECK":
            until("ofports", machine.all_open)
        content = plugin.configuration(**{"prevResult": previous, "cni.dev/valid-attachments": []})
        environment = {"PATH": os.environ["PATH"], **plugin.environment(command)}
        done = subprocess.run(
            words, input=json.dumps(content).encode(), env=environment, capture_output=True, check=True
        )
        return set(done.stderr.decode().split()), json.loads(done.stdout or "{}")

    return execute


@pytest.mark.ovs
@pytest.mark.netns
@pytest.mark.parametrize("others", [(), ("net1", "net2")])
def test_nothing_expensive_is_imported(imported: Imported, controller: FakeController, others: tuple[str, ...]) -> None:
    controller.others = others
    result = None
    for command in ("ADD", "CHECK", "STATUS", "DEL", "DEL", "GC"):
        modules, answer = imported(command, result)
        result = answer if command == "ADD" else result
        assert modules & EXPENSIVE == set(), command


@pytest.mark.ovs
@pytest.mark.netns
def test_only_a_pod_with_several_interfaces_pays_for_them(imported: Imported, controller: FakeController) -> None:
    modules, result = imported("ADD", None)
    assert {name.removeprefix("cni_shim.") for name in modules if name.startswith("cni_shim.")} == OWN
    for command in ("CHECK", "DEL"):
        modules, _ = imported(command, result)
        assert not modules & {"cni_shim.several", "cni_shim.rules"}, command
    controller.others = ("net1",)
    controller.ports.clear()
    modules, _ = imported("ADD", None)
    assert modules >= {"cni_shim.several", "cni_shim.rules"}


@pytest.fixture
def start(plugin: Plugin, machine: Machine) -> Callable[..., subprocess.Popen[bytes]]:
    """A function that starts the plugin on the machine; stdin is already given."""

    def begin(command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["ip", "netns", "exec", machine.name, str(EXECUTABLE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], **plugin.environment(command)},
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(plugin.configuration(timeout=30)).encode())
        process.stdin.close()
        process.stdin = None
        return process

    return begin


@pytest.mark.ovs
@pytest.mark.netns
def test_a_pods_life(plugin: Plugin, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    output, log = start("ADD").communicate(timeout=60)
    assert json.loads(output)["ips"][0]["address"] == "10.128.0.2/23"
    assert log == b""
    output, log = start("DEL").communicate(timeout=60)
    assert (output, log) == (b"", b"")
    assert plugin.machine.traces() == []


@pytest.mark.ovs
@pytest.mark.netns
@pytest.mark.parametrize("held", ["eth0", "net1", "net2"])
def test_an_add_that_is_cut_short_takes_back(
    plugin: Plugin, controller: FakeController, start: Callable[..., subprocess.Popen[bytes]], held: str
) -> None:
    controller.others = () if held == "eth0" else ("net1", "net2")
    controller.held.add(held)
    process = start("ADD")
    until("the wait", lambda: controller.count("GET", f"{held}?wait=") == 1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(output)["code"] == errors.TRY_AGAIN
    assert plugin.machine.traces() == []
    assert plugin.machine.rules(plugin.netns) == []
    assert controller.ports == {}


@pytest.mark.ovs
@pytest.mark.netns
@pytest.mark.parametrize("held", ["eth0", "net1", "net2"])
def test_a_del_after_a_kill_takes_everything(
    plugin: Plugin, controller: FakeController, start: Callable[..., subprocess.Popen[bytes]], held: str
) -> None:
    controller.others = () if held == "eth0" else ("net1", "net2")
    controller.held.add(held)
    process = start("ADD")
    until("the wait", lambda: controller.count("GET", f"{held}?wait=") == 1)
    process.kill()
    process.communicate(timeout=60)
    assert len(plugin.machine.traces()) == 2 * len(("eth0", *controller.others))
    assert plugin.call("DEL").status == 0
    assert plugin.machine.traces() == []
    assert plugin.machine.rules(plugin.netns) == []


@pytest.mark.ovs
@pytest.mark.netns
def test_a_del_after_a_kill_in_the_middle_of_a_report(
    plugin: Plugin, controller: FakeController, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    controller.others = ("net1", "net2")
    original, asked, go_on = controller._put, threading.Event(), threading.Event()

    def put(key: tuple[str, str], body: Any) -> tuple[int, Any]:
        if key[1] == "net1":
            asked.set()
            go_on.wait(20)
        return original(key, body)

    controller._put = put  # type: ignore[method-assign]
    process = start("ADD")
    assert asked.wait(20)
    process.kill()
    process.communicate(timeout=60)
    go_on.set()
    assert len(plugin.machine.veths()) == 3
    assert plugin.call("DEL").status == 0
    assert plugin.machine.traces() == []
