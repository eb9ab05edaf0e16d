"""heddle as a process: on a terminal, in a pipe, in other locales, asked for completions; and what it imports."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.answers import furnish
from tests.cli.server import Fake

ROOT = Path(__file__).parents[2]
HEDDLE = (sys.executable, "-c", "from cli.main import main; main()")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run heddle as a process of its own with these variables added to the environment."""
    return subprocess.run(
        [*HEDDLE, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def on_terminal(columns: int, *arguments: str) -> str:
    """Return what heddle writes on a terminal of this width."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen([*HEDDLE, *arguments], cwd=ROOT, env=environment, stdout=theirs)
    os.close(theirs)
    written = b""
    try:
        while block := os.read(ours, 4096):
            written += block
    except OSError:  # EIO: the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(60) == 0
    return written.decode().replace("\r\n", "\n")


def test_a_terminal_gets_folded_columns_and_loses_nothing(fake: Fake) -> None:
    furnish(fake)
    wide, narrow = on_terminal(200, "ports"), on_terminal(60, "ports")
    assert "the switch has not reported interface v0123456789abce" in wide
    assert len(narrow.splitlines()) > len(wide.splitlines())
    assert "v0123456789abce" in narrow
    assert "\x1b[1m" in wide  # the titles are bold


def test_a_pipe_gets_one_line_per_row_without_colours(fake: Fake) -> None:
    furnish(fake)
    ended = run("ports", COLUMNS="60", FORCE_COLOR="")
    assert ended.stdout.splitlines()[2].endswith("the switch has not reported interface v0123456789abce")
    assert "\x1b" not in ended.stdout


@pytest.mark.parametrize(("output", "first"), [("table", b"TABLE"), ("json", b"["), ("yaml", b"- ")])
def test_a_reader_that_goes_away_is_no_traceback(output: str, first: bytes, fake: Fake) -> None:
    furnish(fake)
    fake.on("GET", "/nodes/n1/flows", [{"table": 0, "match": "x" * 200}] * 5000)
    process = subprocess.Popen(
        [*HEDDLE, "flows", "n1", "-o", output], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(first)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 141


def test_a_full_disk_is_told(fake: Fake) -> None:
    furnish(fake)
    for output in ("table", "json", "yaml"):
        with Path("/dev/full").open("w") as full:
            ended = subprocess.run(
                [*HEDDLE, "networks", "-o", output], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False
            )
        assert ended.returncode == 1
        assert ended.stderr == b"heddle: standard output: No space left on device; the command itself was carried out\n"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
def test_trees_print_in_every_locale(locale: str, fake: Fake) -> None:
    furnish(fake)
    ended = run("topology", LC_ALL=locale, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "red  VNID 10" in ended.stdout


def test_completion_as_typer_gives_it() -> None:
    variables = {"COMP_WORDS": "heddle create-n", "COMP_CWORD": "1", "_HEDDLE_COMPLETE": "complete_bash"}
    assert run(**variables).stdout.split() == ["create-network", "create-node"]
    variables = {"COMP_WORDS": "heddle networks --out", "COMP_CWORD": "2", "_HEDDLE_COMPLETE": "complete_bash"}
    assert run(**variables).stdout.split() == ["--output"]


def test_what_is_slow_to_import_is_imported_when_it_is_needed() -> None:
    code = "import sys, cli.main; print({'httpx', 'rich.console', 'rich.table', 'yaml', 'pydantic'} & {*sys.modules})"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert ended.stdout == "set()\n"


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_needs_no_server_and_names_every_command(option: str) -> None:
    from tests.cli.test_commands import COMMANDS

    ended = run(option, TERMINAL_WIDTH="100")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [name for name in COMMANDS if f"│ {name} " not in ended.stdout] == []
    assert "Exit status: 0 done" in ended.stdout


def test_version() -> None:
    assert run("--version").stdout.startswith("heddle ")


def test_nothing_at_all_shows_the_help_and_is_wrong_usage() -> None:
    ended = run()
    assert (ended.returncode, "Usage: heddle" in ended.stdout + ended.stderr) == (2, True)
