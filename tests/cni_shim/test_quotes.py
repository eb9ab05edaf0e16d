"""The translator of quotes: what it makes of an error is what would be quoted, had nobody translated anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cni_shim.node import bridges, quotes
from cni_shim.node.quotes import translate
from cni_shim.node.translator import BURST, RATE, Bucket
from topology import pipeline
from topology.features import errors
from topology.fields import ETH_DST, ETH_SRC
from topology.flow import load
from topology.model import ICMP_OFPORT

addresses = st.integers(1, (1 << 32) - 2).map(lambda number: number.to_bytes(4, "big"))
PROTOCOLS = (1, 6, 17, 47, 132)


def checksum(octets: bytes) -> int:
    """Return the Internet checksum, as RFC 1071 has it."""
    padded = octets + b"\0" * (len(octets) % 2)
    total = sum(int.from_bytes(padded[place : place + 2], "big") for place in range(0, len(padded), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def put(octets: bytes, place: int, value: int) -> bytes:
    return octets[:place] + value.to_bytes(2, "big") + octets[place + 2 :]


@dataclass(frozen=True)
class Datagram:
    """An IPv4 packet, written with all checksums as its sender writes them."""

    source: bytes
    destination: bytes
    protocol: int
    payload: bytes
    options: bytes = b""
    fragment: int = 0  # flags and offset
    has_checksum: bool = True  # of UDP

    def octets(self) -> bytes:
        """Return the packet."""
        length = 20 + len(self.options)
        start = bytes((0x40 | length // 4, 0)) + (length + len(self.payload)).to_bytes(2, "big")
        header = start + b"\x12\x34" + self.fragment.to_bytes(2, "big") + bytes((61, self.protocol)) + b"\0\0"
        header += self.source + self.destination + self.options
        return put(header, 10, checksum(header)) + self._summed()

    def _summed(self) -> bytes:
        place = {6: 16, 17: 6}.get(self.protocol)
        if place is None or self.fragment & 0x1FFF or len(self.payload) < place + 2:
            return self.payload
        blank = put(self.payload, place, 0)
        if self.protocol == 17 and not self.has_checksum:
            return blank
        pseudo = self.source + self.destination + bytes((0, self.protocol)) + len(blank).to_bytes(2, "big")
        found = checksum(pseudo + blank)
        return put(blank, place, 0xFFFF if self.protocol == 17 and found == 0 else found)


@dataclass(frozen=True)
class Error:
    """An ICMP error from one to another about a packet, of which it quotes so many bytes; in a frame with labels."""

    source: bytes
    destination: bytes
    quoted: Datagram
    quotes: int
    kind: int = 3
    rest: bytes = b"\0\0\x03\xe8"  # of type 3, code 4: the MTU in the last two
    before: bytes = b"\0\0\0\0"  # what the error's sender was called before

    def frame(self) -> bytes:
        """Return the frame that the switch sends to icmp0, or takes from it."""
        body = bytes((self.kind, 4, 0, 0)) + self.rest + self.quoted.octets()[: self.quotes]
        packet = Datagram(self.source, self.destination, 1, put(body, 2, checksum(body)))
        macs = b"\x0e\0\0\x0a" + self.before[:2] + b"\x0e\0\0\x0b" + self.before[2:]
        return macs + b"\x08\x00" + packet.octets()


datagrams = st.builds(
    Datagram,
    addresses,
    addresses,
    st.sampled_from(PROTOCOLS),
    st.binary(min_size=8, max_size=60),
    st.sampled_from((b"", b"\x01\x01\x01\x00")),
    st.sampled_from((0, 0x4000, 0x2000, 3)),
    st.booleans(),
)


@given(datagrams, addresses, addresses, st.sampled_from((3, 11, 12)), st.data())
def test_the_quote_is_what_the_receiver_sent(
    sent: Datagram, source: bytes, destination: bytes, kind: int, data: st.DataObject
) -> None:
    """The receiver sent `sent`; on its way its ends became `source` and `destination`, and its destination objected."""
    got = replace(sent, source=source, destination=destination)
    quoted = data.draw(st.integers(20 + len(sent.options), len(got.octets())))
    # Its own ends are translated already: from whom the receiver knows, to what the receiver has.
    arrives = Error(sent.destination, sent.source, got, quoted, kind, before=destination)
    assert translate(arrives.frame()) == replace(arrives, quoted=sent).frame()


@given(datagrams, addresses, addresses, st.integers(20, 80))
def test_a_router_between_objects(sent: Datagram, router: bytes, known_as: bytes, quoted: int) -> None:
    """Only the quoted source was translated: what the error's sender is called has nothing to do with the rest."""
    assume(router != sent.destination)
    quoted = max(quoted, 20 + len(sent.options))
    arrives = Error(router, sent.source, replace(sent, source=known_as), quoted, before=router)
    assert translate(arrives.frame()) == replace(arrives, quoted=sent).frame()


