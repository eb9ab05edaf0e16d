"""What a laboratory has on the machine: its lock, its directory, its namespaces. Nothing about what they are for.

Written before it is made: a namespace is noted in the directory first and created then, so that a run that is killed
at any moment leaves nothing that the next run of the same name does not find. The lock is held by the living owner
only (flock(2) ends with the process), and the lock file says who it is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from lab import links
from lab.description import LAB_NAME, checked_name
from lab.errors import LabError
from lab.namespaces import Namespace, ip_batch, remove
from lab.processes import kill_marked

ROOT = Path("/run/heddle-lab")


class State:
    """The claim of one living process on the laboratory `name`, and the record of what it has on the machine."""

    def __init__(self, name: str, root: Path = ROOT) -> None:
        """Claim the laboratory `name` and remove what an earlier run of it left.

        Raises LabError without root's rights, or when a living process has the laboratory (naming its pid).
        """
        checked_name(name, "laboratory", LAB_NAME)
        if os.geteuid() != 0:
            raise LabError("a laboratory makes network namespaces: it needs root (run it with sudo)")
        self.name = name
        self.directory = root / name
        self._lock_path = root / f"{name}.lock"
        self._lock = _lock(self._lock_path, name)
        try:
            self.clear()
            self._noted.mkdir(parents=True)
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def _noted(self) -> Path:
        return self.directory / "namespaces"

    def folder(self, *parts: str) -> Path:
        """A directory of the laboratory for files of one kind, made if it is not there; it goes with the rest."""
        path = self.directory.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def namespaces(self, names: Iterable[str]) -> list[Namespace]:
        """Make a namespace called LAB-NAME, with `lo` up, for each of `names`.

        Raises LabError when a namespace of that name exists already, which is not ours then.
        """
        made = [Namespace(f"{self.name}-{name}", str(self.directory)) for name in names]
        for namespace in made:
            if namespace.path.exists():
                raise LabError(f"network namespace {namespace.name} exists and is not of laboratory {self.name}")
        for namespace in made:
            (self._noted / namespace.name).touch()
        ip_batch(f"netns add {namespace.name}" for namespace in made)
        for namespace in made:
            links.up(namespace, "lo")
        return made

    def forget(self, namespace: Namespace) -> None:
        """Remove one namespace that namespaces() made."""
        remove([namespace.name])
        (self._noted / namespace.name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove namespaces, processes and files. The laboratory stays claimed and can be built again.

        The namespaces' names go first: no thread of ours can start anything in them any more.
        """
        if self._noted.is_dir():
            remove(noted.name for noted in self._noted.iterdir())
        kill_marked(str(self.directory))
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def release(self) -> None:
        """Give the claim back; the laboratory is then anybody's. Doing it twice is no error."""
        if self._lock < 0:
            return
        self._lock_path.unlink(missing_ok=True)
        with suppress(OSError):  # other laboratories are there
            self._lock_path.parent.rmdir()
        os.close(self._lock)
        self._lock = -1


def cleanup(name: str, root: Path = ROOT) -> None:
    """Remove everything that a dead laboratory `name` left. Raises LabError while a living process has it."""
    state = State(name, root)
    state.clear()
    state.release()


def known(root: Path = ROOT) -> list[str]:
    """The names of the laboratories, living or dead, that have something on this machine."""
    names = {path.name.removesuffix(".lock") for path in root.iterdir()} if root.is_dir() else set()
    return sorted(names)


def _lock(path: Path, name: str) -> int:
    """A locked descriptor of the lock file, which holds our pid for others to read."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # another laboratory's end has just removed the directory
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 20, 0).decode() or "unknown"
            os.close(handle)
            raise LabError(f"laboratory {name} is in use by process {owner}; end that, or choose a name") from None
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            return handle
        os.close(handle)  # its last owner removed the file between our open and our lock
