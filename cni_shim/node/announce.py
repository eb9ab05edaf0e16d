"""Gratuitous ARP (RFC 5227, section 3): tells the neighbours that an IPv4 address has another MAC address now.

The node's address gets br-ex's MAC when it moves there. A peer that had asked before would send its tunnel packets to
the uplink's MAC until it asks again; kernels and OVS both learn from an announcement at once.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

ETH_P_ARP = 0x0806
ARP_REQUEST = 1
BROADCAST = b"\xff" * 6


def announce(address: str, interface: str) -> None:
    """Broadcast that `address` is at `interface`; an IPv6 address is left to the kernel. OSError: no such interface."""
    ip = ipaddress.ip_address(address)
    if ip.version != 4:
        return
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((interface, ETH_P_ARP))
        mac = sender.getsockname()[4]
        packet = struct.pack("!HHBBH", 1, 0x0800, 6, 4, ARP_REQUEST) + mac + ip.packed + b"\0" * 6 + ip.packed
        sender.send(BROADCAST + mac + struct.pack("!H", ETH_P_ARP) + packet)
