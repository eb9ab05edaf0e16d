"""External VTEPs: who sends and gets tunnel packets without being one of our nodes, such as an appliance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from topology.model.addressing import Address, Prefix
from topology.model.nodes import Encapsulation

MOST_EXTERNAL_SUBNETS: Final = 16  # of one external VTEP


@dataclass(frozen=True, slots=True)
class ExternalVtep:
    """A VTEP on which no node of ours runs: behind `address`, on the underlay, are the hosts of `subnets`.

    To everybody they are hosts of `network`: packets to and from them carry its VNID, whoever of ours sends them.
    `mac`: the inner destination MAC of what is sent there; None: the one that is derived from each host's address, as
    those of pods are.
    """

    name: str
    address: Address
    network: str
    subnets: tuple[Prefix, ...]
    encapsulation: Encapsulation = "vxlan"
    mac: int | None = None
