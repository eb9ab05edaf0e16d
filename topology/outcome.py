"""What can become of a packet in the whole network: `trace` finds it out from flows, `specification` from the model."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, TypeAlias

from topology.model import Address, PortKey


class Where(Enum):
    """For what a packet left the pods' network, by a node's tun0."""

    NODE = "node"  # the node itself: one of its own addresses, or an answer to its ARP request
    SERVICE = "service"  # a service without endpoints, or a node port of none: the node refuses it
    OUTSIDE = "outside"  # everything else


class Delivered(NamedTuple):
    """A pod's port got the packet."""

    node: str
    port: PortKey


class Sent(NamedTuple):
    """The packet left by a node's tun0; `source`: by which address of an egress, if it has got one."""

    node: str
    where: Where
    source: Address | None = None


class Shared(NamedTuple):
    """Members of a group got the packet, the sender left out: on which node it was sent, and who they are, in order."""

    node: str
    ports: tuple[PortKey, ...]


class Dropped(NamedTuple):
    """Nobody got the packet: where it ended, and whose flow ended it (feature and subject)."""

    node: str
    table: int | None = None
    owner: tuple[int, tuple[str | int, ...]] | None = None


Outcome: TypeAlias = Delivered | Sent | Shared | Dropped
