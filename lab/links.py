"""Links inside namespaces by ioctl(2): up, MAC address, checksum offload. For what ip(8) would cost a process each.

Numbers are those of linux/sockios.h, linux/if.h and linux/ethtool.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

from lab.namespaces import Namespace

SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
SIOCGIFHWADDR = 0x8927
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
IFF_UP = 0x1


def up(namespace: Namespace, interface: str) -> None:
    """Set `interface` up. OSError when the namespace has none of that name."""
    with _control(namespace) as control:
        flags = struct.unpack_from("H", fcntl.ioctl(control, SIOCGIFFLAGS, _request(interface)), 16)[0]
        fcntl.ioctl(control, SIOCSIFFLAGS, _request(interface, struct.pack("H", flags | IFF_UP)))


def checksum_in_software(namespace: Namespace, interface: str) -> None:
    """Turn transmit checksum offload off (`ethtool -K … tx off`).

    A veth hands packets over with their checksums missing, and the userspace datapath passes them on as they are:
    ping works and TCP hangs.
    """
    setting = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
    with _control(namespace) as control:
        fcntl.ioctl(control, SIOCETHTOOL, _request(interface, struct.pack("P", ctypes.addressof(setting))))


def mac_address(namespace: Namespace, interface: str) -> str:
    """The MAC address of `interface`, in lowercase with colons. OSError when there is no such interface."""
    with _control(namespace) as control:
        return fcntl.ioctl(control, SIOCGIFHWADDR, _request(interface))[18:24].hex(":")


def _control(namespace: Namespace) -> socket.socket:
    return namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _request(interface: str, value: bytes = b"") -> bytes:
    """A struct ifreq: 16 bytes of name, 24 bytes of value."""
    return struct.pack("16s24s", interface.encode(), value)
