#!/usr/bin/python3 -I
"""`install-cni`: puts the CNI plugin onto the host, with an interpreter of its own: the host needs no Python.

Everything goes into a new folder, is tried there, and then the plugin's name is turned to it by one rename: whoever
executes it gets the old one or the new one, whole. The one before stays until the next time, for calls that still run.
HOME and PLUGINS have to be the same folders, under the same names, as the runtime's: mount them so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

PLACE = "/heddle-dynamic-linker" + "/" * 230  # as `interpreter` left it
LINKER = "lib/ld.so"
NAME = "heddle"
SHEBANG = "#!{} -ISE\n"
LONGEST_SHEBANG = 127  # bytes, of Linux before 5.1


class InstallError(Exception):
    """What went wrong."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Install or remove; the exit status."""
    parser = argparse.ArgumentParser("install-cni", description="Puts the CNI plugin onto the host, or takes it away.")
    parser.add_argument("--plugins", default="/opt/cni/bin", type=Path, help="the runtime's folder (%(default)s)")
    parser.add_argument("--home", default="/opt/cni/heddle", type=Path, help="where its files go (%(default)s)")
    parser.add_argument("--python", default="/usr/local/lib/heddle-python", type=Path, help="made by `interpreter`")
    parser.add_argument("--package", default="/usr/local/lib/heddle/cni_shim", type=Path, help="the plugin's package")
    parser.add_argument("--remove", action="store_true", help="take away what was installed")
    options = parser.parse_args(arguments)
    try:
        if options.remove:
            remove(options.plugins, options.home)
        else:
            print(install(options.python, options.package, options.plugins, options.home))
    except (InstallError, OSError) as error:
        print(f"install-cni: {error}", file=sys.stderr)
        return 1
    return 0


def install(python: Path, package: Path, plugins: Path, home: Path) -> Path:
    """Install the plugin; return what its name leads to now."""
    files = [*_files(python), *_files(package)]
    folder = home / _digest(files, home)
    if not folder.exists():
        new = home / f".new-{os.getpid()}"
        shutil.rmtree(new, ignore_errors=True)
        try:
            _fill(new, python, package, folder)
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    program = folder / "lib/heddle/cni_shim" / NAME
    _try(program)
    before = _folder_of(plugins / NAME, home)
    plugins.mkdir(parents=True, exist_ok=True)
    link = plugins / f".{NAME}.{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(program)
    link.rename(plugins / NAME)
    for other in home.iterdir():
        if other not in (folder, before):
            shutil.rmtree(other)
    return program


def remove(plugins: Path, home: Path) -> None:
    """Take the plugin away."""
    if _folder_of(plugins / NAME, home) is not None:
        (plugins / NAME).unlink()
    shutil.rmtree(home, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InstallError(f"there is no {folder}")
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def _digest(files: Iterable[Path], home: Path) -> str:
    digest = hashlib.sha256(str(home).encode())
    for path in files:
        digest.update(f"{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _fill(new: Path, python: Path, package: Path, folder: Path) -> None:
    """Make in `new` what will work in `folder`."""
    shutil.copytree(python, new)
    ignored = shutil.ignore_patterns("node", "__pycache__", "*.md")
    shutil.copytree(package, new / "lib/heddle/cni_shim", ignore=ignored)
    interpreter = new / "bin/python3"
    content, place = interpreter.read_bytes(), PLACE.encode()
    linker, shebang = str(folder / LINKER).encode(), SHEBANG.format(folder / "bin/python3")
    if content.count(place) != 1:
        raise InstallError(f"{python} was not put together by `interpreter`")
    if len(shebang) > LONGEST_SHEBANG or len(linker) >= len(place):
        raise InstallError(f"{folder} is too long a path for an interpreter")
    interpreter.write_bytes(content.replace(place, linker.ljust(len(place), b"\0")))
    program = new / "lib/heddle/cni_shim" / NAME
    program.write_text(shebang + program.read_text().partition("\n")[2])
    program.chmod(0o755)
    # Compiled here, as nothing can be written when the plugin runs.
    code = "import compileall, sys; compileall.compile_dir(sys.argv[1], quiet=1)"
    subprocess.run([sys.executable, "-I", "-c", code, str(new / "lib/heddle")], check=True)


def _try(program: Path) -> None:
    """See that the plugin answers, before anybody depends on it."""
    environment = {"CNI_COMMAND": "VERSION"}
    try:
        done = subprocess.run([program], env=environment, input=b"{}", capture_output=True, timeout=30, check=False)
        answer = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise InstallError(f"{program} does not work: {error}") from None
    if done.returncode or "supportedVersions" not in answer:
        raise InstallError(f"{program} does not work: {done.stdout!r} {done.stderr!r}")


def _folder_of(link: Path, home: Path) -> Path | None:
    """Return the folder below `home` that the plugin's name leads to; None when that is not ours."""
    if not link.is_symlink():
        return None
    target = link.readlink()
    return home / target.relative_to(home).parts[0] if target.is_relative_to(home) else None


if __name__ == "__main__":
    sys.exit(main())
