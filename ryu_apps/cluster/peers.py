"""HTTP to the other replicas: calls that they answer, and whether something is in force on their switches.

What goes there has tokens in it: a replica whose own API is encrypted sends nothing to one whose is not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec
import urllib3

from rest.control import Forwarded, Replica, Reply
from store.base import Mark

_CONNECT_SECONDS: Final = 2.0
_MOST_CONNECTIONS: Final = 256  # long polls of nodes, too
_GRACE_SECONDS: Final = 2.0
_MOST_MARKS: Final = 5000  # characters in one request: a server's limit for its first line is 8192
_MOST_NODES: Final = 2000  # more are not named: all are meant


class _Late(msgspec.Struct, frozen=True):
    late: tuple[str, ...] = ()


class Peers:
    """Calls to replicas; any green thread may call.

    `ca` signs their certificates (None: the system's authorities). `encrypted`: only what is goes out.
    """

    def __init__(self, ca: Path | None, authorization: str | None, encrypted: bool = False) -> None:
        self._authorization = authorization
        self._encrypted = encrypted
        self._pool = urllib3.PoolManager(
            maxsize=_MOST_CONNECTIONS,
            retries=False,
            ca_certs=None if ca is None else str(ca),
            cert_reqs="CERT_REQUIRED",
        )

    def call(self, replica: Replica, call: Forwarded) -> Reply:
        """Return another replica's answer. Raises ConnectionError."""
        if self._encrypted and not replica.api.startswith("https:"):
            raise ConnectionError("it is not encrypted there, and tokens are not sent unencrypted")
        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=call.timeout)
        try:
            answer = self._pool.request(
                call.method,
                replica.api + call.path,
                body=call.body or None,
                headers=dict(call.headers),
                timeout=timeout,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ConnectionError(str(getattr(error, "reason", None) or error)) from None
        return Reply(answer.status, tuple(answer.headers.items()), answer.data)

    def late(
        self, replica: Replica, marks: tuple[Mark, ...], nodes: frozenset[str], timeout: float
    ) -> tuple[str, ...] | None:
        """Return which of these nodes of a replica lack what is marked after a time; None when it does not answer."""
        deadline = time.monotonic() + timeout
        named = ",".join(sorted(nodes))
        late: set[str] = set()
        for text in _texts(marks):
            which = "" if len(named) > _MOST_NODES else f"&nodes={named}"
            found = self._late(
                replica, f"marks={quote(text, safe='/@,')}{which}", max(0.0, deadline - time.monotonic())
            )
            if found is None:
                return None
            late.update(found)
        return tuple(sorted(late))

    def _late(self, replica: Replica, query: str, timeout: float) -> tuple[str, ...] | None:
        headers = (("Authorization", self._authorization),) if self._authorization else ()
        path = f"/v1/in-force?wait={min(timeout, 60.0):.1f}&{query}"
        try:
            answer = self.call(replica, Forwarded("GET", path, headers, b"", timeout + _GRACE_SECONDS))
            return msgspec.json.decode(answer.body, type=_Late).late if answer.status == 200 else None
        except (ConnectionError, msgspec.DecodeError):
            return None


def _texts(marks: Iterable[Mark]) -> Iterator[str]:
    """Yield marks as text, in pieces that fit a request; one at least."""
    text = ""
    for mark in marks:
        piece = f"{mark.plural}/{mark.name}@{mark.resource_version}"
        if len(text) + len(piece) > _MOST_MARKS:
            yield text
            text = ""
        text = f"{text},{piece}" if text else piece
    yield text
