"""What each kind of object changes in a snapshot: the object's entry, and the indexes it stands in.

Ports are in `ports`; projects, pods and bindings in `bindings`.
"""

from __future__ import annotations

from dataclasses import replace

from immutables import Map

from topology.model import (
    AddressBlock,
    Cluster,
    Connection,
    Egress,
    Endpoint,
    EndpointSlice,
    ExternalVtep,
    Mirror,
    Move,
    Network,
    Node,
    Quarantine,
    Service,
    ServiceKey,
    Severed,
    Watermark,
    in_order,
)
from topology.relaying import NO_RELAYING, Relaying
from topology.snapshot.events import Change, Event, Put
from topology.snapshot.holding import claim, disclaim, reassigned
from topology.snapshot.index import before_after, count, exclude, include, mark, release, swap, table
from topology.snapshot.ingress import reclaimed
from topology.snapshot.value import Claim, Snapshot


def keep_cluster(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Cluster)
    if not isinstance(event, Put) or event.value == snapshot.cluster:
        return snapshot, ()
    state, moved = reclaimed(replace(snapshot, cluster=event.value), snapshot.ingress_of)
    return state, (Change(snapshot.cluster, event.value), *moved)


def keep_node(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Node)
    name = event.value.name
    before, after = before_after(snapshot.nodes, name, event)
    if before == after:
        return snapshot, ()
    state = replace(
        snapshot,
        nodes=table(snapshot.nodes, name, after),
        node_by_dpid=swap(snapshot.node_by_dpid, before and before.dpid, after and after.dpid, name),
        node_by_underlay=swap(snapshot.node_by_underlay, before and before.underlay, after and after.underlay, name),
        declared=table(snapshot.declared, name, None) if name in snapshot.declared else snapshot.declared,
    )
    if after is not None and after.neighbours is not None:
        state = replace(state, declared=state.declared.set(name, None))
    state = _with_ways(state)
    if after is None:
        latest = state.latest
        for place in ((name, version) for version in (4, 6)):
            latest = table(latest, place, None) if place in latest else latest
        state = replace(state, latest=latest)
    moved: tuple[Change, ...] = ()
    if before is None or after is None:
        state, moved = reassigned(state, name)
    return state, (Change(before, after), *moved)


def keep_severed(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Severed)
    tunnel = event.value.tunnel
    before, after = before_after(snapshot.severed, tunnel, event)
    if before == after:
        return snapshot, ()
    state = replace(snapshot, severed=table(snapshot.severed, tunnel, after))
    return _with_ways(state), (Change(before, after),)


def _with_ways(snapshot: Snapshot) -> Snapshot:
    """Let the ways between nodes be worked out anew, if any of them may be another than the tunnel itself."""
    if snapshot.severed or snapshot.declared:
        return replace(snapshot, relaying=Relaying(snapshot.nodes, snapshot.severed, snapshot.declared))
    return snapshot if snapshot.relaying is NO_RELAYING else replace(snapshot, relaying=NO_RELAYING)


def keep_network(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Network)
    name = event.value.name
    before, after = before_after(snapshot.networks, name, event)
    if before == after:
        return snapshot, ()
    was_global = name if before is not None and before.is_global else None
    is_global = name if after is not None and after.is_global else None
    was_terminating = name if before is not None and before.terminating else None
    is_terminating = name if after is not None and after.terminating else None
    state = replace(
        snapshot,
        networks=table(snapshot.networks, name, after),
        network_by_vnid=swap(
            snapshot.network_by_vnid,
            None if before is None else before.vnid,
            None if after is None else after.vnid,
            name,
        ),
        global_networks=swap(snapshot.global_networks, was_global, is_global, None),
        terminating=swap(snapshot.terminating, was_terminating, is_terminating, None),
        network_by_zone=swap(snapshot.network_by_zone, _own_zone(before), _own_zone(after), name),
    )
    return state, (Change(before, after),)


def _own_zone(network: Network | None) -> int | None:
    """Return the conntrack zone that was allotted to a network; a transit network has that of a move's end."""
    return None if network is None or network.is_transit else network.zone


def keep_move(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Move)
    project = event.value.project
    before, after = before_after(snapshot.moves, project, event)
    if before == after:
        return snapshot, ()
    moves_of = snapshot.moves_of
    for network in () if before is None else (before.source, before.target):
        moves_of = exclude(moves_of, network, project)
    for network in () if after is None else (after.source, after.target):
        moves_of = include(moves_of, network, project)
    return replace(snapshot, moves=table(snapshot.moves, project, after), moves_of=moves_of), (Change(before, after),)


