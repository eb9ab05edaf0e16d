#!/usr/bin/python3 -I
"""Puts together a Python that needs nothing of the machine that it is copied to: interpreter FOLDER.

Run while the node's image is built, with that image's own Python; patchelf has to be there. FOLDER then holds
`bin/python3`, the part of the standard library that the CNI plugin can use, shared objects, and the dynamic linker.
Where the linker will be is not known yet: in its place stands PLACE, which `install_cni` overwrites.
"""

from __future__ import annotations

import compileall
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

PLACE = "/heddle-dynamic-linker" + "/" * 230
"""As long as any path that will stand there; it names no file, so what is not installed does not run by chance."""
LINKER = "lib/ld.so"
EXTENSIONS = ("_contextvars", "_hashlib", "_json", "_queue", "_ssl", "_typing", "fcntl")
"""Those that TLS and JSON need, where they are not built in."""
LEFT_OUT = {
    "__pycache__", "asyncio", "concurrent", "ctypes", "curses", "dbm", "dist-packages", "distutils", "ensurepip",
    "html", "idlelib", "lib-dynload", "lib2to3", "multiprocessing", "pydoc_data", "site-packages", "sqlite3", "test",
    "tests", "tkinter", "tomllib", "turtledemo", "unittest", "venv", "wsgiref", "xml", "xmlrpc", "zoneinfo",
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Make the folder anew."""
    if len(arguments) != 1:
        print("usage: interpreter FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    shutil.rmtree(folder, ignore_errors=True)
    python = Path(sys.executable).resolve()
    program = _copied(python, folder / "bin/python3")
    extensions = list(_copied_library(folder))
    shared = _shared((python, *_extensions()))
    linker = Path(_said("patchelf", "--print-interpreter", str(python)))
    _copied(linker.resolve(), folder / LINKER)
    for path in shared:
        if path.name != linker.name:
            _copied(path.resolve(), folder / "lib" / path.name)
    _said("patchelf", "--set-interpreter", PLACE, "--force-rpath", "--set-rpath", "$ORIGIN/../lib", str(program))
    for path in (*extensions, *(folder / "lib").glob("*.so.*")):
        _said("patchelf", "--remove-rpath", str(path))
    # By content, not by time: copies of a file have other times.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(folder / "lib", quiet=1, invalidation_mode=mode)
    return 0


def _copied_library(folder: Path) -> Iterable[Path]:
    """Copy the standard library; yield the extension modules' copies."""
    source = Path(sysconfig.get_path("stdlib"))
    target = folder / "lib" / source.name
    ignored = shutil.ignore_patterns(*LEFT_OUT, "config-*", "*.a", "*.txt")
    shutil.copytree(source, target, ignore=ignored, symlinks=False, ignore_dangling_symlinks=True)
    for path in _extensions():
        yield _copied(path, target / "lib-dynload" / path.name)


def _extensions() -> list[Path]:
    folder = Path(sysconfig.get_path("stdlib")) / "lib-dynload"
    return [path for name in EXTENSIONS for path in sorted(folder.glob(f"{name}.*.so"))]


def _shared(programs: Iterable[Path]) -> list[Path]:
    """Return the shared objects that programs load, each once."""
    found = {}
    for program in programs:
        for line in _said("ldd", str(program)).splitlines():
            path = re.search(r"(/\S+)", line)
            if path:
                found[Path(path[1]).name] = Path(path[1])
    return list(found.values())


def _copied(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
    target.chmod(0o755)
    return target


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"interpreter: {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
