"""The HTTP client: what it sends, what it takes, and what it says when a controller is away, slow or strange."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from cni_shim import errors
from cni_shim.controller import Controller, read_token, split_host_port
from cni_shim.errors import RefusedError, ShimError
from tests.cni_shim.fake_controller import TOKEN, FakeController
from tests.cni_shim.machine import until

PORT = "/v1/nodes/n1/ports/c1/eth0"
BODY = {"project": "red", "pod": "a", "pod_uid": "", "host_interface": "v0"}


@pytest.fixture
def fake() -> Iterator[FakeController]:
    controller = FakeController()
    yield controller
    controller.stop()


@pytest.fixture
def scripted() -> Iterator[Callable[..., str]]:
    """A function that serves these bytes, one item per connection, whatever is asked; it returns the URL."""
    listeners: list[tuple[socket.socket, threading.Thread]] = []

    def serve(*answers: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))

        def work() -> None:
            for answer in answers:
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    connection.recv(65536)
                    connection.sendall(answer)
                    connection.close()

        thread = threading.Thread(target=work, daemon=True)
        listeners.append((listener, thread))
        thread.start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for listener, thread in listeners:
        # A thread left waiting would go on with whatever listener gets the same descriptor, and answer in its place.
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def test_calls_share_a_connection(fake: FakeController) -> None:
    client = Controller([fake.start()], TOKEN)
    assert client.call("PUT", PORT, BODY)[0] == 201
    assert client.call("PUT", PORT, BODY)[0] == 200
    first = client._connection
    assert client.call("GET", PORT)[1]["mac"] == "0a:58:0a:80:00:02"
    assert client.call("DELETE", PORT) == (204, None)
    assert client._connection is first
    client.close()


def test_a_connection_that_the_controller_closed_is_made_anew(scripted: Callable[..., str]) -> None:
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    client = Controller([scripted(good, good)], TOKEN)
    assert client.call("GET", "/a") == (200, {})
    assert client.call("GET", "/b") == (200, {})
    client.close()


def test_the_controller_may_close_by_itself(scripted: Callable[..., str]) -> None:
    good = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    client = Controller([scripted(good, good)], TOKEN)
    assert client.call("GET", "/a") == (200, {})
    assert client._connection is None
    assert client.call("GET", "/b") == (200, {})


def test_chunks(scripted: Callable[..., str]) -> None:
    text = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{"a\r\n5\r\n": 1}\r\n0\r\n\r\n'
    client = Controller([scripted(text)], TOKEN)
    assert client.call("GET", "/") == (200, {"a": 1})
    client.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"220 mail.example.org ESMTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_an_answer_that_is_none(scripted: Callable[..., str], answer: bytes) -> None:
    url = scripted(answer)
    with pytest.raises(ShimError) as caught:
        Controller([url], TOKEN).call("GET", "/")
    assert caught.value.code == errors.TRY_AGAIN
    assert url in str(caught.value)


def test_an_answer_that_is_no_json(scripted: Callable[..., str]) -> None:
    with pytest.raises(ShimError) as caught:
        Controller([scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")], TOKEN).call("GET", "/")
    assert caught.value.code == errors.IO_FAILURE


def test_a_refusal_without_a_problem(scripted: Callable[..., str]) -> None:
    client = Controller([scripted(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello")], TOKEN)
    with pytest.raises(RefusedError) as caught:
        client.call("GET", "/x")
    client.close()
    assert (caught.value.status, caught.value.code) == (404, errors.REFUSED)
    assert "GET /x" in str(caught.value)


def test_the_next_controller_is_asked(fake: FakeController) -> None:
    client = Controller(["http://127.0.0.1:9", "unix:/nonexistent", fake.start()], TOKEN)
    assert client.call("PUT", PORT, BODY)[0] == 201
    client.close()


def test_silence_ends(scripted: Callable[..., str]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))  # it never accepts, let alone answers
    client = Controller([f"http://127.0.0.1:{listener.getsockname()[1]}"], TOKEN, timeout=0.1)
    with pytest.raises(ShimError) as caught:
        client.call("GET", "/")
    assert caught.value.code == errors.TRY_AGAIN
    listener.close()


def test_a_call_can_be_interrupted(fake: FakeController) -> None:
    client = Controller([fake.start()], TOKEN)
    caught: list[ShimError] = []

    def ask() -> None:
        try:
            client.call("GET", "/v1/nodes/n1/configuration?after=1&wait=50", wait=50)
        except ShimError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    until("the wait", lambda: fake.count("GET") == 1)
    client.interrupt()
    thread.join()
    assert "interrupted" in str(caught[0])
    fake.configure()  # lets the fake's own thread go
    assert client.call("GET", "/v1/nodes/n1/readiness")[0] == 200
    client.close()


def test_a_name_is_resolved(fake: FakeController) -> None:
    url = fake.start().replace("127.0.0.1", "localhost")
    client = Controller([url], TOKEN)
    assert client.call("PUT", PORT, BODY)[0] == 201
    client.close()


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(ShimError) as caught:
        Controller(["http://controller.invalid"], TOKEN).call("GET", "/")
    assert "controller.invalid" in str(caught.value)


def test_https_with_our_authority(fake: FakeController, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    url = fake.start(context)
    client = Controller([url], TOKEN, str(tmp_path / "ca.pem"))
    assert client.call("PUT", PORT, BODY)[0] == 201
    assert client.call("GET", PORT)[0] == 200
    client.close()
    for ca_file in (None, "/nonexistent"):
        with pytest.raises(ShimError) as caught:
            Controller([url], TOKEN, ca_file).call("GET", PORT)
        assert "TLS" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 80)),
        ("192.0.2.1:8080", ("192.0.2.1", 8080)),
        ("[2001:db8::1]:8080", ("2001:db8::1", 8080)),
        ("[2001:db8::1]", ("2001:db8::1", 80)),
        ("controller.example.org:1", ("controller.example.org", 1)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert split_host_port(text, 80) == expected


@pytest.mark.parametrize("text", ["", ":80", "a:", "a:b", "a:0", "a:65536", "[::1", "a:-1"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ShimError):
        split_host_port(text, 0 if text == "[::1" else 80)


def test_the_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("  secret\n")
    assert read_token(str(path)) == "secret"
    for text in ("", "\n", "two words", "two\nlines"):
        path.write_text(text)
        with pytest.raises(ShimError, match=str(path)):
            read_token(str(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ShimError, match=str(path)):
        read_token(str(path))


@pytest.fixture
def stopped() -> Iterator[str]:
    """The URL of a controller that accepts and says nothing, as a process that was stopped."""
    listener = socket.create_server(("127.0.0.1", 0))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cni_shim.controller.PATIENCE_OF_SEVERAL", 0.2)


def test_one_that_is_stopped_keeps_nobody_from_the_next(fake: FakeController, stopped: str, impatient: None) -> None:
    client = Controller([stopped, fake.start()], TOKEN, timeout=30)
    assert client.call("PUT", PORT, BODY)[0] == 201
    client.close()


def test_who_answered_is_asked_first(fake: FakeController, stopped: str, impatient: None) -> None:
    client = Controller([stopped, fake.start()], TOKEN)
    client.call("PUT", PORT, BODY)
    first = client._connection
    client.call("GET", PORT)
    assert client._connection is first
    client.close()


def test_one_that_stops_between_two_calls(fake: FakeController, scripted: Callable[..., str], impatient: None) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = Controller([url, fake.start()], TOKEN)

    def answer_once() -> None:
        connection, _ = listener.accept()
        kept.append(connection)
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    kept: list[socket.socket] = []
    thread = threading.Thread(target=answer_once)
    thread.start()
    assert client.call("GET", "/a") == (200, {})
    thread.join()
    assert client.call("PUT", PORT, BODY)[0] == 201
    assert client.url != url
    for each in (client, listener, *kept):
        each.close()


def test_urls_may_change(fake: FakeController, stopped: str) -> None:
    client = Controller([fake.start()], TOKEN)
    client.call("PUT", PORT, BODY)
    client.urls = ("http://127.0.0.1:9",)
    with pytest.raises(ShimError, match="no controller answers"):
        client.call("GET", PORT)
    client.urls = (fake.url, "http://127.0.0.1:9")


TROUBLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
NO = b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"


def test_one_in_trouble_keeps_nobody_from_the_next(fake: FakeController, scripted: Callable[..., str]) -> None:
    client = Controller([scripted(TROUBLE), fake.start()], TOKEN)
    assert client.call("PUT", PORT, BODY)[0] == 201
    client.close()


@pytest.mark.parametrize(("answers", "status"), [((TROUBLE, TROUBLE), 503), ((NO, TROUBLE), 409), ((TROUBLE, NO), 409)])
def test_a_refusal_that_no_other_makes_good(
    scripted: Callable[..., str], answers: tuple[bytes, bytes], status: int
) -> None:
    client = Controller([scripted(answers[0]), scripted(answers[1])], TOKEN)
    with pytest.raises(RefusedError) as caught:
        client.call("GET", "/")
    assert caught.value.status == status
    client.close()


def test_trouble_of_one_that_answered_before(fake: FakeController, scripted: Callable[..., str]) -> None:
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    client = Controller([scripted(good, TROUBLE, TROUBLE), fake.start()], TOKEN)
    assert client.call("GET", "/a") == (200, {})
    assert client.call("PUT", PORT, BODY)[0] == 201
    client.close()
