"""The channel: messages come out as they went in, however the stream is cut, and bytes go out in order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ryu_apps.openflow import channel, messages
from ryu_apps.openflow.channel import Channel
from ryu_apps.openflow.wire import MessageType, WireError
from tests.ryu_apps.openflow_values import DATAPATH, ofp, parser

import eventlet  # isort: skip
from eventlet.green import socket as green_socket  # isort: skip
from ryu.base import app_manager  # isort: skip
from ryu.controller import controller  # isort: skip


class Brick:
    """Stands in for Ryu's ofp_event: remembers the events."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def send_event_to_observers(self, event: Any, state: Any = None) -> None:
        self.events.append(event)

    def get_handlers(self, event: Any) -> list[Any]:
        return []


@pytest.fixture
def brick(monkeypatch: pytest.MonkeyPatch) -> Brick:
    brick = Brick()
    monkeypatch.setitem(app_manager.SERVICE_BRICKS, "ofp_event", brick)
    return brick


class Pieces:
    """A socket that gives a stream in pieces."""

    def __init__(self, pieces: list[bytes | Exception]) -> None:
        self.pieces = pieces
        self.closed = False

    def recv(self, size: int) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self.closed = True

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


def received(pieces: list[bytes | Exception], take: Callable[[int, bytes], bool]) -> list[bytes]:
    """Let a connection receive; return what was offered to `on_message`."""
    found: list[bytes] = []

    def on_message(datapath: Any, kind: int, xid: int, raw: bytes) -> bool:
        assert (kind, xid) == (raw[1], int.from_bytes(raw[4:8], "big"))
        found.append(raw)
        return take(kind, raw)

    stream = Pieces(pieces)
    Channel(stream, ("192.0.2.9", 1), on_message)._recv_loop()
    assert stream.closed
    return found


def everything(kind: int, raw: bytes) -> bool:
    return True


MESSAGE = st.builds(
    messages.message, st.sampled_from(list(MessageType)), st.integers(0, (1 << 32) - 1), st.binary(max_size=100)
)


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[list[bytes], list[bytes | Exception]]:
    whole = draw(st.lists(MESSAGE, max_size=8))
    stream = b"".join(whole)
    places = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces: list[bytes | Exception] = []
    for first, last in zip([0, *places], [*places, len(stream)], strict=True):
        if draw(st.booleans()):
            pieces.append(TimeoutError("timed out"))
        if first < last:
            pieces.append(stream[first:last])
    return whole, pieces


@given(cut_streams())
def test_every_message_comes_whole_and_in_order(cut: tuple[list[bytes], list[bytes | Exception]]) -> None:
    whole, pieces = cut
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(app_manager.SERVICE_BRICKS, "ofp_event", Brick())
        assert received(pieces, everything) == whole


def test_what_is_not_taken_goes_to_ryu(brick: Brick) -> None:
    echo = parser.OFPEchoRequest(DATAPATH, data=b"abc")
    echo.set_xid(7)
    echo.serialize()
    barrier = messages.message(MessageType.BARRIER_REPLY, 8)
    before = len(brick.events)
    received([bytes(echo.buf) + barrier], lambda kind, raw: kind == MessageType.BARRIER_REPLY)
    messages_of_ryu = [event.msg for event in brick.events[before:] if hasattr(event, "msg")]
    assert [(type(msg), msg.xid, msg.data) for msg in messages_of_ryu] == [(parser.OFPEchoRequest, 7, b"abc")]


def test_other_versions_go_to_ryu(brick: Brick) -> None:
    hello = b"\x04\x00\x00\x08\x00\x00\x00\x05"
    assert received([hello], everything) == []
    assert [event.msg.version for event in brick.events if hasattr(event, "msg")] == [4]


def test_a_group_description_nobody_asked_for_does_not_reach_ryus_parser(brick: Brick) -> None:
    reply = messages.message(MessageType.MULTIPART_REPLY, 7, ofp.OFPMP_GROUP_DESC.to_bytes(2, "big") + bytes(62))
    received([reply], lambda kind, raw: False)
    assert not [event for event in brick.events if hasattr(event, "msg")]


