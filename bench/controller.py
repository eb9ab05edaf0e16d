"""The controller of a benchmark: the real process, `ryu-manager ryu_apps.controller`, on a ground, with REST on a
Unix socket (so that nothing of it appears on the network that is being measured)."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from bench.ground import OPENFLOW_PORT, Ground, entrance

_START_DEADLINE = 120.0
_SYNC_DEADLINE = 120.0


class ControllerError(RuntimeError):
    """The controller did not start, or did not do what it must; with the end of its log."""


class Controller:
    """The controller on `ground`; its store is there already if the network is to have something in it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._directory = ground.folder("controller")
        token = secrets.token_hex(16)
        self._headers = {"Authorization": f"Bearer {token}"}
        self._process: subprocess.Popen[bytes] | None = None
        self._client = _client(self._socket)
        (self._directory / "token").write_text(token)

    @property
    def store(self) -> Path:
        """Its store file."""
        return self._directory / "heddle.sqlite"

    @property
    def pid(self) -> int:
        """Its pid, while it runs."""
        if self._process is None:
            raise ControllerError("the controller does not run")
        return self._process.pid

    def start(self) -> float:
        """Start it and wait until it answers; the seconds that took. ControllerError when it does not."""
        began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = self._ground.namespace.start(
                self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() - began > _START_DEADLINE:
                raise ControllerError(f"the controller did not start; {self._last_words()}")
            time.sleep(0.01)
        return time.monotonic() - began

    def kill(self) -> None:
        """`kill -9`, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            self._client.close()
            self._client = _client(self._socket)

    def put_port(self, path: str, body: dict[str, Any]) -> None:
        """Report a pod's port, as a node's shim does."""
        self._request("PUT", path, body)

    def change(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask for a change; return when it is in force. ControllerError when it is not, or is refused."""
        answer = self._client.request(method, path, json=body, headers=self._headers)
        if answer.status_code >= 300 or answer.status_code == 202:
            raise ControllerError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def ask(self, path: str) -> Any:
        """What it answers to a GET of `path`."""
        return self._request("GET", path, None)

    def wait_gone(self, path: str) -> None:
        """Wait until there is nothing at `path` any more. ControllerError when it takes too long."""
        deadline = time.monotonic() + _SYNC_DEADLINE
        while self._client.get(path, headers=self._headers).status_code != 404:
            if time.monotonic() > deadline:
                raise ControllerError(f"{path} is still there; {self._last_words()}")
            time.sleep(0.01)

    def wait_in_sync(self, switches: int) -> None:
        """Wait until that many switches have what they must have. ControllerError when it takes too long."""
        deadline = time.monotonic() + _SYNC_DEADLINE
        while (found := self.in_sync()) < switches:
            if time.monotonic() > deadline:
                raise ControllerError(f"{found} of {switches} switches are in sync; {self._last_words()}")
            time.sleep(0.05)

    def in_sync(self) -> int:
        """How many switches have what they must have."""
        switches = self.ask("/v1/switches")["switches"]
        return sum(
            one["phase"] == "InSync" and one["committed_revision"] >= one["desired_revision"] for one in switches
        )

    @property
    def _log(self) -> Path:
        return self._directory / "controller.log"

    @property
    def _socket(self) -> Path:
        return self._directory / "rest"

    def _command(self) -> list[str]:
        # Its switches come by many addresses of the namespace, so it listens on all of them.
        return [
            str(Path(sys.executable).parent / "ryu-manager"),
            "ryu_apps.controller",
            f"--heddle-store={self.store}",
            f"--heddle-rest-listen=unix:{self._socket}",
            f"--heddle-openflow-listen=0.0.0.0:{OPENFLOW_PORT}",
            f"--heddle-advertise={entrance(1)}",
            f"--heddle-admin-token-file={self._directory / 'token'}",
            "--heddle-insecure",
        ]

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        answer = self._client.request(method, path, json=body, headers=self._headers)
        if answer.status_code >= 300:
            raise ControllerError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def _answers(self) -> bool:
        try:
            return self._client.get("/v1/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def _last_words(self, lines: int = 15) -> str:
        return "the end of its log:\n" + "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


def _client(socket: Path) -> httpx.Client:
    """One kept connection; no certificates are read for it."""
    transport = httpx.HTTPTransport(uds=str(socket), verify=False)
    return httpx.Client(transport=transport, base_url="http://heddle", timeout=30)