def keep_connection(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Connection)
    first, second = key = event.value.key
    before, after = before_after(snapshot.connections, key, event)
    if before == after:
        return snapshot, ()
    keep = include if after is not None else exclude
    state = replace(
        snapshot,
        connections=table(snapshot.connections, key, after),
        peers=keep(keep(snapshot.peers, first, second), second, first),
    )
    return state, (Change(before, after),)


def keep_block(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, AddressBlock)
    network, prefix, _ = event.value
    before, after = before_after(snapshot.blocks, (network, prefix), event)
    if before == after:
        return snapshot, ()
    blocks_on, blocks_at = snapshot.blocks_on, snapshot.blocks_at
    if before is not None:
        blocks_on = exclude(blocks_on, (network, before.node), prefix)
        blocks_at = exclude(blocks_at, before.node, (network, prefix))
    if after is not None:
        blocks_on = include(blocks_on, (network, after.node), prefix)
        blocks_at = include(blocks_at, after.node, (network, prefix))
    keep = include if after is not None else exclude
    state = replace(
        snapshot,
        blocks=table(snapshot.blocks, (network, prefix), after),
        blocks_of=keep(snapshot.blocks_of, network, prefix),
        blocks_on=blocks_on,
        blocks_at=blocks_at,
    )
    return state, (Change(before, after),)


def keep_service(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Service)
    key = event.value.key
    before, after = before_after(snapshot.services, key, event)
    if before == after:
        return snapshot, ()
    keep = include if after is not None else exclude
    by_node_port = snapshot.service_by_node_port
    for place in () if before is None else before.held_ports:
        by_node_port = release(by_node_port, place, key)
    for place in () if after is None else after.held_ports:
        by_node_port = by_node_port.set(place, key)
    state = replace(
        snapshot,
        services=table(snapshot.services, key, after),
        services_of=keep(snapshot.services_of, key.project, key),
        service_by_address=swap(snapshot.service_by_address, before and before.address, after and after.address, key),
        service_by_node_port=by_node_port,
        services_outside=_outside(snapshot.services_outside, key, after),
        internal=swap(snapshot.internal, _if_internal(before), _if_internal(after), None),
    )
    for address in () if before is None else before.ingress:
        state = replace(state, ingress_of=exclude(state.ingress_of, address, key))
    for address in () if after is None else after.ingress:
        state = replace(state, ingress_of=include(state.ingress_of, address, key))
    given = {address for side in (before, after) if side is not None for address in side.ingress}
    state, moved = reclaimed(_near(snapshot, state, key), in_order(given))
    return state, (Change(before, after), *moved)


def _if_internal(service: Service | None) -> ServiceKey | None:
    return service.key if service is not None and service.internal_local else None


def _outside(index: Map[ServiceKey, Service], key: ServiceKey, after: Service | None) -> Map[ServiceKey, Service]:
    """Let the index be the same value where it says the same: by that nodes know that they need not ask."""
    if after is not None and after.is_told:
        return index.set(key, after)
    return index.delete(key) if key in index else index


def keep_slice(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, EndpointSlice)
    key = event.value.key
    before, after = before_after(snapshot.slices, key, event)
    if before == after:
        return snapshot, ()
    slices_of, slices_in, hinted = snapshot.slices_of, snapshot.slices_in, snapshot.hinted
    if before is not None:
        slices_of, slices_in = exclude(slices_of, before.service_key, key), count(slices_in, key.project, -1)
        hinted = count(hinted, before.service_key, -1) if before.is_hinted else hinted
    if after is not None:
        slices_of, slices_in = include(slices_of, after.service_key, key), count(slices_in, key.project, 1)
        hinted = count(hinted, after.service_key, 1) if after.is_hinted else hinted
    slices = table(snapshot.slices, key, after)
    state = replace(snapshot, slices=slices, slices_of=slices_of, slices_in=slices_in, hinted=hinted)
    for service in {side.service_key for side in (before, after) if side is not None}:
        state = _near(snapshot, state, service)
    keys = sorted({side.service_key for side in (before, after) if side is not None})
    services = (snapshot.services.get(service) for service in keys)
    state, moved = reclaimed(state, (each for of in services if of is not None for each in of.ingress))
    return state, (Change(before, after), *moved)


