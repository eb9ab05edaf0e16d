"""The controller of a laboratory: `ryu-manager ryu_apps.controller` in its own namespace; started, stopped, killed.

It serves REST on the underlay for the nodes, and on a listening socket of the root namespace that the laboratory
made and hands down, so that `heddle` and `curl` reach it. The laboratory keeps that socket: the port stays the same
when the controller is killed and started again, and a request in between waits.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from ipaddress import IPv4Address
from pathlib import Path

from lab.api import Api
from lab.description import EXTERNAL, POOL
from lab.errors import LabError
from lab.namespaces import Namespace

REST_PORT = 8080
OPENFLOW_PORT = 6653
START_DEADLINE = 30.0


class Controller:
    """The controller at `address` on the underlay, its files in `directory`, REST on the root's 127.0.0.1:`port`."""

    flags: tuple[str, ...] = ()
    """Its flags, besides those that say where it listens and keeps its files."""

    def __init__(self, namespace: Namespace, directory: Path, address: IPv4Address, port: int = 0) -> None:
        """Take the port (0: a free one); LabError when somebody has it. Nothing is started yet."""
        self.namespace = namespace
        self.directory = directory
        self._address = address
        try:
            self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        except OSError as error:
            raise LabError(f"port {port} of 127.0.0.1: {error.strerror}; choose another, or 0 for a free one") from None
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.underlay_url = f"http://{address}:{REST_PORT}"
        self.api = Api(self.url)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The name of its folder, which is its own."""
        return self.directory.name

    @property
    def log(self) -> Path:
        """What it writes to its standard output and error."""
        return self.directory / "controller.log"

    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it answers. LabError with its last words when it ends, or is not there in time."""
        if self.is_running():
            raise LabError("the controller runs already")
        with self.log.open("ab") as log:
            self._process = self.namespace.start(
                self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, pass_fds=[self._listener.fileno()]
            )
        deadline = time.monotonic() + START_DEADLINE
        while not self._answers():
            if not self.is_running() or time.monotonic() > deadline:
                self.kill()
                raise LabError(f"the controller did not start; the end of {self.log}:\n{self._last_words()}")

    def stop(self, patience: float = 10.0) -> int:
        """End it by SIGTERM and return its exit status. LabError when it takes more than `patience` seconds."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise LabError(f"the controller does not end {patience} s after SIGTERM") from None

    def kill(self) -> None:
        """`kill -9`, and wait for its end. No error when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Stop it as it is (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise LabError("the controller does not run")
        self._process.send_signal(number)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Kill it and give the port back."""
        self.kill()
        self._listener.close()

    def _command(self) -> list[str]:
        program = Path(sys.executable).parent / "ryu-manager"
        if not program.exists():
            raise LabError(f"{program} is not there; run `make venv` and use that environment's python")
        return [
            str(program),
            "ryu_apps.controller",
            f"--heddle-store={self.directory / 'heddle.sqlite'}",
            f"--heddle-rest-listen={self._address}:{REST_PORT},fd:{self._listener.fileno()}",
            f"--heddle-openflow-listen={self._address}:{OPENFLOW_PORT}",
            f"--heddle-advertise={self._address}",
            f"--heddle-external-cidr={EXTERNAL}",
            f"--heddle-load-balancer-pool={POOL}",
            "--heddle-insecure",
            *self.flags,
        ]

    def _answers(self) -> bool:
        try:
            self.api.get("/v1/healthz", timeout=0.5)
        except LabError:
            return False
        except OSError:  # not accepted yet: the request waited in the socket's queue
            return False
        return True

    def _last_words(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
