"""One node of a laboratory: namespace, Open vSwitch, `heddle-node`, and the container runtime's view of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import cni_shim
from lab.api import Api, LateError
from lab.description import NodeSpec
from lab.echo import EchoServers
from lab.errors import LabError
from lab.hosts import Host
from lab.namespaces import Namespace
from lab.ovs import OpenVSwitch
from lab.runtime import Runtime

READY_DEADLINE = 30.0
PLUGINS = Path(cni_shim.__file__).parent
"""Where a runtime finds the plugin's executable `heddle`."""


class Node(Host):
    """A node: Open vSwitch and heddle-node in `namespace`, all files below `directory`."""

    def __init__(self, spec: NodeSpec, namespace: Namespace, directory: Path, echo: EchoServers) -> None:
        super().__init__(spec.name, namespace, spec.underlay, echo)
        self.directory = directory
        self.ovs = OpenVSwitch(namespace, directory / "ovs")
        self.runtime = Runtime(namespace, directory / "net.d", PLUGINS)
        self.gateway: IPv4Address | IPv6Address = IPv4Address(0)  # known once the controller has answered
        self.gateways: tuple[IPv4Address | IPv6Address, ...] = ()
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What heddle-node writes."""
        return self.directory / "heddle-node.log"

    def register(self, api: Api, controller_url: str) -> None:
        """Register the node with the controller and write heddle-node's configuration and token."""
        try:
            registered = api.post("/v1/nodes", {"name": self.name, "underlay": str(self.address)})
        except LateError as late:  # nodes registered before do not run yet
            registered = late.body
        self.configure(registered["token"], [controller_url])

    def configure(self, token_text: str, controllers: Sequence[str]) -> None:
        """Write heddle-node's configuration and token."""
        for folder in ("net.d", "keep"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        token = self.directory / "token"
        token.touch(mode=0o600)
        token.write_text(token_text)
        configuration = {
            "node": self.name,
            "controllers": list(controllers),
            "token_file": str(token),
            "ovs_rundir": str(self.ovs.directory),
            "datapath": "netdev",
            "uplink": None,
            "state_dir": str(self.directory / "keep"),
            "cni_conf_dir": str(self.directory / "net.d"),
            "cni_config": None,
        }
        self._configuration.write_text(json.dumps(configuration, indent=1))

    def start_keeper(self) -> None:
        """Start `heddle-node run`."""
        program = Path(sys.executable).parent / "heddle-node"
        command = [str(program), "--config", str(self._configuration), "run"]
        with self.log.open("ab") as log:
            self._keeper = self.namespace.start(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop_keeper(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End heddle-node by signal `number`; what it has set up stays."""
        if self._keeper is not None:
            self._keeper.send_signal(number)
            self._keeper.wait(10)
            self._keeper = None

    def wait_ready(self, api: Api) -> None:
        """Wait until heddle-node has written the conflist, and learn the gateway's address. LabError with its log."""
        try:
            self.runtime.wait_ready(time.monotonic() + READY_DEADLINE)
        except LabError as error:
            raise LabError(f"{error}; the end of {self.log}:\n{self._last_words()}") from None
        configuration = api.get(f"/v1/nodes/{self.name}/configuration")
        self.gateways = tuple(ip_address(gateway.partition("/")[0]) for gateway in configuration["gateways"])
        self.gateway = self.gateways[0]

    def ovs_ofctl(self, command: str, *arguments: str) -> str:
        """What `ovs-ofctl COMMAND br0 ARGUMENTS…` prints."""
        return self.ovs.ofctl(command, *arguments)

    def flows(self, bridge: str = "br0") -> list[str]:
        """The flows that the switch has, sorted, each as ovs-ofctl prints it; without counters and times."""
        return sorted(line.strip() for line in self.ovs.ofctl("dump-flows", "--no-stats", bridge=bridge).splitlines())

    def ovs_vsctl(self, *arguments: str) -> str:
        """What `ovs-vsctl ARGUMENTS…` prints."""
        return self.ovs.vsctl(*arguments)

    def ovs_appctl(self, *arguments: str) -> str:
        """What `ovs-appctl ARGUMENTS…` prints."""
        return self.ovs.appctl(*arguments)

    def restart_ovs(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End ovs-vswitchd by signal `number` and start it again; its flows are gone then."""
        self.ovs.stop_switch(number)
        self.ovs.start_switch()

    @property
    def _configuration(self) -> Path:
        return self.directory / "heddle-node.json"

    def _last_words(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""