@pytest.mark.parametrize("length", [0, 7])
def test_an_impossible_length_ends_the_connection(brick: Brick, length: int) -> None:
    good = messages.message(MessageType.BARRIER_REPLY, 8)
    bad = b"\x06\x15" + length.to_bytes(2, "big") + bytes(4)
    assert received([good + bad + good, good], everything) == [good]


def test_a_message_that_cannot_be_read_ends_the_connection(brick: Brick) -> None:
    def refuse(kind: int, raw: bytes) -> bool:
        raise WireError("nonsense")

    good = messages.message(MessageType.BARRIER_REPLY, 8)
    assert received([good + good, good], refuse) == [good]


@pytest.fixture
def connected(brick: Brick) -> Iterator[tuple[Any, Any]]:
    """A connection with a sending thread, and the other end; little fits in between."""
    listener = eventlet.listen(("127.0.0.1", 0))
    listener.setsockopt(green_socket.SOL_SOCKET, green_socket.SO_RCVBUF, 4096)
    near = eventlet.connect(listener.getsockname())
    near.setsockopt(green_socket.SOL_SOCKET, green_socket.SO_SNDBUF, 4096)
    far, _ = listener.accept()
    datapath = Channel(near, ("192.0.2.9", 1), lambda *message: True)
    thread = eventlet.spawn(datapath._send_loop)
    yield datapath, far
    thread.kill()
    for each in (near, far, listener):
        each.close()


def test_bytes_leave_in_the_order_in_which_they_were_given(connected: tuple[Any, Any]) -> None:
    datapath, far = connected
    chance = random.Random(5)
    sent, got = bytearray(), bytearray()

    def send() -> None:
        for _ in range(60):
            size = chance.choice([1, 100, 5000, 60000, 300000])
            data = chance.randbytes(size)
            sent.extend(data)  # no pause between this and the beginning of the call
            assert datapath.send(data)
            if chance.random() < 0.3:
                eventlet.sleep(0)

    senders = [eventlet.spawn(send) for _ in range(3)]

    def receive() -> None:
        while not all(sender.dead for sender in senders) or len(got) < len(sent):
            got.extend(far.recv(chance.choice([1, 5000, 1 << 20])))

    with eventlet.Timeout(60):
        eventlet.spawn(receive).wait()
    assert got == sent


def test_nothing_overtakes_what_is_being_sent(connected: tuple[Any, Any]) -> None:
    datapath, far = connected
    large = bytes(3_000_000)
    assert datapath.send(large)
    eventlet.sleep(0)  # the sending thread has it now, and waits for the other end to read
    assert datapath.send_q.empty()
    got = far.recv(1 << 20)
    assert datapath.send(b"after")
    with eventlet.Timeout(30):
        while len(got) < len(large) + 5:
            got += far.recv(1 << 20)
    assert got == large + b"after"


def test_a_small_message_leaves_without_another_threads_turn(connected: tuple[Any, Any]) -> None:
    datapath, far = connected
    assert datapath.send(b"at once")
    assert datapath.send_q.empty()
    assert far.recv(100) == b"at once"


def test_an_encrypted_connection_has_no_short_cut() -> None:
    class Encrypted:
        fd = None

    assert channel._Stream(Encrypted()).send_now(b"secret") == 0


def test_nothing_is_sent_on_a_connection_that_is_closing(connected: tuple[Any, Any]) -> None:
    datapath, _ = connected
    datapath.send_q = None
    assert not datapath.send(b"late")


def test_connections_that_are_accepted_are_channels(brick: Brick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "datapath_connection_factory", None)
    found: list[bytes] = []

    def on_message(datapath: Any, kind: int, xid: int, raw: bytes) -> bool:
        assert isinstance(datapath, Channel)
        found.append(raw)
        return True

    channel.intercept(on_message)
    barrier = messages.message(MessageType.BARRIER_REPLY, 8)
    listener = eventlet.listen(("127.0.0.1", 0))
    far = eventlet.connect(listener.getsockname())
    near, address = listener.accept()
    with eventlet.Timeout(30):
        served = eventlet.spawn(controller.datapath_connection_factory, near, address)
        far.sendall(barrier)
        assert far.recv(2) == bytes((ofp.OFP_VERSION, MessageType.HELLO))
        far.close()
        served.wait()
    listener.close()
    assert found == [barrier]
