"""Processes of a laboratory: how they are marked, found again and ended. No namespaces, no knowledge of programs.

Every process that a laboratory starts carries the laboratory's state directory in its environment, and so do the
processes that those start. Whatever a crashed run left is found by that mark: it needs no pid file, so nothing is
missed between a start and the writing of a file, and a number that the kernel gave to a new process cannot deceive.
A user's own shell inside one of the namespaces has no mark and is left alone.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

from lab.errors import LabError

MARK = "HEDDLE_LAB_STATE"


def marked_environment(state: str) -> dict[str, str]:
    """This process's environment with the mark of the laboratory whose state directory is `state`."""
    return {**os.environ, MARK: state}


def start_time(pid: int) -> int | None:
    """Ticks after boot at which `pid` started (proc(5), stat field 22); None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def is_marked(pid: int, state: str) -> bool:
    """Whether `pid` runs and carries the mark of `state`. A zombie has no environment any more."""
    try:
        return f"{MARK}={state}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it ended
        return False


def marked(state: str) -> list[int]:
    """The pids of all processes that carry the mark of `state`, this process excepted."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and is_marked(pid, state)]


def kill_marked(state: str, patience: float = 5.0) -> None:
    """Kill every process that carries the mark of `state`, and wait until the last one is gone.

    Looks again until none is found, as a process may start another while we look. Raises LabError when one
    survives for `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while pids := marked(state):
        if not all(end(pid, signal.SIGKILL, deadline - time.monotonic(), state) for pid in pids):
            raise LabError(f"processes of the laboratory in {state} survive SIGKILL: {marked(state)}")


def end(pid: int, number: signal.Signals, patience: float = 5.0, state: str | None = None) -> bool:
    """Send signal `number` to `pid` and wait for its end; whether it ended within `patience` seconds.

    A process that is gone or a zombie counts as ended; so does one without the mark of `state`, if that is given:
    the number then belongs to another process by now.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if start_time(pid) is None or (state is not None and not is_marked(pid, state)):
            return True
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        return bool(poller.poll(max(0.0, patience) * 1000))
    finally:
        os.close(handle)
