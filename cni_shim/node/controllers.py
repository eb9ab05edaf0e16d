"""The controllers as this node knows them: asked one after the other, and found again when all of them are others.

Those that live say themselves where they are. What they said last comes first, then what the settings say, then what
the API server tells; so a bad answer, or a restart of everything else, never leaves a node without anybody to ask.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from cni_shim.controller import Controller, InterruptedCallError
from cni_shim.errors import BAD_CONFIGURATION, RefusedError, ShimError
from cni_shim.node import apiserver, configuration
from cni_shim.node.configuration import Configuration
from cni_shim.node.identity import Identity
from cni_shim.node.settings import Settings

TIMEOUT = 5.0  # seconds for an answer, beyond what a call itself waits
log = logging.getLogger("heddle-node")


class Controllers:
    """heddle-node's calls. One thread calls; `interrupt` may come from another. `last`: the last good configuration."""

    def __init__(self, settings: Settings, last: Configuration | None) -> None:
        if not settings.controllers and settings.apiserver is None:
            remedy = "give it, or 'apiserver', which tells them"
            raise ShimError(BAD_CONFIGURATION, "field 'controllers' is missing in the settings", remedy)
        self._settings = settings
        self._identity = Identity(settings)
        self._living = last.api if last is not None else ()
        self._found: tuple[str, ...] = ()
        self._client = Controller((), self._identity.token(), settings.ca_file, TIMEOUT)
        self._offer()

    @property
    def urls(self) -> tuple[str, ...]:
        """All that are known, in the order in which they are asked."""
        return tuple(self._client.urls)

    def configuration(self, after: int | None = None, wait: float = 0.0) -> Configuration:
        """This node's configuration; if `after` is the present one's revision, once it changes or `wait` s are over."""
        query = "" if after is None else f"?after={after}&wait={wait:g}"
        content = self._get("configuration" + query, 0.0 if after is None else wait)
        heard = configuration.parse(content, self._settings.node)
        self._living = heard.api
        self._offer()
        return heard if heard.api else replace(heard, api=self._settings.controllers or (self._client.url,))

    def readiness(self) -> Any:
        """The decoded answer; ShimError when pods cannot be added."""
        return self._get("readiness")

    def interrupt(self) -> None:
        """End a call that waits."""
        self._client.interrupt()

    def close(self) -> None:
        self._client.close()

    # --- inside --------------------------------------------------------------------------------

    def _get(self, what: str, wait: float = 0.0) -> Any:
        path = f"/v1/nodes/{self._settings.node}/{what}"
        try:
            return self._ask(path, wait)
        except (RefusedError, InterruptedCallError):
            raise
        except ShimError:
            if not self._look_elsewhere():
                raise
        return self._ask(path, wait)

    def _ask(self, path: str, wait: float) -> Any:
        try:
            return self._client.call("GET", path, wait=wait)[1]
        except RefusedError as error:
            token = self._identity.renew(self.urls, self._client.token) if error.status == 401 else None
            if token is None:
                raise
        log.info("this node has a new token")
        self._client.token = token
        return self._client.call("GET", path, wait=wait)[1]

    def _look_elsewhere(self) -> bool:
        """Ask the API server where controllers are; whether it tells of any that were not known."""
        if self._settings.apiserver is None:
            return False
        before = self.urls
        try:
            self._found = apiserver.controllers(self._settings.apiserver)
        except ShimError as error:
            log.warning("%s", error)
            return False
        self._offer()
        return bool(set(self.urls) - set(before))

    def _offer(self) -> None:
        living = rotated(self._living, self._settings.node)
        self._client.urls = _once((*living, *self._settings.controllers, *self._found))


def rotated(urls: tuple[str, ...], node: str) -> tuple[str, ...]:
    """`urls`, begun at a place that differs from node to node: they do not all ask the same controller."""
    start = zlib.crc32(node.encode()) % len(urls) if urls else 0
    return (*urls[start:], *urls[:start])


def _once(urls: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(urls))
