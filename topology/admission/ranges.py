"""What networks with subnets of their own must satisfy, and what may be said of a connection. It allots nothing."""

from __future__ import annotations

from itertools import combinations
from typing import Final

from topology import names
from topology.admission.checks import NOT_FOR_PODS, overlapping, require, reserved_ranges
from topology.admission.families import check_own_family
from topology.encapsulation import least_mtu
from topology.fields import TRANSPORT
from topology.model import Connection, ConnectionKey, Scope, Subnet
from topology.reach import ranges_known
from topology.requests import CreateNetwork, Reason, Refused
from topology.snapshot import Snapshot

_MOST_MTU: Final = 65535
_LONGEST_PREFIX: Final = 30  # a gateway and one pod
_WHAT_WORKS: Final = (
    "join them with translation (--translate, or translated: true), give one of them another range, "
    "or leave them apart and use services of a global network"
)


def check_subnets(snapshot: Snapshot, request: CreateNetwork) -> None:
    """Raise Refused when a new network's subnets, or its MTU, cannot be."""
    subject = f'network "{request.name}"'
    own = tuple(subnet.cidr for subnet in request.subnets)
    least = least_mtu(own or snapshot.cluster.cluster_cidrs)
    if request.mtu is not None and not least <= request.mtu <= _MOST_MTU:
        remedy = f"give {least} to {_MOST_MTU} bytes, or none"
        raise Refused(Reason.INVALID, subject, f"an MTU of {request.mtu} bytes is out of range", remedy)
    if request.flat and not request.subnets:
        remedy = "give it a subnet, or let its nodes hold its addresses"
        raise Refused(Reason.INVALID, subject, "only a network with subnets of its own can be flat", remedy)
    for subnet in request.subnets:
        _check_subnet(snapshot, subject, subnet)
    for one, other in combinations(request.subnets, 2):
        if one.name == other.name:
            raise Refused(Reason.INVALID, subject, f'two subnets are called "{one.name}"', "rename one of them")
        if one.cidr.overlaps(other.cidr):
            cause = f"its subnets {one.cidr} and {other.cidr} overlap"
            raise Refused(Reason.INVALID, subject, cause, "choose ranges that share no address")


def check_scope(key: ConnectionKey, scope: Scope | None) -> None:
    """Raise Refused when a connection cannot have this scope."""
    if scope is None:
        return
    subject = f'connection of "{key.first}" and "{key.second}"'
    if scope.services_only and scope.ports:
        raise Refused(Reason.INVALID, subject, "it is for services only and for ports", "choose one of the two")
    for port in scope.ports:
        if port.protocol not in TRANSPORT or not 1 <= port.port <= 65535:
            remedy = f"name a protocol ({', '.join(TRANSPORT)}) and a port from 1 to 65535"
            raise Refused(Reason.INVALID, subject, f'"{port.port}/{port.protocol}" is no port', remedy)
    if len(set(scope.ports)) != len(scope.ports):
        raise Refused(Reason.INVALID, subject, "a port is named twice", "name each port once")


def check_ranges(snapshot: Snapshot, connection: Connection) -> None:
    """Raise Refused when an address would mean two pods to one of the two networks, were they connected so."""
    key = connection.key
    for name in key:
        if not snapshot.networks[name].subnets:
            continue  # it knows pods of other spaces by their cluster addresses only
        ranges = [(name, subnet.cidr) for subnet in snapshot.networks[name].subnets]
        for peer in sorted({*snapshot.peers.get(name, {}), key.other(name)}):
            there = connection if peer == key.other(name) else snapshot.connections[ConnectionKey.between(name, peer)]
            ranges += [(peer, cidr) for cidr in ranges_known(peer, there, snapshot)]
        for (one, a), (other, b) in combinations(ranges, 2):
            if one != other and a.overlaps(b):
                subject = f'connection of "{key.first}" and "{key.second}"'
                cause = f'to network "{name}" an address in {a} of "{one}" and {b} of "{other}" would mean two pods'
                raise Refused(Reason.TAKEN, subject, cause, _WHAT_WORKS)


def _check_subnet(snapshot: Snapshot, subject: str, subnet: Subnet) -> None:
    require(names.label_fault, "subnet", subnet.name)
    cidr = subnet.cidr
    check_own_family(snapshot.cluster, subject, subnet)
    if cidr.prefixlen > _LONGEST_PREFIX:
        remedy = f"give a range of /{_LONGEST_PREFIX} or larger"
        raise Refused(Reason.INVALID, subject, f"subnet {cidr} has no room for a gateway and a pod", remedy)
    other = overlapping(cidr, NOT_FOR_PODS)
    if other is not None:
        cause = f"subnet {cidr} shares addresses with {other}, which no host can have for its own"
        raise Refused(Reason.INVALID, subject, cause, "give a range of unicast addresses")
    clash = overlapping(cidr, reserved_ranges(snapshot.cluster))
    if clash is not None:
        cause = f"subnet {cidr} overlaps {clash}, by which its pods know everything outside their network"
        raise Refused(Reason.TAKEN, subject, cause, "give another range; it may overlap other networks' subnets")
    if subnet.gateway not in cidr or subnet.gateway in (cidr[0], cidr[-1]):
        cause = f"gateway {subnet.gateway} is no host's address in {cidr}"
        raise Refused(Reason.INVALID, subject, cause, f"give one from {cidr[1]} to {cidr[-2]}, or none for the first")
