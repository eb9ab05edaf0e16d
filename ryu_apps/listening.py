"""Addresses that a server listens on: a TCP address, a Unix socket's path, or a socket that the starter left open.

Values and their reading from text; nothing here binds or accepts.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

from topology.model import Address


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An IP address and a TCP port; port 0 lets the kernel choose."""

    address: Address
    port: int

    @property
    def tcp_port(self) -> int | None:
        """The TCP port, None when there is none or it is not known yet."""
        return self.port or None

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixPath:
    """A path of a Unix socket."""

    path: Path

    @property
    def tcp_port(self) -> None:
        """None: no TCP port."""
        return None

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class InheritedSocket:
    """A listening socket that the starter of this process left open, as systemd's socket activation does.

    `tcp_port` is the port of a TCP socket, None for another kind.
    """

    fd: int
    tcp_port: int | None = None

    def __str__(self) -> str:
        return f"fd:{self.fd}"


Listen: TypeAlias = TcpAddress | UnixPath | InheritedSocket


def listen_at(text: str) -> Listen:
    """Read HOST:PORT, unix:PATH or fd:N; raises ValueError, also when fd N is no listening socket."""
    kind, _, rest = text.partition(":")
    if kind == "unix":
        return _unix_path(rest)
    if kind == "fd":
        return _inherited(rest)
    return tcp_address(text, lowest=0)


def tcp_address(text: str, lowest: int) -> TcpAddress:
    """Read HOST:PORT with a port not below `lowest`; HOST is an address or localhost. Raises ValueError."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ip_address("127.0.0.1" if bare == "localhost" else bare)
        number = int(port)
        if not lowest <= number <= 65535 or (address.version == 6) != (bare != host):
            raise ValueError
    except ValueError:
        raise ValueError(
            "needed is HOST:PORT, where HOST is an IP address (IPv6 in brackets) or localhost"
            f" and PORT is {lowest} to 65535, as in 127.0.0.1:6653"
        ) from None
    return TcpAddress(address, number)


def _unix_path(text: str) -> UnixPath:
    path = Path(text).absolute()
    if not text or not path.parent.is_dir():
        raise ValueError(f"there is no directory {str(path.parent)!r}; needed is unix:PATH in one that exists")
    return UnixPath(path)


def _inherited(number: str) -> InheritedSocket:
    try:
        fd = int(number)
        with socket.socket(fileno=os.dup(fd)) as inherited:
            listening = inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            is_tcp = inherited.family in (socket.AF_INET, socket.AF_INET6)
            port = inherited.getsockname()[1] if is_tcp else None
    except (ValueError, OSError) as error:
        raise ValueError(f"no open socket ({error}); whoever starts this process has to open it") from None
    if not listening:
        raise ValueError("that socket does not listen")
    return InheritedSocket(fd, port)
