"""IGMP as packets: what a report says, and a general query. Pure; RFC 2236 (version 2) and RFC 3376 (version 3).

What is malformed says nothing: a host reports again.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network

GROUPS = IPv4Network("224.0.0.0/4")
LOCAL_GROUPS = IPv4Network("224.0.0.0/24")  # never forwarded (RFC 5771, section 4), so nobody is a member of one
MOST_SOURCES = 64  # of a group, that are told apart; who wants more of them wants all
ETHERNET = 14  # bytes before the IP header
_IPV4, _IGMP = 0x0800, 2
_QUERY, _V2_REPORT, _V2_LEAVE, _V3_REPORT = 0x11, 0x16, 0x17, 0x22
_ROUTER_ALERT = b"\x94\x04\x00\x00"  # RFC 2113
_ALL_SYSTEMS = IPv4Address("224.0.0.1")
_RECORD = struct.Struct("!BBH4s")  # type, words of auxiliary data, number of sources, group


class Kind(IntEnum):
    """Types of group records (RFC 3376, section 4.2.12)."""

    MODE_IS_INCLUDE = 1
    MODE_IS_EXCLUDE = 2
    CHANGE_TO_INCLUDE = 3
    CHANGE_TO_EXCLUDE = 4
    ALLOW_NEW_SOURCES = 5
    BLOCK_OLD_SOURCES = 6


@dataclass(frozen=True)
class Record:
    """What a host says of one group. Version 2 knows two of these: exclude nothing, and include nothing."""

    kind: Kind
    group: IPv4Address
    sources: frozenset[IPv4Address] = frozenset()


def is_group(address: IPv4Address) -> bool:
    """Whether there can be members of a group."""
    return address in GROUPS and address not in LOCAL_GROUPS


def records(frame: bytes) -> tuple[Record, ...]:
    """What an Ethernet frame says of groups; nothing if it is no report, or is malformed."""
    message = _message(frame)
    if len(message) < 8 or checksum(message):
        return ()
    kind = message[0]
    if kind in (_V2_REPORT, _V2_LEAVE):
        group = IPv4Address(message[4:8])
        said = Kind.CHANGE_TO_EXCLUDE if kind == _V2_REPORT else Kind.CHANGE_TO_INCLUDE
        return (Record(said, group),) if is_group(group) else ()
    return _version_3(message) if kind == _V3_REPORT else ()


def _message(frame: bytes) -> bytes:
    """The IGMP message in an Ethernet frame; empty if there is none. Fragments say nothing."""
    if len(frame) < ETHERNET + 20 or int.from_bytes(frame[12:14], "big") != _IPV4:
        return b""
    packet = frame[ETHERNET:]
    header, total = (packet[0] & 0x0F) * 4, int.from_bytes(packet[2:4], "big")
    is_whole = packet[0] >> 4 == 4 and 20 <= header <= total <= len(packet)
    is_fragment = int.from_bytes(packet[6:8], "big") & 0x3FFF
    return packet[header:total] if is_whole and not is_fragment and packet[9] == _IGMP else b""


def _version_3(message: bytes) -> tuple[Record, ...]:
    found: list[Record] = []
    at = 8
    for _ in range(int.from_bytes(message[6:8], "big")):
        if at + _RECORD.size > len(message):
            return ()
        kind, auxiliary, sources, group = _RECORD.unpack_from(message, at)
        start = at + _RECORD.size
        at = start + 4 * (sources + auxiliary)
        if at > len(message):
            return ()
        if kind in Kind.__members__.values() and is_group(IPv4Address(group)):
            named = (IPv4Address(message[start + 4 * n : start + 4 * n + 4]) for n in range(sources))
            found.append(Record(Kind(kind), IPv4Address(group), frozenset(named)))
    return tuple(found)


def query(destination_mac: bytes, response: float, robustness: int, interval: float) -> bytes:
    """A general query of version 3, which version 2 understands, to one port. Seconds: until all have answered, and
    until the next query.

    It is from 0.0.0.0, as of a switch that is no router (RFC 4541, section 2.1.1): no pod takes the node for one.
    """
    body = struct.pack("!BBH4sBBH", _QUERY, _code(response * 10), 0, b"\0" * 4, robustness & 7, _code(interval), 0)
    body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    total = 24 + len(body)
    head = struct.pack("!BBHHHBBH4s4s", 0x46, 0xC0, total, 0, 0, 1, _IGMP, 0, b"\0" * 4, _ALL_SYSTEMS.packed)
    head += _ROUTER_ALERT
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return destination_mac + b"\x02\0\0\0\0\x01" + _IPV4.to_bytes(2, "big") + head + body


def _code(value: float) -> int:
    """A time as an octet: as it is below 128, else as a floating-point number (RFC 3376, section 4.1.1)."""
    whole = round(value)
    if whole < 128:
        return max(whole, 0)
    exponent = min(max(whole.bit_length() - 8, 0), 7)
    mantissa = min((whole >> (exponent + 3)) & 0x1F, 0x1F)
    return 0x80 | exponent << 4 | mantissa & 0x0F


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); of data with a right one in it, 0."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
