"""A controller in a test's hand: a real HTTP server on the paths that the node's part calls, its state in plain sight.

It allots addresses in order, commits at once unless told otherwise, and remembers every request.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "node-token"
Key = tuple[str, str]


def configuration(**changes: Any) -> dict[str, Any]:
    """What GET …/configuration answers, with `changes`."""
    return {
        "revision": 1,
        "node": "n1",
        "bridge": "br0",
        "datapath_id": "0000000000000001",
        "underlay": "198.51.100.1",
        "gateways": ["10.128.0.1/23"],
        "cluster_cidrs": ["10.128.0.0/14"],
        "service_cidrs": ["172.30.0.0/16"],
        "hairpin": ["169.254.42.1"],
        "node_ports": {"first": 30000, "last": 32767, "prefixes": ["169.254.43.0/24"]},
        "external": [],
        "mtu_overhead": 50,
        "controllers": ["tcp:198.51.100.1:6653"],
        "peers": [],
        "guarded_tcp_ports": [6653, 6640, 8080],
        "guarded_udp_ports": [4789, 6081],
        "programmed": False,
        **changes,
    }


@dataclass
class FakeController:
    """Start with `start`; set the fields to make it behave."""

    node: str = "n1"
    projects: tuple[str, ...] = ("red", "blue")
    configuration: dict[str, Any] = field(default_factory=configuration)
    pool: int = 200  # addresses left
    commit: bool = True  # ports are Committed as soon as somebody waits
    failure: tuple[int, str, str] | None = None  # (status, title, detail) for every port call
    phase_reason: str = ""
    phase: str = "Committed"
    own_range: bool = False  # pods are on a network with a range of its own: tenant addresses, and cluster addresses
    mtu: int | None = None  # the network's
    others: tuple[str, ...] = ()  # the interfaces that every pod has besides the one asked for
    subnets: dict[str, str] = field(default_factory=dict)  # the first three octets of another interface's addresses
    refused: dict[str, tuple[int, str, str]] = field(default_factory=dict)  # PUT of an interface of this name
    held: set[str] = field(default_factory=set)  # interfaces of these names are not committed
    ready: bool = True
    reports: list[dict[str, Any]] = field(default_factory=list)  # what the node said of itself
    requests: list[tuple[str, str]] = field(default_factory=list)
    ports: dict[Key, dict[str, Any]] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    server: ThreadingHTTPServer | None = None
    url: str = ""
    connections: set[socket.socket] = field(default_factory=set)
    token: str = TOKEN
    account: str = ""  # the ServiceAccount token that is worth a new node's token
    issued: int = 0
    _next: int = 2

    def start(self, context: ssl.SSLContext | None = None, port: int = 0) -> str:
        """Listen on loopback of the caller's network namespace; the URL."""
        fake = self

        class Handler(_Handler):
            controller = fake

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128
            block_on_close = False

        self.server = Server(("127.0.0.1", port), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return f"{'https' if context else 'http'}://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def configure(self, **changes: Any) -> None:
        """Change the node's configuration; waiting polls are answered."""
        with self.changed:
            self.configuration.update(changes)
            self.configuration["revision"] += 1
            self.changed.notify_all()

    def commit_all(self) -> None:
        with self.changed:
            self.commit = True
            self.changed.notify_all()

    def count(self, method: str, word: str = "") -> int:
        """How many requests of `method` had `word` in their path."""
        return sum(m == method and word in path for m, path in self.requests)

    # What the paths do.

    def issue(self, bearer: str) -> tuple[int, Any]:
        """Answer who asks for a new token of the node."""
        if bearer != self.account:
            return problem(403, "Forbidden", "this account is not that of heddle-node on n1")
        self.issued += 1
        self.token = f"issued-{self.issued}"
        return 201, {"node": self.node, "token": self.token}

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        self.requests.append((method, target))
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if parts[:2] != ["v1", "nodes"] or len(parts) < 4 or parts[2] != self.node:
            return problem(404, "Node not found", f"no node {parts[2] if len(parts) > 2 else ''!r}")
        if parts[3] == "configuration":
            return self._configuration(query)
        if parts[3] == "report":
            self.reports.append(body)
            return 204, None
        if parts[3] == "readiness":
            if not self.ready or self.pool <= 0:
                return problem(503, "Not ready", "the pool of n1 is exhausted" if self.ready else "not connected")
            return 200, {"ready": True, "free_addresses": self.pool}
        if self.failure is not None:
            return problem(*self.failure)
        if len(parts) == 4:
            return 200, {"ports": [{"container": c, "interface": i, **port} for (c, i), port in self.ports.items()]}
        key = (parts[4], parts[5])
        if method == "PUT":
            return self._put(key, body)
        if method == "DELETE":
            self.ports.pop(key, None)
            return 204, None
        return self._get(key, float(query.get("wait", "0")))

    def _configuration(self, query: dict[str, str]) -> tuple[int, Any]:
        with self.changed:
            if "after" in query:
                after = int(query["after"])
                self.changed.wait_for(lambda: self.configuration["revision"] != after, float(query.get("wait", "0")))
            return 200, dict(self.configuration)

    def _put(self, key: Key, body: Any) -> tuple[int, Any]:
        if key[1] in self.refused:
            return problem(*self.refused[key[1]])
        if body["project"] not in self.projects:
            return problem(404, "Project not found", f"no project {body['project']!r}: create a network for it first")
        with self.changed:
            known = self.ports.get(key)
            if known is not None:
                same = known["pod"] == body["pod"] and known["project"] == body["project"]
                return (200, known) if same else problem(409, "Port is another pod's", known["pod"])
            if self.pool <= 0:
                return problem(507, "No free address", "the subnet of n1 is full")
            self.pool -= 1
            address, self._next = f"10.128.0.{self._next}", self._next + 1
            mac = "0a:58:" + ":".join(f"{int(part):02x}" for part in address.split("."))
            self.ports[key] = {
                **body,
                "network": body["project"],
                "vnid": 10,
                "mac": mac,
                "addresses": [{"address": f"{address}/23", "gateway": "10.128.0.1"}],
                "cluster_addresses": [],
                "routes": [{"dst": "0.0.0.0/0", "gw": "10.128.0.1"}],
                "mtu": self.mtu,
                "phase": "Pending",
                "ofport": 0,
                "reason": "",
            }
            if self.own_range:
                self.ports[key] |= {
                    "mac": "0a:58:0a:00:00:05",
                    "addresses": [{"address": "10.0.0.5/24", "gateway": "10.0.0.1"}],
                    "cluster_addresses": [address],
                    "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}],
                }
            if key[1] in self.others:
                self.ports[key] |= self._beside(key[1], int(address.rpartition(".")[2]))
            elif self.others:
                self.ports[key]["others"] = list(self.others)
            return 201, self.ports[key]

    def _beside(self, interface: str, number: int) -> dict[str, Any]:
        """What another interface gets: of its own network, and no default route."""
        place = self.others.index(interface) + 1
        subnet = self.subnets.get(interface, f"10.{200 + place}.0")
        return {
            "network": f"beside{place}",
            "mac": f"0a:58:{200 + place:02x}:00:00:{number:02x}",
            "addresses": [{"address": f"{subnet}.{number}/24", "gateway": f"{subnet}.1"}],
            "routes": [{"dst": f"{subnet.rpartition('.')[0]}.0.0/16", "gw": f"{subnet}.1"}],
            "cluster_addresses": [],
        }

    def _get(self, key: Key, wait: float) -> tuple[int, Any]:
        with self.changed:
            if key not in self.ports:
                return problem(404, "Port not found", "/".join(key))
            self.changed.wait_for(lambda: self.commit and key[1] not in self.held, wait)
            if self.commit and key[1] not in self.held:
                self.ports[key] |= {"phase": self.phase, "reason": self.phase_reason, "ofport": 3}
            return 200, self.ports[key]


def problem(status: int, title: str, detail: str) -> tuple[int, Any]:
    return status, {"type": "about:blank", "title": title, "status": status, "detail": detail}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    controller: FakeController

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        content = self.rfile.read(length)
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.command == "POST" and self.controller.account and self.path.endswith("/token"):
            status, value = self.controller.issue(bearer)
        elif bearer != self.controller.token:
            status, value = problem(401, "Unauthorized", "the token is not that of node n1")
        else:
            status, value = self.controller.answer(self.command, self.path, json.loads(content) if content else None)
        text = b"" if value is None else json.dumps(value).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a caller may have lost patience
            self._send(status, text)

    def _send(self, status: int, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
        if status != 204:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST = do_DELETE = _handle

    def setup(self) -> None:
        super().setup()
        self.controller.connections.add(self.connection)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def finish(self) -> None:
        self.controller.connections.discard(self.connection)
        super().finish()

    def log_message(self, *_: Any) -> None:
        pass
