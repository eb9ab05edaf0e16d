"""The result of ADD in each version of the specification (CNI 1.1.0, section 5; 0.3.1 and 0.4.0 name the IP version).

A pod whose network has a range of its own is told by its cluster address: the kubelet, and whoever reads the pod's
status, connects to what stands here. Routes are those inside the pod. See docs/decisions/cni-result-address.md.

Pure. What an earlier plugin of the chain found (`prevResult`) stays in front, ours is added behind it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cni_shim.attachment import Assignment, Attachment
    from cni_shim.request import Request


def result(request: Request, attachment: Attachment, assignment: Assignment, mtu: int) -> dict[str, Any]:
    """What ADD prints. `mtu`: bytes, of both ends of the veth (said from 1.1.0 on)."""
    network = request.network
    version = network.cni_version
    before = network.prev_result or {}
    sandboxed = len(before.get("interfaces") or ()) + 1  # index of the container's interface
    host: dict[str, Any] = {"name": attachment.host, "mac": attachment.host_mac.hex(":")}
    container: dict[str, Any] = {"name": request.ifname, "mac": assignment.mac, "sandbox": request.netns}
    if version == "1.1.0":
        host["mtu"] = container["mtu"] = mtu
    addresses = []
    for address, gateway in assignment.told:
        entry: dict[str, Any] = {"address": address, "interface": sandboxed}
        if gateway:
            entry["gateway"] = gateway
        if version in ("0.3.1", "0.4.0"):
            entry["version"] = "6" if ":" in address else "4"
        addresses.append(entry)
    routes = [{"dst": dst, "gw": gateway} if gateway else {"dst": dst} for dst, gateway in assignment.routes]
    return {
        **before,
        "cniVersion": version,
        "interfaces": [*(before.get("interfaces") or ()), host, container],
        "ips": [*(before.get("ips") or ()), *addresses],
        "routes": [*(before.get("routes") or ()), *routes],
        "dns": before.get("dns") or network.dns,
    }


def own_part(previous: dict[str, Any], host: str, netns: str, ifname: str) -> dict[str, Any] | None:
    """What ADD said about our attachment, out of a `prevResult`; None when it is not in it.

    Keys: `host` and `container` (interfaces), `addresses` ({address: gateway}).
    """
    interfaces = previous.get("interfaces") or []
    hosts = [i for i in interfaces if i.get("name") == host and not i.get("sandbox")]
    # A runtime may have the namespace under another path than at ADD: the name decides when the path does not.
    inside = [n for n, i in enumerate(interfaces) if i.get("name") == ifname and i.get("sandbox")]
    exact = [n for n in inside if interfaces[n]["sandbox"] == netns] or inside
    if not hosts or not exact:
        return None
    ips = [ip for ip in previous.get("ips") or [] if ip.get("interface") == exact[0]]
    return {
        "host": hosts[0],
        "container": interfaces[exact[0]],
        "addresses": {str(ip.get("address")): str(ip.get("gateway") or "") for ip in ips},
    }
