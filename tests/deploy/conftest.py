"""The compose file's deployment without an engine: its services as network namespaces, its scripts executed for real.

Each image's file system is made from its Dockerfile's COPY instructions, so a file that is not copied is not there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab.description import NodeSpec, Topology
from lab.errors import LabError
from lab.namespaces import Namespace
from lab.state import State, cleanup, known
from lab.underlay import Underlay
from tests.deploy import files

DEADLINE = 30.0
ROOT = Path("/run/heddle-deploy-tests")
VENV = Path(sys.executable).parent
Done = subprocess.CompletedProcess[str]


def eventually(holds: Callable[[], bool], what: str, log: Path) -> None:
    """Return once `holds`; an assertion with the end of `log` fails when it does not in time."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, f"{what}; the end of its log:\n{log.read_text()[-2000:]}"
        time.sleep(0.1)


def image(dockerfile: Path, root: Path) -> Path:
    """Make the files that a Dockerfile copies out of the context below `root`; return that."""
    for sources, destination in files.copies(dockerfile):
        target = root / destination.removeprefix("/")
        for source in sources:
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
                continue
            path = target / source.name if destination.endswith("/") else target
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, path)
    return root


class Container:
    """One service: a namespace, the programs of its image before all others, and its environment."""

    def __init__(self, namespace: Namespace, programs: Path, environment: dict[str, str], log: Path) -> None:
        self.namespace = namespace
        self.log = log
        self._programs = programs
        self._environment = {**environment, "PATH": f"{programs}:{os.environ['PATH']}"}

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program of the image; what it says goes to the log. Who asks for it waits for its end."""
        with self.log.open("ab") as log:
            words = [str(self._programs / command[0]), *command[1:]]
            return self.namespace.start(words, self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def run(self, *command: str) -> Done:
        """Run a program to its end, as `docker-compose exec` does."""
        found = shutil.which(command[0], path=self._environment["PATH"])
        assert found is not None, f"{command[0]} is not in the image"
        return self.namespace.run([found, *command[1:]], self._environment, timeout=60)


class Deployment:
    """The compose file's services. `folder` stands for the volumes."""

    def __init__(self, state: State) -> None:
        services = files.services()
        specs = tuple(NodeSpec(name, IPv4Address(files.address(node))) for name, node in files.nodes().items())
        controller = IPv4Address(files.address(services["controller"]))
        hosts = Underlay(state, Topology(specs, controller=controller)).hosts
        self.folder = state.folder("volumes")
        images = {
            path.parent.name: image(path, state.folder("images") / path.parent.name) for path in files.DOCKERFILES
        }
        programs = images["controller"] / "opt/heddle/bin"
        for name in ("heddle", "heddle-controller"):  # what pip installs there
            (programs / name).symlink_to(VENV / name)
        here = {"HEDDLE_STATE": str(state.folder("volumes", "controller"))}
        here |= {"HEDDLE_TOKEN_FILE": f"{here['HEDDLE_STATE']}/admin.token", "HEDDLE_NODES": str(self.folder)}
        self.controller = Container(hosts["controller"], programs, here, self.folder / "controller.log")
        register = here | services["register"]["environment"]
        self.register = Container(hosts["controller"], programs, register, self.folder / "register.log")
        self.nodes = {name: self._node(name, hosts[name], images["node"], state) for name in files.nodes()}

    def start(self, undo: ExitStack) -> None:
        """Start everything in the order of the compose file's conditions, each awaited by its health check."""
        services = files.services()
        undo.callback(self.controller.start("entry", *services["controller"]["command"]).wait)
        check = services["controller"]["healthcheck"]["test"][1:]
        eventually(lambda: self.controller.run(*check).returncode == 0, "no healthy controller", self.controller.log)
        registered = self.register.run(*services["register"]["entrypoint"])
        assert registered.returncode == 0, registered.stderr
        for node in self.nodes.values():
            undo.callback(node.start("entry").wait)
        for name, node in self.nodes.items():
            eventually(lambda name=name: self.is_healthy(name), f"{name} is not healthy", node.log)

    def is_healthy(self, name: str) -> bool:
        """Whether the health check of a node passes, with the folder that stands for /etc/cni/net.d."""
        check = files.nodes()[name]["healthcheck"]["test"][1:]
        words = [word.replace("/etc/cni/net.d", str(self.folder.parent / name / "net.d")) for word in check]
        return self.nodes[name].run(*words).returncode == 0

    def heddle(self, *arguments: str) -> Done:
        """Run the command line as the administrator does."""
        return self.controller.run("heddle", *arguments)

    def _node(self, name: str, namespace: Namespace, root: Path, state: State) -> Container:
        folder = state.folder(name)
        plugins = state.folder(name, "cni")
        # The Dockerfile links it so: RUN ln -s /usr/local/lib/heddle/cni_shim/heddle /opt/cni/bin/heddle
        (plugins / "heddle").symlink_to(root / "usr/local/lib/heddle/cni_shim/heddle")
        environment = {
            **files.nodes()[name]["environment"],
            "HEDDLE_STATE": str(self.folder / name),
            "OVS_RUNDIR": str(folder / "ovs"),
            "CNI_CONF_DIR": str(folder / "net.d"),
            "CNI_PATH": str(plugins),
            "POD_DIR": str(folder / "pods"),
        }
        return Container(namespace, root / "usr/local/bin", environment, folder / "node.log")


@contextmanager
def claimed(letter: str) -> Iterator[tuple[State, ExitStack]]:
    """Give a claim on namespaces and files of one's own, after taking away what dead runs of these tests left.

    Everything is killed and removed in the end, and then what was called back for is done: waiting for ends.
    """
    for name in known(ROOT):
        with suppress(LabError):  # in use by a living run
            cleanup(name, ROOT)
    state = State(f"{letter}{os.getpid()}", ROOT)
    with ExitStack() as released, ExitStack() as ended:
        released.callback(state.release)
        with ExitStack() as cleared:
            cleared.callback(state.clear)
            yield state, ended


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """Return the whole deployment, running and healthy."""
    with claimed("d") as (state, ended):
        made = Deployment(state)
        made.start(ended)
        yield made
