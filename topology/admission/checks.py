"""What several kinds of requests check: that names are well-formed and known. No decision on any one request."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, ip_network
from typing import Final

from topology.model import Address, Cluster, Network, Node, Prefix, Project
from topology.requests import Reason, Refused
from topology.snapshot import Snapshot

# This network, loopback, link-local; multicast, reserved and broadcast (RFC 6890, RFC 1112).
NOT_FOR_PODS: Final = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))


def require(fault: Callable[[str], str | None], kind: str, name: str) -> None:
    """Raise Refused when `fault` finds something wrong with the name of a `kind` of object."""
    cause = fault(name)
    if cause is not None:
        raise Refused(Reason.INVALID, f'{kind} "{name}"', f"the name {cause}", "choose another name")


def known_node(snapshot: Snapshot, name: str) -> Node:
    """Return a node, or raise Refused."""
    node = snapshot.nodes.get(name)
    if node is None:
        raise _unknown("node", name)
    return node


def known_network(snapshot: Snapshot, name: str) -> Network:
    """Return a network that may be named in requests, or raise Refused: a move's transit network is nobody's."""
    network = snapshot.networks.get(name)
    if network is None:
        raise _unknown("network", name)
    if network.transit_for is not None:
        cause = f'exists for the move of project "{network.transit_for}", and goes with it'
        raise Refused(Reason.BUILT_IN, f'network "{name}"', cause, "name the network that the project moves from or to")
    return network


def check_takes_in(network: Network) -> None:
    """Raise Refused when a network takes in no pods and projects any more."""
    if network.terminating:
        cause = "is being drained, and takes in nobody new"
        raise Refused(Reason.IN_USE, f'network "{network.name}"', cause, "choose another network")


def check_provider(network: Network, provider: str, verb: str) -> None:
    """Raise Refused when somebody else supplies a network's specification than who `verb` it."""
    if network.provider != provider:
        cause = f'belongs to provider "{network.provider}", and "{provider}" {verb} it'
        remedy = f'ask as provider "{network.provider}" if it is yours'
        raise Refused(Reason.TAKEN, f'network "{network.name}"', cause, remedy)


def built_in(name: str, verb: str) -> Refused:
    """Return the refusal to do something to a built-in network."""
    return Refused(
        Reason.BUILT_IN, f'network "{name}"', f"is built in and cannot be {verb}", "use a network of your own"
    )


def known_project(snapshot: Snapshot, name: str) -> Project:
    """Return a project, or raise Refused."""
    project = snapshot.projects.get(name)
    if project is None:
        raise _unknown("project", name)
    return project


def inside(prefix: Prefix, cidrs: tuple[Prefix, ...]) -> bool:
    """Tell whether a prefix (or one address, as its longest prefix) lies within one of `cidrs`."""
    return any(cidr.version == prefix.version and prefix.subnet_of(cidr) for cidr in cidrs)  # type: ignore[arg-type]


def overlapping(prefix: Prefix, cidrs: tuple[Prefix, ...]) -> Prefix | None:
    """Return the first of `cidrs` that shares addresses with a prefix."""
    return next((cidr for cidr in cidrs if cidr.version == prefix.version and cidr.overlaps(prefix)), None)


def egress_fault(address: Address, cluster: Cluster) -> str | None:
    """Return what keeps packets from leaving by an address, whoever asks for it, if anything does."""
    if address.version != 4:
        return "is IPv6, which does not leave yet"
    special = overlapping(ip_network(address), NOT_FOR_PODS)
    if special is not None:
        return f"is inside {special}, which is no address of a machine's"
    if address in cluster.control_plane:
        return "is a controller's"
    ours = (*reserved_ranges(cluster), *cluster.translation_cidrs)
    cidr = overlapping(ip_network(address), ours)
    if cidr is not None:
        return f"is inside {cidr}, which belongs to pods and services"
    cidr = overlapping(ip_network(address), cluster.external_cidrs)
    return None if cidr is None else f"is inside {cidr}, where external addresses of services are"


def underlay_fault(address: Address, cluster: Cluster) -> str | None:
    """Return what makes an address useless as a node's VTEP, if anything does."""
    if address.version != 4:
        return f"underlay address {address} is IPv6, which tunnels do not use yet"
    if address.is_unspecified or address.is_multicast or address.is_loopback or address.is_reserved:
        return f"underlay address {address} is no address of a machine"
    cidr = overlapping(ip_network(address), reserved_ranges(cluster))
    return None if cidr is None else f"underlay address {address} is inside {cidr}, which belongs to pods and services"


def reserved_ranges(cluster: Cluster) -> tuple[Prefix, ...]:
    """Return the ranges that belong to pods and services."""
    return (*cluster.cluster_cidrs, *cluster.service_cidrs)


def _unknown(kind: str, name: str) -> Refused:
    return Refused(
        Reason.UNKNOWN, f'{kind} "{name}"', "does not exist", f"create the {kind} first, or correct the name"
    )
