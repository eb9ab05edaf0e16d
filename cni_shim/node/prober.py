"""Probes the tunnels to other nodes, and tells a controller which are down. What that means is said in `tunnels`.

Two threads of their own: one sends and hears frames, and must never wait; the other calls controllers.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from contextlib import closing, suppress
from typing import NamedTuple

from cni_shim.controller import Controller, read_token
from cni_shim.errors import RefusedError, ShimError
from cni_shim.node.configuration import Configuration
from cni_shim.node.settings import Settings
from cni_shim.node.tunnels import ETH_TYPE, Tunnels

RETRY = 1.0  # seconds until the interface is looked for again, or a controller asked
TIMEOUT = 5.0
LONGEST_WAIT = 0.5  # seconds: so long may a new configuration wait
_LONGEST_FRAME = 2048
log = logging.getLogger("heddle-node")


class _Known(NamedTuple):
    """Names of nodes to which tunnels are down, and of those of which nothing is known yet."""

    down: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()


class Prober:
    """`heed` and `forget_reports` may be called from another thread."""

    def __init__(self, settings: Settings, interface: str) -> None:
        self._settings, self._interface = settings, interface
        self._wanted: Configuration | None = None
        self._known = _Known()
        self._told: _Known | None = None
        self._news = threading.Event()
        self._failure = ""

    def start(self) -> None:
        threading.Thread(target=self._keep_probing, name="prober", daemon=True).start()
        threading.Thread(target=self._keep_telling, name="tunnel reports", daemon=True).start()

    def heed(self, wanted: Configuration) -> None:
        """From now on, this is the node's configuration."""
        self._wanted = wanted

    def forget_reports(self) -> None:
        """Tell anew, for a controller may have been without its memory."""
        self._told = None
        self._news.set()

    # --- probing -------------------------------------------------------------------------------

    def _keep_probing(self) -> None:
        while True:
            try:
                with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK) as sock:
                    sock.bind((self._interface, ETH_TYPE))
                    self._probe(sock)
            except OSError as error:  # it is not there yet, or ovs-vswitchd was restarted
                log.debug("%s: %s", self._interface, error)
            except Exception:  # nothing may end this thread
                log.exception("probes of tunnels")
            time.sleep(RETRY)

    def _probe(self, sock: socket.socket) -> None:
        """Probe until the socket fails, with OSError."""
        tunnels, seen = None, None
        while True:
            wanted, now = self._wanted, time.monotonic()
            if wanted is None or not wanted.tunnels:
                if tunnels is not None and wanted is not None:
                    tunnels.heed((), now)
                    self._publish(wanted, tunnels)
                time.sleep(LONGEST_WAIT)
                continue
            if tunnels is None or tunnels.own != wanted.underlay:
                tunnels = Tunnels(wanted.underlay, os.urandom(8))
            changed = wanted is not seen and tunnels.heed((each.address for each in wanted.tunnels), now)
            seen = wanted
            frames, fell = tunnels.due(now)
            for each in frames:
                _send(sock, each)
            rose = self._hear(sock, tunnels, min(LONGEST_WAIT, tunnels.next_due(time.monotonic())))
            if changed or fell or rose:
                self._publish(wanted, tunnels)

    def _hear(self, sock: socket.socket, tunnels: Tunnels, wait: float) -> bool:
        """Take in what has come, after waiting for it; whether a tunnel is up by that."""
        rose = False
        if select.select([sock], [], [], wait)[0]:
            try:
                while True:
                    rose |= tunnels.take(sock.recv(_LONGEST_FRAME), time.monotonic())
            except BlockingIOError:
                pass
        return rose

    def _publish(self, wanted: Configuration, tunnels: Tunnels) -> None:
        names = {each.address: each.node for each in wanted.tunnels}
        down, unknown = (
            frozenset(names[address] for address in addresses if address in names)
            for addresses in (tunnels.down(), tunnels.unknown())
        )
        for name in sorted(down - self._known.down):
            log.warning("the tunnel to %s is down: nothing comes back from there", name)
        for name in sorted(self._known.down - down):
            log.info("the tunnel to %s is up", name)
        # At the start, one by one is found to be up: that is told when all are known.
        is_news = down != self._known.down or (bool(self._known.unknown) and not unknown)
        self._known = _Known(down, unknown)
        if is_news:
            self._news.set()

    # --- telling -------------------------------------------------------------------------------

    def _keep_telling(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            try:
                told = self._tell(self._known)
            except Exception:  # nothing may end this thread
                log.exception("reports of tunnels")
                told = False
            if not told:
                time.sleep(RETRY)
                self._news.set()

    def _tell(self, known: _Known) -> bool:
        """Tell any controller; False if it is to be told again."""
        wanted = self._wanted
        if wanted is None or not wanted.tunnels or known == self._told:
            return True
        urls = wanted.api or self._settings.controllers
        try:
            token = read_token(self._settings.token_file)
            with closing(Controller(urls, token, self._settings.ca_file, TIMEOUT)) as client:
                content = {"down": sorted(known.down), "unknown": sorted(known.unknown)}
                client.call("PUT", f"/v1/nodes/{self._settings.node}/tunnels", content)
        except RefusedError as error:
            self._complain(error)
            return error.status in (400, 404, 405, 422)  # an older controller, or a node that is no more
        except ShimError as error:
            self._complain(error)
            return False
        self._failure = ""
        self._told = known
        return True

    def _complain(self, error: ShimError) -> None:
        """Say it once."""
        if str(error) != self._failure:
            log.warning("no controller is told which tunnels are down: %s", error)
        self._failure = str(error)


def _send(sock: socket.socket, frame: bytes) -> None:
    with suppress(BlockingIOError):  # the queue is full: this one is lost, as any may be
        sock.send(frame)
