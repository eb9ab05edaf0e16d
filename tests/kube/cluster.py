"""An API server for tests: the double, in a process of its own, or the one that --kubeconfig names."""

import json
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kube.client import ApiServer, Client, Resource
from kube.errors import Conflict, NotFound
from kube.resources import CUSTOM_RESOURCES, GROUP, VERSION
from kube.schema import definition

CONFIG_MAPS = Resource("", "v1", "configmaps", namespaced=True)
NAMESPACES = Resource("", "v1", "namespaces")
DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")


class Cluster:
    """Where it is, and a client; the double can be broken on purpose too."""

    def __init__(self, kubeconfig: Path, url: str | None) -> None:
        self.kubeconfig = kubeconfig
        self.client = Client(ApiServer(kubeconfig))
        self._url = url
        self._made: list[tuple[Resource, str, str]] = []

    def fault(self, **wanted: Any) -> None:
        """Set a fault (see lab.apiserver.faults)."""
        assert self._url is not None, "only the double can be broken on purpose"
        request = urllib.request.Request(f"{self._url}/_faults", json.dumps(wanted).encode(), method="POST")
        urllib.request.urlopen(request, timeout=5).close()

    def namespace(self) -> str:
        """Make a namespace of a name that nobody has; it goes with the cluster."""
        name = f"t-{uuid.uuid4().hex[:10]}"
        self.client.create(NAMESPACES, {"metadata": {"name": name}})
        self._made.append((NAMESPACES, "", name))
        return name

    def make(self, resource: Resource, body: dict[str, Any], namespace: str = "") -> dict[str, Any]:
        """Make an object, which goes with the cluster."""
        made: dict[str, Any] = json.loads(self.client.create(resource, body, namespace))
        self._made.append((resource, namespace, made["metadata"]["name"]))
        return made

    def clean(self) -> None:
        """Remove what was made."""
        for resource, namespace, name in reversed(self._made):
            try:
                self.client.patch(resource, name, {"metadata": {"finalizers": None}}, namespace)
                self.client.delete(resource, name, namespace)
            except NotFound:
                pass
        self._made.clear()


def install(cluster: Cluster) -> None:
    """Let the API server know our custom resources, as they are now, and wait until it serves them."""
    for resource in CUSTOM_RESOURCES:
        wanted = definition(resource)
        try:
            cluster.client.create(DEFINITIONS, wanted)
        except Conflict:
            cluster.client.patch(DEFINITIONS, wanted["metadata"]["name"], wanted)
    for resource in CUSTOM_RESOURCES:
        _served(cluster, Resource(GROUP, VERSION, resource.plural))


def _served(cluster: Cluster, resource: Resource) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            cluster.client.list(resource, {"limit": 1})
            return
        except NotFound:
            assert time.monotonic() < deadline, f"{resource.full_name} is not served"
            time.sleep(0.05)


@contextmanager
def double(folder: Path, *arguments: str) -> Iterator[Cluster]:
    """Run the double for a while."""
    kubeconfig = folder / "kubeconfig"
    command = [sys.executable, "-m", "lab.apiserver", "--kubeconfig", str(kubeconfig), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Cluster(kubeconfig, process.stdout.readline().strip())
        finally:
            process.terminate()
