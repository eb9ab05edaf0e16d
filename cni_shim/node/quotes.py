"""What an ICMP error quotes, put into the addresses that its receiver knows. A function of one frame; it keeps nothing.

The switch changes the addresses of a packet on its way, and those of an error about it on the way back, but it cannot
reach the packet that the error quotes. So it sends the error here with its own ends changed already, and with what the
sender's address was before in the frame's MAC addresses (its other fields there are the switch's business):
the low 16 bits of the destination MAC are that address's high half, those of the source MAC its low half.
"""

from __future__ import annotations

ETHERNET, ADDRESS = 14, 4  # bytes
ETH_P_IP = b"\x08\x00"
LEAST_HEADER, ICMP_HEADER = 20, 8
ICMP, TCP, UDP = 1, 6, 17
ERRORS = (3, 11, 12)  # unreachable (fragmentation needed too), time exceeded, parameter problem (RFC 792)
OFFSET_MASK = 0x1FFF  # of a fragment, in the word that has the flags too
CHECKSUM, SOURCE, DESTINATION = 10, 12, 16  # where they are in an IPv4 header


def translate(frame: bytes) -> bytes | None:
    """Return an Ethernet frame with its ICMP error's quote translated; None: it is none, or quotes too little.

    Who gets an error is who sent what it quotes: the quoted source becomes the error's destination. If the quoted
    packet was for the error's sender, by the address that it had before, the quoted destination becomes its present
    one. Checksums that were right are right again, and those that were wrong stay wrong.
    """
    outer = _header(frame, ETHERNET)
    if frame[12:ETHERNET] != ETH_P_IP or outer is None or frame[ETHERNET + 9] != ICMP:
        return None
    length, end = outer
    icmp = ETHERNET + length
    if end < icmp + ICMP_HEADER or frame[icmp] not in ERRORS or _offset(frame, ETHERNET):
        return None
    at = icmp + ICMP_HEADER
    quoted = _header(frame[:end], at, whole=False)
    if quoted is None:
        return None
    changed = bytearray(frame)
    sender, receiver = (frame[ETHERNET + field :][:ADDRESS] for field in (SOURCE, DESTINATION))
    changed[at + SOURCE : at + SOURCE + ADDRESS] = receiver
    if frame[at + DESTINATION :][:ADDRESS] == frame[4:6] + frame[10:12]:
        changed[at + DESTINATION : at + DESTINATION + ADDRESS] = sender
    ends = slice(at + SOURCE, at + DESTINATION + ADDRESS)
    words = [at + CHECKSUM, *_transport_checksum(frame[:end], at, quoted[0])]
    for word in words:
        _adjust(changed, word, frame[ends], bytes(changed[ends]))
    _restore_udp(changed, at, words[1:])
    for word in words:
        _adjust(changed, icmp + 2, frame[word : word + 2], bytes(changed[word : word + 2]))
    _adjust(changed, icmp + 2, frame[ends], bytes(changed[ends]))
    return bytes(changed)


def _header(frame: bytes, at: int, *, whole: bool = True) -> tuple[int, int] | None:
    """Return the length of an IPv4 header and where its packet ends; None: there is none, or it is not `whole`."""
    if len(frame) < at + LEAST_HEADER or frame[at] >> 4 != 4:
        return None
    length, end = (frame[at] & 0xF) * 4, at + int.from_bytes(frame[at + 2 : at + 4], "big")
    if length < LEAST_HEADER or len(frame) < at + length or (whole and not at + length <= end <= len(frame)):
        return None
    return length, end


def _offset(frame: bytes, at: int) -> int:
    return int.from_bytes(frame[at + 6 : at + 8], "big") & OFFSET_MASK


def _transport_checksum(frame: bytes, at: int, length: int) -> list[int]:
    """Return where the quote has a checksum that covers the addresses, if that far is quoted."""
    place = {TCP: at + length + 16, UDP: at + length + 6}.get(frame[at + 9])
    if place is None or _offset(frame, at) or len(frame) < place + 2:
        return []
    absent = frame[at + 9] == UDP and frame[place : place + 2] == b"\0\0"
    return [] if absent else [place]


def _restore_udp(changed: bytearray, at: int, words: list[int]) -> None:
    """UDP writes a checksum of 0 as 0xffff: 0 would mean that there is none (RFC 768)."""
    for word in words:
        if changed[at + 9] == UDP and changed[word : word + 2] == b"\0\0":
            changed[word : word + 2] = b"\xff\xff"


def _adjust(changed: bytearray, checksum: int, before: bytes, after: bytes) -> None:
    """Let the checksum at a place follow a change of words that it covers (RFC 1624, equation 3)."""
    total = ~int.from_bytes(changed[checksum : checksum + 2], "big") & 0xFFFF
    for place in range(0, len(before), 2):
        total += ~int.from_bytes(before[place : place + 2], "big") & 0xFFFF
        total += int.from_bytes(after[place : place + 2], "big")
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    changed[checksum : checksum + 2] = (~total & 0xFFFF).to_bytes(2, "big")
