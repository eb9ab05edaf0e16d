"""Pods' attachments, and the numbers and addresses that are given out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from topology.model.addressing import SHARED_SPACE, Address


class PortKey(NamedTuple):
    """What identifies an attachment for the runtime: container and interface, on a node."""

    node: str
    container: str
    interface: str


@dataclass(frozen=True, slots=True)
class Port:
    """A pod's attachment to a network. `ofport` is None until the switch has reported the port `host_interface`.

    `addresses` are in the network's space; when that is not the shared one, `cluster_addresses` are what the node,
    services and other spaces know the pod by, one for each family in the same order. `is_secondary`: it is not the
    pod's primary one, so the pod's other traffic does not go by it.
    """

    key: PortKey
    project: str
    pod: str
    network: str
    host_interface: str
    mac: int
    addresses: tuple[Address, ...]
    space: int = SHARED_SPACE
    cluster_addresses: tuple[Address, ...] = ()
    ofport: int | None = None
    pod_uid: str = ""
    is_secondary: bool = False

    @property
    def node(self) -> str:
        """Name of the node it is on."""
        return self.key.node


# Pools of numbers that are given in order, so that a number comes back as late as possible.
VNIDS: Final = "vnid"
ZONES: Final = "zone"
MIRRORS: Final = "mirror"
TRANSLATIONS: Final = "translation"  # of prefixes: the number is the last address of the one last given


class Watermark(NamedTuple):
    """The number last given from a pool (VNIDS, ZONES, MIRRORS, TRANSLATIONS)."""

    pool: str
    last: int


class Quarantine(NamedTuple):
    """An address that nobody holds any more and nobody may get yet: switches may still name it."""

    space: int
    address: Address
    node: str


@dataclass(frozen=True, slots=True)
class Hosting:
    """That a node has at least one port of a network. Derived from ports, never stored."""

    node: str
    network: str
