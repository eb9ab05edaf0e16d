"""Members of multicast groups, by the kernels of pods: who joined what, and which words each has heard."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from lab.namespaces import Namespace
from lab.pod import Pod

PORT = 5001
_IP_ADD_SOURCE_MEMBERSHIP = 39  # linux/in.h


def set_version(namespace: Namespace, version: int, interface: str = "eth0") -> None:
    """Let a pod's kernel speak this version of IGMP; 0: the newest one that the queries allow."""
    namespace.sysctl({f"ipv4/conf/{interface}/force_igmp_version": str(version)})


class Member:
    """A socket in a pod that has joined a group, until it is left; with `sources`, only what comes from them."""

    def __init__(self, pod: Pod, group: str, sources: Iterable[str] = ()) -> None:
        self.pod, self.group = pod, group
        self._heard: list[tuple[str, bytes]] = []
        self._own = socket.inet_aton(str(pod.address))
        self._socket = pod.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((group, PORT))
            sources = tuple(sources)
            for source in sources:
                wanted = socket.inet_aton(group) + self._own + socket.inet_aton(source)  # struct ip_mreq_source
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_ADD_SOURCE_MEMBERSHIP, wanted)
            if not sources:
                joined = socket.inet_aton(group) + self._own
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
            self._socket.settimeout(0.1)
        except BaseException:
            self._socket.close()
            raise
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.leave()

    def leave(self) -> None:
        """Close the socket: the kernel says that the pod leaves, if it was the last one."""
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def heard(self, words: bytes) -> list[str]:
        """Return from whom these words came, each time."""
        return [sender for sender, said in list(self._heard) if said == words]

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                words, (sender, _) = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            except OSError:
                return
            self._heard.append((sender, words))


def say(pod: Pod, group: str, words: bytes, ttl: int = 1) -> None:
    """Send words to a group once."""
    with pod.namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(str(pod.address)))
        sock.sendto(words, (group, PORT))
