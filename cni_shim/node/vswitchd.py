"""ovs-vswitchd of this node: is it there, has it flows; orders over its control socket (as ovs-appctl gives them)."""

from __future__ import annotations

import time
from pathlib import Path

from cni_shim.errors import IO_FAILURE, ShimError
from cni_shim.node.system import run
from cni_shim.ovsdb import JsonRpc

RESTORING = "restoring"
LONGEST_RESTORE = 30.0  # seconds


class Vswitchd:
    """One connection to the running ovs-vswitchd; it breaks when that process ends, which is how its end is noticed."""

    def __init__(self, rundir: Path, timeout: float = 5.0) -> None:
        self._rpc = JsonRpc(str(control_socket(rundir)), timeout)

    def set_tunnel_neighbour(self, bridge: str, address: str, mac: str) -> None:
        self._rpc.call("tnl/neigh/set", bridge, address, mac)

    def connections(self) -> tuple[int, int]:
        """How many connections the conntrack of a userspace data path holds, and how many it may."""
        return int(self._rpc.call("dpctl/ct-get-nconns")), int(self._rpc.call("dpctl/ct-get-maxconns"))

    def version(self) -> str:
        return str(self._rpc.call("version")).strip()

    def fileno(self) -> int:
        """Readable once ovs-vswitchd has ended (it says nothing unasked)."""
        return self._rpc.fileno()

    def close(self) -> None:
        self._rpc.close()


def control_socket(rundir: Path) -> Path:
    """ovs-vswitchd.PID.ctl, by its pid file; ShimError when it does not run."""
    pid_file = rundir / "ovs-vswitchd.pid"
    try:
        return rundir / f"ovs-vswitchd.{int(pid_file.read_text())}.ctl"
    except (OSError, ValueError) as error:
        raise ShimError(IO_FAILURE, f"ovs-vswitchd is not running ({pid_file})", str(error)) from None


def is_restoring(rundir: Path) -> bool:
    """Whether who started ovs-vswitchd is giving it back its flows: a file says so, and is believed for a while."""
    try:
        age = time.time() - (rundir / RESTORING).stat().st_mtime
    except OSError:
        return False
    return 0 <= age < LONGEST_RESTORE


def has_flows(rundir: Path, bridge: str) -> bool:
    """Whether `bridge` has OpenFlow flows: then it forwards without any controller."""
    try:
        answer = run("ovs-ofctl", "-O", "OpenFlow15", "dump-aggregate", f"unix:{rundir}/{bridge}.mgmt")
    except ShimError:
        return False
    words = dict(word.split("=", 1) for word in answer.replace(",", " ").split() if "=" in word)
    return int(words.get("flow_count", "0")) > 0
