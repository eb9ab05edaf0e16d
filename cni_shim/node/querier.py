"""The node's part of multicast: hears by igmp0 what pods say of groups, asks them again, and tells the controllers.

A thread of its own listens, asks and forgets; another one tells, for controllers may take their time. A pod may say so
much a second (the switch meters it), and here each port gets a turn only so often besides. While the program is down
everybody stays the member that he was; after a start all are asked at once.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import Any

from cni_shim.attachment import CONTAINER_KEY
from cni_shim.controller import Controller, read_token
from cni_shim.errors import RefusedError, ShimError
from cni_shim.node.bridges import IGMP_PORT
from cni_shim.node.configuration import Configuration
from cni_shim.node.igmp import query, records
from cni_shim.node.members import MOST_GROUPS, SOON, STARTUP_QUERIES, Members
from cni_shim.node.settings import Settings
from cni_shim.node.translator import Bucket
from cni_shim.ovsdb import Database

LOOK = 5.0  # seconds between looks at the numbers that ports have
RETRY = 1.0
LISTEN = 0.25  # seconds between looks at whether controllers are still there
RATE, BURST = 20.0, 40.0  # reports of one port a second, and at once after a rest
QUEUE = 1 << 18  # bytes of frames that wait
AGAIN = 60.0  # seconds until all is told again, to whoever may have forgotten it
TOLD_TOGETHER = 0.05  # seconds that a change waits for company
REPORT_TIMEOUT = 5.0
REPORT_MAC, QUERY_MAC = b"\x0e\x01", b"\x0e\x02"  # in front of a port's number
_LONGEST = 1 << 16
_ETH_P_IP = 0x0800
log = logging.getLogger("heddle-node")


class Querier:
    """`heed` and `forget_reports` may be called from another thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._members = Members(settings.multicast)
        self._wanted: Configuration | None = None
        self._changed = threading.Event()
        self._buckets: dict[int, Bucket] = {}
        self._look_at = 0.0
        # Until everybody had the time to answer, what is known is not all there is: others would be taken for gone.
        self._complete_at: float | None = None
        self._teller = Teller(settings)

    def start(self) -> None:
        threading.Thread(target=self._keep, name="querier", daemon=True).start()
        self._teller.start()

    def heed(self, wanted: Configuration) -> None:
        """From now on, this is the node's configuration."""
        self._wanted = wanted
        self._look_at = 0.0
        self._teller.heed(wanted)

    def forget_reports(self) -> None:
        """Tell anew, for a controller may have been restarted."""
        self._teller.forget()

    def _keep(self) -> None:
        while True:
            try:
                if self._wanted is None or not self._wanted.multicast:
                    self._rest()
                    continue
                with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE)
                    sock.bind((IGMP_PORT, _ETH_P_IP))
                    self._serve(sock)
            except (ShimError, OSError) as error:  # it is not there yet, or ovs-vswitchd was restarted
                log.debug("%s: %s", IGMP_PORT, error)
                time.sleep(RETRY)
            except Exception:  # whatever a pod sends, the others get their turn
                log.exception("multicast groups")
                time.sleep(RETRY)

    def _rest(self) -> None:
        """No pod may join anything, as far as is known."""
        if self._wanted is not None:
            self._members.attend({}, time.monotonic())
            self._teller.tell({})
        time.sleep(RETRY)

    def _serve(self, sock: socket.socket) -> None:
        """Listen, ask and forget until the socket fails, or no pod may join anything."""
        while self._wanted is not None and self._wanted.multicast:
            now = time.monotonic()
            if now >= self._look_at:
                self._look_at = now + LOOK
                self._members.attend(self._ofports(self._wanted.multicast), now)
                if self._complete_at is None:
                    self._complete_at = now + STARTUP_QUERIES[0] + SOON + RETRY
            for ofport, response in self._members.due(now):
                timers = self._settings.multicast
                port = QUERY_MAC + ofport.to_bytes(4, "big")
                sock.send(query(port, response, timers.robustness, timers.interval))
            self._members.expire(now)
            self._tell()
            sock.settimeout(max(0.01, min(self._members.next_due(now), self._look_at - now, RETRY)))
            try:
                frame, sender = sock.recvfrom(_LONGEST)
            except TimeoutError:
                continue
            if sender[2] != socket.PACKET_OUTGOING:
                self._hear(frame)

    def _hear(self, frame: bytes) -> None:
        if frame[6:8] != REPORT_MAC:
            return
        ofport, now = int.from_bytes(frame[8:12], "big"), time.monotonic()
        bucket = self._buckets.setdefault(ofport, Bucket(tokens=BURST, since=now, rate=RATE, burst=BURST))
        if bucket.take(now):
            bucket.tokens += 1  # it is not taken: a flood must not keep the port silent for long
            return
        too_many = self._members.hear(ofport, records(frame), now)
        if too_many is not None:
            log.warning("interface %s has joined more than %d groups: the others are not taken", too_many, MOST_GROUPS)

    def _ofports(self, interfaces: tuple[str, ...]) -> dict[str, int]:
        """The numbers of those of the interfaces that the switch has."""
        wanted = set(interfaces)
        database = Database(self._settings.database)
        try:
            rows = database.rows("Interface", ["name", "ofport", "external_ids"])
        finally:
            database.close()
        found = {
            row["name"]: row["ofport"]
            for row in rows
            if row["name"] in wanted and isinstance(row["ofport"], int) and row["ofport"] > 0
            if CONTAINER_KEY in row["external_ids"]
        }
        numbers = set(found.values())
        self._buckets = {ofport: bucket for ofport, bucket in self._buckets.items() if ofport in numbers}
        return found

    def _tell(self) -> None:
        if self._complete_at is not None and time.monotonic() >= self._complete_at:
            self._teller.tell(self._members.joined())


