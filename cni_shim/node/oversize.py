"""The answer to a packet that is too large: ICMP "fragmentation needed" (RFC 1191), ICMPv6 "packet too big" (RFC 4443).

A function of one frame; it keeps nothing. The answer comes from the address that the packet was for, so that it is one
that its sender can be reached from, whatever address space that is in.
"""

from __future__ import annotations

from typing import NamedTuple

ETHERNET = 14  # bytes
_ETH_IPV4, _ETH_IPV6 = b"\x08\x00", b"\x86\xdd"
_IPV4, _IPV6, _ICMP = 20, 40, 8  # bytes of headers
_PROTO_ICMP, _PROTO_ICMPV6 = 1, 58
_ICMP_ERRORS = (3, 4, 5, 11, 12)  # never answered by another error (RFC 1122, section 3.2.2)
_FRAGMENTATION_NEEDED, _PACKET_TOO_BIG = b"\x03\x04", b"\x02\x00"  # type and code
_LARGEST = {4: 576, 6: 1280}  # bytes of an answer (RFC 1812, section 4.3.2.3; RFC 4443, section 2.4)
_HOPS = 64


class _Parts(NamedTuple):
    """What is needed of an IP packet."""

    version: int
    source: bytes
    destination: bytes


def answer(frame: bytes, mtu: int) -> bytes | None:
    """The frame that tells the sender of `frame` that at most `mtu` bytes get there; None where none may be sent."""
    packet = frame[ETHERNET:]
    parts = _read(frame[12:ETHERNET], packet)
    if parts is None:
        return None
    return frame[6:12] + frame[:6] + frame[12:ETHERNET] + _packet(parts, packet, mtu)


def _read(kind: bytes, packet: bytes) -> _Parts | None:
    if kind == _ETH_IPV4 and len(packet) >= _IPV4 + _ICMP and packet[0] >> 4 == 4:
        header = (packet[0] & 0xF) * 4
        first = int.from_bytes(packet[6:8], "big") & 0x1FFF == 0  # of fragments, only the first is answered
        error = packet[9] == _PROTO_ICMP and packet[header : header + 1] in map(_octet, _ICMP_ERRORS)
        good = first and not error and _is_one_host(packet[12], packet[16:20])
        return _Parts(4, packet[12:16], packet[16:20]) if good else None
    if kind == _ETH_IPV6 and len(packet) >= _IPV6 + _ICMP and packet[0] >> 4 == 6:
        error = packet[6] == _PROTO_ICMPV6 and packet[_IPV6] < 128
        good = not error and any(packet[8:24]) and packet[8] != 0xFF and packet[24] != 0xFF
        return _Parts(6, packet[8:24], packet[24:40]) if good else None
    return None


def _octet(number: int) -> bytes:
    return bytes((number,))


def _is_one_host(source: int, destination: bytes) -> bool:
    """Whether both ends are: neither nobody, nor several (RFC 1122)."""
    return 0 < source < 224 and 0 < destination[0] < 224


def _packet(parts: _Parts, quoted: bytes, mtu: int) -> bytes:
    source, target = parts.destination, parts.source
    if parts.version == 4:
        body = _FRAGMENTATION_NEEDED + bytes(4) + mtu.to_bytes(2, "big") + quoted[: _LARGEST[4] - _IPV4 - _ICMP]
        head = b"\x45\0" + (_IPV4 + len(body)).to_bytes(2, "big") + b"\0\0\0\0" + bytes((_HOPS, _PROTO_ICMP))
        head += b"\0\0" + source + target
        return _filled(head, 10) + _filled(body, 2)
    body = _PACKET_TOO_BIG + b"\0\0" + mtu.to_bytes(4, "big") + quoted[: _LARGEST[6] - _IPV6 - _ICMP]
    length = len(body).to_bytes(4, "big")
    pseudo = source + target + length + b"\0\0\0" + bytes((_PROTO_ICMPV6,))
    head = b"\x60\0\0\0" + length[2:] + bytes((_PROTO_ICMPV6, _HOPS)) + source + target
    return head + _filled(body, 2, pseudo)


def _filled(content: bytes, place: int, before: bytes = b"") -> bytes:
    """`content` with its checksum (RFC 1071) at a place; `before` is covered too."""
    covered = before + content
    covered += b"\0" * (len(covered) % 2)
    total = sum(int.from_bytes(covered[at : at + 2], "big") for at in range(0, len(covered), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return content[:place] + (~total & 0xFFFF).to_bytes(2, "big") + content[place + 2 :]
