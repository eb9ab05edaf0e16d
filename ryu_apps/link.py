"""What a session needs of OpenFlow: a connection, and the bytes of what it says. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ryu_apps.openflow.messages import Role
from topology.compiler import Delta
from topology.egress import Left
from topology.targets import Gone


class Wire(Protocol):
    """What a session needs of OpenFlow: bytes of a bundle, and of a request for flows."""

    def bundle(self, delta: Delta) -> Iterable[bytes]:
        """Return one ordered atomic bundle, from open to commit, in parts to be sent one after the other.

        What a bundle cannot carry and its flows need, meters, precedes it.
        """
        ...

    def read_flows(self, xid: int, table: int | None, cookie: int, mask: int) -> bytes:
        """Return a request for the flows of a table (None: of all) whose cookie agrees with `cookie` in `mask`."""
        ...

    def read_counts(self, xid: int) -> bytes:
        """Return a request for the number of flows in each table."""
        ...

    def read_groups(self, xid: int) -> bytes:
        """Return a request for all groups."""
        ...

    def read_meters(self, xid: int) -> bytes:
        """Return a request for all meters."""
        ...

    def delete_meters(self, meters: Iterable[int]) -> bytes:
        """Return requests to delete meters, by id."""
        ...

    def forget(self, xid: int, gone: Gone | Left) -> bytes:
        """Return a request to forget what a service led to an endpoint that is gone, or what left by an address."""
        ...

    def ask_role(self, xid: int, role: Role, generation: int) -> bytes:
        """Return a request for a role."""
        ...

    def ask_echo(self) -> bytes:
        """Return a request that is answered at once, and whose answer nobody is told of."""
        ...


class Link(Protocol):
    """A connection to a switch."""

    def send(self, data: bytes) -> None:
        """Queue bytes; it does not wait for the switch to read them."""
        ...

    def has_spoken(self) -> bool:
        """Whether the switch has sent anything since this was asked last."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...
