"""Interfaces that went from switches, while their ports are not forgotten. Bookkeeping only, without a queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from topology.model import Port, PortKey
from topology.snapshot import Snapshot


class LostInterfaces:
    """A switch says once that an interface went: what cannot be done about it then is remembered here.

    Another replica may answer for the switch, or what is decided cannot be kept. `current` returns the snapshot of now.
    """

    def __init__(self, current: Callable[[], Snapshot]) -> None:
        self._current = current
        self._names: dict[str, dict[str, None]] = {}  # by node

    def went(self, node: str, interface: str) -> None:
        """Note that a switch has an interface no more; one that is no port's is of no interest."""
        if (node, interface) in self._current().port_by_interface:
            self._names.setdefault(node, {})[interface] = None

    def compare(self, node: str, ofports: Mapping[str, int]) -> None:
        """Note what went while a switch was away, which has these interfaces now; what never came may come yet."""
        snapshot = self._current()
        ports = (snapshot.ports[key] for key in snapshot.ports_on.get(node, ()))
        gone = {port.host_interface: None for port in ports if port.ofport and port.host_interface not in ofports}
        self._names.setdefault(node, {}).update(gone)

    def ports(self, node: str, ofports: Mapping[str, int]) -> Iterator[PortKey]:
        """Yield the ports whose interfaces went from a switch, which has these now.

        The snapshot may change in between: each is looked at when its turn comes.
        """
        names = self._names.get(node, {})
        for name in tuple(names):
            key = self._current().port_by_interface.get((node, name))
            if key is None or name in ofports:
                names.pop(name, None)
            else:
                yield key

    def forgotten(self, port: Port) -> None:
        """Note that a port is gone: nothing is left to be done about its interface."""
        self._names.get(port.node, {}).pop(port.host_interface, None)

    def without(self, node: str) -> None:
        """Note that a node is gone."""
        self._names.pop(node, None)