def _near(before: Snapshot, after: Snapshot, key: ServiceKey) -> Snapshot:
    """Let nodes' endpoints of a service be those after a change; of other nodes, the value stays the same."""
    near, old, new = after.near, _endpoints(before, key), _endpoints(after, key)
    for node in {*old, *new}:
        if old.get(node) != new.get(node):
            there = table(near.get(node, Map()), key, new.get(node))
            near = table(near, node, there or None)
    return after if near is after.near else replace(after, near=near)


def _endpoints(snapshot: Snapshot, key: ServiceKey) -> dict[str, tuple[Endpoint, ...]]:
    """Return the endpoints of a service that prefers those on a client's node, if it does, by their nodes."""
    service = snapshot.services.get(key)
    found: dict[str, set[Endpoint]] = {}
    if service is not None and service.external_local:
        for name in snapshot.slices_of.get(key, {}):
            for endpoint in snapshot.slices[name].endpoints:
                if endpoint.node and endpoint.address.version == service.address.version:
                    found.setdefault(endpoint.node, set()).add(endpoint)
    return {node: tuple(sorted(endpoints)) for node, endpoints in found.items()}


def keep_egress(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Egress)
    name = event.value.name
    before, after = before_after(snapshot.egresses, name, event)
    if before == after:
        return snapshot, ()
    egresses_of, by_address, via = snapshot.egresses_of, snapshot.egress_by_address, snapshot.egresses_via
    if before is not None:
        egresses_of = exclude(egresses_of, before.network, name)
        via = via if before.via is None else exclude(via, before.via, name)
    if after is not None:
        egresses_of = include(egresses_of, after.network, name)
        via = via if after.via is None else include(via, after.via, name)
    there = () if after is None else after.addresses
    gone = [] if before is None else [address for address in before.addresses if address not in there]
    for address in gone:
        by_address = release(by_address, address, name)
    for address in there:
        by_address = by_address.set(address, name)
    state = replace(
        snapshot,
        egresses=table(snapshot.egresses, name, after),
        egresses_of=egresses_of,
        egress_by_address=by_address,
        egresses_via=via,
    )
    changes, whose = [Change(before, after)], f'egress "{name}"'
    for address in gone:
        state, moved = disclaim(state, address, whose)
        changes += moved
    for address in there:
        state, moved = claim(state, address, Claim(whose, () if after is None else after.nodes))
        changes += moved
    return state, tuple(changes)


def keep_quarantine(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Quarantine)
    key = (event.value.space, event.value.address)
    before, after = before_after(snapshot.quarantined, key, event)
    if before == after:
        return snapshot, ()
    quarantined = table(snapshot.quarantined, key, after)
    taken = mark(snapshot.taken, key, after is not None or key in snapshot.holder)
    return replace(snapshot, quarantined=quarantined, taken=taken), (Change(before, after),)


def keep_watermark(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Watermark)
    pool = event.value.pool
    last = snapshot.watermarks.get(pool)
    before = None if last is None else Watermark(pool, last)
    after = event.value if isinstance(event, Put) else None
    if before == after:
        return snapshot, ()
    marks = table(snapshot.watermarks, pool, None if after is None else after.last)
    return replace(snapshot, watermarks=marks), (Change(before, after),)


def keep_mirror(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Mirror)
    name = event.value.name
    before, after = before_after(snapshot.mirrors, name, event)
    if before == after:
        return snapshot, ()
    of, to = snapshot.mirrors_of, snapshot.mirrors_to
    if before is not None:
        of, to = exclude(of, before.pod or before.network or "", name), exclude(to, before.target, name)
    if after is not None:
        of, to = include(of, after.pod or after.network or "", name), include(to, after.target, name)
    state = replace(snapshot, mirrors=table(snapshot.mirrors, name, after), mirrors_of=of, mirrors_to=to)
    return state, (Change(before, after),)


def keep_external(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, ExternalVtep)
    name = event.value.name
    before, after = before_after(snapshot.externals, name, event)
    if before == after:
        return snapshot, ()
    of = snapshot.externals_of
    of = of if before is None else exclude(of, before.network, name)
    of = of if after is None else include(of, after.network, name)
    by_address = swap(snapshot.external_by_address, before and before.address, after and after.address, name)
    externals = table(snapshot.externals, name, after)
    state = replace(snapshot, externals=externals, externals_of=of, external_by_address=by_address)
    return state, (Change(before, after),)
