"""Fixtures for the node's part: namespaces, a private Open vSwitch in one, a fake controller, the plugin in memory.

Everything made here carries the process id of the test run in its name, so that a later run can tell what a crashed
one left behind, and takes it away.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cni_shim.fake_controller import TOKEN, FakeController
from tests.cni_shim.machine import Machine, inside, remove_leftovers, run
from tests.cni_shim.plugin_in_memory import Plugin
from tests.cni_shim.site import Site

_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def _clean_slate() -> None:
    """Take away what a crashed earlier run left."""
    remove_leftovers()


@pytest.fixture
def namespace() -> Iterator[Callable[[], str]]:
    """A function that makes a network namespace and returns its name; all go at the end."""
    made: list[str] = []

    def make() -> str:
        name = f"hdshim{os.getpid()}-{next(_numbers)}"
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        made.append(name)
        return name

    yield make
    for name in made:
        subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A node for the plugin's tests: a namespace with its own OVS, and br0 with tun0 (MTU 1450), all for one module."""
    with tempfile.TemporaryDirectory(prefix=f"hdshim{os.getpid()}-") as folder:
        node = Machine(f"hdshim{os.getpid()}-m{next(_numbers)}", Path(folder))
        try:
            node.start()
            node.make_bridge()
            yield node
        finally:
            node.remove()


@pytest.fixture
def controller(machine: Machine) -> Iterator[FakeController]:
    """A controller that listens in the machine's namespace."""
    fake = FakeController()
    fake.url = inside(machine.name, fake.start)
    yield fake
    fake.stop()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def plugin(
    machine: Machine, controller: FakeController, token_file: Path, namespace: Callable[[], str]
) -> Iterator[Plugin]:
    """The plugin in memory, on `machine`, for one pod's namespace; at the end nothing may be left on the machine."""
    plugin = Plugin(machine, controller.url, str(token_file), namespace())
    yield plugin
    machine.remove_ports()
    assert machine.traces() == []


@pytest.fixture
def site() -> Iterator[Site]:
    """A node for heddle-node's tests: with an uplink, a controller and its own OVS, not yet set up."""
    with tempfile.TemporaryDirectory(prefix=f"hdshim{os.getpid()}-") as folder:
        name = f"hdshim{os.getpid()}-s{next(_numbers)}"
        site = Site(Machine(name, Path(folder)), f"{name}o", Path(folder))
        try:
            site.start()
            yield site
        finally:
            site.remove()
