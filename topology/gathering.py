"""Who should get what a pod sends to a group, said of the network itself. As `specification`, of which it is a part."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from topology import fields
from topology.model import Port
from topology.packet import Packet
from topology.snapshot import Snapshot

_MOST: Final = 512


def is_multicast(packet: Packet) -> bool:
    """Whether a packet is for an IPv4 group, reserved ones included."""
    return IPv4Address(packet.get(fields.IPV4_DST) or 0).is_multicast


def gathered(snapshot: Snapshot, sender: Port, packet: Packet) -> tuple[Port, ...] | None:
    """Return the members that a believed packet of a pod is for, the sender itself among them if it is one.

    None: the packet is not for a group, or its network has no multicast. IGMP is for the node alone.
    """
    if not is_multicast(packet) or not snapshot.networks[sender.network].multicast:
        return None
    if packet.get(fields.IP_PROTO) == fields.PROTO_IGMP:
        return ()
    group = IPv4Address(packet.get(fields.IPV4_DST) or 0)
    members = [
        snapshot.ports[key]
        for key, membership in sorted(snapshot.memberships.items())
        if group in membership.groups
        and key in snapshot.ports
        and _hears(snapshot, sender.network, snapshot.ports[key].network)
    ]
    return tuple(port for port in members[:_MOST] if port.ofport is not None)


def _hears(snapshot: Snapshot, source: str, destination: str) -> bool:
    """Within a network with multicast; or between two in the shared space, if everything may be begun there."""
    one, other = snapshot.networks[source], snapshot.networks[destination]
    if source == destination or not (one.multicast and other.multicast):
        return one.multicast and other.multicast
    scopes = (each.scope(source) for each in snapshot.connections.values() if {*each.key} == {source, destination})
    is_shared = not one.subnets and not other.subnets
    return is_shared and any(scope is not None and not scope.services_only and not scope.ports for scope in scopes)
