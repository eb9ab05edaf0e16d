"""The result of ADD in each version of the specification (CNI 1.1.0, section 5; 0.3.1 and 0.4.0 name the IP version).

A pod whose network has a range of its own is told by its cluster address: the kubelet, and whoever reads the pod's
status, connects to what stands here. Routes are those inside the pod. See docs/decisions/cni-result-address.md. The
interface that the runtime asked for is the first of ours, so that who takes one address takes that one's.

Pure. What an earlier plugin of the chain found (`prevResult`) stays in front, ours is added behind it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final

    from cni_shim.attachment import Assignment, Attachment
    from cni_shim.request import Request


class Part:
    """One interface as it stands in the pod.

    `link`: index of its end there, MTU of this end and the host's; `routes`: those of the assignment that were made.
    """

    __slots__ = ("assignment", "attachment", "host_mtu", "index", "mtu", "routes")

    def __init__(
        self,
        attachment: Attachment,
        assignment: Assignment,
        link: tuple[int, int, int],
        routes: Sequence[tuple[str, str]],
    ) -> None:
        self.attachment: Final = attachment
        self.assignment: Final = assignment
        self.index, self.mtu, self.host_mtu = link
        self.routes: Final = routes


def result(request: Request, parts: Sequence[Part]) -> dict[str, Any]:
    """What ADD prints. `parts`: the pod's interfaces; that which the runtime asked for is the first."""
    network = request.network
    before = network.prev_result or {}
    interfaces = list(before.get("interfaces") or ())
    addresses = list(before.get("ips") or ())
    routes = list(before.get("routes") or ())
    for part in parts:
        interfaces += _interfaces(part, network.cni_version, request.netns, is_tap=network.tap)
        addresses += _addresses(part, network.cni_version, len(interfaces) - 1)
        routes += [{"dst": dst, "gw": gateway} if gateway else {"dst": dst} for dst, gateway in part.routes]
    return {
        **before,
        "cniVersion": network.cni_version,
        "interfaces": interfaces,
        "ips": addresses,
        "routes": routes,
        "dns": before.get("dns") or network.dns,
    }


def _interfaces(part: Part, version: str, netns: str, is_tap: bool) -> tuple[dict[str, Any], ...]:
    """Both ends of a veth: the host's, the container's; a tap has the latter alone."""
    mine = part.attachment
    host: dict[str, Any] = {"name": mine.host, "mac": mine.host_mac.hex(":")}
    container: dict[str, Any] = {"name": mine.ifname, "mac": part.assignment.mac, "sandbox": netns}
    if version == "1.1.0":
        host["mtu"], container["mtu"] = part.host_mtu, part.mtu
    return (container,) if is_tap else (host, container)


def _addresses(part: Part, version: str, index: int) -> Iterator[dict[str, Any]]:
    """`index`: of the container's interface in the result."""
    for address, gateway in part.assignment.told:
        entry: dict[str, Any] = {"address": address, "interface": index}
        if gateway:
            entry["gateway"] = gateway
        if version in ("0.3.1", "0.4.0"):
            entry["version"] = "6" if ":" in address else "4"
        yield entry
