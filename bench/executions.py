"""Executing short programs as a container runtime does, many at once, and what each cost. Knows no CNI.

Worker threads live in the namespace in which the programs are to run: what a thread starts is where the thread is.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import IO, cast

from lab.namespaces import Namespace


@dataclass(frozen=True, slots=True)
class Execution:
    """A program to execute: arguments, environment, standard input."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    text_in: str = ""


@dataclass(frozen=True, slots=True)
class Executed:
    """How it went: wall seconds until it was reaped, CPU seconds with all its children, and what it printed."""

    seconds: float
    cpu_seconds: float
    status: int
    out: str


def execute_all(namespace: Namespace, executions: Sequence[Execution], at_once: int) -> list[Executed]:
    """Execute all in the namespace, so many at once; the results in order."""
    waiting: SimpleQueue[int] = SimpleQueue()
    for position in range(len(executions)):
        waiting.put(position)
    done: dict[int, Executed] = {}

    def work() -> None:
        while True:
            try:
                position = waiting.get_nowait()
            except Empty:
                return
            done[position] = _execute(executions[position])

    with ThreadPoolExecutor(at_once) as pool:
        for finished in [pool.submit(namespace.call, work) for _ in range(at_once)]:
            finished.result()
    return [done[position] for position in range(len(executions))]


def _execute(execution: Execution) -> Executed:
    pipe = subprocess.PIPE
    began = time.perf_counter()
    process = subprocess.Popen(
        execution.command, env=dict(execution.environment), stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )
    with cast(IO[str], process.stdin) as stdin, suppress(BrokenPipeError):  # it may end without reading
        stdin.write(execution.text_in)
    with cast(IO[str], process.stdout) as stdout:
        out = stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return Executed(seconds, used.ru_utime + used.ru_stime, process.returncode, out)
