"""Requests about nodes and the cluster's settings: ranges, datapath ids, underlay addresses, node subnets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

from topology import names
from topology.admission.checks import (
    NOT_FOR_PODS,
    egress_fault,
    inside,
    known_node,
    overlapping,
    require,
    reserved_ranges,
)
from topology.admission.families import unfit_families, unsound_families
from topology.admission.ports import gone
from topology.admission.projects import own_networks
from topology.admission.translation import unfit_translations, unsound_pools
from topology.allocation import LAST_DPID, SMALLEST_SUBNET_BITS, free_dpid, free_subnets
from topology.balancing import PLACE_BITS
from topology.crowding import crowding
from topology.model import TUNNEL_OFPORTS, Address, Cluster, Node, Outage
from topology.requests import CreateNode, DeleteNode, NodeFound, NodeLost, Reason, Refused, SetCluster, SetNode
from topology.snapshot import Event, Put, Remove, Snapshot, apply

_OTHER_PORTS = (
    "give another range, or none, by --heddle-node-ports, or listen on another port "
    "(--heddle-rest-listen, --heddle-openflow-listen)"
)


def set_cluster(snapshot: Snapshot, request: SetCluster) -> tuple[Event, ...]:
    """Take over settings that are sound in themselves and fit the nodes and services that exist."""
    cluster = request.cluster
    if cluster == snapshot.cluster:
        return ()
    for complaint in (*_unsound(cluster), *_unfit(cluster, snapshot)):
        raise complaint
    return (Put(cluster), *_grown(snapshot, cluster), *(own_networks(snapshot) if cluster.own_networks else ()))


def _grown(snapshot: Snapshot, cluster: Cluster) -> Iterator[Event]:
    """Yield the nodes that get a subnet of a family that the cluster did not have. Pods there get no address."""
    state, _ = apply(snapshot, Put(cluster))
    for _, node in sorted(snapshot.nodes.items()):
        subnets = free_subnets(state, {subnet.version for subnet in node.subnets})
        if subnets:
            event = Put(replace(node, subnets=(*node.subnets, *subnets)))
            state, _ = apply(state, event)
            yield event


def create_node(snapshot: Snapshot, request: CreateNode) -> tuple[Event, ...]:
    """Register a node, and give it what it did not ask for."""
    require(names.subdomain_fault, "node", request.name)
    old = snapshot.nodes.get(request.name)
    if old is not None:
        if _is_so(old, request):
            return ()
        cause = f"exists already, with underlay {old.underlay} and datapath id {old.dpid}"
        raise Refused(Reason.TAKEN, f'node "{old.name}"', cause, "choose another name, or delete the node first")
    _check_underlay(snapshot, request)
    _check_dpid(snapshot, request)
    _check_subnets(snapshot, request)
    dpid = free_dpid(snapshot) if request.dpid is None else request.dpid
    node = Node(request.name, dpid, request.underlay, request.subnets or free_subnets(snapshot))
    # Until its switch has come, it can hold nothing. It comes first: addresses must not go there and back.
    return (*((Put(Outage(node.name)),) if snapshot.claims else ()), Put(node))


def set_node(snapshot: Snapshot, request: SetNode) -> tuple[Event, ...]:
    """Let a node send by another encapsulation; all others take it already."""
    node, chosen = known_node(snapshot, request.name), request.encapsulation
    if chosen is not None and chosen not in TUNNEL_OFPORTS:
        cause = f'encapsulation "{chosen}" is unknown'
        remedy = f"give one of {', '.join(TUNNEL_OFPORTS)}, or none for the cluster's"
        raise Refused(Reason.INVALID, f'node "{node.name}"', cause, remedy)
    changed = replace(node, encapsulation=chosen)
    return () if changed == node else (Put(changed),)


def delete_node(snapshot: Snapshot, request: DeleteNode) -> tuple[Event, ...]:
    """Forget a node, with its ports if asked to.

    Their addresses stay in quarantine, for other nodes' switches may name them: until they are released, no new
    node is allotted this subnet, and one that asks for it gives none of them to a pod.
    """
    node = known_node(snapshot, request.name)
    keys = tuple(sorted(snapshot.ports_on.get(node.name, {})))
    if keys and not request.drain:
        remedy = "remove its pods first, or delete it with its ports (drain)"
        raise Refused(Reason.IN_USE, f'node "{node.name}"', f"has {_counted(len(keys), 'port')}", remedy)
    events: list[Event] = []
    for key in keys:
        events.extend(gone(snapshot.ports[key]))
    outage = snapshot.outages.get(node.name)
    return (*events, Remove(node), *(() if outage is None else (Remove(outage),)))


def node_lost(snapshot: Snapshot, request: NodeLost) -> tuple[Event, ...]:
    """Let a node hold no address. Of one that does not exist (any more) there is nothing to say."""
    is_news = request.name in snapshot.nodes and request.name not in snapshot.outages
    return (Put(Outage(request.name)),) if is_news else ()


def node_found(snapshot: Snapshot, request: NodeFound) -> tuple[Event, ...]:
    """Let a node hold addresses again."""
    outage = snapshot.outages.get(request.name)
    return () if outage is None else (Remove(outage),)


def _is_so(node: Node, request: CreateNode) -> bool:
    same_dpid = request.dpid is None or request.dpid == node.dpid
    same_subnets = not request.subnets or set(request.subnets) == set(node.subnets)
    return request.underlay == node.underlay and same_dpid and same_subnets


def _check_underlay(snapshot: Snapshot, request: CreateNode) -> None:
    address, subject = request.underlay, f'node "{request.name}"'
    fault = underlay_fault(address, snapshot.cluster)
    if fault is not None:
        raise Refused(Reason.INVALID, subject, fault, "give the address by which other nodes reach this one")
    claim = snapshot.claims.get(address)
    if claim is not None:
        cause = f"underlay address {address} belongs to {claim.whose}"
        raise Refused(Reason.TAKEN, subject, cause, f"give another address, or delete {claim.whose} first")
    holder = snapshot.node_by_underlay.get(address)
    if holder is not None:
        cause = f'underlay address {address} belongs to node "{holder}"'
        raise Refused(Reason.TAKEN, subject, cause, f'give another address, or delete node "{holder}" first')


def underlay_fault(address: Address, cluster: Cluster) -> str | None:
    """Return what makes an address useless as a node's VTEP, if anything does."""
    if address.version != 4:
        return f"underlay address {address} is IPv6, over which tunnels are not supported yet"
    if address.is_unspecified or address.is_multicast or address.is_loopback or address.is_reserved:
        return f"underlay address {address} is no address of a machine"
    cidr = overlapping(ip_network(address), reserved_ranges(cluster))
    return None if cidr is None else f"underlay address {address} is inside {cidr}, which belongs to pods and services"


