"""The two bridges of a node: br0, programmed by the controller, and br-ex, where a userspace datapath has its uplink.

What they should be is a pure function of the controller's configuration and the node's settings.
"""

from __future__ import annotations

from cni_shim.node.configuration import Configuration
from cni_shim.node.rows import BridgeRow, PortRow
from cni_shim.node.settings import Settings

EXTERNAL_BRIDGE = "br-ex"
VXLAN_PORT = "vxlan0"
GENEVE_PORT = "geneve0"
TUN_PORT = "tun0"
ICMP_PORT = "icmp0"  # to the translator of quotes and back
IGMP_PORT = "igmp0"  # what pods say of multicast groups, and queries
IGMP_OFPORT = 65002
ICMP_OFPORT = 65000  # far from the numbers that OVS gives by itself
GENEVE_OFPORT = 65001
VXLAN_UDP_PORT = 4789  # RFC 7348, section 5
GENEVE_UDP_PORT = 6081  # RFC 8926, section 3.3
UPLINK_KEY = "heddle-uplink"  # external_ids of br-ex: which interface was moved under it


def pod_bridge(configuration: Configuration, settings: Settings, mtu: int) -> BridgeRow:
    """br0. `mtu`: bytes that a pod's packet may have (the underlay's minus the encapsulation)."""
    tunnel = {
        "remote_ip": "flow",
        "key": "flow",
        "local_ip": configuration.underlay,
        "tos": "inherit" if settings.inherit_dscp else "0",
    }
    # Both at all times: a peer may send by either, and flows say by which this node does.
    vxlan = {"type": "vxlan", "ofport_request": 1, "options": {**tunnel, "dst_port": str(VXLAN_UDP_PORT)}}
    geneve = {
        "type": "geneve",
        "ofport_request": GENEVE_OFPORT,
        "options": {**tunnel, "dst_port": str(GENEVE_UDP_PORT)},
    }
    tunnels = (PortRow(VXLAN_PORT, vxlan), PortRow(GENEVE_PORT, geneve))
    icmp = {"type": "internal", "ofport_request": ICMP_OFPORT, "mtu_request": mtu}
    igmp = {"type": "internal", "ofport_request": IGMP_OFPORT, "mtu_request": mtu}
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
        ports=(*tunnels, PortRow(TUN_PORT, tun), PortRow(ICMP_PORT, icmp), PortRow(IGMP_PORT, igmp)),
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
