"""The plugin as containerd 1.6 and kubelet call it: CNI 1.0.0, ADD and DEL alone, `loopback` beside it."""

from __future__ import annotations

import json
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import cni_shim
from cni_shim.node import configuration, conflist, settings
from tests.cni_shim.fake_controller import FakeController
from tests.cni_shim.fake_controller import configuration as answer
from tests.cni_shim.machine import Machine, run, until

pytestmark = [pytest.mark.ovs, pytest.mark.netns]

PLUGINS = Path(cni_shim.__file__).parent
LOOPBACK = Path("/usr/lib/cni/loopback")
CONTAINER = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"


@dataclass
class Runtime:
    """What libcni 1.0 makes of the conflist that heddle-node wrote. `netns` is a path, as containerd names it."""

    machine: Machine
    folder: Path
    netns: str
    uid: str = "6f1c1c3e-52ab-4a0e-9a35-0c5f3d7d3e11"
    container: str = CONTAINER

    def call(self, command: str, previous: Any = None, netns: str | None = None) -> Any:
        """Have the conflist's plugin do what `command` says; its answer. AssertionError with what it said."""
        (path,) = self.folder.glob("*.conflist")
        network = json.loads(path.read_text())
        (plugin,) = network["plugins"]
        given = {**plugin, "name": network["name"], "cniVersion": network["cniVersion"]}
        if previous is not None:
            given["prevResult"] = previous
        arguments = {
            "K8S_POD_INFRA_CONTAINER_ID": self.container,
            "K8S_POD_UID": self.uid,
            "IgnoreUnknown": "1",
            "K8S_POD_NAMESPACE": "red",
            "K8S_POD_NAME": "web-5d4f8b7c9-x2x9z",
        }
        return self.execute(PLUGINS / plugin["type"], command, given, "eth0", arguments, netns)

    def loopback(self, command: str) -> Any:
        """What the runtime does first with each pod."""
        return self.execute(
            LOOPBACK, command, {"cniVersion": "1.0.0", "name": "cni-loopback", "type": "loopback"}, "lo"
        )

    def execute(
        self,
        program: Path,
        command: str,
        given: Any,
        interface: str,
        arguments: dict[str, str] | None = None,
        netns: str | None = None,
    ) -> Any:
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": self.container,
            "CNI_NETNS": self.netns if netns is None else netns,
            "CNI_IFNAME": interface,
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in (arguments or {}).items()),
            "CNI_PATH": f"{PLUGINS}:{LOOPBACK.parent}",
        }
        words = ["ip", "netns", "exec", self.machine.name, str(program)]
        done = subprocess.run(
            words, env=environment, input=json.dumps(given), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        return json.loads(done.stdout) if done.stdout else None


@pytest.fixture
def runtime(machine: Machine, controller: FakeController, token_file: Path, tmp_path: Path) -> Iterator[Runtime]:
    """Return a runtime with heddle-node's own conflist, and a pod's namespace as containerd makes it."""
    told = settings.parse(
        {
            "node": "n1",
            "controllers": [controller.url],
            "token_file": str(token_file),
            "ovs_rundir": str(machine.rundir),
            "datapath": "netdev",
            "state_dir": str(tmp_path / "state"),
            "cni_conf_dir": str(tmp_path / "net.d"),
        }
    )
    heard = configuration.parse(answer(api=[controller.url]), "n1")
    conflist.present(heard, told)
    name = f"cni-{uuid.uuid4()}"
    run("ip", "netns", "add", name)
    yield Runtime(machine, tmp_path / "net.d", f"/var/run/netns/{name}")
    run("ip", "netns", "del", name, check=False)
    machine.remove_ports()


def test_a_pods_life(runtime: Runtime, controller: FakeController) -> None:
    assert runtime.loopback("ADD")["cniVersion"] == "1.0.0"
    result = runtime.call("ADD")
    assert result["cniVersion"] == "1.0.0"
    assert "version" not in result["ips"][0]  # only before CNI 1.0.0
    assert [link["name"] for link in result["interfaces"] if link.get("sandbox")] == ["eth0"]
    assert result["interfaces"][result["ips"][0]["interface"]]["sandbox"] == runtime.netns
    links = runtime.machine.links(Path(runtime.netns).name)
    assert {"lo", "eth0"} <= set(links)
    assert "UP" in links["lo"]["flags"]
    (port,) = controller.ports.values()
    assert (port["project"], port["pod"], port["pod_uid"]) == ("red", "web-5d4f8b7c9-x2x9z", runtime.uid)
    assert (runtime.call("DEL", result), runtime.loopback("DEL")) == (None, None)
    assert runtime.machine.traces() == []
    assert runtime.call("DEL", result) is None


def test_a_pod_whose_namespace_is_gone(runtime: Runtime) -> None:
    """As after a reboot: kubelet stops a sandbox that nothing is left of but the runtime's record."""
    result = runtime.call("ADD")
    run("ip", "netns", "del", Path(runtime.netns).name)
    until("the link's end", lambda: runtime.machine.veths() == [])
    assert runtime.call("DEL", result) is None
    assert runtime.call("DEL", result, netns="") is None
    assert runtime.machine.traces() == []


def test_a_pod_made_anew_under_its_name(runtime: Runtime, controller: FakeController) -> None:
    """A StatefulSet's pod: another container, another uid, while the first one's DEL is still to come."""
    first = runtime.call("ADD")
    name = f"cni-{uuid.uuid4()}"
    run("ip", "netns", "add", name)
    anew = replace(
        runtime, netns=f"/var/run/netns/{name}", container=CONTAINER.replace("0", "7"), uid=str(uuid.uuid4())
    )
    second = anew.call("ADD")
    assert second["ips"][0]["address"] != first["ips"][0]["address"]
    assert runtime.call("DEL", first) is None
    assert len(runtime.machine.ports()) == 1
    assert anew.call("DEL", second) is None
    run("ip", "netns", "del", name)
    assert runtime.machine.traces() == []


def test_many_at_once(runtime: Runtime, namespace: Callable[[], str]) -> None:
    """As after a drain: kubelet starts pods in parallel."""
    pods = [replace(runtime, netns=f"/var/run/netns/{namespace()}", container=f"{number:064x}") for number in range(8)]
    addresses: list[str] = []
    threads = [
        threading.Thread(target=lambda pod=pod: addresses.append(pod.call("ADD")["ips"][0]["address"])) for pod in pods
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(addresses)) == len(pods)
    for pod in pods:
        pod.call("DEL")
    assert runtime.machine.traces() == []