def _check_dpid(snapshot: Snapshot, request: CreateNode) -> None:
    subject = f'node "{request.name}"'
    if request.dpid is None:
        return
    if not 1 <= request.dpid <= LAST_DPID:
        cause = f"datapath id {request.dpid} is out of range"
        raise Refused(Reason.INVALID, subject, cause, "give a number from 1 to 2^64-1, or none")
    holder = snapshot.node_by_dpid.get(request.dpid)
    if holder is not None:
        cause = f'datapath id {request.dpid} belongs to node "{holder}"'
        raise Refused(Reason.TAKEN, subject, cause, "give another number, or none to have one allotted")


def _check_subnets(snapshot: Snapshot, request: CreateNode) -> None:
    subject, cidrs = f'node "{request.name}"', snapshot.cluster.cluster_cidrs
    if not request.subnets:
        return
    families = sorted(subnet.version for subnet in request.subnets)
    if families != sorted({cidr.version for cidr in cidrs}):
        cause = "its subnets are not one for each address family of the cluster"
        raise Refused(Reason.INVALID, subject, cause, "give one subnet per family, or none to have them allotted")
    for subnet in request.subnets:
        if not inside(subnet, cidrs):
            cause = f"subnet {subnet} is outside the cluster CIDRs {', '.join(map(str, cidrs))}"
            raise Refused(Reason.INVALID, subject, cause, "give a subnet inside them, or none to have one allotted")
        if subnet.max_prefixlen - subnet.prefixlen < SMALLEST_SUBNET_BITS:
            raise Refused(Reason.INVALID, subject, f"subnet {subnet} has no room for a pod", "give a larger one")
        for _, other in sorted(snapshot.nodes.items()):
            if overlapping(subnet, other.subnets):
                cause = f'subnet {subnet} overlaps that of node "{other.name}"'
                raise Refused(Reason.TAKEN, subject, cause, "give another subnet, or none to have one allotted")


def _unsound(cluster: Cluster) -> Iterator[Refused]:
    """Yield what is wrong with settings in themselves."""
    if cluster.encapsulation not in TUNNEL_OFPORTS:
        yield _bad_setting(
            f'encapsulation "{cluster.encapsulation}"', "is unknown", f"give one of {', '.join(TUNNEL_OFPORTS)}"
        )
    if not cluster.cluster_cidrs:
        yield _bad_setting("cluster CIDRs", "are none", "give at least one")
    ranges = reserved_ranges(cluster)
    for position, cidr in enumerate(ranges):
        other = overlapping(cidr, ranges[:position])
        if other is not None:
            yield _bad_setting(f"CIDR {cidr}", f"overlaps {other}", "give ranges that share no address")
    yield from unsound_families(cluster)
    for address in cluster.control_plane:
        other = overlapping(ip_network(address), ranges)
        if other is not None:
            yield _bad_setting(f"controller address {address}", f"is inside {other}", "give an address outside it")
    yield from unsound_pools(cluster)
    yield from _too_many_services(cluster)
    for port in (*cluster.guarded_tcp_ports, *cluster.guarded_udp_ports):
        if not 1 <= port <= 0xFFFF:
            yield _bad_setting(f"guarded port {port}", "is out of range", "give numbers from 1 to 65535")
    yield from _unsound_outside(cluster)


