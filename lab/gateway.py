"""A pod of a laboratory that forwards what it is given, and lets it leave under its own address."""

from __future__ import annotations

from lab.errors import LabError
from lab.pod import Pod

_RULES = """table ip gateway {
  chain out {
    type nat hook postrouting priority srcnat;
    oifname "eth0" masquerade
  }
}
"""


def forward(pod: Pod) -> None:
    """Let a pod forward what it gets, by its eth0, under its own address. LabError when its kernel takes no rules."""
    pod.namespace.sysctl({"ipv4/ip_forward": "1", "ipv4/conf/all/send_redirects": "0"})
    pod.namespace.sysctl({"ipv4/conf/eth0/send_redirects": "0"})
    done = pod.namespace.run(["nft", "-f", "-"], text_in=_RULES)
    if done.returncode:
        raise LabError(f"nft in {pod.name}: {done.stderr.strip()}")
