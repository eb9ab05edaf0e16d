"""Requests about ports: what nodes report of their pods, and switches of their interfaces. Addresses and quarantine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Final

from topology import names
from topology.admission.checks import check_takes_in, known_node, known_project, require
from topology.admission.moves import landing
from topology.admission.placement import place
from topology.allocation import any_taken, block_length
from topology.binding import attachments
from topology.model import (
    ICMP_OFPORT,
    IGMP_OFPORT,
    SHARED_SPACE,
    TUN_OFPORT,
    TUNNEL_OFPORTS,
    Address,
    AddressBlock,
    Attachment,
    Port,
    PortKey,
    Quarantine,
)
from topology.requests import (
    ForgetPort,
    PortSeen,
    PortVanished,
    Reason,
    Refused,
    ReleaseAddresses,
    ReportPort,
    SwitchPorts,
)
from topology.snapshot import Event, Put, Remove, Snapshot, apply_all, places

# Interfaces of the node itself: whoever has one of them as a "pod" would take the node's place.
_NODE_INTERFACES: Final = frozenset({"br0", "br-ex", "tun0", "vxlan0", "icmp0", "igmp0", "lo"})
_NODE_OFPORTS: Final = frozenset({*TUNNEL_OFPORTS.values(), TUN_OFPORT, ICMP_OFPORT, IGMP_OFPORT})
_LAST_OFPORT: Final = 0xFFFFFF00  # OFPP_MAX (OpenFlow 1.5.1, 7.2.1)


def report_port(snapshot: Snapshot, request: ReportPort) -> tuple[Event, ...]:
    """Make a port: on the pod's primary network, or on the one that the interface is bound to."""
    node = known_node(snapshot, request.key.node)
    _check_syntax(request)
    project = known_project(snapshot, request.project)
    old = snapshot.ports.get(request.key)
    if old is not None:
        _check_same(old, request)
        return ()
    _check_interface(snapshot, request)
    attachment, is_secondary = _attachment(snapshot, request)
    check_takes_in(snapshot.networks[attachment.network])
    placed = place(snapshot, node, attachment)
    network = snapshot.networks[attachment.network]
    port = Port(
        key=request.key,
        project=project.name,
        pod=request.pod,
        network=network.name,
        host_interface=request.host_interface,
        mac=placed.mac,
        addresses=placed.addresses,
        space=network.space,
        cluster_addresses=placed.cluster_addresses,
        pod_uid=request.pod_uid,
        is_secondary=is_secondary,
    )
    return (*placed.events, Put(port))


def _attachment(snapshot: Snapshot, request: ReportPort) -> tuple[Attachment, bool]:
    """Return what is attached by an interface, and whether it is a secondary one: any other name is the primary's."""
    primary, *others = attachments(snapshot, request.project, request.pod)
    named = next((each for each in others if each.interface == request.key.interface), None)
    if named is not None:
        return named, True
    return replace(primary, network=landing(snapshot, request.project, primary.network)), False


def forget_port(snapshot: Snapshot, request: ForgetPort) -> tuple[Event, ...]:
    """Remove a port, if there is one."""
    port = snapshot.ports.get(request.key)
    return () if port is None else gone(port)


def port_seen(snapshot: Snapshot, request: PortSeen) -> tuple[Event, ...]:
    """Take over an interface's number. A port that had the number before has lost it: its interface must be gone."""
    known_node(snapshot, request.node)
    key = snapshot.port_by_interface.get((request.node, request.interface))
    if key is None or not _is_pod_ofport(request.ofport):
        return ()
    port = snapshot.ports[key]
    if port.ofport == request.ofport:
        return ()
    holder = snapshot.port_by_ofport.get((request.node, request.ofport))
    lost: tuple[Event, ...] = () if holder is None else (Put(replace(snapshot.ports[holder], ofport=None)),)
    return (*lost, Put(replace(port, ofport=request.ofport)))


def port_vanished(snapshot: Snapshot, request: PortVanished) -> tuple[Event, ...]:
    """Remove the port of an interface, if it is one of a pod."""
    known_node(snapshot, request.node)
    key = snapshot.port_by_interface.get((request.node, request.interface))
    return () if key is None else _vanished(snapshot.ports[key], forget=request.forget)


