"""SCTP packets made by hand: the checksum, and that a packet which was changed on the way is none."""

from __future__ import annotations

import pytest

from lab.frames import ipv4
from lab.sctp import INIT, SCTP, Got, crc32c, packet


def test_the_checksum() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # of Rocksoft's catalogue: CRC-32C


def test_a_packet_comes_out_as_it_went_in() -> None:
    chunk = bytes([INIT, 0, 0, 20]) + (7).to_bytes(4, "big") + bytes(12)
    whole = ipv4("192.0.2.1", "192.0.2.2", SCTP, packet((5000, 80), 9, chunk))
    got = Got(whole)
    assert (got.source, got.ports, got.verification, got.kind, got.tag) == ("192.0.2.1", (5000, 80), 9, INIT, 7)
    with pytest.raises(ValueError, match="not whole"):
        Got(whole[:-1] + b"\1")
