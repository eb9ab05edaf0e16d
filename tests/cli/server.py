"""A small HTTP server on loopback or on a Unix socket that gives canned answers and remembers what it was asked.

It decides nothing: what a controller does is for the tests that use the real one.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PROBLEM = "application/problem+json"


class Asked(NamedTuple):
    """One request as it came in: the target with its query, the body's JSON (None without one), the headers."""

    method: str
    target: str
    body: Any
    headers: Mapping[str, str]


class Answer(NamedTuple):
    """One answer: JSON or bytes. `hold` is waited for before it is sent; `broken` closes the connection instead."""

    body: Any = None
    status: int = 200
    content_type: str = "application/json"
    hold: threading.Event | None = None
    broken: bool = False


def problem(status: int, detail: str, title: str = "Refused") -> Answer:
    """Return a problem document (RFC 9457) as an answer."""
    return Answer({"type": "about:blank", "title": title, "status": status, "detail": detail}, status, PROBLEM)


class Fake:
    """The canned answers by method and path, and the requests so far."""

    def __init__(self) -> None:
        """Start with no answers: everything is 404, without a problem document."""
        self.url = ""
        self.answers: dict[tuple[str, str], Answer] = {}
        self.asked: list[Asked] = []

    def on(self, method: str, path: str, answer: Answer | Any) -> None:
        """Answer this from now on; anything but an Answer is the body of a 200."""
        self.answers[method, path] = answer if isinstance(answer, Answer) else Answer(answer)


class _Handler(BaseHTTPRequestHandler):
    fake: Fake

    def address_string(self) -> str:
        return "local"

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.fake.asked.append(Asked(self.command, self.path, body, dict(self.headers)))
        path = urlsplit(self.path).path.removeprefix("/v1")
        answer = self.fake.answers.get((self.command, path), Answer(b"no such page", 404, "text/plain"))
        if answer.hold is not None:
            answer.hold.wait(60)
        self.close_connection = True
        if not answer.broken:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        if answer.status == 204:
            data = b""
        else:
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _serve


class _UnixServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)


@contextmanager
def serving(*, socket_path: Path | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Fake]:
    """Serve on a free port of loopback, with TLS if given, or on a Unix socket; yield the fake with its URL."""
    fake = Fake()
    handler = type("Handler", (_Handler,), {"fake": fake})
    if socket_path is not None:
        server: ThreadingHTTPServer = _UnixServer(str(socket_path), handler)  # type: ignore[arg-type]
        fake.url = f"unix:{socket_path}"
    else:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        fake.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes are part of the tests
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
