"""Looks at the underlay's paths and card again and again, says what is wrong, and reports it to every controller.

A thread of its own, for answers may take their time. Nothing on the node depends on what it finds.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from typing import Any

from cni_shim.controller import Controller, read_token
from cni_shim.errors import RefusedError, ShimError
from cni_shim.node import offload, survey
from cni_shim.node.configuration import Configuration
from cni_shim.node.settings import Settings

INTERVAL = 600.0  # seconds between two looks at all paths: they change seldom, and silently
LOOK = 10.0  # between looks at this node's own MTU, and at who has come
SETTLING = 2.0  # after a change: others often follow
PATIENCE = 300.0  # for a look at all paths; a thousand peers of which none answers take a minute
REPORT_TIMEOUT = 5.0
log = logging.getLogger("heddle-node")


class Surveyor:
    """`heed` and `mention` may be called from another thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wanted: Configuration | None = None
        self._mentioned: tuple[str, ...] = ()
        self._changed = threading.Event()
        self._made: survey.Survey | None = None
        self._seen: tuple[object, ...] = ()
        self._next = 0.0  # when all paths are due
        self._told: dict[str, Any] = {}
        self._warned: tuple[str, ...] = ()
        self._failure = ""

    def start(self) -> None:
        threading.Thread(target=self._keep, name="surveyor", daemon=True).start()

    def heed(self, wanted: Configuration) -> None:
        """From now on, this is the node's configuration."""
        self._wanted = wanted
        self._changed.set()

    def mention(self, *warnings: str) -> None:
        """Report these warnings besides, from now on; whoever found them has said them in the log."""
        if warnings != self._mentioned:
            self._mentioned = warnings
            self._changed.set()

    def forget_reports(self) -> None:
        """Report anew, for a controller may have been restarted."""
        self._told = {}
        self._changed.set()

    def _keep(self) -> None:
        while True:
            self._changed.wait(LOOK)
            if self._changed.is_set():
                time.sleep(SETTLING)
                self._changed.clear()
            wanted = self._wanted
            if wanted is None:
                continue
            try:
                self._look(wanted)
            except (ShimError, OSError) as error:
                if str(error) != self._failure:
                    log.warning("the underlay's paths are not known: %s", error)
                self._failure = str(error)
            except Exception:  # nothing may end this thread
                log.exception("the underlay's paths")

    def _look(self, wanted: Configuration) -> None:
        mtu = survey.own_mtu()
        if mtu is None:
            return  # the node is not set up yet
        now = time.monotonic()
        seen = (mtu, wanted.mtu_overhead, wanted.underlay, wanted.peers)
        due = now >= self._next
        if due:
            self._next, self._told = now + INTERVAL, {}
        if due or seen != self._seen:
            self._made = survey.survey(wanted, PATIENCE, None if due else self._made)
            survey.save(self._made, self._settings.state_dir)
            self._seen = seen
            card = offload.warnings(wanted, self._settings)
            self._warn((*self._made.warnings(wanted.underlay), *card))
        self._report(wanted, {"mtu": mtu, "warnings": _bounded((*self._warned, *self._mentioned))})

    def _warn(self, warnings: tuple[str, ...]) -> None:
        """Say each once."""
        for text in warnings:
            if text not in self._warned:
                log.warning("%s", text)
        if self._warned and not warnings:
            log.info("what was warned of the underlay is over")
        self._warned = warnings

    def _report(self, wanted: Configuration, content: dict[str, Any]) -> None:
        """Tell each controller that does not know it yet; who does not listen is told the next time."""
        urls = wanted.api or self._settings.controllers
        self._told = {url: told for url, told in self._told.items() if url in urls}
        for url in urls:
            if self._told.get(url) == content:
                continue
            try:
                token = read_token(self._settings.token_file)
                with closing(Controller((url,), token, self._settings.ca_file, REPORT_TIMEOUT)) as client:
                    client.call("PUT", f"/v1/nodes/{self._settings.node}/report", content)
                self._told[url] = content
            except RefusedError as error:
                log.debug("no report to %s: %s", url, error)
                self._told[url] = content  # an older controller knows no reports: it is not asked all the time
            except ShimError as error:
                log.debug("no report to %s: %s", url, error)


def _bounded(warnings: tuple[str, ...]) -> list[str]:
    """As many, and as long, as a report may hold."""
    return [text[:500] for text in warnings[:32]]
