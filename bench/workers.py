"""Starting the benchmark's own processes in a namespace. What they do is in the module that is started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import bench
from bench.answers import COMMANDS
from bench.commands import Remote
from bench.ground import Ground

ROOT = Path(bench.__file__).parent.parent


class Worker:
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


def python(ground: Ground, module: str, *arguments: str) -> Worker:
    """Start `python -m MODULE SOCKET ARGUMENTS…`."""
    path = ground.folder("workers") / module
    return Worker(ground, path, [sys.executable, "-m", module, str(path), *arguments], {})


def ryu(ground: Ground, port: int, *variables: str) -> Worker:
    """Start `ryu-manager bench.ryu_answers` on an OpenFlow port, with these variables set in its environment."""
    path = ground.folder("workers") / f"ryu{port}"
    program = str(Path(sys.executable).parent / "ryu-manager")
    command = [program, "bench.ryu_answers", "--ofp-listen-host=0.0.0.0", f"--ofp-tcp-listen-port={port}"]
    return Worker(ground, path, command, {COMMANDS: str(path), **dict.fromkeys(variables, "1")})