@given(datagrams, addresses)
def test_where_nothing_was_translated_nothing_changes(sent: Datagram, router: bytes) -> None:
    frame = Error(router, sent.source, sent, 60, before=router).frame()
    assert translate(frame) == frame


@given(datagrams, addresses, addresses, st.integers(1, 0xFFFF))
def test_a_wrong_checksum_stays_wrong_by_as_much(sent: Datagram, source: bytes, other: bytes, wrong: int) -> None:
    arrives = Error(sent.destination, sent.source, replace(sent, source=source, destination=other), 60, before=other)
    torn = _xored(arrives.frame(), 14 + 20 + 2, wrong)
    back = translate(torn)
    assert back is not None
    assert back != replace(arrives, quoted=sent).frame()


def _xored(frame: bytes, place: int, value: int) -> bytes:
    return put(frame, place, int.from_bytes(frame[place : place + 2], "big") ^ value)


@given(st.binary(max_size=200))
def test_anything_at_all_is_answered(frame: bytes) -> None:
    back = translate(frame)
    assert back is None or len(back) == len(frame)


@given(datagrams, addresses, st.data())
def test_a_torn_frame_comes_back_as_long_as_it_was_or_not(sent: Datagram, other: bytes, data: st.DataObject) -> None:
    frame = bytearray(Error(sent.destination, other, sent, 40).frame())
    for _ in range(data.draw(st.integers(0, 4))):
        frame[data.draw(st.integers(14, len(frame) - 1))] = data.draw(st.integers(0, 255))
    torn = bytes(frame[: data.draw(st.integers(0, len(frame)))])
    back = translate(torn)
    assert back is None or len(back) == len(torn)
    assert back is None or back[:34] == torn[:34]  # MACs and addresses are the switch's business


UDP_PACKET = Datagram(IPv4Address("10.0.0.2").packed, IPv4Address("10.0.0.3").packed, 17, b"\0" * 20)
GOOD = Error(UDP_PACKET.destination, UDP_PACKET.source, UDP_PACKET, 48)


@pytest.mark.parametrize(
    "frame",
    [
        GOOD.frame()[:12] + b"\x86\xdd" + GOOD.frame()[14:],
        GOOD.frame()[:12] + b"\x81\x00\x00\x01" + GOOD.frame()[12:],
        replace(GOOD, kind=0).frame(),
        replace(GOOD, kind=5).frame(),
        replace(GOOD, quotes=19).frame(),
        replace(GOOD, quotes=0).frame(),
        GOOD.frame()[:-1],
        b"",
    ],
    ids=["ipv6", "vlan", "echo", "redirect", "quotes too little", "quotes nothing", "cut", "empty"],
)
def test_what_is_no_error_with_a_quote_does_not_come_back(frame: bytes) -> None:
    assert translate(frame) is None


def test_octets_behind_the_packet_are_kept() -> None:
    assert translate(GOOD.frame() + b"\0\0\0") == (translate(GOOD.frame()) or b"") + b"\0\0\0"


# -- what the switch and the translator have to agree on ---------------------------------------------------------------


def test_numbers_are_the_pipelines() -> None:
    """The node's programs import nothing of the controller's, so the numbers stand twice."""
    assert bridges.ICMP_OFPORT == ICMP_OFPORT
    assert pipeline.ICMP_ERRORS == quotes.ERRORS
    actions = errors._labelled(pipeline.LEAVING_MAC, pipeline.SCRATCH)
    assert actions[0] == load(ETH_DST, pipeline.ICMP_MAC << 40)
    assert actions[3] == load(ETH_SRC, pipeline.LEAVING_MAC << 40)


@given(st.lists(st.floats(0, 0.1), max_size=600))
def test_the_bucket_lets_no_more_through_than_its_rate(gaps: list[float]) -> None:
    bucket, now, let_through = Bucket(), 0.0, []
    for gap in gaps:
        now += gap
        now += bucket.take(now)
        let_through.append(now)
    for first in range(0, len(let_through), 37):
        for last in range(first, len(let_through), 53):
            assert last - first + 1 <= BURST + 2 + RATE * (let_through[last] - let_through[first])
