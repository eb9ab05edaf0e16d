"""`python -m bench.watch`: a whole cluster through the watch of one replica, from its start until all is known.

    --pods 100000 --namespaces 10000 --nodes 1000

Beside it, all the time, a plain OpenFlow connection that asks for an echo every few milliseconds: the longest answer is
the longest time for which the controller did nothing for its switches.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from kube.resources import CUSTOM_RESOURCES
from kube.schema import definition

HELLO = struct.pack(">BBHI", 6, 0, 8, 1)
ECHO_REQUEST = struct.pack(">BBHI", 6, 2, 8, 7)
EVERY_SECONDS = 0.005
_PATIENCE = 1200.0
_SAMPLE = 100
_TOKEN = "measurement-0123456789"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.watch", description=__doc__.split("\n")[0])
    parser.add_argument("--pods", type=int, default=100_000)
    parser.add_argument("--namespaces", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=1_000)
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(_api_server(folder))
        empty = stack.enter_context(_replica(folder, "empty"))
        _wait(lambda: _get(empty, "/v1/readyz") is not None)
        base = _resident(empty.process)
        empty.process.terminate()
        empty.process.wait()
        print(f"a replica of an empty cluster: {base / 1e6:.0f} MB", flush=True)
        began = time.monotonic()
        _post(f"{url}/_seed", {"pods": asked.pods, "namespaces": asked.namespaces, "nodes": asked.nodes})
        print(f"the API server has its objects after {time.monotonic() - began:.1f} s", flush=True)
        began = time.monotonic()
        replica = stack.enter_context(_replica(folder, "full"))
        with Echoes(replica.openflow) as echoes:
            _wait(lambda: _get(replica, "/v1/readyz") is not None)
            print(f"in sync after {time.monotonic() - began:.1f} s", flush=True)
            print(f"  longest echo so far {1000 * echoes.longest:.0f} ms of {echoes.count}", flush=True)
            _wait(lambda: _has(replica, "nodes/node-{}", asked.nodes))
            print(f"all nodes registered after {time.monotonic() - began:.1f} s", flush=True)
            _wait(lambda: _has(replica, "projects/ns-{}", asked.namespaces))
            print(f"all namespaces decided after {time.monotonic() - began:.1f} s", flush=True)
            _wait(lambda: all(_has_pod(replica, number, asked) for number in _sample(asked.pods)))
            print(f"all pods known after {time.monotonic() - began:.1f} s", flush=True)
            time.sleep(5)
        grown = _resident(replica.process) - base
        print(
            f"resident {(_resident(replica.process)) / 1e6:.0f} MB: {grown / asked.pods / 1000:.2f} KB a pod",
            flush=True,
        )
        print(f"longest answer to an echo {1000 * echoes.longest:.0f} ms, of {echoes.count}", flush=True)
    return 0


class Replica:
    """A controller process, and where it answers."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, openflow: int) -> None:
        self.process = process
        self.url = url
        self.openflow = openflow


class Echoes:
    """An OpenFlow connection that asks for echoes while the context is open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = Event()
        self.longest = 0.0
        self.count = 0

    def __enter__(self) -> Echoes:
        self._thread = Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=30) as connection:
                    connection.sendall(HELLO)
                    self._exchange(connection)
            except OSError:
                time.sleep(0.02)  # not there yet

    def _exchange(self, connection: socket.socket) -> None:
        rest = b""
        while not self._stop.is_set():
            began = time.monotonic()
            connection.sendall(ECHO_REQUEST)
            answered = False
            while not answered:
                data = connection.recv(4096)
                if not data:
                    return
                answered, rest = _has_echo(rest + data)
            self.longest = max(self.longest, time.monotonic() - began)
            self.count += 1
            time.sleep(EVERY_SECONDS)


def _has_echo(data: bytes) -> tuple[bool, bytes]:
    found = False
    while len(data) >= 8:
        _, kind, length, _ = struct.unpack_from(">BBHI", data)
        if len(data) < length:
            break
        found |= kind == 3
        data = data[length:]
    return found, data


@contextmanager
def _api_server(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "lab.apiserver", "--kubeconfig", str(folder / "kubeconfig")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            for resource in CUSTOM_RESOURCES:
                _post(f"{url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(resource))
            _post(f"{url}/api/v1/namespaces", {"metadata": {"name": "heddle-system"}})
            yield url
        finally:
            process.terminate()


@contextmanager
def _replica(folder: Path, name: str) -> Iterator[Replica]:
    token = folder / "token"
    token.write_text(_TOKEN)
    rest, openflow = _free_port(), _free_port()
    command = [
        str(Path(sys.executable).parent / "ryu-manager"),
        "ryu_apps.controller",
        "--heddle-kubernetes",
        f"--heddle-kubeconfig={folder / 'kubeconfig'}",
        f"--heddle-replica={name}",
        f"--heddle-rest-listen=127.0.0.1:{rest}",
        f"--heddle-openflow-listen=127.0.0.1:{openflow}",
        f"--heddle-admin-token-file={token}",
        "--heddle-cluster-cidr=10.0.0.0/8",
        "--heddle-node-prefix=24",
        "--heddle-lease-seconds=20",
    ]
    with (folder / f"{name}.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield Replica(process, f"http://127.0.0.1:{rest}", openflow)
        except BaseException:
            sys.stderr.write("".join((folder / f"{name}.log").read_text().splitlines(keepends=True)[-20:]))
            raise
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)


def _has(replica: Replica, path: str, count: int) -> bool:
    """Whether all are there, by a sample: to list them all would hold up what is measured."""
    return all(_get(replica, f"/v1/{path.format(number)}") is not None for number in _sample(count))


def _has_pod(replica: Replica, number: int, asked: argparse.Namespace) -> bool:
    name = f"ns-{number % asked.namespaces}/app-{number % 5000}-{number}"
    return _get(replica, f"/v1/pods/{name}") is not None


def _sample(count: int) -> list[int]:
    return random.Random(7).sample(range(count), min(count, _SAMPLE))


def _get(replica: Replica, path: str) -> Any:
    request = urllib.request.Request(replica.url + path, headers={"Authorization": f"Bearer {_TOKEN}"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())
    except OSError:
        return None


def _post(url: str, body: Any) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
        answer.read()


def _wait(holds: Any) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("it takes too long")
        time.sleep(0.5)


def _resident(process: subprocess.Popen[bytes]) -> int:
    """Return how many bytes of memory a process has resident."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
