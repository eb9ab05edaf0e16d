"""Starting the benchmark's own processes in a namespace. What they do is in the module that is started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import bench
from bench.commands import Remote
from bench.ground import Ground

ROOT = Path(bench.__file__).parent.parent


class Helper:
    """A process `command` on a ground that listens for commands on the Unix socket `path`."""

    def __init__(self, ground: Ground, path: Path, command: list[str], environment: Mapping[str, str]) -> None:
        with path.with_suffix(".log").open("ab") as log:
            self._process = ground.namespace.start(
                command, environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT
            )
        self.remote = Remote(path)

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._process.pid

    def kill(self) -> None:
        """End it and wait for its end."""
        self.remote.close()
        self._process.kill()
        self._process.wait()


def python(ground: Ground, module: str, *arguments: str) -> Helper:
    """Start `python -m MODULE SOCKET ARGUMENTS…`."""
    path = ground.folder("helpers") / module
    return Helper(ground, path, [sys.executable, "-m", module, str(path), *arguments], {})


def ryu(ground: Ground, application: str, variable: str, *flags: str) -> Helper:
    """Start `ryu-manager APPLICATION FLAGS…`, which finds the command socket's path in the environment."""
    path = ground.folder("helpers") / application
    program = str(Path(sys.executable).parent / "ryu-manager")
    return Helper(ground, path, [program, application, *flags], {variable: str(path)})
