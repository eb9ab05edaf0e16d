"""Checksum offload and MTU of a link by ioctl, in the network namespace of the caller. Nothing else about links."""

from __future__ import annotations

import _socket
import fcntl
from _struct import pack, unpack_from

SIOCETHTOOL = 0x8946  # linux/sockios.h
SIOCGIFMTU = 0x8921
ETHTOOL_STXCSUM = 0x17  # linux/ethtool.h


def control_socket() -> _socket.socket:
    """A socket for ioctls; it keeps the network namespace that it was made in."""
    return _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)


def transmit_checksum_off(interface: str, control: _socket.socket | None = None) -> None:
    """`ethtool -K interface tx off`. The userspace datapath reads frames whose checksum nobody would fill in.

    OSError when the device has no such switch.
    """
    import _ctypes  # not `array`, whose import brings `collections` along (3 ms)

    class Word(_ctypes._SimpleCData):  # type: ignore[type-arg]
        _type_ = "I"

    class Value(_ctypes.Structure):
        """struct ethtool_value, linux/ethtool.h."""

        _fields_ = (("cmd", Word), ("data", Word))

    value = Value(ETHTOOL_STXCSUM, 0)
    request = pack("16sP16x", interface.encode(), _ctypes.addressof(value))
    own = control or control_socket()
    try:
        fcntl.ioctl(own.fileno(), SIOCETHTOOL, request)
    finally:
        if control is None:
            own.close()


def mtu(interface: str) -> int:
    """Bytes of the largest packet of `interface`; OSError when it is not there."""
    own = control_socket()
    try:
        answer = fcntl.ioctl(own.fileno(), SIOCGIFMTU, pack("16s24x", interface.encode()))
    finally:
        own.close()
    return int(unpack_from("=i", answer, 16)[0])
