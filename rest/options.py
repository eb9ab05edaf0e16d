"""How one REST application is set up. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol


class Identity(Protocol):
    """Whom a token stands for, by somebody else's word. `node`: the node whose own part has it."""

    @property
    def username(self) -> str:
        """The name, for the log."""
        ...

    @property
    def node(self) -> str | None:
        """The node, if it is one."""
        ...


class Reviewer(Protocol):
    """Who knows tokens that are not this API's own. Raises ConnectionError when nobody can be asked."""

    def review(self, token: str) -> Identity | None:
        """Return whom a token stands for."""
        ...

    def may(self, person: Any, verb: str) -> bool:
        """Whether somebody may `get`, or `update`."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of one application; one for all the sockets that it is mounted on.

    `admin_sha256` is the SHA-256 (hexadecimal) of the administrator's token. Without one, `open_administration` says
    whether whoever reaches the socket is the administrator (loopback, a Unix socket), or nobody is.
    `controllers` are the OpenFlow targets that nodes are told to connect to, such as `tcp:192.0.2.1:6653`.
    `own_authorization` is the Authorization header by which this replica calls others on its own behalf. `reviewer`
    knows tokens that are neither the administrator's nor a node's here.
    """

    admin_sha256: str | None = None
    open_administration: bool = False
    controllers: tuple[str, ...] = ()
    own_authorization: str | None = field(default=None, repr=False)
    reviewer: Reviewer | None = None
