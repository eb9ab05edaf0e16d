"""Requests about external VTEPs: whose addresses these and the hosts behind them may have, and none of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_network
from typing import Final, TypeVar

from topology import names
from topology.admission.checks import (
    NOT_FOR_PODS,
    check_takes_in,
    known_network,
    overlapping,
    require,
    reserved_ranges,
    underlay_fault,
)
from topology.model import (
    MOST_EXTERNAL_SUBNETS,
    TUNNEL_OFPORTS,
    Address,
    Cluster,
    Connection,
    ExternalVtep,
    Network,
    Prefix,
    prefixes_in_order,
)
from topology.reach import ranges_known, ranges_seen
from topology.requests import CreateExternalVtep, DeleteExternalVtep, Reason, Refused
from topology.snapshot import Event, Put, Remove, Snapshot

T = TypeVar("T")
_GROUP_BIT: Final = 1 << 40  # of a MAC: multicast and broadcast (IEEE 802)
_LAST_MAC: Final = (1 << 48) - 1
_APART: Final = "give ranges of the hosts behind it, which nobody else has"


def create_external(snapshot: Snapshot, request: CreateExternalVtep) -> tuple[Event, ...]:
    """Make or replace an external VTEP."""
    asked = request.external
    require(names.label_fault, "external VTEP", asked.name)
    network = _network(snapshot, request)
    old = snapshot.externals.get(asked.name)
    if old is None or old.network != network.name:
        check_takes_in(network)
    external = replace(asked, network=network.name, subnets=prefixes_in_order(asked.subnets))
    if external == old:
        return ()
    _check_itself(external, asked.subnets)
    for complaint in _complaints(snapshot, external):
        raise complaint
    return (Put(external),)


def delete_external(snapshot: Snapshot, request: DeleteExternalVtep) -> tuple[Event, ...]:
    """Remove an external VTEP."""
    external = snapshot.externals.get(request.name)
    if external is None:
        raise Refused(Reason.UNKNOWN, _named(request.name), "does not exist", "correct the name")
    return (Remove(external),)


def check_apart(snapshot: Snapshot, subject: str, address: Address) -> None:
    """Raise Refused when an address, that `subject` is to have, is an external VTEP's or of a host behind it."""
    holder = snapshot.external_by_address.get(address)
    if holder is not None:
        cause = f"address {address} belongs to {_named(holder)}"
        raise Refused(Reason.TAKEN, subject, cause, f"give another address, or delete {_named(holder)} first")
    for name, external in sorted(snapshot.externals.items()):
        subnet = overlapping(ip_network(address), external.subnets)
        if subnet is not None:
            cause = f"address {address} is inside {subnet}, which is behind {_named(name)}"
            raise Refused(Reason.TAKEN, subject, cause, f"give another address, or delete {_named(name)} first")


def unfit_externals(cluster: Cluster, snapshot: Snapshot) -> Iterator[Refused]:
    """Yield the external VTEPs that do not fit settings of the cluster."""
    for _, external in sorted(snapshot.externals.items()):
        fault = underlay_fault(external.address, cluster)
        faults = [fault] if fault else []
        faults += [f"subnet {subnet} {cause}" for subnet, cause in _in_cluster(cluster, external)]
        if external.address in cluster.control_plane:
            faults.append(f"address {external.address} is a controller's")
        for each in faults:
            remedy = f"choose other ranges, or delete {_named(external.name)}"
            yield Refused(Reason.IN_USE, "settings of the cluster", f"of {_named(external.name)}, {each}", remedy)


def check_joined(snapshot: Snapshot, connection: Connection) -> None:
    """Raise Refused when the range of one network of a new connection is behind an external VTEP of the other."""
    key = connection.key
    for name in key:
        for external in _of(snapshot, name):
            for cidr in ranges_known(key.other(name), connection, snapshot):
                subnet = overlapping(cidr, external.subnets)
                if subnet is not None:
                    subject = f'connection of "{key.first}" and "{key.second}"'
                    cause = f'{cidr} of "{key.other(name)}" overlaps {subnet}, which is behind {_named(external.name)}'
                    remedy = f"join them with translation, or delete {_named(external.name)} first"
                    raise Refused(Reason.TAKEN, subject, cause, remedy)


def _of(snapshot: Snapshot, network: str) -> Iterable[ExternalVtep]:
    return (snapshot.externals[name] for name in sorted(snapshot.externals_of.get(network, {})))


def _network(snapshot: Snapshot, request: CreateExternalVtep) -> Network:
    """Return the network that is named, by its name or its VNID."""
    asked = request.external
    if bool(asked.network) == (request.vnid is not None):
        cause = "names not exactly one of a network and a VNID"
        raise Refused(Reason.INVALID, _named(asked.name), cause, "name a network, or the VNID of one")
    if request.vnid is None:
        return known_network(snapshot, asked.network)
    name = snapshot.network_by_vnid.get(request.vnid)
    if name is None:
        cause, remedy = f"VNID {request.vnid} is no network's", "give the VNID of a network, or its name"
        raise Refused(Reason.UNKNOWN, _named(asked.name), cause, remedy)
    return known_network(snapshot, name)


