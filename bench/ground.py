"""Where control-plane benchmarks run: a network namespace of their own that has nothing but loopback.

The controller takes a switch only from its node's address, so every switch has one: node 5 is 198.18.0.5, of the range
that RFC 2544 keeps for benchmarks. A fake switch binds to it. Open vSwitch cannot be told a source address, but the
route to a destination can name one: every node has an *entrance* 198.19.0.5 of its own, another name of the same
machine, and the route to it says `src 198.18.0.5`. There is no address translation and no process in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path

from lab.state import State

OPENFLOW_PORT = 6653
ASKING_PORT = 6654  # where a plain socket asks every switch for its sentinels
RYU_ASKING_PORT = 6655  # where a bare Ryu application does
_RANGE = "198.18.0.0/15"
_UNDERLAY = IPv4Address("198.18.0.0")
_ENTRANCES = IPv4Address("198.19.0.0")
_MOST_NODES = 65_000


def underlay(number: int) -> IPv4Address:
    """The address of node `number` (from 1), from which its switch connects."""
    return _UNDERLAY + _checked(number)


def entrance(number: int) -> IPv4Address:
    """The address to which the switch of node `number` connects."""
    return _ENTRANCES + _checked(number)


class Ground:
    """One namespace called `name`, with a directory for what its processes write."""

    def __init__(self, state: State, name: str) -> None:
        (self.namespace,) = state.namespaces([name])
        self.name = name
        self._state = state
        self.namespace.ip([f"route add local {_RANGE} dev lo"])

    def folder(self, *parts: str) -> Path:
        """A directory below the ground's own, made if it is not there."""
        return self._state.folder(self.name, *parts)

    def open_entrances(self, numbers: Iterable[int]) -> None:
        """Let connections to the entrances of these nodes come from their addresses."""
        self.namespace.ip(f"route add local {entrance(one)} dev lo src {underlay(one)}" for one in numbers)


def _checked(number: int) -> int:
    if not 1 <= number <= _MOST_NODES:
        raise ValueError(f"node {number}: the range has room for 1 to {_MOST_NODES}")
    return number
