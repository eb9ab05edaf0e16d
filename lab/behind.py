"""A namespace behind a pod, on a link with a smaller MTU: the pod is its router, and refuses what is too large."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.errors import LabError
from lab.namespaces import Namespace
from lab.pod import Pod
from lab.state import State

ROUTER, INSIDE = "203.0.113.1", "203.0.113.2"  # of a range for documentation (RFC 5737)


@contextmanager
def behind(state: State, pod: Pod, port: int, mtu: int) -> Iterator[Namespace]:
    """Return a namespace to which the pod forwards what comes to its TCP `port`; `mtu` in bytes is the pod's link's.

    The far end keeps a larger one: its TCP offers large segments, so that only the pod finds out that they do not fit.
    Raises LabError when the pod's kernel takes no rules. All of it goes when the context ends.
    """
    (namespace,) = state.namespaces([f"behind-{pod.project}-{pod.attachment.pod.pod}"])
    rules = f"type nat hook prerouting priority -100\ntcp dport {port} dnat to {INSIDE}\n"
    try:
        pod.namespace.ip(
            [
                f"link add name in0 mtu {mtu} type veth peer name in1 netns {namespace.name}",
                f"address add {ROUTER}/30 dev in0",
                "link set in0 up",
            ]
        )
        namespace.ip([f"address add {INSIDE}/30 dev in1", "link set in1 up", f"route add default via {ROUTER}"])
        for end, link in ((pod.namespace, "in0"), (namespace, "in1")):
            end.run(["ethtool", "-K", link, "tx", "off"])
        pod.namespace.sysctl({"ipv4/ip_forward": "1"})
        done = pod.namespace.run(["nft", "-f", "-"], text_in=f"table ip behind {{\nchain pre {{\n{rules}}}\n}}\n")
        if done.returncode:
            raise LabError(f"nft in {pod.name}: {done.stderr.strip()}")
        yield namespace
    finally:
        pod.namespace.run(["nft", "delete", "table", "ip", "behind"])
        pod.namespace.run(["ip", "link", "delete", "in0"])
        state.forget(namespace)
