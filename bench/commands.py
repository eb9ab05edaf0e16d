"""Lines of JSON between the benchmark and the processes that it starts: commands one way, an answer to each the other.

On a Unix socket, so that nothing of it appears on the network that is being measured. A process may answer later: the
benchmark sleeps until then, and disturbs nobody by asking.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_START_DEADLINE = 20.0
_ANSWER_DEADLINE = 10.0


class CommandError(RuntimeError):
    """A process did not do what it was told, or is not there."""


class Remote:
    """The benchmark's end: commands to the process that listens on the Unix socket `path`."""

    def __init__(self, path: Path) -> None:
        """Wait until somebody listens there; CommandError when nobody does in time."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_ANSWER_DEADLINE)
        deadline = time.monotonic() + _START_DEADLINE
        while True:
            try:
                self._socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    self._socket.close()
                    raise CommandError(f"nobody listens on {path}") from None
                time.sleep(0.02)
        self._reader = self._socket.makefile("rb")

    def ask(self, what: str, **values: Any) -> Any:
        """Tell the process to do `what` and return its answer. CommandError when it failed, ended or is silent."""
        self._socket.sendall(json.dumps({"do": what, **values}).encode() + b"\n")
        try:
            line = self._reader.readline()
        except TimeoutError:
            raise CommandError(f"{what}: no answer in {_ANSWER_DEADLINE:.0f} s") from None
        answered = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answered:
            raise CommandError(f"{what}: {answered['error']}")
        return answered["result"]

    def close(self) -> None:
        """Hang up."""
        self._reader.close()
        self._socket.close()


class Later:
    """An answer that is not known yet; whoever made it calls `send` once."""

    def __init__(self) -> None:
        self._write: Callable[[bytes], None] | None = None

    def send(self, result: Any) -> None:
        """Answer now."""
        if self._write is not None:
            self._write(_result(result))

    def to(self, write: Callable[[bytes], None]) -> None:
        """Say where the answer goes."""
        self._write = write


def obey(line: bytes, target: object, write: Callable[[bytes], None]) -> None:
    """The other end: call the method of `target` that a line names (`do_` before it), and write the line to answer."""
    try:
        values = json.loads(line)
        method = getattr(target, f"do_{values.pop('do')}")
        result = method(**values)
    except Exception as error:
        write(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        return
    if isinstance(result, Later):
        result.to(write)
    else:
        write(_result(result))


def _result(value: Any) -> bytes:
    return json.dumps({"result": value}).encode() + b"\n"
