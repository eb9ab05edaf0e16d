"""Kubernetes' API server as far as heddle-node asks it: Leases over TLS, for one token or client certificate."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from pathlib import Path
from typing import Any

import trustme

ACCOUNT = "account-of-heddle-node"


class FakeApiServer:
    """Set `leases` (name: url, renewTime); `requests` are the paths that were asked for, with who asked."""

    def __init__(self, folder: Path) -> None:
        self.leases: dict[str, tuple[str | None, str]] = {}
        self.allowed = True
        self.answer: Any = None  # in place of the list
        self.requests: list[tuple[str, str]] = []
        self._folder = folder
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "api-ca.pem"))
        client = authority.issue_cert("heddle-node", common_name="heddle-node")
        client.private_key_pem.write_to_path(str(folder / "client-key.pem"))
        client.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
        (folder / "account").write_text(f"{ACCOUNT}\n")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        authority.configure_trust(self._context)
        self._context.verify_mode = ssl.CERT_OPTIONAL

    def start(self) -> str:
        """Listen on loopback of the caller's network namespace; the URL."""
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, content = fake.respond(self)
                text = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = self._context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def respond(self, handler: http.server.BaseHTTPRequestHandler) -> tuple[int, Any]:
        """Status and body of the answer to a request."""
        connection: Any = handler.connection
        by = "certificate" if connection.getpeercert() else handler.headers.get("Authorization", "")
        self.requests.append((handler.path, by))
        if by not in ("certificate", f"Bearer {ACCOUNT}"):
            return 401, {"kind": "Status", "message": "Unauthorized"}
        if not self.allowed:
            return 403, {"kind": "Status", "message": 'leases is forbidden: User "x" cannot list resource "leases"'}
        if self.answer is not None:
            return 200, self.answer
        items = [_lease(name, url, renewed) for name, (url, renewed) in self.leases.items()]
        return 200, {"kind": "LeaseList", "items": items}

    def settings(self, url: str, **changes: Any) -> dict[str, Any]:
        """The field `apiserver` of heddle-node's file."""
        folder = self._folder
        return {"url": url, "ca_file": str(folder / "api-ca.pem"), "token_file": str(folder / "account"), **changes}


def _lease(name: str, url: str | None, renewed: str) -> dict[str, Any]:
    annotations = {"heddle.sdn/api": url} if url is not None else {}
    metadata = {"name": f"heddle-replica-{name}", "annotations": annotations}
    return {"metadata": metadata, "spec": {"holderIdentity": name, "renewTime": renewed}}
