"""Commands to worker processes: answered, answered later, refused, or nobody there."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import commands
from bench.commands import CommandError, Later, Remote, obey
from bench.workers import ROOT


class Target:
    """What commands act on."""

    def __init__(self) -> None:
        self.later = Later()

    def do_add(self, one: int, other: int) -> int:
        return one + other

    def do_wait(self) -> Later:
        return self.later


def written(line: bytes, target: Target) -> list[bytes]:
    """What is written in answer to a line."""
    answers: list[bytes] = []
    obey(line, target, answers.append)
    return answers


def test_a_command_calls_a_method() -> None:
    assert written(b'{"do": "add", "one": 1, "other": 2}', Target()) == [b'{"result": 3}\n']


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"do": "nothing"}', b"AttributeError"),
        (b'{"do": "add", "one": 1}', b"TypeError"),
        (b"no JSON", b"JSONDecodeError"),
        (b"{}", b"KeyError"),
    ],
)
def test_what_fails_is_answered_with_an_error(line: bytes, said: bytes) -> None:
    (answered,) = written(line, Target())
    assert answered.startswith(b'{"error": "' + said)


def test_an_answer_may_come_later() -> None:
    target, answers = Target(), []
    obey(b'{"do": "wait"}', target, answers.append)
    assert not answers
    target.later.send([1])
    assert answers == [b'{"result": [1]}\n']


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], tuple[subprocess.Popen[bytes], Path]]]:
    """Return a function that starts a program in Python that is given the path of a socket."""
    started: list[subprocess.Popen[bytes]] = []

    def run(program: str) -> tuple[subprocess.Popen[bytes], Path]:
        path = tmp_path / "commands"
        started.append(subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=ROOT))
        return started[-1], path

    yield run
    for process in started:
        process.kill()
        process.wait()


SERVING = """
import os, sys
from bench.loop import Loop

class Target:
    def do_echo(self, text):
        return text

    def do_end(self):
        os._exit(0)

loop = Loop()
loop.obey(sys.argv[1], Target())
loop.run()
"""


def test_a_process_is_commanded_until_it_ends(
    start: Callable[[str], tuple[subprocess.Popen[bytes], Path]],
) -> None:
    _, path = start(SERVING)
    remote = Remote(path)
    # Longer than what a socket takes at once, both ways.
    long = "text" * 500_000
    assert remote.ask("echo", text=long) == long
    with pytest.raises(CommandError, match="no attribute 'do_sing'"):
        remote.ask("sing")
    with pytest.raises(CommandError, match="the process ended"):
        remote.ask("end")
    remote.close()


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_START_DEADLINE", 0.05)
    began = time.monotonic()
    with pytest.raises(CommandError, match="nobody listens on"):
        Remote(tmp_path / "none")
    assert time.monotonic() > began
