"""Who talks to whom by sockets in namespaces, and how each sees the other."""

from __future__ import annotations

import socket
from typing import NamedTuple

import pytest

from tests.cni_shim.machine import inside, run
from tests.cni_shim.programmed import knock
from tests.cni_shim.site import Site

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
KINDS = pytest.mark.parametrize("kind", [TCP, UDP], ids=["tcp", "udp"])
AT_ONCE = 0.9  # seconds: TCP would send again after one (RFC 6298)


class Place(NamedTuple):
    """A socket's: the namespace that it is in, and its own address and port."""

    namespace: str
    address: str = "0.0.0.0"
    port: int = 0


class Talk(NamedTuple):
    """Whom the server saw, and what the client got from whom."""

    seen: str
    answered: bytes
    by: str


def talk(server: Place, client: Place, to: tuple[str, int], kind: int = TCP) -> Talk:
    """The client sends something to an address and port, and the server, if it is led there, something back."""
    with opened(server, kind) as listening, opened(client, kind) as asking:
        if kind == TCP:
            listening.listen()
        asking.connect(to)
        asking.send(b"ping")
        seen = answer_stream(listening) if kind == TCP else answer_datagram(listening)
        return Talk(seen, asking.recv(100), asking.getpeername()[0])


def opened(place: Place, kind: int) -> socket.socket:
    made = inside(place.namespace, lambda: socket.socket(socket.AF_INET, kind))
    made.settimeout(5)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(place[1:])
    return made


def answer_stream(listening: socket.socket) -> str:
    accepted, (seen, _) = listening.accept()
    with accepted:
        accepted.sendall(accepted.recv(100) + b" pong")
    return str(seen)


def answer_datagram(listening: socket.socket) -> str:
    text, source = listening.recvfrom(100)
    listening.sendto(text + b" pong", source)
    return str(source[0])


def strict(site: Site) -> None:
    """Let the node's kernel take a packet only by the interface by which it would answer (RFC 3704, section 2.2)."""
    keys = [f"net.ipv4.conf.{name}.rp_filter=1" for name in ("all", "tun0", "br-ex")]
    run("ip", "netns", "exec", site.machine.name, "sysctl", "-qw", *keys)


def hears_nothing(client: Place, to: tuple[str, int], kind: int) -> bool:
    """Whether what a client sends is dropped, not refused."""
    with opened(client, kind) as asking:
        asking.settimeout(0.3)
        with pytest.raises(TimeoutError):
            knock(asking, to)
    return True
