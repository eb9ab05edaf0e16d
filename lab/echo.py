"""Servers for probes, in any number of namespaces: each says its own name, and whom it saw. One thread serves all.

The answer to a probe has to come from the right machine and to name the true source, so servers say both. A TCP
answer is long enough for several full segments: a wrong MTU or a missing checksum shows as a connection that hangs.
"""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread

from lab.namespaces import Namespace

ECHO_PORT = 7
"""The echo service's port (RFC 862)."""

ANSWER_LENGTH = 8192
SEND_TIMEOUT = 5.0
IP_PKTINFO = 8  # linux/in.h
_PKTINFO6 = struct.Struct("=16sI")  # struct in6_pktinfo, ipv6(7): own address, interface
_PKTINFO = struct.Struct("=I4s4s")  # struct in_pktinfo, ip(7): interface, own address, the header's address


class EchoServers:
    """TCP and UDP servers whose sockets live in namespaces and whose one thread lives here."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = Lock()
        self._sockets: dict[str, list[socket.socket]] = {}
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._thread = Thread(target=self._serve, name="echo servers", daemon=True)
        self._thread.start()

    def listen(self, namespace: Namespace, name: str, port: int = ECHO_PORT) -> None:
        """Serve TCP and UDP `port` on all addresses in `namespace`, answering as `name`; OSError if it is taken."""
        for family in (socket.AF_INET, socket.AF_INET6):
            self._listen(namespace, name, port, family)

    def _listen(self, namespace: Namespace, name: str, port: int, family: socket.AddressFamily) -> None:
        stream = namespace.socket(family, socket.SOCK_STREAM)
        datagram = namespace.socket(family, socket.SOCK_DGRAM)
        with self._lock:
            self._sockets.setdefault(namespace.name, []).extend((stream, datagram))
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for sock in (stream, datagram):
            sock.setblocking(False)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(("", port))
        if family == socket.AF_INET:
            datagram.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        else:
            datagram.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        stream.listen(256)
        self._selector.register(stream, selectors.EVENT_READ, lambda: _answer_stream(stream, name))
        self._selector.register(datagram, selectors.EVENT_READ, lambda: _answer_datagram(datagram, name))

    def silence(self, namespace: Namespace) -> None:
        """Close all servers in `namespace`; none is no error."""
        with self._lock:
            sockets = self._sockets.pop(namespace.name, [])
        for sock in sockets:
            with suppress(KeyError):
                self._selector.unregister(sock)
            sock.close()

    def close(self) -> None:
        """Close everything and end the thread."""
        self._wake.send(b".")
        self._thread.join()
        for sockets in self._sockets.values():
            for sock in sockets:
                sock.close()
        self._sockets.clear()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                answer: Callable[[], None] = key.data
                with suppress(OSError):  # the client is gone, or silence() closed the socket under us
                    answer()


def _answer_stream(listener: socket.socket, name: str) -> None:
    client, (address, *_) = listener.accept()
    with client:
        client.settimeout(SEND_TIMEOUT)
        client.sendall(f"{name} {address} {ANSWER_LENGTH}\n".encode().ljust(ANSWER_LENGTH, b"."))


def _answer_datagram(sock: socket.socket, name: str) -> None:
    """Answer from the address that was asked: with several of them, the kernel might choose another."""
    nonce, about, _, sender = sock.recvmsg(2048, socket.CMSG_SPACE(max(_PKTINFO.size, _PKTINFO6.size)))
    answer = f"{name} {sender[0]} {nonce.decode(errors='replace')}".encode()
    if sock.family == socket.AF_INET6:
        own = next(value for _, kind, value in about if kind == socket.IPV6_PKTINFO)
        sock.sendmsg([answer], [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, own)], 0, sender)
        return
    own = next(_PKTINFO.unpack(value)[1] for _, kind, value in about if kind == IP_PKTINFO)
    sock.sendmsg([answer], [(socket.IPPROTO_IP, IP_PKTINFO, _PKTINFO.pack(0, own, bytes(4)))], 0, sender)
