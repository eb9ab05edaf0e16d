"""What pods, nodes and the outside host have in common: a namespace, an address, probes from it and answers in it."""

from __future__ import annotations

import shlex
import subprocess
from ipaddress import IPv4Address, IPv6Address

from lab import probes
from lab.echo import ECHO_PORT, EchoServers
from lab.namespaces import Namespace
from lab.probes import PATIENCE, Outcome

Address = IPv4Address | IPv6Address
"""What hosts and pods have, and are asked at."""


class Host:
    """A network namespace that can ask and be asked. `name` is what its echo servers answer."""

    def __init__(self, name: str, namespace: Namespace, address: Address, echo: EchoServers) -> None:
        """Serve TCP and UDP echo on all of its addresses; `address` is the one others probe."""
        self.name = name
        self.namespace = namespace
        self.address = address
        self._echo = echo
        echo.listen(namespace, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.address}>"

    def known_to(self, source: Host) -> Address:
        """The address by which `source` knows this host."""
        return self.address

    def listen(self, port: int) -> None:
        """Answer on one more port, TCP and UDP. OSError when it is taken."""
        self._echo.listen(self.namespace, self.name, port)

    def silence(self) -> None:
        """Answer on no port any more."""
        self._echo.silence(self.namespace)

    def ping(self, target: Target, patience: float = PATIENCE, source: Source = None) -> Outcome:
        """ICMP echo to `target`; true when answered. `patience` in seconds; `source`: the own address to send from."""
        return probes.ping(self.namespace, address_of(target, self), patience, _text(source))

    def tcp(self, target: Target, port: int = ECHO_PORT, patience: float = PATIENCE, source: Source = None) -> Outcome:
        """A TCP connection to an echo server; true when answered in full."""
        return probes.tcp(self.namespace, address_of(target, self), port, patience, _text(source))

    def udp(self, target: Target, port: int = ECHO_PORT, patience: float = PATIENCE, source: Source = None) -> Outcome:
        """A datagram to an echo server; true when answered."""
        return probes.udp(self.namespace, address_of(target, self), port, patience, _text(source))

    def run(self, command: str, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a command line, split as a shell would, in the namespace; the result, whatever its status."""
        return self.namespace.run(shlex.split(command), timeout=timeout)


Target = Host | Address | str
"""What a probe may be sent to: a host, or an address."""

Source = Address | None
"""One of a host's own addresses; None leaves the choice to its kernel."""


def address_of(target: Target, source: Host) -> str:
    """The address that `source` sends to."""
    return str(target.known_to(source) if isinstance(target, Host) else target)


def _text(source: Source) -> str:
    return "" if source is None else str(source)
