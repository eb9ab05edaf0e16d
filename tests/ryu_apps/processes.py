"""Processes under test: started with their output read line by line, and ended for certain."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds until a line that should have come is given up
LAUNCHER = (
    sys.executable,
    "-c",
    "import sys; from ryu_apps.launcher import main; sys.exit(main(prog='heddle-controller'))",
)
# What Ryu's own script does, in an environment where something of ours was imported first.
STOCK = (sys.executable, "-W", "ignore", "-c", "import ryu_apps.compat; from ryu.cmd.manager import main; main()")


class Recording:
    """A process whose standard output is JSON lines; its errors are kept for the message of a failure."""

    def __init__(self, command: tuple[str, ...], directory: Path, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._errors = directory / "errors"
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*command, *arguments], cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    @property
    def errors(self) -> str:
        """What it wrote to standard error so far."""
        return self._errors.read_text()

    def wait_for(self, event: str, wanted: Callable[[dict[str, Any]], bool] = lambda line: True) -> dict[str, Any]:
        """Return the next line of that event that is `wanted`, dropping others; AssertionError when none comes."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"no {event!r} came; standard error:\n{self.errors}"
            if line["event"] == event and wanted(line):
                return line

    def wait_for_error(self, *texts: str) -> None:
        """Wait until a line of standard error holds all of the texts; AssertionError when none does in time."""
        deadline = time.monotonic() + PATIENCE
        while not any(all(text in line for text in texts) for line in self.errors.splitlines()):
            assert time.monotonic() < deadline, f"no line with {texts} came; standard error:\n{self.errors}"
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
