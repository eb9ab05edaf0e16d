"""Answers packets that are too large: Open vSwitch drops them without a word, and only large packets would get lost.

Two kinds, each known by the host's end of a pod's veth:
- what a pod sends that is larger than this node's MTU, for the underlay's was lowered after the pod was made: the
  answer goes right back to the pod;
- what is sent to a pod whose network has a smaller MTU: the answer goes into the switch by the pod's port, as if the
  pod had sent it, and from there the way of any ICMP error, with all translations.

A thread of its own. It does no more than RATE answers a second: a sender needs one. While it is down, such packets are
lost silently.
"""

from __future__ import annotations

import ctypes
import logging
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass

from cni_shim import netlink
from cni_shim.attachment import CONTAINER_KEY, LINK_GROUP, MTU_KEY
from cni_shim.errors import ShimError
from cni_shim.node.configuration import last_good
from cni_shim.node.oversize import ETHERNET, answer
from cni_shim.node.settings import Settings
from cni_shim.node.survey import own_mtu
from cni_shim.node.system import run
from cni_shim.node.translator import Bucket
from cni_shim.ovsdb import Database

LOOK = 2.0  # seconds between looks at who has which MTU
RATE, BURST = 50.0, 20.0  # answers a second, and at once after a rest
QUEUE = 1 << 16  # bytes of frames that wait, of each port
_SNAP = 2048  # bytes of a frame that an answer can quote
_ETH_P_ALL = 0x0003
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
# Classic BPF: load the frame's length; if it is larger than k, take so many bytes of it, else none.
_LOAD_LENGTH, _JUMP_IF_GREATER, _RETURN = 0x80, 0x25, 0x06
_STEP = struct.Struct("=HBBI")  # struct sock_filter: code, steps to leap over if true, and if false, k
log = logging.getLogger("heddle-node")


@dataclass(frozen=True)
class Limits:
    """Of a pod's port: the largest packet that may come from it, and that it takes, in bytes; 0: not limited here."""

    index: int
    ofport: int
    sends: int
    takes: int

    @property
    def least(self) -> int:
        return min(limit for limit in (self.sends, self.takes) if limit)


def start(settings: Settings) -> None:
    """Answer for as long as the process lives."""
    answering = Answering(settings)
    threading.Thread(target=answering.keep, name="answering", daemon=True).start()


class Answering:
    """The sockets that listen for packets that are too large, by the name of a pod's host end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sockets: dict[str, socket.socket] = {}
        self._limits: dict[str, Limits] = {}
        self._bucket = Bucket(tokens=BURST, since=time.monotonic(), rate=RATE, burst=BURST)

    def keep(self) -> None:
        """Look and answer, for ever."""
        due = 0.0
        while True:
            try:
                if time.monotonic() >= due:
                    self.listen(limits(self._settings))
                    due = time.monotonic() + LOOK
                self.answer(max(0.0, due - time.monotonic()))
            except (ShimError, OSError) as error:
                log.debug("packets that are too large: %s", error)
                due = 0.0
                time.sleep(LOOK)
            except Exception:  # whatever a pod sends, the next frame gets its turn
                log.exception("packets that are too large")
                time.sleep(LOOK)

    def listen(self, wanted: dict[str, Limits]) -> None:
        """From now on, hear of what exceeds these limits."""
        for name in [name for name, limit in self._limits.items() if wanted.get(name) != limit]:
            self._sockets.pop(name).close()
            del self._limits[name]
        for name in wanted.keys() - self._limits.keys():
            self._sockets[name] = _listener(name, wanted[name].least)
            self._limits[name] = wanted[name]

    def answer(self, patience: float) -> None:
        """Answer what is there, after waiting for something so many seconds at most."""
        by_socket = {own: name for name, own in self._sockets.items()}
        ready, _, _ = select.select(list(by_socket), [], [], patience)
        for own in ready:
            frame, sender = own.recvfrom(_SNAP)
            name = by_socket[own]
            limit = self._limits[name]
            is_to_pod = sender[2] == socket.PACKET_OUTGOING
            most = limit.takes if is_to_pod else limit.sends
            size = _packet_size(frame)
            back = answer(frame, most) if most and size > most else None
            delay = self._bucket.take(time.monotonic()) if back is not None else 0.0
            if delay:
                time.sleep(delay)
            if back is not None and is_to_pod:
                self._as_if_from_pod(limit.ofport, back)
            elif back is not None:
                own.send(back)

    def _as_if_from_pod(self, ofport: int, frame: bytes) -> None:
        known = last_good(self._settings.state_dir, self._settings.node)
        if known is not None:
            target = f"unix:{self._settings.ovs_rundir}/{known.bridge}.mgmt"
            what = f"in_port={ofport},packet={frame.hex()},actions=table"
            run("ovs-ofctl", "-O", "OpenFlow15", "packet-out", target, what)


def limits(settings: Settings) -> dict[str, Limits]:
    """Whose packets may be too large on this node, by the names of host ends; nobody's, as a rule."""
    most = own_mtu()
    if most is None:
        return {}
    database = Database(settings.database)
    try:
        rows = database.rows("Interface", ["name", "ofport", "external_ids"])
    finally:
        database.close()
    kernel = netlink.Netlink()
    try:
        links = {name: link for name, link in netlink.links(kernel).items() if link.group == LINK_GROUP}
    finally:
        kernel.close()
    found = {}
    for row in rows:
        link, ids = links.get(row["name"]), row["external_ids"]
        if link is None or CONTAINER_KEY not in ids or not isinstance(row["ofport"], int):
            continue
        given = ids.get(MTU_KEY, "")
        takes = int(given) if given.isdigit() and int(given) < link.mtu else 0
        sends = most if link.mtu > most else 0
        if takes or sends:
            found[link.name] = Limits(link.index, row["ofport"], sends, takes)
    return found


def _packet_size(frame: bytes) -> int:
    """Bytes that an IP packet says it has (the frame was cut)."""
    if frame[12:ETHERNET] == b"\x08\x00":
        return int.from_bytes(frame[16:18], "big")
    return 40 + int.from_bytes(frame[18:20], "big")


def _listener(name: str, most: int) -> socket.socket:
    """A socket that gets frames at link `name`, in both directions, with packets of more than `most` bytes."""
    own = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE)
        program = ctypes.create_string_buffer(_larger_than(ETHERNET + most))
        where = struct.pack("@HP", len(program) // _STEP.size, ctypes.addressof(program))  # struct sock_fprog
        own.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, where)
        own.bind((name, _ETH_P_ALL))
    except BaseException:
        own.close()
        raise
    return own


def _larger_than(length: int) -> bytes:
    """A program that takes frames of more than `length` bytes."""
    steps = ((_LOAD_LENGTH, 0, 0, 0), (_JUMP_IF_GREATER, 0, 1, length), (_RETURN, 0, 0, _SNAP), (_RETURN, 0, 0, 0))
    return b"".join(_STEP.pack(*step) for step in steps)
