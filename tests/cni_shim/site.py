"""A node with an uplink to an outside host, as heddle-node finds one: nothing is set up yet. No assertions here."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cni_shim
from cni_shim.node import configuration, datapath, main, settings
from tests.cni_shim.fake_controller import TOKEN, FakeController
from tests.cni_shim.machine import Machine, inside, run, until

UNDERLAY, OUTSIDE = "198.51.100.1", "198.51.100.2"
REPOSITORY = Path(cni_shim.__file__).parent.parent


@dataclass
class Site:
    """`outside`: name of the namespace at the other end of the wire; it is also the node's tunnel peer."""

    machine: Machine
    outside: str
    folder: Path
    controller: FakeController = field(default_factory=FakeController)
    _running: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """OVS, the wire with addresses and a default route, and a controller that listens on the node."""
        self.machine.start()
        run("ip", "netns", "add", self.outside)
        run("ip", "-n", self.outside, "link", "set", "lo", "up")
        peer = ("peer", "name", "wire0", "netns", self.outside)
        run("ip", "link", "add", "name", "wire0", "netns", self.machine.name, "type", "veth", *peer)
        for name, address in ((self.machine.name, UNDERLAY), (self.outside, OUTSIDE)):
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "wire0")
            run("ip", "-n", name, "link", "set", "wire0", "up")
        self.machine.ip("route", "add", "default", "via", OUTSIDE)
        run("ip", "netns", "exec", self.outside, "ethtool", "-K", "wire0", "tx", "off")
        self.controller.configuration["peers"] = [OUTSIDE]
        self.controller.url = inside(self.machine.name, self.controller.start)
        (self.folder / "token").write_text(TOKEN)
        self.write_settings()

    def write_settings(self, **changes: Any) -> None:
        content = {
            "node": "n1",
            "controllers": [self.controller.url],
            "token_file": str(self.folder / "token"),
            "ovs_rundir": str(self.machine.rundir),
            "datapath": "netdev",
            "uplink": None,
            "state_dir": str(self.folder / "state"),
            "cni_conf_dir": str(self.folder / "net.d"),
            "cni_config": None,
            **changes,
        }
        self.file.write_text(json.dumps(content))

    @property
    def file(self) -> Path:
        return self.folder / "node.json"

    @property
    def conflist(self) -> Path:
        return self.folder / "net.d" / "10-heddle.conflist"

    @property
    def settings(self) -> settings.Settings:
        return settings.load(self.file)

    @property
    def management(self) -> str:
        return f"unix:{self.machine.rundir}/br0.mgmt"

    def command(self, *words: str) -> int:
        """The exit status of `heddle-node --config … WORDS`, in this process, on the node."""
        root = logging.getLogger()
        handlers = list(root.handlers)
        try:
            return inside(self.machine.name, lambda: main.main(["--config", str(self.file), *words]))
        finally:
            root.handlers[:] = handlers

    def ensure(self) -> list[str]:
        """What one pass over the node changes."""
        wanted = configuration.parse(self.controller.configuration, "n1")
        return inside(self.machine.name, lambda: datapath.ensure(wanted, self.settings))

    def run(self) -> subprocess.Popen[str]:
        """Start `heddle-node run` on the node; it logs into the file `run.log`."""
        words = ["ip", "netns", "exec", self.machine.name, sys.executable, "-m", "cni_shim.node.main"]
        with (self.folder / "run.log").open("a") as log:
            self._running = subprocess.Popen(
                [*words, "--config", str(self.file), "run"],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            )
        return self._running

    def log(self) -> str:
        return (self.folder / "run.log").read_text()

    def stop(self) -> int:
        """End `heddle-node run` by SIGTERM; its exit status."""
        assert self._running is not None
        self._running.terminate()
        status = self._running.wait(20)
        self._running = None
        return status

    def add_flow(self, flow: str) -> None:
        run("ovs-ofctl", "-O", "OpenFlow15", "add-flow", self.management, flow)

    def flows(self) -> list[str]:
        words = ("ovs-ofctl", "-O", "OpenFlow15", "--no-stats", "dump-flows", self.management)
        return [line.strip() for line in run(*words).splitlines() if "actions=" in line]

    def neighbours(self) -> dict[str, str]:
        """OVS's tunnel neighbours: MAC address by IP address."""
        control = f"--target={self.machine.rundir}/ovs-vswitchd.{self.machine.pid()}.ctl"
        lines = run("ovs-appctl", control, "tnl/neigh/show").splitlines()[2:]
        return {words[0]: words[1] for words in map(str.split, lines)}

    def nft(self, *words: str) -> str:
        return run("ip", "netns", "exec", self.machine.name, "nft", *words)

    def routes(self) -> set[tuple[str, str | None, str]]:
        found = json.loads(self.machine.ip("-json", "route"))
        return {(route["dst"], route.get("gateway"), route["dev"]) for route in found}

    def addresses(self, link: str) -> list[str]:
        """IPv4 addresses with lengths."""
        found = self.machine.links()[link]["addr_info"]
        return [f"{item['local']}/{item['prefixlen']}" for item in found if item["family"] == "inet"]

    def restart_switch(self) -> None:
        """End ovs-vswitchd and start it again: its flows are gone, its taps stay."""
        self.machine.stop("ovs-vswitchd")
        self.machine.start_vswitchd()
        until("br0", lambda: (self.machine.rundir / "br0.mgmt").exists())

    def remove(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait()
        self.controller.stop()
        self.machine.remove()
        run("ip", "netns", "del", self.outside, check=False)
