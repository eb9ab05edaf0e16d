"""python -m lab.apiserver: serve the double until SIGTERM. What it prints first is its URL."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

import msgspec
import yaml

from lab.apiserver.http import ApiDouble
from lab.apiserver.reviews import User


def main() -> int:
    """Serve; exit status 0 when told to stop."""
    parser = argparse.ArgumentParser(prog="python -m lab.apiserver", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any free one")
    parser.add_argument("--tokens", type=Path, help="JSON file: token -> {username, groups, extra, audiences}")
    parser.add_argument("--kubeconfig", type=Path, help="write a kubeconfig for it there")
    asked = parser.parse_args()
    tokens = msgspec.json.decode(asked.tokens.read_bytes(), type=dict[str, User]) if asked.tokens else {}
    server = ApiDouble((asked.address, asked.port), tokens)
    url = f"http://{asked.address}:{server.server_address[1]}"
    if asked.kubeconfig:
        asked.kubeconfig.write_text(yaml.safe_dump(kubeconfig(url)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(url, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return 0


def kubeconfig(url: str) -> dict[str, object]:
    """Return a kubeconfig with one cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "double", "cluster": {"server": url}}],
        "users": [{"name": "admin", "user": {}}],
        "contexts": [{"name": "double", "context": {"cluster": "double", "user": "admin"}}],
        "current-context": "double",
    }


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    sys.exit(main())
