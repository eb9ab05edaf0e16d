"""The plugin on a host without Python: put together, installed by one rename, executed where nothing else is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy import files
from tests.deploy.conftest import Done

NODE = files.ROOT / "deploy" / "node"
PYTHON = next(path for path in map(Path, ("/usr/bin/python3.11", "/usr/bin/python3")) if path.exists())


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the image's build puts together."""
    folder = tmp_path_factory.mktemp("interpreter") / "python"
    done = subprocess.run([PYTHON, "-I", NODE / "interpreter.py", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of the package, which a test may change as an upgrade does."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(files.ROOT / "cni_shim", tmp_path / "image/cni_shim", ignore=ignored))


class HostFolders:
    """/opt/cni of a host, at another place, and `install-cni` for it."""

    def __init__(self, folder: Path, interpreter: Path, package: Path) -> None:
        self.plugins = folder / "cni/bin"
        self.home = folder / "cni/heddle"
        self.plugin = self.plugins / "heddle"
        self._from = (f"--python={interpreter}", f"--package={package}")

    def install(self, *more: str) -> Done:
        command = [PYTHON, "-I", NODE / "install_cni.py", *self._from, f"--plugins={self.plugins}"]
        command += [f"--home={self.home}", *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def folders(self) -> set[str]:
        return {path.name for path in self.home.iterdir()} if self.home.exists() else set()


@pytest.fixture
def host(tmp_path: Path, interpreter: Path, package: Path) -> HostFolders:
    return HostFolders(tmp_path / "host", interpreter, package)


def version(plugin: Path) -> Done:
    """Ask the plugin for the versions that it knows."""
    environment = {"CNI_COMMAND": "VERSION"}
    return subprocess.run([plugin], env=environment, input="{}", capture_output=True, text=True, check=False)


def test_it_is_installed_and_answers(host: HostFolders) -> None:
    done = host.install()
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(host.plugin.resolve())
    assert "1.0.0" in json.loads(version(host.plugin).stdout)["supportedVersions"]
    assert [path.name for path in host.plugins.iterdir()] == ["heddle"]
    assert not list(host.home.rglob("node"))  # heddle-node stays in its image


def test_a_second_time_changes_nothing(host: HostFolders) -> None:
    host.install()
    before = (host.plugin.readlink(), host.folders())
    assert host.install().returncode == 0
    assert (host.plugin.readlink(), host.folders()) == before


def test_an_upgrade_leaves_the_version_before_until_the_next(host: HostFolders, package: Path) -> None:
    seen = []
    for number in range(3):
        (package / "version.py").write_text(f"NUMBER = {number}\n")
        assert host.install().returncode == 0
        seen.append(host.plugin.resolve())
        assert version(host.plugin).returncode == 0
    assert len(set(seen)) == 3
    assert [path.exists() for path in seen] == [False, True, True]
    assert version(seen[1]).returncode == 0


def test_a_plugin_that_does_not_work_replaces_none(host: HostFolders, package: Path) -> None:
    host.install()
    before = host.plugin.readlink()
    (package / "errors.py").write_text("raise SystemExit(7)\n")
    done = host.install()
    assert (done.returncode, host.plugin.readlink()) == (1, before)
    assert "does not work" in done.stderr
    assert version(host.plugin).returncode == 0


def test_somebody_elses_file_of_that_name_is_replaced(host: HostFolders) -> None:
    host.plugins.mkdir(parents=True)
    host.plugin.write_text("an older version, installed by hand")
    assert host.install().returncode == 0
    assert version(host.plugin).returncode == 0


def test_what_a_crash_left_goes(host: HostFolders) -> None:
    (host.home / ".new-1/bin").mkdir(parents=True)
    assert host.install().returncode == 0
    assert len(host.folders()) == 1


def test_removal(host: HostFolders) -> None:
    host.install()
    assert host.install("--remove").returncode == 0
    assert (list(host.plugins.iterdir()), host.home.exists()) == ([], False)
    assert host.install("--remove").returncode == 0


def test_a_path_that_no_kernel_takes(tmp_path: Path, interpreter: Path, package: Path) -> None:
    done = HostFolders(tmp_path / ("x" * 200), interpreter, package).install()
    assert done.returncode == 1
    assert "too long" in done.stderr


def test_without_installation_the_interpreter_runs_nowhere(interpreter: Path) -> None:
    with pytest.raises(FileNotFoundError):
        subprocess.run([interpreter / "bin/python3"], check=False)


# --- on a host that has nothing else ---------------------------------------------------------------


@pytest.fixture
def bare(host: HostFolders, tmp_path: Path) -> list[str]:
    """Return a command that runs another one where there are no files but those that were installed, and /proc."""
    assert host.install().returncode == 0
    root = tmp_path / "root"
    shown = root / host.plugins.parent.relative_to("/")
    shown.mkdir(parents=True)
    (root / "proc").mkdir()
    mounts = f"mount --bind {host.plugins.parent} {shown} && mount --bind /proc {root}/proc"
    script = f'{mounts} && exec chroot {root} "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


@pytest.mark.netns
def test_it_runs_where_nothing_else_is(host: HostFolders, bare: list[str]) -> None:
    environment = {"PATH": os.environ["PATH"], "CNI_COMMAND": "VERSION"}
    command = [*bare, str(host.plugin)]
    done = subprocess.run(command, env=environment, input="{}", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1.1.0" in json.loads(done.stdout)["supportedVersions"]


@pytest.mark.netns
def test_all_that_the_plugin_imports_is_there(host: HostFolders, bare: list[str], package: Path) -> None:
    names = sorted(path.stem for path in package.glob("*.py") if path.stem != "__init__")
    code = f"import sys; sys.path.append({str(host.plugin.resolve().parents[1])!r}); import ssl, socket, fcntl, json\n"
    code += (
        "".join(f"import cni_shim.{name}\n" for name in names) + "print(ssl.create_default_context().check_hostname)"
    )
    command = [*bare, str(host.plugin.resolve().parents[3] / "bin/python3"), "-ISE", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")
