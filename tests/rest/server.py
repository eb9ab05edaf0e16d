"""The API in memory behind eventlet's server, as the controller serves it. Prints its port, and ends with its input."""

from __future__ import annotations

import sys

import eventlet
import eventlet.tpool
import eventlet.wsgi

from rest.app import make_app
from rest.options import Options
from tests.rest.control import MemoryControl


def main() -> None:
    """Serve on a free loopback port until standard input ends."""
    listener = eventlet.listen(("127.0.0.1", 0))
    app = make_app(MemoryControl(), Options(open_administration=True))
    eventlet.spawn(eventlet.wsgi.server, listener, app, log_output=False)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    eventlet.tpool.execute(sys.stdin.read)


if __name__ == "__main__":
    main()
