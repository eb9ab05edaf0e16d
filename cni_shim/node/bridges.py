"""The two bridges of a node: br0, programmed by the controller, and br-ex, where a userspace datapath has its uplink.

What they should be is a pure function of the controller's configuration and the node's settings.
"""

from __future__ import annotations

from cni_shim.node.configuration import Configuration
from cni_shim.node.rows import BridgeRow, PortRow
from cni_shim.node.settings import Settings

EXTERNAL_BRIDGE = "br-ex"
VXLAN_PORT = "vxlan0"
TUN_PORT = "tun0"
ICMP_PORT = "icmp0"  # to the translator of quotes and back
ICMP_OFPORT = 65000  # far from the numbers that OVS gives by itself
VXLAN_UDP_PORT = 4789  # RFC 7348, section 5
UPLINK_KEY = "heddle-uplink"  # external_ids of br-ex: which interface was moved under it


def pod_bridge(configuration: Configuration, settings: Settings, mtu: int) -> BridgeRow:
    """br0. `mtu`: bytes that a pod's packet may have (the underlay's minus the encapsulation)."""
    vxlan = {
        "type": "vxlan",
        "ofport_request": 1,
        "options": {
            "remote_ip": "flow",
            "key": "flow",
            "local_ip": configuration.underlay,
            "dst_port": str(VXLAN_UDP_PORT),
        },
    }
    icmp = {"type": "internal", "ofport_request": ICMP_OFPORT, "mtu_request": mtu}
    tun = {"type": "internal", "ofport_request": 2, "mac": configuration.gateway_mac, "mtu_request": mtu}
    return BridgeRow(
        name=configuration.bridge,
        columns={
            "datapath_type": settings.datapath,
            "fail_mode": "secure",
            "protocols": ("OpenFlow15",),
            "other_config": {"datapath-id": configuration.datapath_id, "disable-in-band": "true"},
            "external_ids": {"heddle-node": configuration.node},
        },
        ports=(PortRow(VXLAN_PORT, vxlan), PortRow(TUN_PORT, tun), PortRow(ICMP_PORT, icmp)),
        controllers=configuration.controllers,
        # Milliseconds. A controller that was restarted finds its switches again within a second.
        controller_columns={"max_backoff": 1000, "inactivity_probe": 10000},
    )


def external_bridge(uplink: str, uplink_mac: str) -> BridgeRow:
    """br-ex: a learning switch between the uplink and the node's own address on its LOCAL port."""
    return BridgeRow(
        name=EXTERNAL_BRIDGE,
        columns={
            "datapath_type": "netdev",
            "fail_mode": "standalone",
            "other_config": {"hwaddr": local_mac(uplink_mac), "disable-in-band": "true"},
            "external_ids": {UPLINK_KEY: uplink},
        },
        ports=(PortRow(uplink, {}),),
    )


def local_mac(uplink_mac: str) -> str:
    """A locally administered MAC address that differs from the uplink's, always the same for the same uplink.

    With the uplink's own, OVS would send what is for the node back out of the wire.
    """
    octets = [int(part, 16) for part in uplink_mac.split(":")]
    octets[0] = ((octets[0] ^ 0x04) | 0x02) & 0xFE
    return ":".join(f"{octet:02x}" for octet in octets)