def _unsound_outside(cluster: Cluster) -> Iterator[Refused]:
    for cidr in cluster.external_cidrs:
        other = overlapping(cidr, (*reserved_ranges(cluster), *NOT_FOR_PODS))
        if other is not None:
            yield _bad_setting(f"external CIDR {cidr}", f"overlaps {other}", "give ranges of addresses of the outside")
    for cidr in cluster.load_balancer_pool:
        if not inside(cidr, cluster.external_cidrs):
            remedy = "allow its addresses to services by --heddle-external-cidr, too"
            yield _bad_setting(f"load balancers' pool {cidr}", "is outside the external CIDRs", remedy)
    offered = cluster.node_ports
    if offered is None:
        return
    subject = f"node ports {offered.first}-{offered.last}"
    if not 1 <= offered.first <= offered.last <= 0xFFFF:
        yield _bad_setting(subject, "are no range", "give the first and the last, from 1 to 65535, or none")
    for port in (*cluster.guarded_tcp_ports, *cluster.guarded_udp_ports):
        if offered.first <= port <= offered.last:
            cause = f"include port {port}, by which nodes reach controllers or each other"
            yield _bad_setting(subject, cause, _OTHER_PORTS)


def _too_many_services(cluster: Cluster) -> Iterator[Refused]:
    for version in (4, 6):
        many = sum(cidr.num_addresses for cidr in cluster.service_cidrs if cidr.version == version)
        if many > 1 << PLACE_BITS:
            cause = f"have {many} IPv{version} addresses, and each needs group numbers of its own"
            yield _bad_setting("service CIDRs", cause, f"give ranges of {1 << PLACE_BITS} addresses at most, a /12")


def _unfit(cluster: Cluster, snapshot: Snapshot) -> Iterator[Refused]:
    """Yield what exists and does not fit settings."""
    subject = "settings of the cluster"
    for _, node in sorted(snapshot.nodes.items()):
        for subnet in node.subnets:
            if not inside(subnet, cluster.cluster_cidrs):
                cause = f'subnet {subnet} of node "{node.name}" is outside the cluster CIDRs'
                yield Refused(Reason.IN_USE, subject, cause, f'keep a CIDR that has it, or delete node "{node.name}"')
        fault = underlay_fault(node.underlay, cluster)
        if fault is not None:
            remedy = f'choose other ranges, or delete node "{node.name}"'
            yield Refused(Reason.IN_USE, subject, f'of node "{node.name}", {fault}', remedy)
    for _, network in sorted(snapshot.networks.items()):
        for own in network.subnets:
            other = overlapping(own.cidr, reserved_ranges(cluster))
            if other is not None:
                cause = f'{other} overlaps subnet {own.cidr} of network "{network.name}"'
                yield Refused(Reason.IN_USE, subject, cause, f'choose other ranges, or delete "{network.name}"')
    yield from unfit_families(cluster, snapshot)
    yield from unfit_translations(cluster, snapshot)
    yield from _unfit_egresses(cluster, snapshot)
    for _, service in sorted(snapshot.services.items()):
        if not inside(ip_network(service.address), cluster.service_cidrs):
            name = f'service "{service.key.project}/{service.key.name}"'
            cause = f"{service.address} of {name} is outside the service CIDRs"
            yield Refused(Reason.IN_USE, subject, cause, f"keep a CIDR that has it, or delete {name}")
        slices = [snapshot.slices[key] for key in snapshot.slices_of.get(service.key, {})]
        crowded = crowding(service, slices, cluster)
        if crowded is not None:
            name = f'service "{service.key.project}/{service.key.name}"'
            remedy = f"keep smaller service CIDRs, or delete {name}"
            yield Refused(Reason.IN_USE, subject, f"{name} {crowded.cause}", remedy)


def _unfit_egresses(cluster: Cluster, snapshot: Snapshot) -> Iterator[Refused]:
    for address, name in sorted(snapshot.egress_by_address.items()):
        fault = egress_fault(address, cluster)
        if fault is not None:
            cause = f'address {address} of egress "{name}" {fault}'
            yield Refused(Reason.IN_USE, "settings of the cluster", cause, f'choose other ranges, or delete "{name}"')


def _bad_setting(subject: str, cause: str, remedy: str) -> Refused:
    return Refused(Reason.INVALID, subject, cause, remedy)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
