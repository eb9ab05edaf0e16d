"""REST on its sockets: TCP, TLS, Unix path, or inherited. What is served comes from `rest`."""

from __future__ import annotations

import contextlib
import os
import socket as plain_socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

import eventlet
import eventlet.wsgi
import structlog
from eventlet.green import socket
from eventlet.green import ssl as green_ssl

from ryu_apps.listening import InheritedSocket, Listen, TcpAddress, UnixPath
from ryu_apps.settings import Tls

log = structlog.get_logger(__name__)

_BACKLOG: Final = 512
_KEEP_ALIVE_SECONDS: Final = 75
_MOST_REQUESTS: Final = 4096  # long polls of nodes included


class _Silent:
    """Where eventlet's access log goes: requests are counted in the metrics instead."""

    def write(self, _text: str) -> None:
        """Drop a line."""


Application: TypeAlias = Callable[..., Any]


def serve(listens: tuple[Listen, ...], tls: Tls | None, app_for: Callable[[bool], Application]) -> None:
    """Serve on every address, each in a green thread. Raises OSError when one cannot be listened on.

    `app_for` returns the WSGI application for sockets that only this machine's users reach (True), or others (False).
    """
    bound = [(listen, _bind(listen)) for listen in listens]
    apps = {local: app_for(local) for local in {_is_local(listener) for _, listener in bound}}
    for listen, listener in bound:
        app = apps[_is_local(listener)]  # asked first: encryption takes the descriptor away from the plain socket
        encrypted = tls is not None and not isinstance(listen, UnixPath)
        accepting = _encrypt(listener, tls) if encrypted and tls is not None else listener
        eventlet.spawn(
            eventlet.wsgi.server,
            accepting,
            app,
            log=_Silent(),
            log_output=False,
            keepalive=_KEEP_ALIVE_SECONDS,
            max_size=_MOST_REQUESTS,
            socket_timeout=_KEEP_ALIVE_SECONDS,
        )
        log.info("API", listening=str(listen), tls=encrypted)


def _is_local(listener: Any) -> bool:
    """Whether a listening socket is reached from this machine only: a Unix socket, or a loopback address."""
    name = listener.getsockname()
    return not isinstance(name, tuple) or ip_address(name[0]).is_loopback


def _bind(listen: Listen) -> Any:
    match listen:
        case TcpAddress(address=address, port=port):
            family = plain_socket.AF_INET6 if address.version == 6 else plain_socket.AF_INET
            return eventlet.listen((str(address), port), family=family, backlog=_BACKLOG, reuse_port=False)
        case UnixPath(path=path):
            _remove_stale(str(path))
            listener = eventlet.listen(str(path), family=plain_socket.AF_UNIX, backlog=_BACKLOG)
            os.chmod(path, 0o600)
            return listener
        case InheritedSocket(fd=fd):
            # A descriptor of our own: closing it does not take the starter's socket away.
            return socket.socket(fileno=os.dup(fd))


def _remove_stale(path: str) -> None:
    """Remove a Unix socket that nobody listens on; one that answers is left, and binding fails."""
    probe = plain_socket.socket(plain_socket.AF_UNIX)
    try:
        probe.connect(path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    finally:
        probe.close()


def _encrypt(listener: Any, tls: Tls) -> Any:
    context = green_ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(str(tls.certificate), str(tls.key))
    return context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
