"""One byte there and one back, over the loopback: over one connection, or over new ones."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bench import exchange
from bench.workers import ROOT

ME = "127.0.0.1"


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server."""
    with socket.create_server((ME, 0)) as free:
        number = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "bench.exchange", "serve", str(number)], cwd=ROOT)
    try:
        _wait(number)
        yield int(number)
    finally:
        server.kill()
        server.wait()


def _wait(number: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection((ME, number), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    raise AssertionError("the server does not listen")


@pytest.mark.parametrize("kind", sorted(exchange.KINDS))
def test_the_client_tells_how_often_it_was_answered(port: int, kind: str) -> None:
    command = [sys.executable, "-m", "bench.exchange", kind, ME, str(port), "0.1"]
    told = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout)
    assert told["times"] > 1
    assert told["seconds"] >= 0.1


def test_a_client_that_goes_leaves_the_server_to_others(port: int) -> None:
    for _ in range(3):
        with socket.create_connection((ME, port)) as connection:
            connection.sendall(b"s")
    assert exchange.connections((ME, port), 0.02)[0] >= 1


def test_a_port_that_answers_something_else_is_an_error() -> None:
    with socket.create_server((ME, 0)) as listener:
        client = subprocess.Popen(
            [sys.executable, "-m", "bench.exchange", "requests", ME, str(listener.getsockname()[1]), "1"],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"?")
            assert "no answer" in client.communicate(timeout=10)[1]
    assert client.returncode != 0
