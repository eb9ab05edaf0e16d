"""Large transfers over TCP between namespaces: every octet is compared, so that what arrives is what was sent."""

from __future__ import annotations

import random
import re
import socket
from contextlib import closing
from hashlib import blake2b
from threading import Thread
from typing import NamedTuple

from lab.namespaces import Namespace

PATIENCE = 30.0  # seconds without progress


class Transfer(NamedTuple):
    """What arrived: how many octets, from whom the receiver saw them come, and whether they were those sent."""

    octets: int
    seen_as: str
    intact: bool


def transfer(source: Namespace, target: Namespace, address: str, size: int, port: int = 5001) -> Transfer:
    """Send `size` octets from `source` to `address`, where a socket in `target` waits on `port`.

    Raises OSError when the connection cannot be made, or stalls.
    """
    data = random.Random(size).randbytes(size)
    with closing(target.socket(socket.AF_INET, socket.SOCK_STREAM)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(PATIENCE)
        listener.bind(("", port))
        listener.listen()
        with closing(source.socket(socket.AF_INET, socket.SOCK_STREAM)) as sender:
            sender.settimeout(PATIENCE)
            sender.connect((address, port))
            receiver, (seen_as, _) = listener.accept()
            pump = Thread(target=_send, args=(sender, data), name="transfer", daemon=True)
            pump.start()
            with closing(receiver):
                octets, digest = _receive(receiver)
            pump.join()
    return Transfer(octets, str(seen_as), digest == blake2b(data).digest())


def path_mtu(source: Namespace, address: str) -> int | None:
    """Return the MTU in bytes that the kernel of `source` has learned for the path to an address; None: none."""
    found = re.search(r"\bmtu (\d+)", source.run(["ip", "route", "get", address]).stdout)
    return int(found[1]) if found else None


def _send(sender: socket.socket, data: bytes) -> None:
    try:
        sender.sendall(data)
        sender.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the receiver tells what did not arrive


def _receive(receiver: socket.socket) -> tuple[int, bytes]:
    receiver.settimeout(PATIENCE)
    octets, digest = 0, blake2b()
    while piece := receiver.recv(1 << 16):
        octets += len(piece)
        digest.update(piece)
    return octets, digest.digest()
