"""A new port's addresses and MAC: allotted, or the static ones of its attachment if they are free and fit the node."""

from __future__ import annotations

from ipaddress import ip_network
from typing import NamedTuple

from topology.allocation import block_length, free_address, free_own_address, pool
from topology.model import SHARED_SPACE, Address, AddressBlock, Attachment, Network, Node, Prefix, format_mac, mac_of
from topology.requests import Reason, Refused
from topology.snapshot import Event, Put, Snapshot


class Placement(NamedTuple):
    """What a port gets; `block` is allotted with it, if a new one is needed."""

    addresses: tuple[Address, ...]
    cluster_addresses: tuple[Address, ...]
    mac: int
    block: AddressBlock | None = None

    @property
    def events(self) -> tuple[Event, ...]:
        """What has to come before the port."""
        return () if self.block is None else (Put(self.block),)


def place(snapshot: Snapshot, node: Node, attachment: Attachment) -> Placement:
    """Return what a pod on a node gets for an attachment.

    In the shared space an address from each of the node's subnets; in a network with subnets one of those, and for it a
    cluster address from the node's subnet. Raises Refused when nothing is free, or a static address or MAC is not.
    """
    network = snapshot.networks[attachment.network]
    static = {address.version: address for address in attachment.addresses}
    block: AddressBlock | None = None
    if network.subnets:
        if static:
            addresses: tuple[Address, ...] = tuple(attachment.addresses)
            for address in addresses:
                block = _own_static(snapshot, network, node, address)
        else:
            own, block = free_own_address(snapshot, network, node.name)
            addresses = (own,)
        versions = {address.version for address in addresses}
        subnets = (subnet for subnet in node.subnets if subnet.version in versions)
        cluster_addresses = tuple(free_address(snapshot, node, subnet) for subnet in subnets)
    else:
        addresses = tuple(_shared(snapshot, node, subnet, static.get(subnet.version)) for subnet in node.subnets)
        cluster_addresses = ()
    named_after = next((address for address in addresses if address.version == 4), addresses[0])
    return Placement(addresses, cluster_addresses, _mac(snapshot, network, attachment, named_after), block)


def _shared(snapshot: Snapshot, node: Node, subnet: Prefix, static: Address | None) -> Address:
    if static is None:
        return free_address(snapshot, node, subnet)
    first, last = pool(subnet)
    if not first <= int(static) <= last:
        cause = f'is none that pods of node "{node.name}" may have, whose subnet is {subnet}'
        remedy = "put the pod on the node whose subnet it is in, or change its binding"
        raise Refused(Reason.INVALID, f"address {static}", cause, remedy)
    _check_free(snapshot, SHARED_SPACE, static)
    return static


def _own_static(snapshot: Snapshot, network: Network, node: Node, address: Address) -> AddressBlock | None:
    """Return the block to allot with a static address of a network's own, if the node does not have it yet."""
    _check_free(snapshot, network.space, address)
    subnet = next((each for each in network.subnets if address in each.cidr), None)
    if subnet is None or address in (subnet.cidr[0], subnet.cidr[-1], subnet.gateway):
        cause = f'is none that pods of network "{network.name}" may have'
        raise Refused(Reason.INVALID, f"address {address}", cause, "change its binding")
    prefix = ip_network((int(address), block_length(network, subnet)), strict=False)
    block = snapshot.blocks.get((network.name, prefix))
    if block is None:
        return AddressBlock(network.name, prefix, node.name)
    if block.node != node.name:
        cause = f'is in block {prefix} of network "{network.name}", which is on node "{block.node}"'
        remedy = f'put the pod on node "{block.node}", or make the network a flat one'
        raise Refused(Reason.TAKEN, f"address {address}", cause, remedy)
    return None


def _mac(snapshot: Snapshot, network: Network, attachment: Attachment, address: Address) -> int:
    if attachment.mac is None:
        return mac_of(address)
    holder = snapshot.port_by_mac.get((network.space, attachment.mac))
    if holder is not None:
        port = snapshot.ports[holder]
        cause = f"belongs to pod {port.project}/{port.pod} on node {port.node}"
        remedy = "remove that pod first, or let the binding select one pod at a time"
        raise Refused(Reason.TAKEN, f"MAC {format_mac(attachment.mac)}", cause, remedy)
    return attachment.mac


def _check_free(snapshot: Snapshot, space: int, address: Address) -> None:
    holder = snapshot.holder.get((space, address))
    if holder is not None:
        port = snapshot.ports[holder]
        cause = f"belongs to pod {port.project}/{port.pod} on node {port.node}"
        remedy = "remove that pod first, or let the binding select one pod at a time"
        raise Refused(Reason.TAKEN, f"address {address}", cause, remedy)
    if (space, address) in snapshot.quarantined:
        cause = "is in quarantine: switches may still name its last holder"
        raise Refused(Reason.TAKEN, f"address {address}", cause, "try again when every switch is in sync")
