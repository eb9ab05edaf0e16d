"""Tells load balancers by HTTP how many endpoints of a service this node has, as kube-proxy does.

200 where there are some, 503 where there is none or the node cannot lead anybody to them. A port that is taken is tried
again with each `keep`.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cni_shim.node.configuration import Health

ANSWER_WITHIN = 5.0  # seconds that a client may take to ask
POLL = 0.1  # seconds until a server notices that it is to end
log = logging.getLogger("heddle-node")


class HealthPorts:
    """The ports at which is told, each with a thread of its own. `keep` and `close` are for one thread."""

    def __init__(self) -> None:
        self._servers: dict[int, _Server] = {}
        self._untold: set[int] = set()

    def keep(self, wanted: Iterable[Health], *, healthy: bool) -> None:
        """Tell just this from now on; `healthy`: whether the node leads to its endpoints at all."""
        by_port = {health.port: health for health in wanted}
        for port in [port for port in self._servers if port not in by_port]:
            self._servers.pop(port).end()
        self._untold &= by_port.keys()
        for port, health in by_port.items():
            server = self._servers.get(port) or self._begin(port)
            if server is not None:
                server.answer = _answer(health, healthy=healthy)

    def close(self) -> None:
        """Tell nothing any more."""
        self.keep((), healthy=False)

    def _begin(self, port: int) -> _Server | None:
        try:
            server = self._servers[port] = _Server(port)
        except OSError as error:
            if port not in self._untold:
                log.error("health port %d cannot be answered: %s; tried again", port, error)
            self._untold.add(port)
            return None
        self._untold.discard(port)
        return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: tuple[int, int, bytes] = (503, 0, b"")

    def __init__(self, port: int) -> None:
        self.address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        super().__init__(("", port), _Handler)
        Thread(target=self.serve_forever, args=(POLL,), name=f"health {port}", daemon=True).start()

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a client of a health port went away")

    def end(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = ANSWER_WITHIN
    server: _Server

    def do_GET(self) -> None:  # its name is http.server's
        status, endpoints, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Load-Balancing-Endpoint-Weight", str(endpoints))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name is http.server's
        """Not a line for each question."""


def _answer(health: Health, *, healthy: bool) -> tuple[int, int, bytes]:
    """Status, number of endpoints and body."""
    told = {
        "service": {"namespace": health.project, "name": health.service},
        "localEndpoints": health.endpoints,
        "serviceProxyHealthy": healthy,
    }
    status = 200 if health.endpoints and healthy else 503
    return status, health.endpoints, (json.dumps(told, indent=1) + "\n").encode()
