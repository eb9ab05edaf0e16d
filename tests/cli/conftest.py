"""Runs heddle in this process against a fake controller, and writes what happened as a transcript."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from cli.main import main
from tests.cli.server import Asked, Fake, serving


class Ended(NamedTuple):
    """How a run of heddle ended."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give heddle no settings of the person who runs the tests."""
    for name in ("SERVER", "TOKEN", "TOKEN_FILE", "CA_FILE"):
        monkeypatch.delenv(f"HEDDLE_{name}", raising=False)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """Return a fake controller that heddle finds by HEDDLE_SERVER."""
    with serving() as server:
        monkeypatch.setenv("HEDDLE_SERVER", server.url)
        yield server


@pytest.fixture
def heddle(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Return run(*arguments): run heddle and return how it ended."""

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        out, err = capsys.readouterr()
        return Ended(int(exit_.value.code or 0), out, err)

    return run


@pytest.fixture
def transcript(fake: Fake, heddle: Callable[..., Ended]) -> Callable[[str], str]:
    """Return record(line): run a command line and return it with its requests, its output and its exit status."""

    def record(line: str) -> str:
        fake.asked.clear()
        ended = heddle(*shlex.split(line))
        parts = [f"$ heddle {line}\n", *map(_asked, fake.asked), ended.out]
        parts += [f"stderr: {text}\n" for text in ended.err.splitlines()]
        return "".join(parts).replace(fake.url, "http://127.0.0.1:PORT") + f"status: {ended.status}\n"

    return record


def _asked(request: Asked) -> str:
    body = "" if request.body is None else " " + json.dumps(request.body)
    return f"> {request.method} {request.target}{body}\n"
