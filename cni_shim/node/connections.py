"""How full the data path's table of connections is: when it is full, no pod begins a connection that needs one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cni_shim.errors import ShimError
from cni_shim.node.settings import Settings
from cni_shim.node.vswitchd import Vswitchd

NEARLY = 0.9  # of the limit: time to act before anybody is refused
_KERNEL = Path("/proc/sys/net/netfilter")


class Connections(NamedTuple):
    """How many connections conntrack holds, and how many it may."""

    held: int
    limit: int

    @property
    def trouble(self) -> str:
        """What is wrong, with a remedy; "" when there is room."""
        if self.held < NEARLY * self.limit:
            return ""
        return (
            f"conntrack holds {self.held} of {self.limit} connections, and refuses new ones when it is full:"
            " raise the limit (ovs-appctl dpctl/ct-set-maxconns; sysctl net.netfilter.nf_conntrack_max for the kernel's"
            " data path), or find who opens them (ovs-appctl dpctl/dump-conntrack)"
        )


def count(settings: Settings) -> Connections:
    """Ask the data path of this node. ShimError when it does not answer."""
    if settings.datapath != "netdev":
        try:
            held, limit = (int((_KERNEL / f"nf_conntrack_{name}").read_text()) for name in ("count", "max"))
        except OSError:  # not loaded: nothing is tracked
            return Connections(0, 1)
        return Connections(held, limit)
    vswitchd = Vswitchd(settings.ovs_rundir)
    try:
        return Connections(*vswitchd.connections())
    finally:
        vswitchd.close()


def trouble(settings: Settings) -> str:
    """Return what is wrong with it, in words; "" when there is room, or nobody to ask."""
    try:
        return count(settings).trouble
    except ShimError:
        return ""
