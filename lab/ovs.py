"""One node's own Open vSwitch: ovsdb-server and ovs-vswitchd with private directories, started, killed, restarted.

Knows no bridges and no flows; those are the business of heddle-node and the controller.
"""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from lab.errors import LabError
from lab.namespaces import Namespace
from lab.processes import end

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
PROGRAMS = ("ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl")
OPENFLOW = "OpenFlow15"


class OpenVSwitch:
    """Open vSwitch in `namespace`, with everything it writes below `directory` (absolute)."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self._namespace = namespace
        self.directory = directory
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        self._environment = dict.fromkeys(names, str(directory))

    @property
    def database(self) -> Path:
        """The Unix socket of ovsdb-server."""
        return self.directory / "db.sock"

    def start(self) -> None:
        """Start both daemons on the database, a new one the first time; return when they serve."""
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "conf.db"
        if not file.exists():
            self._run("ovsdb-tool", "create", str(file), str(SCHEMA))
        self._run("ovsdb-server", str(file), f"--remote=punix:{self.database}", *self._daemon())
        self._run("ovs-vsctl", "--no-wait", "init")
        self.start_switch()

    def start_switch(self) -> None:
        """Start ovs-vswitchd alone; return when it serves what the database asks for."""
        self._run("ovs-vswitchd", f"unix:{self.database}", "--disable-system", *self._daemon())

    def stop_switch(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End ovs-vswitchd by signal `number` and wait for its end; the database stays."""
        self._end("ovs-vswitchd", number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End both daemons by signal `number`."""
        self._end("ovs-vswitchd", number)
        self._end("ovsdb-server", number)

    def vsctl(self, *arguments: str) -> str:
        """What ovs-vsctl prints; it waits, 10 s at most, for the switch to have done what it says."""
        return self._run("ovs-vsctl", "--timeout=10", *arguments)

    def ofctl(self, command: str, *arguments: str, bridge: str = "br0") -> str:
        """What `ovs-ofctl COMMAND BRIDGE ARGUMENTS…` prints, in OpenFlow 1.5 with port and table names."""
        target = f"unix:{self.directory}/{bridge}.mgmt"
        return self._run("ovs-ofctl", "-O", OPENFLOW, "--names", command, target, *arguments)

    def appctl(self, *arguments: str) -> str:
        """What ovs-appctl prints, asked of ovs-vswitchd."""
        return self._run("ovs-appctl", *arguments)

    def _daemon(self) -> list[str]:
        return ["--pidfile", "--detach", "--no-chdir", "--log-file", "-vconsole:off", "-vsyslog:off"]

    def _end(self, program: str, number: signal.Signals) -> None:
        pidfile = self.directory / f"{program}.pid"
        if not pidfile.exists():
            return
        if not end(int(pidfile.read_text()), number, state=self._namespace.state):
            raise LabError(f"{program} of {self._namespace.name} does not end after {number.name}")
        pidfile.unlink(missing_ok=True)

    def _run(self, *command: str) -> str:
        done = self._namespace.run(command, self._environment)
        if done.returncode:
            raise LabError(f"{self._namespace.name}: {' '.join(command)}: {done.stderr.strip()}{_last_words(self)}")
        return done.stdout


def _last_words(ovs: OpenVSwitch, lines: int = 3) -> str:
    """The last lines of both daemons' logs, for an error message."""
    logs = sorted(ovs.directory.glob("*.log"))
    return "".join(f"\n{log.name}: {line}" for log in logs for line in log.read_text().splitlines()[-lines:])


def check_programs(*more: str) -> None:
    """Raise LabError when a program that the laboratory starts is not installed, naming Debian's packages."""
    missing = [program for program in (*PROGRAMS, "ip", *more) if shutil.which(program) is None]
    if missing:
        raise LabError(f"not installed: {', '.join(missing)} (apt-get install openvswitch-switch iproute2 nftables)")