def switch_ports(snapshot: Snapshot, request: SwitchPorts) -> tuple[Event, ...]:
    """Take over all numbers; remove ports that had one and have none now. One never seen yet stays and waits."""
    known_node(snapshot, request.node)
    numbers = {name: number for name, number in request.ofports if _is_pod_ofport(number)}
    ports = [snapshot.ports[key] for key in sorted(snapshot.ports_on.get(request.node, {}))]
    events: list[Event] = []
    for port in ports:
        if port.ofport is not None and port.host_interface not in numbers:
            events.extend(_vanished(port, forget=request.forget))
    for port in ports:
        number = numbers.get(port.host_interface)
        if number is not None and number != port.ofport:
            events.append(Put(replace(port, ofport=number)))
    return tuple(events)


def _vanished(port: Port, *, forget: bool) -> tuple[Event, ...]:
    if forget:
        return gone(port)
    return () if port.ofport is None else (Put(replace(port, ofport=None)),)


def release_addresses(snapshot: Snapshot, request: ReleaseAddresses) -> tuple[Event, ...]:
    """End the quarantine of addresses; those that are not in it are left alone."""
    wanted = dict.fromkeys(request.addresses)
    released = tuple(Remove(snapshot.quarantined[place]) for place in wanted if place in snapshot.quarantined)
    after, _ = apply_all(snapshot, released)
    return (*released, *_empty_blocks(after, wanted))


def _empty_blocks(snapshot: Snapshot, released: Iterable[tuple[int, Address]]) -> Iterator[Event]:
    """Give back the blocks in which, with these addresses released, nobody has any."""
    concerned: set[AddressBlock] = set()
    for space, address in released:
        name = None if space == SHARED_SPACE else snapshot.network_by_vnid.get(space)
        network = None if name is None else snapshot.networks[name]
        subnet = None if network is None else next((one for one in network.subnets if address in one.cidr), None)
        if network is not None and subnet is not None:
            prefix = ip_network((int(address), block_length(network, subnet)), strict=False)
            block = snapshot.blocks.get((network.name, prefix))
            concerned.update(() if block is None else (block,))
    for block in sorted(concerned):
        if not any_taken(snapshot, block.prefix, snapshot.networks[block.network].space):
            yield Remove(block)


def gone(port: Port) -> tuple[Event, ...]:
    """Return the end of a port: its addresses go into quarantine."""
    return (Remove(port), *(Put(Quarantine(*place, port.node)) for place in places(port)))


def _check_syntax(request: ReportPort) -> None:
    require(names.container_fault, "container", request.key.container)
    require(names.interface_fault, "interface", request.key.interface)
    require(names.subdomain_fault, "pod", request.pod)
    require(names.interface_fault, "interface", request.host_interface)
    require(names.uid_fault, "uid", request.pod_uid)
    if request.host_interface in _NODE_INTERFACES:
        cause, remedy = "belongs to the node itself", "name the host's side of the pod's interface"
        raise Refused(Reason.INVALID, f'interface "{request.host_interface}"', cause, remedy)


def _check_same(old: Port, request: ReportPort) -> None:
    same_uid = old.pod_uid == request.pod_uid or not (old.pod_uid and request.pod_uid)
    if (old.project, old.pod) != (request.project, request.pod) or not same_uid:
        cause = f"belongs to pod {old.project}/{old.pod}"
        raise Refused(Reason.TAKEN, _named(old.key), cause, "remove that attachment first")
    if old.host_interface != request.host_interface:
        cause = f"was reported with interface {old.host_interface}"
        raise Refused(Reason.TAKEN, _named(old.key), cause, "report the same interface, or remove the attachment first")


def _check_interface(snapshot: Snapshot, request: ReportPort) -> None:
    holder = snapshot.port_by_interface.get((request.key.node, request.host_interface))
    if holder is not None:
        cause = f"belongs to {_named(holder)}"
        subject = f'interface "{request.host_interface}" on node "{request.key.node}"'
        raise Refused(Reason.TAKEN, subject, cause, "remove that attachment first, or use another interface name")


def _is_pod_ofport(number: int) -> bool:
    return 1 <= number <= _LAST_OFPORT and number not in _NODE_OFPORTS


def _named(key: PortKey) -> str:
    return f'attachment "{key.container}/{key.interface}" on node "{key.node}"'
