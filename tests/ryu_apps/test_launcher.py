"""`ryu-manager` and `heddle-controller` as processes: flags, errors, defaults, and the end by a signal."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.ryu_apps.processes import LAUNCHER, PATIENCE, ROOT, STOCK, Recording

APP = "tests.ryu_apps.recorder"
Start = Callable[..., Recording]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return start(command, *arguments): a process that is killed when the test ends."""
    with contextlib.ExitStack() as closing:

        def start(command: tuple[str, ...], *arguments: str) -> Recording:
            return closing.enter_context(contextlib.closing(Recording(command, tmp_path, *arguments)))

        yield start


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        chosen: int = free.getsockname()[1]
    return chosen


def run(*arguments: str, command: tuple[str, ...] = LAUNCHER) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ["ryu-manager", "heddle-controller"])
def test_both_commands_are_the_launcher(name: str) -> None:
    (command,) = entry_points(group="console_scripts", name=name).select(value="ryu_apps.launcher:main")
    assert command.value == "ryu_apps.launcher:main"
    script = Path(sys.executable).parent / name
    assert "ryu_apps.launcher" in script.read_text(), (
        f"{script} is another project's; install this one again: make venv"
    )


def test_help_shows_our_flags_before_those_of_ryus_samples() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    assert shown.stderr == ""
    flags = "store rest-listen openflow-listen advertise admin-token-file tls-certificate tls-key tls-ca insecure"
    for flag in (*flags.split(), "cluster-cidr", "node-prefix", "service-cidr", "translation-cidr"):
        assert f"--heddle-{flag} " in shown.stdout
    assert shown.stdout.index("Heddle:") < shown.stdout.index("test-switch options:")
    assert "--config-file" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--heddle-cluster-cidr=10.0.0.0/99"], "--heddle-cluster-cidr: '10.0.0.0/99' is not a CIDR"),
        (["--heddle-openflow-listen=0.0.0.0:6653", "--heddle-advertise=192.0.2.1"], "with --heddle-insecure"),
        (["--config-file=/no/such/file"], "Failed to find some config files: /no/such/file"),
        (["ryu_apps.controller", "--heddle-tls-key=x"], "--heddle-tls-certificate is missing"),
        (["--ofp-tcp-listen-port=6633"], "use --heddle-openflow-listen"),
        (["--heddle-openflow-listen=192.0.2.77:6653", "--heddle-insecure"], "cannot listen on 192.0.2.77:6653"),
    ],
)
def test_a_mistake_ends_it_with_one_line_before_anything_starts(arguments: list[str], message: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.startswith("heddle-controller: error: ")
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_a_port_that_is_taken_is_named(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        ended = run(f"--heddle-openflow-listen=127.0.0.1:{port}")
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.stderr


ARGUMENTS = """
import sys
from ryu_apps import launcher
launcher._run = lambda arguments, prog: print(arguments) or 0
sys.exit(launcher.main(prog="heddle-controller"))
"""


@pytest.mark.parametrize(
    ("given", "run_with"),
    [
        ([], ["ryu_apps.controller"]),
        (["--heddle-node-prefix=24"], ["--heddle-node-prefix=24", "ryu_apps.controller"]),
        (["ryu.app.simple_switch_13"], ["ryu.app.simple_switch_13"]),
        (["--app-lists=one,two"], ["--app-lists=one,two"]),
    ],
)
def test_without_an_application_it_is_ours(given: list[str], run_with: list[str], port: int) -> None:
    listen = f"--heddle-openflow-listen=127.0.0.1:{port}"
    ran = run(listen, *given, command=(sys.executable, "-c", ARGUMENTS))
    assert ran.stdout == f"{[listen, *run_with]}\n", ran.stderr


def test_insecure_warns_for_each_exposure(port: int) -> None:
    listen = f"--heddle-openflow-listen=0.0.0.0:{port}"
    insecure = (listen, "--heddle-rest-listen=0.0.0.0:8080", "--heddle-advertise=192.0.2.1", "--heddle-insecure")
    ran = run(*insecure, command=(sys.executable, "-c", ARGUMENTS))
    assert ran.returncode == 0, ran.stderr
    warnings = ran.stderr.splitlines()
    assert len(warnings) == 2
    assert all(line.startswith("heddle-controller: warning: --heddle-insecure: --heddle-") for line in warnings)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_until_a_signal_and_closes_its_applications(start: Start, port: int, number: int) -> None:
    controller = start(LAUNCHER, APP, f"--heddle-openflow-listen=127.0.0.1:{port}", "--heddle-store=other.sqlite")
    told = controller.wait_for("settings")
    assert (told["openflow"], told["store"]) == (f"127.0.0.1:{port}", "other.sqlite")
    controller.wait_for("start")
    assert controller.stop(number) == 0, controller.errors
    controller.wait_for("close")


SIGNALLED = """
import os, signal, sys
from ryu_apps import launcher
launcher._prepare()
import eventlet
from eventlet import hubs
waited = eventlet.spawn(eventlet.sleep, 60)
launcher._throw_when_signalled(signal.SIGTERM)
late = eventlet.spawn(print, "the thread after the signal ran", flush=True)

def signalled():
    os.kill(os.getpid(), signal.SIGTERM)
    hubs.get_hub().schedule_call_global(0, print, "and so did the loop", flush=True)

hubs.get_hub().schedule_call_global(0, signalled)
try:
    waited.wait()
except KeyboardInterrupt:
    late.wait()
    sys.exit(3)
"""


def test_a_signal_in_the_midst_of_the_loop_loses_no_timer() -> None:
    ended = run(command=(sys.executable, "-c", SIGNALLED))
    assert (ended.returncode, ended.stderr) == (3, "")
    assert ended.stdout.splitlines() == ["the thread after the signal ran", "and so did the loop"]


def listening_ports(pid: int) -> set[tuple[str, int]]:
    """Return (address in hexadecimal, port) of the process's listening TCP sockets; see proc_pid_net(5)."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since the listing
            inodes.add(link.readlink().name)
    ports = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
            address, number = fields[1].split(":")
            ports.add((address, int(number, 16)))
    return ports


LOOPBACK = "0100007F"


@pytest.mark.parametrize("command", [LAUNCHER, STOCK], ids=["launcher", "stock"])
def test_an_ini_file_is_enough_and_only_loopback_is_listened_on(
    start: Start, command: tuple[str, ...], tmp_path: Path, port: int
) -> None:
    (tmp_path / "heddle.ini").write_text(f"[heddle]\nopenflow_listen = 127.0.0.1:{port}\nstore = ./other.sqlite\n")
    controller = start(command, "--config-file", "heddle.ini", APP)
    told = controller.wait_for("settings")
    assert (told["openflow"], told["store"]) == (f"127.0.0.1:{port}", "other.sqlite")
    controller.wait_for("start")
    with connected(port) as connection:
        assert connection.recv(2) == b"\x06\x00"  # OpenFlow 1.5, OFPT_HELLO
        assert listening_ports(controller.process.pid) == {(LOOPBACK, port)}


def connected(port: int) -> socket.socket:
    """Connect to a server that is just starting; the last error when it does not come."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
