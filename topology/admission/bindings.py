"""Requests about bindings: what one may say, and that none contradicts another. What it gives: `topology.binding`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_network
from typing import Final

from topology import names
from topology.admission.checks import check_takes_in, inside, known_network, require
from topology.admission.projects import settled
from topology.admission.selectors import checked_selector
from topology.model import Address, Attachment, Binding, Network, format_mac
from topology.requests import CreateBinding, DeleteBinding, Reason, Refused
from topology.snapshot import Event, Put, Remove, Snapshot, apply, apply_all, projects_selected

_NOT_SECONDARY: Final = frozenset({"eth0", "lo"})  # what runtimes call the primary interface, and the loopback
_MOST_NETWORKS: Final = 64  # interfaces of a pod
_GROUP_BIT: Final = 1 << 40  # the first bit on the wire (IEEE 802)
# MACs derived from addresses, and those that carry an address space between nodes.
_OUR_PREFIXES: Final = (0x0A58, 0x0A59)


def create_binding(snapshot: Snapshot, request: CreateBinding) -> tuple[Event, ...]:
    """Make or replace a binding."""
    binding = _checked(snapshot, request.binding)
    old = snapshot.bindings.get(binding.name)
    if old == binding:
        return ()
    concerned = (*projects_selected(snapshot, binding), *(() if old is None else projects_selected(snapshot, old)))
    return _settle(snapshot, Put(binding), concerned)


def delete_binding(snapshot: Snapshot, request: DeleteBinding) -> tuple[Event, ...]:
    """Remove a binding."""
    binding = snapshot.bindings.get(request.name)
    if binding is None:
        raise Refused(Reason.UNKNOWN, _named(request.name), "does not exist", "correct the name")
    return _settle(snapshot, Remove(binding), projects_selected(snapshot, binding))


def _settle(snapshot: Snapshot, event: Event, projects: Iterable[str]) -> tuple[Event, ...]:
    """Return the event, and those that bring the projects concerned to where they belong after it."""
    state, _ = apply(snapshot, event)
    events: tuple[Event, ...] = (event,)
    for name in sorted(set(projects)):
        more = settled(snapshot, state, name)
        state, _ = apply_all(state, more)
        events = (*events, *more)
    return events


def _checked(snapshot: Snapshot, binding: Binding) -> Binding:
    """Return a binding with its selectors in normal form. Raises Refused when it cannot be."""
    require(names.label_fault, "binding", binding.name)
    subject = _named(binding.name)
    projects = checked_selector(subject, binding.projects)
    pods = None if binding.pods is None else checked_selector(subject, binding.pods)
    for name in binding.networks:
        check_takes_in(known_network(snapshot, name))
    _check_kind(subject, binding)
    _check_once(subject, binding)
    for each in binding.attachments:
        _check_interface(subject, each)
        _check_static(snapshot, subject, each)
    return replace(binding, projects=projects, pods=pods)


def _check_kind(subject: str, binding: Binding) -> None:
    """What only a project binding or only a pod binding may say."""
    if binding.primary is not None and binding.primary.interface:
        cause, remedy = "it names the primary interface", "leave that to the runtime"
        raise Refused(Reason.INVALID, subject, cause, remedy)
    if not binding.networks:
        raise Refused(Reason.INVALID, subject, "it names no network", "give a primary, secondary or optional one")
    if binding.pods is not None and binding.optional:
        cause, remedy = (
            "it selects pods and offers them networks",
            "offer networks to projects, in a binding without pods",
        )
        raise Refused(Reason.INVALID, subject, cause, remedy)
    if binding.pods is None and any(each.addresses or each.mac is not None for each in binding.attachments):
        cause = "it gives every pod of projects the same address or MAC"
        raise Refused(Reason.INVALID, subject, cause, "give them in a binding that selects pods, one at a time")


def _check_once(subject: str, binding: Binding) -> None:
    """No network twice, no interface twice."""
    networks = [*(each.network for each in binding.attachments), *binding.optional]
    interfaces = [each.interface for each in binding.secondary if each.interface]
    if len(networks) > _MOST_NETWORKS:
        cause = f"it names {len(networks)} networks"
        raise Refused(Reason.INVALID, subject, cause, f"give at most {_MOST_NETWORKS}")
    for kind, given in (("network", networks), ("interface", interfaces)):
        twice = next((name for name in given if given.count(name) > 1), None)
        if twice is not None:
            raise Refused(Reason.INVALID, subject, f'it names {kind} "{twice}" twice', "name each once")


def _check_interface(subject: str, attachment: Attachment) -> None:
    if not attachment.interface:
        return
    require(names.interface_fault, "interface", attachment.interface)
    if attachment.interface in _NOT_SECONDARY:
        cause = f'a secondary interface cannot be called "{attachment.interface}"'
        raise Refused(Reason.INVALID, subject, cause, "choose another name, or none for net1, net2 and so on")


def _check_static(snapshot: Snapshot, subject: str, attachment: Attachment) -> None:
    """Addresses that a pod of the network may have, one for each family; a MAC that no other pod gets by itself."""
    network = snapshot.networks[attachment.network]
    families = [address.version for address in attachment.addresses]
    if len(set(families)) != len(families):
        cause = f'it gives a pod two addresses of a family on network "{network.name}"'
        raise Refused(Reason.INVALID, subject, cause, "give one")
    for address in attachment.addresses:
        fault = _address_fault(snapshot, network, address)
        if fault is not None:
            raise Refused(Reason.INVALID, subject, f"address {address} {fault}", "give another one, or none")
    mac = attachment.mac
    if mac is not None and (not 0 < mac < 1 << 48 or mac & _GROUP_BIT or mac >> 32 in _OUR_PREFIXES):
        cause = f"{format_mac(mac & (1 << 48) - 1)} is no MAC that can be given"
        remedy = "give a unicast one that does not begin with 0a:58 or 0a:59, or none"
        raise Refused(Reason.INVALID, subject, cause, remedy)


def _address_fault(snapshot: Snapshot, network: Network, address: Address) -> str | None:
    if not network.subnets:
        cidrs = snapshot.cluster.cluster_cidrs
        return None if inside(ip_network(address), cidrs) else "is outside the cluster CIDRs"
    subnet = next((each for each in network.subnets if address in each.cidr), None)
    if subnet is None:
        return f'is in no subnet of network "{network.name}"'
    taken = address in (subnet.cidr[0], subnet.cidr[-1], subnet.gateway)
    return f"is the first, the last or the gateway of {subnet.cidr}" if taken else None


def _named(name: str) -> str:
    return f'binding "{name}"'