class Teller:
    """Tells each controller who has joined what, whenever that changes.

    It keeps the connections by which it has told: when one ends, the controller may have been restarted, and is told
    anew as soon as it answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wanted: Configuration | None = None
        self._joined: dict[str, tuple[str, ...]] | None = None
        self._told: dict[str, Any] = {}
        self._clients: dict[str, Controller] = {}
        self._again = 0.0
        self._changed = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._keep, name="groups", daemon=True).start()

    def heed(self, wanted: Configuration) -> None:
        """From now on, this is the node's configuration: it says which controllers there are."""
        self._wanted = wanted
        self._changed.set()

    def tell(self, joined: dict[str, tuple[str, ...]]) -> None:
        """This is so now."""
        if joined != self._joined:
            self._joined = joined
            self._changed.set()

    def forget(self) -> None:
        """Tell it anew."""
        self._told = {}
        self._changed.set()

    def _keep(self) -> None:
        while True:
            self._changed.wait(LISTEN)
            if self._changed.is_set():
                time.sleep(TOLD_TOGETHER)
                self._changed.clear()
            try:
                self.report(time.monotonic())
            except Exception:  # nothing may end this thread
                log.exception("multicast groups")

    def report(self, now: float) -> None:
        """Tell whoever does not know it; who does not listen is told the next time."""
        wanted, joined = self._wanted, self._joined
        if wanted is None or joined is None:
            return
        if now >= self._again:
            self._again, self._told = now + AGAIN, {}
        content = {"members": [{"interface": name, "groups": list(groups)} for name, groups in joined.items()]}
        urls = wanted.api or self._settings.controllers
        for url in [url for url, client in self._clients.items() if url not in urls or not client.is_connected()]:
            self._clients.pop(url).close()
            self._told.pop(url, None)
        for url in urls:
            # Whoever has been told nothing knows of nothing.
            if self._told.get(url) == content or (not joined and url not in self._told and not wanted.multicast):
                continue
            try:
                self._put(url, content)
                self._told[url] = content
            except RefusedError as error:
                log.warning("what pods have joined is not taken by %s: %s", url, error)
                self._told[url] = content  # it is told again after a while
            except ShimError as error:
                log.debug("no report of groups to %s: %s", url, error)

    def _put(self, url: str, content: Any) -> None:
        token = read_token(self._settings.token_file)
        client = self._clients.get(url)
        if client is None:
            client = self._clients[url] = Controller((url,), token, self._settings.ca_file, REPORT_TIMEOUT)
        client.token = token
        client.call("PUT", f"/v1/nodes/{self._settings.node}/groups", content)
