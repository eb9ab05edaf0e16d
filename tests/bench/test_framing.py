"""Streams are cut into messages wherever their pieces end, and segments are put together to streams."""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.framing import whole_messages
from bench.tap import Segment, Streams, TapError, parse
from ryu_apps.openflow.messages import message
from ryu_apps.openflow.wire import MessageType, WireError

PORT = 6653
SWITCH, CONTROLLER = (IPv4Address("198.18.0.5"), 40000), (IPv4Address("198.19.0.5"), PORT)

several = st.lists(st.binary(max_size=40), min_size=1, max_size=6).map(
    lambda bodies: [message(MessageType.ECHO_REQUEST, xid, body) for xid, body in enumerate(bodies)]
)


@st.composite
def pieces(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Messages, and the same bytes cut anywhere."""
    sent = draw(several)
    stream = b"".join(sent)
    cuts = sorted(draw(st.sets(st.integers(1, len(stream)), max_size=8)) | {0, len(stream)})
    return sent, [stream[start:end] for start, end in pairwise(cuts)]


@given(pieces())
def test_messages_come_out_whole_wherever_the_stream_is_cut(cut: tuple[list[bytes], list[bytes]]) -> None:
    sent, parts = cut
    held = bytearray()
    found = []
    for part in parts:
        held += part
        found += [raw for _, _, raw in whole_messages(held)]
    assert found == sent
    assert not held


@pytest.mark.parametrize("raw", [bytes([6, 0, 0, 7, 0, 0, 0, 0]), bytes([0, 0, 0, 8, 0, 0, 0, 0])])
def test_what_is_no_message_is_an_error(raw: bytes) -> None:
    with pytest.raises(WireError, match="no OpenFlow message"):
        list(whole_messages(bytearray(raw)))


def segment(payload: bytes, sequence: int, at: int = 0, *, to_switch: bool = False, flags: int = 16) -> Segment:
    """A segment between the two."""
    ends = (CONTROLLER, SWITCH) if to_switch else (SWITCH, CONTROLLER)
    return Segment(at, *ends, sequence & 0xFFFFFFFF, flags, payload)


@given(pieces(), st.integers(0, 0xFFFFFFFF))
def test_segments_become_messages_with_the_time_of_their_last_byte(
    cut: tuple[list[bytes], list[bytes]], first: int
) -> None:
    sent, parts = cut
    streams = Streams(PORT)
    found = list(streams.messages(segment(b"", first - 1, flags=2)))
    position = 0
    ends: list[int] = []
    for at, part in enumerate(parts):
        found += streams.messages(segment(part, first + position, at))
        position += len(part)
        ends.append(position)
    assert [one.raw for one in found] == sent
    assert {one.switch for one in found} == {SWITCH}
    assert not any(one.to_switch for one in found)
    lengths = [sum(map(len, sent[: number + 1])) for number in range(len(sent))]
    assert [one.at for one in found] == [next(at for at, end in enumerate(ends) if end >= length) for length in lengths]


def test_both_directions_have_streams_of_their_own() -> None:
    streams = Streams(PORT)
    raw = message(MessageType.ECHO_REQUEST, 1, b"body")
    assert not list(streams.messages(segment(raw[:9], 10)))
    (found,) = streams.messages(segment(raw, 70, to_switch=True))
    assert found.to_switch
    assert found.switch == SWITCH


def test_a_segment_that_is_sent_again_counts_once() -> None:
    streams = Streams(PORT)
    raw = message(MessageType.ECHO_REQUEST, 1)
    assert len(list(streams.messages(segment(raw, 0xFFFFFFFC)))) == 1
    assert not list(streams.messages(segment(raw, 0xFFFFFFFC)))
    assert len(list(streams.messages(segment(raw, 4)))) == 1


def test_missing_bytes_are_an_error() -> None:
    streams = Streams(PORT)
    list(streams.messages(segment(message(MessageType.ECHO_REQUEST, 1), 0)))
    with pytest.raises(TapError, match="bytes are missing"):
        list(streams.messages(segment(message(MessageType.ECHO_REQUEST, 2), 16)))


def test_a_new_connection_begins_anew() -> None:
    streams = Streams(PORT)
    list(streams.messages(segment(message(MessageType.ECHO_REQUEST, 1, b"body")[:9], 0)))
    list(streams.messages(segment(b"", 500, flags=2)))
    assert len(list(streams.messages(segment(message(MessageType.ECHO_REQUEST, 2), 501)))) == 1


def test_a_stream_is_taken_up_where_a_segment_begins_with_a_message() -> None:
    streams = Streams(PORT)
    assert not list(streams.messages(segment(b"the rest of what began before", 0)))
    assert len(list(streams.messages(segment(message(MessageType.ECHO_REQUEST, 2), 29)))) == 1
    streams.forget()
    assert not list(streams.messages(segment(b"the rest of what was passed over", 90)))


def test_other_connections_are_passed_over() -> None:
    other = (IPv4Address("198.18.0.5"), 80)
    assert not list(Streams(PORT).messages(Segment(0, SWITCH, other, 0, 16, message(MessageType.ECHO_REQUEST, 1))))


def test_a_packet_is_read_with_options_in_both_headers() -> None:
    addresses = SWITCH[0].packed + CONTROLLER[0].packed
    ip = bytes([0x46, 0, 0, 24 + 24 + 3, 0, 0, 0, 0, 64, 6, 0, 0]) + addresses + bytes(4)
    tcp = (40000).to_bytes(2) + PORT.to_bytes(2) + (7).to_bytes(4) + bytes(4) + bytes([0x60, 24]) + bytes(6) + bytes(4)
    found = parse(ip + tcp + b"abc" + b"padding", 9)
    assert found == Segment(9, SWITCH, CONTROLLER, 7, 24, b"abc")


@pytest.mark.parametrize("packet", [b"", bytes(40), bytes([0x45]) + bytes(8) + bytes([17]) + bytes(40)])
def test_what_is_not_tcp_over_ipv4_is_none(packet: bytes) -> None:
    assert parse(packet, 0) is None
