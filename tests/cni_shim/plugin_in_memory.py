"""The plugin with its four edges in a test's hand, called on a machine as a runtime would. No assertions here."""

from __future__ import annotations

import io
import json
import subprocess
from dataclasses import dataclass, field
from typing import Any

from cni_shim.attachment import Attachment
from cni_shim.plugin import main
from tests.cni_shim.machine import Machine, inside

UNSET = "(not set)"  # as a variable's or a field's value: leave it out


@dataclass(frozen=True)
class Outcome:
    """`value`: the decoded stdout, None when empty."""

    status: int
    value: Any
    log: str

    @property
    def code(self) -> int:
        return int(self.value["code"])

    @property
    def text(self) -> str:
        return f"{self.value['msg']}: {self.value['details']}"


@dataclass
class Plugin:
    """`netns`: the pod's namespace by name. Fields of a call's environment and configuration can be replaced."""

    machine: Machine
    url: str
    token_file: str
    netns: str
    container: str = "c1"
    ifname: str = "eth0"
    conf: dict[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The name of the host's end."""
        return Attachment("heddle", self.container, self.ifname).host

    def environment(self, command: str, **changes: str) -> dict[str, str]:
        values = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": self.container,
            "CNI_NETNS": f"/run/netns/{self.netns}",
            "CNI_IFNAME": self.ifname,
            "CNI_PATH": "/usr/lib/cni",
            "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=red;K8S_POD_NAME=a;K8S_POD_UID=u-1;K8S_OTHER=x",
            **changes,
        }
        return {name: value for name, value in values.items() if value != UNSET}

    def configuration(self, **changes: Any) -> dict[str, Any]:
        values = {
            "cniVersion": "1.1.0",
            "name": "heddle",
            "type": "heddle",
            "node": "n1",
            "controllers": [self.url],
            "token_file": self.token_file,
            "ca_file": None,
            "ovsdb": self.machine.database,
            "bridge": "br0",
            "timeout": 5,
            **self.conf,
            **changes,
        }
        return {name: value for name, value in values.items() if value != UNSET}

    def call(self, command: str, environment: dict[str, str] | None = None, **configuration: Any) -> Outcome:
        """One call on the machine. `environment` and `configuration`: what differs from the usual."""
        text = json.dumps(self.configuration(**configuration)).encode()
        return self.feed(text, self.environment(command, **(environment or {})))

    def feed(self, stdin: bytes, environment: dict[str, str]) -> Outcome:
        """One call with exactly these bytes and variables."""
        stdout, stderr = io.StringIO(), io.StringIO()
        status = inside(self.machine.name, lambda: main(environment, io.BytesIO(stdin), stdout, stderr))
        output = stdout.getvalue()
        return Outcome(status, json.loads(output) if output else None, stderr.getvalue())

    def add(self, **configuration: Any) -> dict[str, Any]:
        """The result of an ADD that must succeed."""
        outcome = self.call("ADD", **configuration)
        assert outcome.status == 0, (outcome.value, outcome.log)
        return dict(outcome.value)

    def chained(self, program: str, command: str, configuration: dict[str, object]) -> str:
        """Output of another plugin, executed on the machine as a runtime does."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.machine.name, program],
            input=json.dumps(configuration),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **self.environment(command)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} {command}: {done.stdout or done.stderr}")
        return done.stdout
