"""Network namespaces: made, entered, removed. Nothing here knows nodes, pods or Open vSwitch.

A namespace is entered by threads, never by the process: setns(2) moves one thread, a socket belongs for life to the
namespace it was made in, and a child process inherits that of the thread that started it. So a thread that lives for
one call goes in, makes the socket or starts the program, hands it back and ends; there is no way back to forget, no
resident process in the namespace, and no `ip netns exec` with its mounts and its ten milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from lab.errors import LabError
from lab.processes import marked_environment

NETNS_DIRECTORY = Path("/run/netns")
"""Where `ip netns` keeps namespaces' names (ip-netns(8))."""

CLONE_NEWNET = 0x40000000  # linux/sched.h; os.setns exists from Python 3.12 on
MNT_DETACH = 2  # sys/mount.h

T = TypeVar("T")


@dataclass(frozen=True)
class Namespace:
    """A network namespace with a name that `ip netns` shows; `state` marks the processes started in it."""

    name: str
    state: str

    @property
    def path(self) -> Path:
        """The file that names it for setns(2) and for CNI_NETNS."""
        return NETNS_DIRECTORY / self.name

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns when a thread inside the namespace runs it; its exceptions come through.

        Meant for short calls that make sockets, start programs or write below /proc/sys/net.
        """
        outcome: Future[T] = Future()

        def enter() -> None:
            try:
                _enter(self.path)
                outcome.set_result(function())
            except BaseException as error:
                outcome.set_exception(error)

        Thread(target=enter, name=f"in {self.name}", daemon=True).start()
        return outcome.result()

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket that lives in the namespace, whoever uses it."""
        return self.call(lambda: socket.socket(family, kind, protocol))

    def start(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start `command` in the namespace, marked, in a session of its own (Ctrl-C is the laboratory's business).

        `environment` is added to ours; `options` are those of subprocess.Popen. OSError when it cannot start.
        """
        env = {**marked_environment(self.state), **(environment or {})}
        return self.call(lambda: subprocess.Popen(command, env=env, start_new_session=True, **options))

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        text_in: str = "",
        timeout: float = 30.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` in the namespace to its end, `text_in` on its standard input; the result, whatever its status.

        Raises subprocess.TimeoutExpired, with the program killed, after `timeout` seconds.
        """
        pipe = subprocess.PIPE
        process = self.start(command, environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        with process:
            try:
                out, err = process.communicate(text_in, timeout)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def ip(self, commands: Iterable[str]) -> None:
        """Run commands of ip(8) in the namespace, all with one process. Raises LabError with ip's own words."""
        script = "\n".join(commands)
        _check(self.run(["ip", "-batch", "-"], text_in=script), script)

    def sysctl(self, values: Mapping[str, str]) -> None:
        """Set keys below /proc/sys/net, written with slashes (`ipv4/ip_forward`). OSError for an unknown key."""

        def write() -> None:
            for key, value in values.items():
                Path("/proc/sys/net", key).write_text(value)

        self.call(write)


def ip_batch(commands: Iterable[str]) -> None:
    """Run commands of ip(8) that name the namespaces they are for; raise LabError with its words when one fails."""
    script = "\n".join(commands)
    _check(subprocess.run(["ip", "-batch", "-"], input=script, capture_output=True, text=True, check=False), script)


def remove(names: Iterable[str]) -> None:
    """Remove namespaces by name, each with the links inside it; one that is not there, or half made, is no error."""
    for name in names:
        path = NETNS_DIRECTORY / name
        while _is_namespace(path) and not _libc().umount2(os.fsencode(path), MNT_DETACH):
            pass
        with suppress(FileNotFoundError):
            path.unlink()


def _check(done: subprocess.CompletedProcess[str], script: str) -> None:
    if done.returncode:
        raise LabError(f"ip: {done.stderr.strip()}\nof:\n{script}")


def _is_namespace(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_dev != path.parent.stat().st_dev
    return False


def _enter(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise LabError(f"network namespace {path.name} does not exist (any more)") from error
    try:
        if _libc().setns(handle, CLONE_NEWNET):
            number = ctypes.get_errno()
            raise LabError(f"cannot enter network namespace {path.name}: {os.strerror(number)}")
    finally:
        os.close(handle)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
