"""Egress: by which address what a network's pods send to the outside leaves, instead of their nodes' own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from topology.labels import Selector
from topology.model.addressing import Address
from topology.model.tenancy import PodKey

MOST_EGRESS_ADDRESSES: Final = 16  # of one egress; a pod leaves by one of them
MOST_EGRESS_NODES: Final = 1000  # that one egress names


@dataclass(frozen=True, slots=True)
class Egress:
    """The source addresses of what the pods of a network send to the outside, as long as a node holds them.

    With several `addresses` each pod has one, always the same. `pods`: only those that it selects, by their labels;
    what is for them goes before what is for the whole network. `nodes`: those that may hold the addresses; none named:
    every one. When none of these lives, packets are dropped, or if `fail_open` leave by the pods' own nodes.

    With `via` there are no addresses and no nodes: packets are given to that pod, which forwards them by its own means.
    """

    name: str
    network: str
    addresses: tuple[Address, ...] = ()
    pods: Selector | None = None
    nodes: tuple[str, ...] = ()
    fail_open: bool = False
    via: PodKey | None = None
