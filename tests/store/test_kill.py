"""kill -9 at any moment loses nothing that was acknowledged, and leaves no half of a commit."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from store.sqlite import SqliteStore
from tests.store.writer import addresses, prepare
from topology.model import Port, Quarantine

ROOT = Path(__file__).parents[2]


def start(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.store.writer", str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def kill(writer: subprocess.Popen[str]) -> int:
    """Kill a writer; return the last that it acknowledged, as far as it is still in the pipe, or 0."""
    os.kill(writer.pid, signal.SIGKILL)
    assert writer.stdout is not None
    lines = writer.stdout.read().split("\n")
    writer.stdout.close()
    writer.wait()
    return int(lines[-2]) if len(lines) > 1 else 0


def holders(path: Path) -> tuple[list[str], list[str]]:
    """Return the addresses of ports, and those in quarantine, as a new controller finds them."""
    store = SqliteStore(path)
    values = [event.value for event in store.load()]
    store.close()
    ports = sorted(str(value.addresses[0]) for value in values if isinstance(value, Port))
    return ports, sorted(str(value.address) for value in values if isinstance(value, Quarantine))


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "heddle.sqlite"
    prepare(path)
    chance = random.Random(2)
    everything = [str(address) for address in addresses()]
    for _ in range(8):
        writer = start(path)
        assert writer.stdout is not None
        acknowledged = 0
        for _ in range(chance.randrange(1, 250)):
            acknowledged = int(writer.stdout.readline())
        acknowledged = max(acknowledged, kill(writer))
        ports, quarantined = holders(path)
        assert acknowledged <= len(ports) <= acknowledged + 1
        assert ports == sorted(everything[: len(ports)])
        assert quarantined == sorted(everything[len(ports) :])


def test_a_process_killed_while_it_opens_leaves_a_file_that_opens(tmp_path: Path) -> None:
    path = tmp_path / "heddle.sqlite"
    writer = start(path)
    lock = path.with_name(path.name + ".lock")
    while not lock.exists():
        assert writer.poll() is None
    kill(writer)
    ports, quarantined = holders(path)
    assert quarantined == []
    assert ports == sorted(str(address) for address in list(addresses())[: len(ports)])
