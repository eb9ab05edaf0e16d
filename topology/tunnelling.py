"""How a packet is handed to another node: what several features do to send it to a VTEP."""

from __future__ import annotations

from topology.fields import ETH_DST, ETH_SRC, TUNNEL_ID, family
from topology.flow import Actions, copy, goto, load
from topology.model import Address
from topology.pipeline import (
    BY_SERVICE,
    EGRESS_MAC,
    SERVICE_MAC,
    SOURCE_VNID,
    SPACE,
    SPACE_BITS,
    SPACE_MAC,
    VNID_BITS,
    Table,
)


def to_holder(vtep: Address, address: Address) -> Actions:
    """Send to the node that holds an address, to leave by it: the address stands in the inner source MAC.

    The destination is outside, so that its space is the shared one, and it is in no service any more.
    """
    return (
        copy(SOURCE_VNID, TUNNEL_ID, VNID_BITS),
        load(ETH_DST, SPACE_MAC),
        load(ETH_SRC, EGRESS_MAC | int(address)),
        load(family(vtep.version).tunnel_destination, int(vtep)),
        goto(Table.ENCAPSULATION),
    )


def to_vtep(address: Address) -> Actions:
    """Send to a node: the source VNID is the tunnel id, the destination's space and the VNID of the service
    by which it was named stand in the inner MACs.
    """
    return (
        copy(SOURCE_VNID, TUNNEL_ID, VNID_BITS),
        load(ETH_DST, SPACE_MAC),
        copy(SPACE, ETH_DST, SPACE_BITS),
        load(ETH_SRC, SERVICE_MAC),
        copy(BY_SERVICE, ETH_SRC, VNID_BITS),
        load(family(address.version).tunnel_destination, int(address)),
        goto(Table.ENCAPSULATION),
    )
