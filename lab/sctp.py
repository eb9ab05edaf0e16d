"""SCTP made by hand, for kernels without it: an association's first two packets, between namespaces.

Formats: RFC 9260. What a kernel without SCTP gets it hands to raw sockets, and answers nothing itself.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable

from lab.namespaces import Namespace

SCTP = 132  # IANA, protocol numbers
INIT, INIT_ACK, STATE_COOKIE = 1, 2, 7
SOURCE_PORT = 40123
WINDOW = 65536
PATIENCE = 2.0
NOTHING = "nothing"


def associate(client: Namespace, target: str, port: int, server: Namespace, listens: int) -> str:
    """Send an INIT to `target` and `port`, and let `server` answer what comes to its port `listens`.

    Returns from where the INIT ACK came, as ADDRESS:PORT, or what came no further. Checksums and tags have to be right.
    """
    tag = int.from_bytes(os.urandom(4), "big") | 1
    with _opened(client) as asking, _opened(server) as listening:
        asking.sendto(packet((SOURCE_PORT, port), 0, _init(INIT, tag)), (target, 0))
        asked = _awaited(listening, lambda got: got.ports[1] == listens and got.kind == INIT and got.tag == tag)
        if asked is None:
            return f"{NOTHING}: the INIT did not arrive"
        answer = _init(INIT_ACK, tag ^ 0xFFFF_FFFF, struct.pack("!HH", STATE_COOKIE, 8) + b"cake")
        listening.sendto(packet(asked.ports[::-1], tag, answer), (asked.source, 0))
        answered = _awaited(asking, lambda got: got.verification == tag and got.kind == INIT_ACK)
        return f"{NOTHING}: no INIT ACK" if answered is None else f"{answered.source}:{answered.ports[0]}"


def packet(ports: tuple[int, int], verification: int, chunk: bytes) -> bytes:
    """An SCTP packet with one chunk, from `ports[0]` to `ports[1]`."""
    header = struct.pack("!HHI", *ports, verification)
    return header + struct.pack("<I", crc32c(header + bytes(4) + chunk)) + chunk


def crc32c(octets: bytes) -> int:
    """The checksum of RFC 9260, appendix A."""
    value = 0xFFFF_FFFF
    for octet in octets:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0x82F6_3B78 if value & 1 else 0)
    return value ^ 0xFFFF_FFFF


class Got:
    """A packet that a raw socket got; ValueError if it is not one of ours, or its checksum is wrong."""

    def __init__(self, octets: bytes) -> None:
        self.source = socket.inet_ntoa(octets[12:16])
        body = octets[(octets[0] & 15) * 4 :]
        if len(body) < 20 or struct.unpack("<I", body[8:12])[0] != crc32c(body[:8] + bytes(4) + body[12:]):
            raise ValueError("not whole")
        source, destination, self.verification = struct.unpack("!HHI", body[:8])
        self.ports: tuple[int, int] = (source, destination)
        self.kind, self.tag = body[12], struct.unpack("!I", body[16:20])[0]


def _init(kind: int, tag: int, parameters: bytes = b"") -> bytes:
    """INIT and INIT ACK: with one stream each way, and `tag` as the first sequence number."""
    return struct.pack("!BBHIIHHI", kind, 0, 20 + len(parameters), tag, WINDOW, 1, 1, tag) + parameters


def _opened(namespace: Namespace) -> socket.socket:
    return namespace.socket(socket.AF_INET, socket.SOCK_RAW, SCTP)


def _awaited(sock: socket.socket, is_it: Callable[[Got], bool]) -> Got | None:
    deadline = time.monotonic() + PATIENCE
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            got = Got(sock.recv(2048))
        except TimeoutError:
            return None
        except ValueError:
            continue
        if is_it(got):
            return got
    return None
