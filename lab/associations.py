"""SCTP between namespaces, by real associations: handshake, data of several packets, an answer, shutdown.

Both ends are programs (sctp_end.py) with a stack of their own.
"""

from __future__ import annotations

import errno
import select
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from threading import BoundedSemaphore

from lab.errors import LabError
from lab.namespaces import Namespace
from lab.probes import PATIENCE, Outcome, Verdict

_PROGRAM = Path(__file__).with_name("sctp_end.py")
_START_SECONDS = 20.0
_AT_ONCE = BoundedSemaphore(8)  # programs that start at the same time


class Server:
    """Answers on some SCTP ports of one address in a namespace, from its making on until `close`.

    It says its name and whom it saw, as echo servers do. LabError when it does not start.
    """

    def __init__(self, namespace: Namespace, name: str, address: str, ports: Iterable[int]) -> None:
        command = [*_command("serve"), name, address, *map(str, ports)]
        self._process = namespace.start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        out = self._process.stdout
        assert out is not None
        if not select.select([out], [], [], _START_SECONDS)[0] or out.readline() != b"ready\n":
            self.close()
            raise LabError(f"the SCTP server of {name} did not start; its own words stand above")

    def close(self) -> None:
        """End it; associations that are open are not shut down."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def sctp(source: Namespace, target: str, port: int, patience: float = PATIENCE, bound: str = "") -> Outcome:
    """An association from `source` to a server, shut down in order within `patience` s; `bound` as for probes.ping.

    LabError when what came was not what the server sent.
    """
    with _AT_ONCE:
        done = source.run(
            [*_command("ask"), target, str(port), str(patience), bound], timeout=patience + _START_SECONDS
        )
    match done.returncode:
        case 0:
            by, seen_as, seconds = done.stdout.split()
            return Outcome(Verdict.ANSWERED, by, seen_as, float(seconds))
        case status if status == -signal.SIGALRM:
            return Outcome(Verdict.SILENT, seconds=patience)
        case errno.ECONNREFUSED | errno.ECONNRESET:
            return Outcome(Verdict.REFUSED, seconds=float(done.stdout))
        case errno.ENETUNREACH | errno.EHOSTUNREACH:
            return Outcome(Verdict.UNREACHABLE)
        case errno.ETIMEDOUT:
            return Outcome(Verdict.SILENT, seconds=patience)
    raise LabError(f"SCTP from {source.name} to {target}:{port}: {done.stderr.strip() or done.returncode}")


def _command(role: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(_PROGRAM), role]
