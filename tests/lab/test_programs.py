"""The programs of the laboratory as a user starts them: what they say, how they end, and that nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.namespaces import NETNS_DIRECTORY
from lab.processes import marked
from lab.state import ROOT, cleanup, known

pytestmark = [pytest.mark.netns, pytest.mark.ovs, pytest.mark.slow]

HEDDLE = Path(sys.executable).parent / "heddle"


@contextmanager
def _started(module: str, name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m MODULE --name NAME …`; whatever it leaves is removed in the end."""
    command = [sys.executable, "-u", "-m", module, "--name", name, *arguments]
    environment = {**os.environ, "COLUMNS": "120"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        with process:
            yield process
            process.kill()
    finally:
        cleanup(name)


def _said_until(process: subprocess.Popen[str], words: str) -> str:
    """What it prints until a line has `words`; an assertion fails when it ends before that."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it ended without {words!r}:\n{said}")


def _left(name: str) -> list[str]:
    """Whatever a laboratory called `name` has on this machine."""
    namespaces = NETNS_DIRECTORY.glob(f"{name}-*")
    processes = marked(str(ROOT / name))
    files = [entry for entry in known() if entry == name]
    return [*map(str, namespaces), *map(str, processes), *files]


def test_demo_agrees_and_leaves_nothing(unique_name: Callable[[], str]) -> None:
    name = unique_name()
    with _started("lab.demo", name) as demo:
        said, _ = demo.communicate(timeout=60)
        assert demo.returncode == 0, said
        assert _left(name) == []
    assert said.count("from \\ to") == 3
    assert "every pair is as expected" in said
    assert "no yes" not in said
    assert "yes no" not in said


def test_tenancy_demo_agrees_and_leaves_nothing(unique_name: Callable[[], str]) -> None:
    name = unique_name()
    with _started("lab.demo_tenancy", name) as demo:
        said, _ = demo.communicate(timeout=120)
        assert demo.returncode == 0, said
        assert _left(name) == []
    assert "everything is as expected" in said
    assert said.count("answer expected") == 7
    assert "intact, MTU 1000" in said
    assert said.count("from \\ to") == 4
    assert "no yes" not in said
    assert "yes no" not in said


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("starting Open vSwitch", signal.SIGINT),
        ("registering the nodes", signal.SIGTERM),
        ("pods by the CNI plugin", signal.SIGINT),
        ("joining", signal.SIGTERM),
    ],
)
def test_demo_interrupted_leaves_nothing(unique_name: Callable[[], str], moment: str, number: signal.Signals) -> None:
    name = unique_name()
    with _started("lab.demo", name) as demo:
        _said_until(demo, moment)
        demo.send_signal(number)
        said, _ = demo.communicate(timeout=30)
        assert demo.returncode == 128 + number, said
        assert _left(name) == []


def test_run_is_used_as_it_says_and_ends_by_ctrl_c(unique_name: Callable[[], str]) -> None:
    name = unique_name()
    with _started("lab.run", name, "--port", "0") as run:
        said = _said_until(run, "Ctrl-C ends it")
        server = next(line.partition("=")[2] for line in said.splitlines() if "export HEDDLE_SERVER=" in line).strip()
        with urllib.request.urlopen(f"{server}/v1/topology", timeout=10) as answer:
            assert {network["name"] for network in json.load(answer)["networks"]} == {"default", "red", "blue"}
        trace = [str(HEDDLE), "--server", server, "trace", "--from", "red/a", "--to", "blue/b", "--output", "json"]
        traced = subprocess.run(trace, capture_output=True, text=True, check=False)
        assert json.loads(traced.stdout)["verdict"] == "dropped", traced.stderr
        assert (NETNS_DIRECTORY / f"{name}-red-a").exists()
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == 0
        assert _left(name) == []


def test_demo_refuses_a_name_in_use(unique_name: Callable[[], str]) -> None:
    name = unique_name()
    with _started("lab.run", name, "--port", "0") as run:
        _said_until(run, "starting Open vSwitch")
        command = [sys.executable, "-m", "lab.demo", "--name", name]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert refused.returncode == 2
        assert f"in use by process {run.pid}" in refused.stderr
        run.send_signal(signal.SIGTERM)
        run.wait(30)
        assert _left(name) == []
