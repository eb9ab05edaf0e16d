"""The API server of a laboratory: the double, or a real one; in a namespace, and reached from here through a relay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from kube.client import ApiServer, Client, Resource
from kube.errors import ApiError, Conflict, NotFound
from lab.errors import LabError
from lab.namespaces import Namespace
from lab.relay import Relay
from topology.model import Cluster

PORT = 6443
REAL = "HEDDLE_KUBE_APISERVER"
"""Names the program of a real API server (kube-apiserver); etcd and openssl are on the PATH then."""

_DEADLINE = 60.0
_TOKEN = "laboratory-0123456789"  # of an API server that nobody else reaches


class LabApiServer:
    """It listens at `address` in `namespace`. `kubeconfig` leads there from the underlay, `here` from this machine."""

    client: Client

    def __init__(self, namespace: Namespace, directory: Path, address: IPv4Address) -> None:
        self.namespace = namespace
        self.address = address
        self.kubeconfig = directory / "kubeconfig"
        self.here = directory / "kubeconfig.here"
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []
        self._relay = Relay(namespace, address, PORT)

    @property
    def is_real(self) -> bool:
        """Whether it is not the double."""
        return REAL in os.environ

    def start(self) -> None:
        """Start it; return when it answers. LabError with its last words."""
        scheme = "https" if self.is_real else "http"
        self.kubeconfig.write_text(_kubeconfig(f"{scheme}://{self.address}:{PORT}"))
        self.here.write_text(_kubeconfig(f"{scheme}://127.0.0.1:{self._relay.port}"))
        self.client = Client(ApiServer(self.here))
        for command in self._real() if self.is_real else self._double():
            with self._log.open("ab") as log:
                process = self.namespace.start(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
                self._processes.append(process)
        self._wait()

    def stop(self) -> None:
        """End it."""
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        self._processes.clear()
        self._relay.close()

    def apply(self, resource: Resource, body: Mapping[str, Any], namespace: str = "") -> dict[str, Any]:
        """Make an object, or change what is there by what is given; return it."""
        name = body["metadata"]["name"]
        try:
            content = self.client.create(resource, body, namespace, name)
        except Conflict:
            content = self.client.patch(resource, name, body, namespace)
        made: dict[str, Any] = json.loads(content)
        return made

    def get(self, resource: Resource, name: str, namespace: str = "") -> dict[str, Any] | None:
        """An object, or None."""
        try:
            found: dict[str, Any] = json.loads(self.client.get(resource, name, namespace))
        except NotFound:
            return None
        return found

    def kubectl(self, *arguments: str) -> str:
        """What kubectl prints, as a person would call it. LabError when it fails, or is not installed."""
        program = shutil.which("kubectl")
        if program is None:
            raise LabError("kubectl is not installed")
        plugins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "KUBECONFIG": str(self.here), "PATH": plugins}
        command = [program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
        if done.returncode:
            raise LabError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    @property
    def _log(self) -> Path:
        return self._directory / "apiserver.log"

    def _wait(self) -> None:
        deadline = time.monotonic() + _DEADLINE
        namespaces = Resource("", "v1", "namespaces")
        while True:
            try:
                if self.get(namespaces, "default") is not None:
                    return
            except ApiError:
                pass
            if time.monotonic() > deadline or any(process.poll() is not None for process in self._processes):
                words = "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])
                raise LabError(f"the API server did not start; the end of {self._log}:\n{words}")
            time.sleep(0.05)

    def _double(self) -> Iterable[list[str]]:
        yield [sys.executable, "-m", "lab.apiserver", "--address", str(self.address), "--port", str(PORT)]

    def _real(self) -> Iterable[list[str]]:
        self._write_credentials()
        store, peer = f"http://127.0.0.1:{PORT + 1}", f"http://127.0.0.1:{PORT + 2}"
        folder = self._directory
        yield [
            *("etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", store),
            *("--advertise-client-urls", store, "--listen-peer-urls", peer),
        ]
        yield [
            *(os.environ[REAL], f"--etcd-servers={store}", f"--secure-port={PORT}"),
            *(f"--bind-address={self.address}", f"--advertise-address={self.address}"),
            *(f"--cert-dir={folder / 'certs'}", f"--token-auth-file={folder / 'tokens.csv'}"),
            *(f"--service-account-key-file={folder / 'sa.pub'}", "--authorization-mode=Node,RBAC"),
            *(f"--service-account-signing-key-file={folder / 'sa.key'}", "--allow-privileged=true"),
            *("--service-account-issuer=https://kubernetes.default.svc", "--disable-admission-plugins=ServiceAccount"),
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-cluster-ip-range={','.join(map(str, Cluster().service_cidrs))}",
        ]

    def _write_credentials(self) -> None:
        key, public = self._directory / "sa.key", self._directory / "sa.pub"
        for command in (
            ["openssl", "genrsa", "-out", str(key), "2048"],
            ["openssl", "rsa", "-in", str(key), "-pubout", "-out", str(public)],
        ):
            subprocess.run(command, check=True, capture_output=True)
        (self._directory / "tokens.csv").write_text(f"{_TOKEN},admin,1,system:masters\n")


def _kubeconfig(url: str) -> str:
    cluster = {"server": url, **({"insecure-skip-tls-verify": True} if url.startswith("https:") else {})}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
            "current-context": "lab",
        }
    )
