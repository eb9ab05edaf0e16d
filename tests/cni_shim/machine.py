"""A node as a test needs it: a network namespace with its own ovsdb-server and ovs-vswitchd. No assertions here."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cni_shim.netns import Namespace

Found = TypeVar("Found")
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
PATIENCE = 20.0  # seconds for anything that is awaited
PREFIX = "hdshim"


def run(*words: str, check: bool = True) -> str:
    """Output of a command; an error shows what it said."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr or done.stdout}")
    return done.stdout


def until(what: str, found: Callable[[], Found], patience: float = PATIENCE) -> Found:
    """The first result of `found` that is true; AssertionError when none comes in time."""
    deadline = time.monotonic() + patience
    while True:
        result = found()
        if result:
            return result
        assert time.monotonic() < deadline, f"{what}: not in {patience} s"
        time.sleep(0.02)


def inside(name: str, function: Callable[[], Found]) -> Found:
    """The result of `function`, called in a thread that is in namespace `name` (its own network, this process)."""
    results: list[Found] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            namespace = Namespace(f"/run/netns/{name}")
            namespace.__enter__()  # for good: the thread ends with the call
            namespace.close()
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


@dataclass
class Machine:
    """`name`: of the namespace; `folder`: for OVS's files."""

    name: str
    folder: Path
    _daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def rundir(self) -> Path:
        return self.folder / "ovs"

    @property
    def database(self) -> str:
        return f"unix:{self.rundir}/db.sock"

    @property
    def environment(self) -> dict[str, str]:
        folder = str(self.rundir)
        return {**os.environ, "OVS_RUNDIR": folder, "OVS_LOGDIR": folder, "OVS_DBDIR": folder}

    def start(self) -> None:
        """Make the namespace and start OVS in it."""
        self.rundir.mkdir()
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        run("ovsdb-tool", "create", str(self.rundir / "conf.db"), SCHEMA)
        self.start_ovsdb()
        run("ovs-vsctl", f"--db={self.database}", "--no-wait", "init")
        self.start_vswitchd()

    def start_ovsdb(self) -> None:
        words = ["ovsdb-server", f"{self.rundir}/conf.db", f"--remote=p{self.database}"]
        self._start("ovsdb-server", words)
        until("ovsdb-server", lambda: (self.rundir / "db.sock").exists())

    def start_vswitchd(self) -> None:
        self._start("ovs-vswitchd", ["ip", "netns", "exec", self.name, "ovs-vswitchd", self.database])
        process = self._daemons["ovs-vswitchd"]
        until("ovs-vswitchd", lambda: (self.rundir / f"ovs-vswitchd.{process.pid}.ctl").exists())

    def pid(self) -> str:
        """The process id of ovs-vswitchd."""
        return (self.rundir / "ovs-vswitchd.pid").read_text().strip()

    def stop(self, daemon: str) -> None:
        """End `daemon` ("ovs-vswitchd" or "ovsdb-server") and wait for its end."""
        process = self._daemons.pop(daemon)
        process.terminate()
        process.wait(PATIENCE)

    def _start(self, daemon: str, words: list[str]) -> None:
        pid_file = self.rundir / f"{daemon}.pid"
        pid_file.unlink(missing_ok=True)
        words = [*words, f"--pidfile={pid_file}", f"--log-file={self.rundir}/{daemon}.log", "-vconsole:off"]
        self._daemons[daemon] = subprocess.Popen(
            words, env=self.environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(daemon, pid_file.exists)

    def make_bridge(self) -> None:
        """br0 and tun0 without heddle-node: what the plugin needs to find."""
        words = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail_mode=secure"]
        tun = ["--", "add-port", "br0", "tun0", "--", "set", "interface", "tun0", "type=internal", "mtu_request=1450"]
        self.vsctl(*words, *tun)
        until("tun0", lambda: self.links().get("tun0", {}).get("mtu") == 1450)

    def vsctl(self, *words: str) -> str:
        return run("ovs-vsctl", f"--db={self.database}", "--timeout=20", *words)

    def appctl(self, *words: str) -> str:
        """What ovs-vswitchd answers."""
        return run("ovs-appctl", f"--target={self.rundir}/ovs-vswitchd.{self.pid()}.ctl", *words)

    def ip(self, *words: str) -> str:
        return run("ip", "-n", self.name, *words)

    def links(self, name: str | None = None) -> dict[str, dict[str, Any]]:
        """Links with addresses, of this machine or of namespace `name`, by name."""
        found = json.loads(run("ip", "-n", name or self.name, "-json", "-details", "address", "show"))
        return {link["ifname"]: link for link in found}

    def interface(self, name: str) -> dict[str, str]:
        """external_ids of Interface `name`; RuntimeError when there is none."""
        pairs = json.loads(self.vsctl("--format=json", "--columns=external_ids", "list", "Interface", name))
        return dict(pairs["data"][0][0][1])

    def rules(self, name: str, family: str = "-4") -> list[dict[str, Any]]:
        """Policy rules in namespace `name` besides the kernel's own three, as ip-rule(8) tells them, in their order."""
        found = json.loads(run("ip", family, "-n", name, "-json", "rule", "show"))
        return [rule for rule in found if rule["table"] not in ("local", "main", "default")]

    def ports(self) -> list[str]:
        """Pods' ports in the database."""
        listed = json.loads(self.vsctl("--format=json", "--columns=name", "list", "Interface"))["data"]
        return sorted(row[0] for row in listed if row[0].startswith("v") and len(row[0]) == 15)

    def all_open(self) -> bool:
        """Whether the switch has opened all pods' ports."""
        return all(self.vsctl("get", "Interface", name, "ofport").strip().isdigit() for name in self.ports())

    def veths(self) -> list[str]:
        return sorted(name for name in self.links() if name.startswith("v") and len(name) == 15)

    def traces(self) -> list[str]:
        """Everything that a pod has left on this machine."""
        return [*self.ports(), *self.veths()]

    def remove_ports(self) -> None:
        """Take away what pods have here, without the plugin."""
        for name in self.ports():
            self.vsctl("--if-exists", "del-port", name)
        for name in self.veths():
            self.ip("link", "del", name)

    def remove(self) -> None:
        for daemon in list(self._daemons):
            self.stop(daemon)
        run("ip", "netns", "del", self.name, check=False)


def remove_leftovers() -> None:
    """Take away namespaces, daemons and folders of test runs that are no more."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(PREFIX) and not _alive(name):
            for pid in run("ip", "netns", "pids", name, check=False).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 15)
            run("ip", "netns", "del", name, check=False)
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        if not _alive(folder.name):
            pid_file = folder / "ovs/ovsdb-server.pid"
            if pid_file.exists():
                with contextlib.suppress(ProcessLookupError, ValueError):
                    os.kill(int(pid_file.read_text()), 15)
            shutil.rmtree(folder, ignore_errors=True)


def _alive(name: str) -> bool:
    """Whether the test run that a name of ours tells of still runs."""
    number = name.removeprefix(PREFIX).split("-")[0]
    return number.isdigit() and Path(f"/proc/{number}").exists()
