"""What pods, nodes and the outside host have in common: a namespace, an address, probes from it and answers in it."""

from __future__ import annotations

import shlex
import subprocess
from ipaddress import IPv4Address
from threading import Lock

from lab import associations, probes
from lab.associations import Server
from lab.echo import ECHO_PORT, EchoServers
from lab.namespaces import Namespace
from lab.probes import PATIENCE, Outcome


class Host:
    """A network namespace that can ask and be asked. `name` is what its echo servers answer."""

    def __init__(self, name: str, namespace: Namespace, address: IPv4Address, echo: EchoServers) -> None:
        """Serve TCP and UDP echo on all of its addresses; `address` is the one others probe."""
        self.name = name
        self.namespace = namespace
        self.address = address
        self._echo = echo
        self._servers: list[Server] = []
        self._associating = Lock()
        echo.listen(namespace, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.address}>"

    def known_to(self, source: Host) -> IPv4Address:
        """The address by which `source` knows this host."""
        return self.address

    def listen(self, port: int) -> None:
        """Answer on one more port, TCP and UDP. OSError when it is taken."""
        self._echo.listen(self.namespace, self.name, port)

    def listen_sctp(self, *ports: int) -> None:
        """Answer on SCTP ports of its address too, by a program of its own. LabError when that does not start."""
        self._servers.append(Server(self.namespace, self.name, str(self.address), ports))

    def silence(self) -> None:
        """Answer on no port any more."""
        self._echo.silence(self.namespace)
        self.silence_sctp()

    def silence_sctp(self) -> None:
        """Answer on no SCTP port any more; what is open is not shut down."""
        while self._servers:
            self._servers.pop().close()

    def ping(self, target: Target, patience: float = PATIENCE, source: Source = None) -> Outcome:
        """ICMP echo to `target`; true when answered. `patience` in seconds; `source`: the own address to send from."""
        return probes.ping(self.namespace, address_of(target, self), patience, _text(source))

    def tcp(self, target: Target, port: int = ECHO_PORT, patience: float = PATIENCE, source: Source = None) -> Outcome:
        """A TCP connection to an echo server; true when answered in full."""
        return probes.tcp(self.namespace, address_of(target, self), port, patience, _text(source))

    def udp(self, target: Target, port: int = ECHO_PORT, patience: float = PATIENCE, source: Source = None) -> Outcome:
        """A datagram to an echo server; true when answered."""
        return probes.udp(self.namespace, address_of(target, self), port, patience, _text(source))

    def sctp(self, target: Target, port: int = ECHO_PORT, patience: float = PATIENCE, source: Source = None) -> Outcome:
        """An SCTP association with a host that answers (`listen_sctp`); true when it was shut down in order.

        One at a time: a stack that starts gets the packets of those that are there, and aborts what it does not know.
        """
        with self._associating:
            return associations.sctp(self.namespace, address_of(target, self), port, patience, _text(source))

    def run(self, command: str, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a command line, split as a shell would, in the namespace; the result, whatever its status."""
        return self.namespace.run(shlex.split(command), timeout=timeout)


Target = Host | IPv4Address | str
"""What a probe may be sent to: a host, or an address."""

Source = IPv4Address | None
"""One of a host's own addresses; None leaves the choice to its kernel."""


def address_of(target: Target, source: Host) -> str:
    """The address that `source` sends to."""
    return str(target.known_to(source) if isinstance(target, Host) else target)


def _text(source: Source) -> str:
    return "" if source is None else str(source)
