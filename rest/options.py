"""How one REST application is set up. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of one application; one for all the sockets that it is mounted on.

    `admin_sha256` is the SHA-256 (hexadecimal) of the administrator's token. Without one, `open_administration` says
    whether whoever reaches the socket is the administrator (loopback, a Unix socket), or nobody is.
    `controllers` are the OpenFlow targets that nodes are told to connect to, such as `tcp:192.0.2.1:6653`.
    """

    admin_sha256: str | None = None
    open_administration: bool = False
    controllers: tuple[str, ...] = ()
