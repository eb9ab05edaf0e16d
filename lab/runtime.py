"""What a container runtime does with CNI on one node: finds the conflist, executes plugins, reads what they print.

Follows the CNI specification 1.1.0, "Section 2: Execution Protocol" and "Section 3: Execution of Network
Configurations". Nothing here knows Heddle: the plugin is whatever the conflist names.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lab.description import PodName
from lab.errors import LabError
from lab.namespaces import Namespace

COMMAND_TIMEOUT = 60.0
NOTHING: Mapping[str, Any] = MappingProxyType({})


class CniError(LabError):
    """A plugin refused: its error object's `code`, `msg` and `details`."""

    def __init__(self, command: str, error: dict[str, Any]) -> None:
        super().__init__(f"CNI {command}: {error.get('code')}: {error.get('msg')} {error.get('details', '')}".rstrip())
        self.code = error.get("code")
        self.error = error


@dataclass(frozen=True)
class Attachment:
    """One interface of one container: what identifies it to a plugin."""

    container: str
    netns: Path
    pod: PodName
    interface: str = "eth0"
    pod_uid: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The CNI_* variables that name it, with the arguments that Kubernetes' runtimes give."""
        arguments = {
            "IgnoreUnknown": "1",
            "K8S_POD_NAMESPACE": self.pod.project,
            "K8S_POD_NAME": self.pod.pod,
            "K8S_POD_INFRA_CONTAINER_ID": self.container,
        } | ({"K8S_POD_UID": self.pod_uid} if self.pod_uid else {})
        return {
            "CNI_CONTAINERID": self.container,
            "CNI_NETNS": str(self.netns),
            "CNI_IFNAME": self.interface,
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in arguments.items()),
        }


class Runtime:
    """A runtime in the node's namespace, with its directories: of configurations, and of plugins' executables.

    Plugins that declare capabilities are given what is in `capabilities` for them, the same for every container.
    """

    def __init__(
        self, namespace: Namespace, configurations: Path, *plugins: Path, capabilities: Mapping[str, Any] = NOTHING
    ) -> None:
        self._namespace = namespace
        self._configurations = configurations
        self._plugins = plugins
        self._capabilities = capabilities
        self.overrides: dict[str, Any] = {}  # fields of the plugins' configurations that are otherwise for what comes

    def ready(self) -> bool:
        """Whether there is a network configuration: runtimes take that for the network's readiness."""
        return bool(self._conflists())

    def wait_ready(self, deadline: float) -> None:
        """Wait for a configuration until `deadline` (monotonic, s); LabError when it does not come."""
        while not self.ready():
            if time.monotonic() > deadline or not self._configurations.is_dir():
                raise LabError(f"{self._namespace.name}: no network configuration in {self._configurations}")
            time.sleep(0.02)

    def add(self, attachment: Attachment) -> dict[str, Any]:
        """ADD by every plugin in turn; the last one's result. CniError when one refuses, after a DEL."""
        result: dict[str, Any] | None = None
        try:
            for plugin in self._plugin_configurations():
                result = self._execute("ADD", plugin, attachment, result)
        except CniError:
            self.delete(attachment)
            raise
        if result is None:
            raise LabError(f"{self._namespace.name}: the network configuration names no plugin")
        return result

    def delete(self, attachment: Attachment, previous: dict[str, Any] | None = None) -> None:
        """DEL by every plugin, last first. CniError when one refuses."""
        for plugin in reversed(self._plugin_configurations()):
            self._execute("DEL", plugin, attachment, previous)

    def check(self, attachment: Attachment, previous: dict[str, Any]) -> None:
        """CHECK by every plugin in turn; CniError when one finds something wrong."""
        for plugin in self._plugin_configurations():
            self._execute("CHECK", plugin, attachment, previous)

    def status(self) -> None:
        """STATUS of every plugin; CniError (50 or 51) when one is not ready."""
        for plugin in self._plugin_configurations():
            self._execute("STATUS", plugin, None, None)

    def collect_garbage(self, valid: list[Attachment]) -> None:
        """GC by every plugin: whatever is not in `valid` goes. CniError when one could not remove something."""
        listed = [{"containerID": one.container, "ifname": one.interface} for one in valid]
        for plugin in self._plugin_configurations():
            self._execute("GC", {**plugin, "cni.dev/valid-attachments": listed}, None, None)

    def _conflists(self) -> list[Path]:
        return sorted(self._configurations.glob("*.conflist"))

    def _plugin_configurations(self) -> list[dict[str, Any]]:
        """What each plugin of the first conflist is given, by the derivation rules of the specification's section 3."""
        conflists = self._conflists()
        if not conflists:
            raise LabError(f"{self._namespace.name}: not ready: no network configuration in {self._configurations}")
        conflist = json.loads(conflists[0].read_text())
        common = {"cniVersion": conflist["cniVersion"], "name": conflist["name"]}
        return [{**self._derived(plugin), **self.overrides, **common} for plugin in conflist["plugins"]]

    def _derived(self, plugin: dict[str, Any]) -> dict[str, Any]:
        """A plugin's configuration with runtimeConfig in place of the capabilities that it declares."""
        declared = {name for name, wanted in plugin.get("capabilities", {}).items() if wanted}
        given = {name: value for name, value in self._capabilities.items() if name in declared}
        rest = {name: value for name, value in plugin.items() if name != "capabilities"}
        return {**rest, "runtimeConfig": given} if given else rest

    def _execute(
        self, command: str, plugin: dict[str, Any], attachment: Attachment | None, previous: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Run one plugin; its result, or {} when it printed nothing."""
        found = (folder / plugin["type"] for folder in self._plugins)
        executable = next((path for path in found if path.exists()), self._plugins[0] / plugin["type"])
        environment = {"CNI_COMMAND": command, "CNI_PATH": ":".join(map(str, self._plugins))}
        if attachment is not None:
            environment |= attachment.environment
        configuration = plugin if previous is None else {**plugin, "prevResult": previous}
        done = self._namespace.run([str(executable)], environment, json.dumps(configuration), COMMAND_TIMEOUT)
        printed = _decoded(done.stdout)
        if done.returncode:
            nothing = {"code": None, "msg": f"no error object, exit status {done.returncode}: {done.stderr.strip()}"}
            raise CniError(command, printed or nothing)
        return printed


def _decoded(text: str) -> dict[str, Any]:
    try:
        decoded = json.loads(text) if text.strip() else {}
    except ValueError:
        raise LabError(f"a CNI plugin printed something that is not JSON: {text[:200]!r}") from None
    return decoded if isinstance(decoded, dict) else {}