def _check_itself(external: ExternalVtep, subnets: tuple[Prefix, ...]) -> None:
    """Raise Refused for what cannot be, whatever else there is."""
    subject = _named(external.name)
    if external.encapsulation not in TUNNEL_OFPORTS:
        cause = f'encapsulation "{external.encapsulation}" is unknown'
        raise Refused(Reason.INVALID, subject, cause, f"give one of {', '.join(TUNNEL_OFPORTS)}")
    if not 1 <= len(subnets) <= MOST_EXTERNAL_SUBNETS:
        cause = f"it has {len(subnets)} subnets"
        raise Refused(Reason.INVALID, subject, cause, f"give 1 to {MOST_EXTERNAL_SUBNETS}")
    mac = external.mac
    if mac is not None and (not 0 < mac <= _LAST_MAC or mac & _GROUP_BIT):
        cause = f"{mac:#014x} is no MAC address of one interface"
        raise Refused(Reason.INVALID, subject, cause, "give that of the appliance's interface in the tunnel, or none")
    for position, subnet in enumerate(subnets):
        if subnet.version != 4:
            raise Refused(Reason.INVALID, subject, f"subnet {subnet} is IPv6, which is not carried yet", "give IPv4")
        other = overlapping(subnet, NOT_FOR_PODS)
        if other is not None:
            cause = f"subnet {subnet} shares addresses with {other}, which no host can have for its own"
            raise Refused(Reason.INVALID, subject, cause, "give a range of unicast addresses")
        other = overlapping(subnet, subnets[:position])
        if other is not None:
            raise Refused(Reason.INVALID, subject, f"its subnets {subnet} and {other} overlap", _APART)


def _complaints(snapshot: Snapshot, external: ExternalVtep) -> Iterator[Refused]:
    """Yield what is somebody else's already."""
    subject, cluster = _named(external.name), snapshot.cluster
    fault = underlay_fault(external.address, cluster)
    if fault is not None:
        yield Refused(Reason.INVALID, subject, fault, "give the address by which nodes reach it")
    whose = _whose(snapshot, external)
    if whose is not None:
        cause = f"address {external.address} belongs to {whose}"
        yield Refused(Reason.TAKEN, subject, cause, "give the address of a VTEP that is none of ours")
    for subnet, cause in (*_in_cluster(cluster, external), *_of_others(snapshot, external)):
        yield Refused(Reason.TAKEN, subject, f"subnet {subnet} {cause}", _APART)


def _whose(snapshot: Snapshot, external: ExternalVtep) -> str | None:
    """Return who has the address of the VTEP, in words."""
    address = external.address
    node, other = snapshot.node_by_underlay.get(address), snapshot.external_by_address.get(address)
    claim = snapshot.claims.get(address)
    if node is not None:
        return f'node "{node}"'
    if other not in (None, external.name):
        return _named(str(other))
    if claim is not None:
        return claim.whose
    return "a controller" if address in snapshot.cluster.control_plane else None


def _in_cluster(cluster: Cluster, external: ExternalVtep) -> Iterator[tuple[Prefix, str]]:
    """Yield the subnets that settings of the cluster give to others, and what these are."""
    ranges = (
        (reserved_ranges(cluster), "which belongs to pods and services"),
        (cluster.translation_cidrs, "from which translated prefixes are taken"),
        (cluster.external_cidrs, "where external addresses of services are"),
        (tuple(map(ip_network, cluster.control_plane)), "a controller's address"),
    )
    for subnet in external.subnets:
        for cidrs, what in ranges:
            other = overlapping(subnet, cidrs)
            if other is not None:
                yield subnet, f"overlaps {other}, {what}"


def _of_others(snapshot: Snapshot, external: ExternalVtep) -> Iterator[tuple[Prefix, str]]:
    """Yield the subnets with addresses of nodes, of other external VTEPs, of egresses, of pods that may send there."""
    others = [other for name, other in sorted(snapshot.externals.items()) if name != external.name]
    for subnet in external.subnets:
        for address, node in _by_text(snapshot.node_by_underlay):
            if address in subnet:
                yield subnet, f'has underlay address {address} of node "{node}"'
        if external.address in subnet:
            yield subnet, f"has the address {external.address} of the VTEP itself"
        for other in others:
            met = overlapping(subnet, (*other.subnets, ip_network(other.address)))
            if met is not None:
                yield subnet, f"overlaps {met} of {_named(other.name)}"
            if overlapping(ip_network(external.address), other.subnets) is not None:
                yield subnet, f"is behind {external.address}, which is itself behind {_named(other.name)}"
        for address, claim in _by_text(snapshot.claims):
            if address in subnet:
                yield subnet, f"has address {address} of {claim.whose}"
        known = overlapping(subnet, tuple(ranges_seen(external.network, snapshot)))
        if known is not None:
            yield subnet, f'overlaps {known}, by which network "{external.network}" knows pods'


def _by_text(table: Mapping[Address, T]) -> list[tuple[Address, T]]:
    return sorted(table.items(), key=lambda item: str(item[0]))


def _named(name: str) -> str:
    return f'external VTEP "{name}"'
