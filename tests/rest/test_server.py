"""Over a real socket and the controller's server: bodies in chunks, huge ones, connections that are kept."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from rest.reading import MOST_BYTES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.rest.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        assert server.stdin is not None
        server.stdin.close()


@pytest.fixture
def connection(port: int) -> Iterator[HTTPConnection]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    yield connection
    connection.close()


def answered(response: HTTPResponse) -> tuple[int, dict[str, object]]:
    content = response.read()
    return response.status, json.loads(content) if content else {}


def test_a_connection_is_kept(connection: HTTPConnection) -> None:
    connection.request("GET", "/v1/networks")
    assert answered(connection.getresponse())[0] == 200
    kept = connection.sock
    connection.request("HEAD", "/v1/networks")
    assert answered(connection.getresponse()) == (200, {})
    connection.request("DELETE", "/v1/networks/none")
    assert answered(connection.getresponse())[0] == 404
    connection.request("POST", "/v1/networks", '{"name": "kept"}', {"Content-Type": "application/json"})
    assert answered(connection.getresponse())[0] == 201
    connection.request("DELETE", "/v1/networks/kept")
    assert answered(connection.getresponse()) == (204, {})
    connection.request("GET", "/v1/healthz")
    assert answered(connection.getresponse()) == (200, {"status": "ok"})
    assert connection.sock is kept


def test_a_body_in_chunks(connection: HTTPConnection) -> None:
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    connection.request("POST", "/v1/networks", iter([b'{"na', b'me": "chunks"}']), headers, encode_chunked=True)
    status, body = answered(connection.getresponse())
    assert (status, body["name"]) == (201, "chunks")


def test_a_huge_body_in_chunks_is_cut_off(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sender:
        head = "POST /v1/networks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        sender.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(MOST_BYTES // 0x10000):
            sender.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        sender.sendall(b"1\r\n \r\n")
        assert_too_large(sender)


def test_a_huge_body_is_refused_by_its_length(port: int) -> None:
    """Before any of it is sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sender:
        head = "POST /v1/networks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        sender.sendall(f"{head}Content-Length: {10**12}\r\n\r\n".encode())
        assert_too_large(sender)


def assert_too_large(sender: socket.socket) -> None:
    """The answer is there though the body is not at its end, and tells the sender to give up."""
    response = HTTPResponse(sender)
    response.begin()
    status, body = answered(response)
    assert (status, body["type"]) == (413, "/v1/problems#too-large")
    assert response.getheader("Connection") == "close"
