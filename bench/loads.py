"""Kinds of traffic from one namespace to an address, as much of it as gets through: by iperf3 and by `exchange`.

How much is moved depends on the machine as much as on the way: figures of two ways compare only if they were taken
beside each other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

from bench.pods import WrongEndError
from bench.workers import ROOT
from lab.namespaces import Namespace

IPERF_PORT: Final = 5201
EXCHANGE_PORT: Final = 5202
_SECONDS: Final = 1  # iperf3 takes whole ones
_EXCHANGED: Final = 0.5  # seconds: the more often ways take turns, the less it counts what else the machine does
_PATIENCE: Final = 20.0
_SMALL: Final = 64  # bytes of a small datagram's payload


class Moved(NamedTuple):
    """How much arrived, in units of the load, in how many seconds."""

    units: float
    seconds: float

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.units / self.seconds


class Load(NamedTuple):
    """A kind of traffic; `run` sends from a namespace to an address for a moment. WrongEndError if nothing arrives."""

    name: str
    unit: str
    run: Callable[[Namespace, str], Moved]


def serve(namespaces: Iterable[Namespace], undo: ExitStack) -> None:
    """Answer all kinds of traffic in these namespaces until `undo` ends it."""
    for namespace in namespaces:
        for command in (
            ["iperf3", "--server", "--port", str(IPERF_PORT)],
            [sys.executable, "-m", "bench.exchange", "serve", str(EXCHANGE_PORT)],
        ):
            process = namespace.start(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            undo.callback(process.wait)
            undo.callback(process.kill)


def _stream(source: Namespace, address: str) -> Moved:
    received = _iperf(source, address)["sum_received"]
    return Moved(received["bytes"] / 1e6, received["seconds"])


def _datagrams(source: Namespace, address: str) -> Moved:
    seen = _iperf(source, address, "--udp", "--bitrate", "0", "--length", str(_SMALL))["sum"]
    return Moved((seen["packets"] - seen["lost_packets"]) / 1e3, seen["seconds"])


def _iperf(source: Namespace, address: str, *more: str) -> Any:
    where = ("--client", address, "--port", str(IPERF_PORT), "--time", str(_SECONDS))
    found = _run(source, ("iperf3", "--json", *where, *more))
    if "error" in found:
        raise WrongEndError(f"iperf3 from {source.name} to {address}: {found['error']}")
    return found["end"]


def _exchange(kind: str) -> Callable[[Namespace, str], Moved]:
    def run(source: Namespace, address: str) -> Moved:
        command = (sys.executable, "-m", "bench.exchange", kind, address, str(EXCHANGE_PORT), str(_EXCHANGED))
        found = _run(source, command)
        return Moved(found["times"], found["seconds"])

    return run


def _run(source: Namespace, command: Sequence[str]) -> Any:
    """The JSON that a program prints in a namespace. WrongEndError with its words if there is none."""
    try:
        done = source.run(command, timeout=_PATIENCE)
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        said = f"nothing in {_PATIENCE:.0f} s"
    except json.JSONDecodeError:
        said = done.stderr.strip() or f"status {done.returncode}"
    raise WrongEndError(f"{' '.join(command)} in {source.name}: {said}")


STREAM: Final = Load("TCP stream", "MB", _stream)
DATAGRAMS: Final = Load("small datagrams", "1,000", _datagrams)
REQUESTS: Final = Load("request and answer", "request", _exchange("requests"))
CONNECTIONS: Final = Load("connect and close", "connection", _exchange("connections"))
LOADS: Final = (STREAM, DATAGRAMS, REQUESTS, CONNECTIONS)
