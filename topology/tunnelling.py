"""How a packet is handed to another node: what several features do to send it to a VTEP."""

from __future__ import annotations

from topology.fields import ETH_DST, ETH_SRC, TUNNEL_ID, family
from topology.flow import Actions, copy, load, output
from topology.model import VXLAN_OFPORT, Address
from topology.pipeline import BY_SERVICE, SERVICE_MAC, SOURCE_VNID, SPACE, SPACE_BITS, SPACE_MAC, VNID_BITS


def to_vtep(address: Address) -> Actions:
    """Send to a node by VXLAN: the source VNID is the tunnel id, the destination's space and the VNID of the service
    by which it was named stand in the inner MACs.
    """
    return (
        copy(SOURCE_VNID, TUNNEL_ID, VNID_BITS),
        load(ETH_DST, SPACE_MAC),
        copy(SPACE, ETH_DST, SPACE_BITS),
        load(ETH_SRC, SERVICE_MAC),
        copy(BY_SERVICE, ETH_SRC, VNID_BITS),
        load(family(address.version).tunnel_destination, int(address)),
        output(VXLAN_OFPORT),
    )
