"""A TCP port of this machine that leads to a server in a namespace, so that programs here reach it without entering."""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import IPv4Address
from threading import Thread

from lab.namespaces import Namespace


class Relay:
    """127.0.0.1:`port` here is `address`:`target` in the namespace, until `close`."""

    def __init__(self, namespace: Namespace, address: IPv4Address, target: int) -> None:
        self._namespace = namespace
        self._target = (str(address), target)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._accept, name="relay", daemon=True).start()

    def close(self) -> None:
        """Take no more connections; those that are open end with their ends."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError), self._namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as there:
            there.connect(self._target)
            back = Thread(target=_copy, args=(there, connection), daemon=True)
            back.start()
            _copy(connection, there)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until the source ends, and end the target."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
