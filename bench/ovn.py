"""OVN on one machine without containers, as a peer: central databases, ovn-northd, and chassis with dummy switches.

Everything runs in the namespace of a ground, with directories of its own. The command line goes through nbctl's daemon,
which is OVN's own advice for many commands.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.dummies import DummyVSwitch
from bench.ground import Ground, underlay
from bench.world import FIRST_POD_PORT, host_interface, network_name
from lab.errors import LabError
from lab.probes import together
from topology.model import format_mac

PROGRAMS = ("ovn-northd", "ovn-controller", "ovn-nbctl")
_SCHEMAS = Path("/usr/share/ovn")
_BRIDGE = "br-int"
_DAEMON = ("--detach", "--no-chdir", "--pidfile", "--log-file", "-vconsole:off", "-vsyslog:off")
_WAIT = "--timeout=120"
_GROUP = "services"
_AT_ONCE = 500  # load balancers made by one command


def missing() -> tuple[str, ...]:
    """The programs of OVN that are not installed."""
    return tuple(program for program in PROGRAMS if shutil.which(program) is None)


class Balancer(NamedTuple):
    """A load balancer: its name, its address and port, and those of its endpoints."""

    name: str
    address: str
    endpoints: tuple[str, ...]

    @property
    def vips(self) -> str:
        """Its column of that name, as ovn-nbctl takes it: an endpoint more or less is the whole list anew."""
        return f'vips={{"{self.address}"="{",".join(self.endpoints)}"}}'

    def creation(self) -> Iterator[str]:
        """The words for ovn-nbctl that make it."""
        yield from ("--", f"--id=@{self.name}", "create", "load_balancer", f"name={self.name}", "protocol=tcp")
        yield self.vips
        yield from ("--", "add", "load_balancer_group", _GROUP, "load_balancer", f"@{self.name}")


class Ovn:
    """A central and `chassis` chassis, each with `pods` ports spread over `networks` logical switches."""

    def __init__(self, ground: Ground, chassis: int, pods: int, networks: int) -> None:
        self._ground = ground
        self._central = ground.folder("central")
        self._pods, self._networks = pods, networks
        self.switches = [
            DummyVSwitch(ground.namespace, ground.folder(f"chassis{number}")) for number in range(1, chassis + 1)
        ]
        self._nbctl_daemon = ""

    def start(self) -> None:
        """Start everything and wait until all chassis have all flows. LabError with what went wrong."""
        for database, schema in (("nb", "ovn-nb"), ("sb", "ovn-sb")):
            self._start_database(database, schema)
        sockets = [f"--ovn{database}-db=unix:{self._socket(database)}" for database in ("nb", "sb")]
        self._run_in(self._central, "ovn-northd", *sockets, *_DAEMON)
        socket = self._run_in(self._central, "ovn-nbctl", f"--db=unix:{self._socket('nb')}", *_DAEMON).strip()
        self._nbctl_daemon = socket
        together([partial(self._start_chassis, number) for number in range(1, len(self.switches) + 1)])
        self._fill()

    def nbctl(self, *arguments: str) -> str:
        """What ovn-nbctl prints."""
        return self._run_in(self._central, "ovn-nbctl", _WAIT, *arguments, OVN_NB_DAEMON=self._nbctl_daemon)

    def add_port(self, switch: int, name: str, host: int) -> None:
        """Add a port to logical switch `switch`, with the `host`-th address; return when all chassis have done it."""
        self.nbctl("--wait=hv", *_new_port(switch, name, host))

    def remove_port(self, name: str) -> None:
        """Remove a port; return when all chassis have done it."""
        self.nbctl("--wait=hv", "lsp-del", name)

    def balance(self, balancers: Sequence[Balancer]) -> None:
        """Let all logical switches have these load balancers; return when all chassis have their flows."""
        commands = ["--id=@all", "create", "load_balancer_group", f"name={_GROUP}"]
        for number in range(self._networks):
            commands += ["--", "add", "logical_switch", network_name(number), "load_balancer_group", "@all"]
        self.nbctl(*commands)
        for first in range(0, len(balancers), _AT_ONCE):
            some = balancers[first : first + _AT_ONCE]
            self.nbctl(*[word for one in some for word in one.creation()][1:])
        self.nbctl("--wait=hv", "sync")

    def rebalance(self, balancer: Balancer) -> None:
        """Give a load balancer other endpoints; return when all chassis have them."""
        self.nbctl("--wait=hv", "set", "load_balancer", balancer.name, balancer.vips)

    def bucket_count(self, number: int) -> int:
        """How many buckets all groups of chassis `number` (from 1) have.

        By their counters: Open vSwitch 3.1 ends when it is asked for a group that does not fit one message.
        """
        return self.switches[number - 1].ofctl("dump-group-stats", bridge=_BRIDGE).count(":packet_count=")

    def pids(self) -> dict[str, tuple[int, ...]]:
        """All processes, by program."""
        daemons = [switches.pids() for switches in self.switches]
        return {
            "ovn-northd": (self._pid(self._central, "ovn-northd"),),
            "ovn databases": (self._pid(self._central, "nb"), self._pid(self._central, "sb")),
            "ovn-nbctl daemon": (self._pid(self._central, "ovn-nbctl"),),
            "ovn-controller": tuple(self._pid(one.directory, "ovn-controller") for one in self.switches),
            "ovs-vswitchd": tuple(one["ovs-vswitchd"] for one in daemons),
            "ovsdb-server": tuple(one["ovsdb-server"] for one in daemons),
        }

    def flow_count(self, number: int) -> int:
        """How many flows chassis `number` (from 1) has."""
        reply = self.switches[number - 1].ofctl("dump-aggregate", bridge=_BRIDGE)
        return int(reply.rsplit("flow_count=", 1)[1].split()[0])

    def _start_database(self, name: str, schema: str) -> None:
        file = self._central / f"{name}.db"
        self._run_in(self._central, "ovsdb-tool", "create", str(file), str(_SCHEMAS / f"{schema}.ovsschema"))
        pidfile, log = self._central / f"{name}.pid", self._central / f"{name}.log"
        options = ("--detach", "--no-chdir", f"--pidfile={pidfile}", f"--log-file={log}", "-vconsole:off")
        control = f"--unixctl={self._central / f'{name}.ctl'}"
        self._run_in(
            self._central, "ovsdb-server", str(file), f"--remote=punix:{self._socket(name)}", control, *options
        )

    def _start_chassis(self, number: int) -> None:
        switches = self.switches[number - 1]
        switches.start()
        identity = [f"external-ids:system-id=c{number}", f"external-ids:ovn-remote=unix:{self._socket('sb')}"]
        identity += ["external-ids:ovn-encap-type=geneve", f"external-ids:ovn-encap-ip={underlay(number)}"]
        commands = ["set", "open", ".", *identity, "--", "add-br", _BRIDGE, "--", "set", "bridge", _BRIDGE]
        commands += ["datapath_type=dummy", "fail_mode=secure"]
        for pod in range(self._pods):
            name = host_interface(number, f"p{pod}")
            commands += ["--", "add-port", _BRIDGE, name, "--", "set", "interface", name, "type=dummy"]
            commands += [f"ofport_request={FIRST_POD_PORT + pod}", f"external-ids:iface-id={name}"]
        switches.vsctl(*commands)
        self._run_in(switches.directory, "ovn-controller", f"unix:{switches.database}", *_DAEMON)

    def _fill(self) -> None:
        commands: list[str] = []
        for number in range(self._networks):
            commands += ["--", "ls-add", network_name(number)]
        for number in range(1, len(self.switches) + 1):
            for pod in range(self._pods):
                name = host_interface(number, f"p{pod}")
                commands += ["--", *_new_port(pod % self._networks, name, number << 8 | pod + 2)]
        self.nbctl("--wait=hv", *commands[1:])

    def _socket(self, database: str) -> Path:
        return self._central / f"{database}.sock"

    def _pid(self, directory: Path, program: str) -> int:
        return int((directory / f"{program}.pid").read_text())

    def _run_in(self, directory: Path, *command: str, **environment: str) -> str:
        names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVN_RUNDIR", "OVN_LOGDIR", "OVN_DBDIR")
        places: Mapping[str, str] = dict.fromkeys(names, str(directory))
        done = self._ground.namespace.run(command, {**places, **environment}, timeout=150)
        if done.returncode:
            raise LabError(f"{' '.join(command)[:200]}: {done.stderr.strip()}")
        return done.stdout


def _new_port(switch: int, name: str, host: int) -> Iterable[str]:
    address = f"10.128.{host >> 8}.{host & 255}"
    mac = format_mac(0x0A58_0A80_0000 | host)
    return ("lsp-add", network_name(switch), name, "--", "lsp-set-addresses", name, f"{mac} {address}")
