"""What card and kernel take off the CPU for tunnel packets on the underlay, and pairs of both that are known to be bad.

Only looked at: what is on, the kernel's data path uses by itself. A userspace data path reads and writes whole frames,
and uses none of it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from struct import pack, pack_into, unpack_from
from types import MappingProxyType
from typing import Any

from cni_shim import ethtool
from cni_shim.errors import ShimError
from cni_shim.node import uplink
from cni_shim.node.configuration import Configuration
from cni_shim.node.settings import Settings
from cni_shim.ovsdb import Database

_GDRVINFO, _GSTRINGS, _GRXFH, _GSSET_INFO, _GFEATURES = 0x03, 0x1B, 0x29, 0x37, 0x3A  # linux/ethtool.h
_FEATURE_STRINGS, _STRING = 4, 32  # ETH_SS_FEATURES, ETH_GSTRING_LEN
_DRIVER_INFO, _RX_CLASS = 196, 192  # bytes of struct ethtool_drvinfo, and of struct ethtool_rxnfc
_UDP_FLOWS = MappingProxyType({4: 0x02, 6: 0x06})  # UDP_V4_FLOW, UDP_V6_FLOW
_PORTS_HASHED = 0xC0  # RXH_L4_B_0_1 and RXH_L4_B_2_3

# What is asked for, and by which of the kernel's features any of which is enough (net/ethtool/common.c).
_FEATURES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "checksum": ("tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"),
        "segmentation": ("tx-tcp-segmentation",),
        "tunnel_segmentation": ("tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation"),
        "tunnel_ports": ("rx-udp_tunnel-port-offload",),
        "receive_hashing": ("rx-hashing",),
        "hardware_flows": ("hw-tc-offload",),
    }
)
_NAT_CHECKSUM_FIXED = (5, 7)  # projectcalico/calico#3145, kubernetes#91519; some older kernels have the repair too


@dataclass(frozen=True)
class Card:
    """`features`: what is asked for, and whether it is on; `ports_hashed`: whether packets that differ in their UDP
    ports are spread over receive queues, None when the card does not tell."""

    interface: str
    driver: str
    features: Mapping[str, bool]
    ports_hashed: bool | None

    def shown(self, kernel: str, is_used: bool) -> dict[str, Any]:
        """As `status` shows it; `is_used`: by the data path."""
        facts = {"interface": self.interface, "driver": self.driver, "kernel": kernel, "used": is_used}
        return {**facts, **self.features, "udp_ports_hashed": self.ports_hashed}

    def warnings(self, kernel: str, is_used: bool) -> tuple[str, ...]:
        """What of it is known to be bad, with a remedy; nothing where it is not used."""
        if not is_used:
            return ()
        found = []
        if self.driver == "vmxnet3" and self.features.get("tunnel_segmentation"):
            found.append(
                f"{self.interface} is a vmxnet3 card with tunnel offload on, whose host may drop VXLAN packets:"
                f" ethtool -K {self.interface} tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off"
            )
        if self.features.get("checksum") and _release(kernel) < _NAT_CHECKSUM_FIXED:
            found.append(
                f"kernel {kernel} may spoil checksums of translated VXLAN packets, which then take 63 s"
                f" (kubernetes#91519): use 5.7 or later, or ethtool -K {self.interface} tx off"
            )
        if self.ports_hashed is False and self.features.get("receive_hashing"):
            found.append(
                f"{self.interface} takes all tunnel packets of one peer in by one queue, for it does not look at UDP"
                f" ports: ethtool -N {self.interface} rx-flow-hash udp4 sdfn (udp6 likewise), if the card can"
            )
        return tuple(found)


def of_node(known: Configuration, settings: Settings) -> Card | None:
    """The card of the node's underlay; None while it is not known which that is."""
    try:
        database = Database(settings.database)
        try:
            found = uplink.find(known.underlay, settings, database)
        finally:
            database.close()
    except ShimError:
        return None
    return look(found.uplink, 6 if ":" in known.underlay else 4)


def is_used(settings: Settings) -> bool:
    """Whether the node's data path uses what a card can."""
    return settings.datapath == "system"


def warnings(known: Configuration, settings: Settings) -> tuple[str, ...]:
    """What of the node's card and kernel is known to be bad."""
    card = of_node(known, settings)
    return card.warnings(kernel_release(), is_used=is_used(settings)) if card else ()


def look(interface: str, version: int) -> Card:
    """Ask the kernel about an interface; `version`: of the underlay's IP. What a driver does not tell is left out."""
    with_names = _features(interface)
    features = {
        name: any(with_names[feature] for feature in any_of if feature in with_names)
        for name, any_of in _FEATURES.items()
        if any(feature in with_names for feature in any_of)
    }
    return Card(interface, _driver(interface), features, _hashes_ports(interface, version))


def kernel_release() -> str:
    return os.uname().release


def _release(kernel: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", kernel)
    return tuple(map(int, found.groups())) if found else _NAT_CHECKSUM_FIXED


def _driver(interface: str) -> str:
    try:
        answer = _ask(interface, pack("=I", _GDRVINFO).ljust(_DRIVER_INFO, b"\0"))
    except OSError:
        return ""
    return answer[4:36].rstrip(b"\0").decode(errors="replace")


def _features(interface: str) -> dict[str, bool]:
    """Whether each feature that this kernel knows is on."""
    try:
        answer = _ask(interface, pack("=IIQI", _GSSET_INFO, 0, 1 << _FEATURE_STRINGS, 0))
        count = unpack_from("=I", answer, 16)[0]
        names = _ask(interface, pack("=III", _GSTRINGS, _FEATURE_STRINGS, count) + bytes(count * _STRING))
        blocks = (count + 31) // 32
        states = _ask(interface, pack("=II", _GFEATURES, blocks) + bytes(blocks * 16))
    except OSError:
        return {}
    found = {}
    for number in range(count):
        start = 12 + number * _STRING
        name = names[start : start + _STRING].partition(b"\0")[0].decode(errors="replace")
        active = unpack_from("=I", states, 8 + number // 32 * 16 + 8)[0]  # available, requested, active, never changed
        found[name] = bool(active >> number % 32 & 1)
    return found


def _hashes_ports(interface: str, version: int) -> bool | None:
    request = bytearray(_RX_CLASS)
    pack_into("=II", request, 0, _GRXFH, _UDP_FLOWS[version])
    try:
        answer = _ask(interface, bytes(request))
    except OSError:
        return None
    return bool(unpack_from("=Q", answer, 8)[0] & _PORTS_HASHED == _PORTS_HASHED)


def _ask(interface: str, content: bytes) -> bytes:
    """Do SIOCETHTOOL with a structure; what the kernel made of it."""
    buffer = ctypes.create_string_buffer(content, len(content))
    control = ethtool.control_socket()
    try:
        request = pack("16sP16x", interface.encode(), ctypes.addressof(buffer))
        fcntl.ioctl(control.fileno(), ethtool.SIOCETHTOOL, request)
    finally:
        control.close()
    return buffer.raw
