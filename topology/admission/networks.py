"""Requests about networks and connections: VNIDs, who may talk to whom. Their end is in `deletion`.

Two decisions, so that the order of requests does not matter. A connection is kept apart from being global: a global
network can be joined with another, which shows only when it is global no more. And whoever asks to isolate a pair
that would still talk, because one of the two is global, is refused and told so. The built-in network is global for
ever: joining it is granted and changes nothing.
"""

from __future__ import annotations

from dataclasses import replace

from topology import names
from topology.admission.checks import built_in, check_provider, check_takes_in, known_network, require
from topology.admission.deletion import SOON, disconnected
from topology.admission.projects import check_at_home, put_project
from topology.admission.ranges import check_ranges, check_scope, check_subnets
from topology.admission.transit import check_few_moves
from topology.admission.translation import translations
from topology.admission.zones import allot_zones
from topology.allocation import free_vnid
from topology.model import (
    DEFAULT_NETWORK,
    FIRST_VNID,
    LAST_VNID,
    MOST_DSCP,
    VNIDS,
    Connection,
    ConnectionKey,
    Network,
    Project,
    Watermark,
)
from topology.reach import begins_tracked
from topology.requests import (
    CreateNetwork,
    IsolateNetworks,
    JoinNetworks,
    Reason,
    Refused,
    SetDscp,
    SetGlobal,
    TrackConnection,
)
from topology.snapshot import Event, Put, Remove, Snapshot, apply_all


def create_network(snapshot: Snapshot, request: CreateNetwork) -> tuple[Event, ...]:
    """Make a network and its projects."""
    require(names.label_fault, "network", request.name)
    require(names.label_fault, "provider", request.provider)
    projects = tuple(dict.fromkeys(request.projects))
    old = snapshot.networks.get(request.name)
    if old is not None:
        return _same_network(snapshot, old, request, projects)
    for project in projects:
        require(names.label_fault, "project", project)
        check_at_home(snapshot, project, request.name)
    check_subnets(snapshot, request)
    _check_dscp(request.name, request.dscp)
    vnid = _vnid(snapshot, request)
    network = Network(
        name=request.name,
        vnid=vnid,
        is_global=request.is_global,
        subnets=request.subnets,
        flat=request.flat,
        mtu=request.mtu,
        provider=request.provider,
        dscp=request.dscp,
        multicast=request.multicast,
    )
    counted = () if request.vnid is not None else (Put(Watermark(VNIDS, vnid)),)
    events: tuple[Event, ...] = (*counted, Put(network))
    state, _ = apply_all(snapshot, events)
    for project in projects:
        made = put_project(state, Project(project, network.name))
        state, _ = apply_all(state, made)
        events = (*events, *made)
    return events


def set_global(snapshot: Snapshot, request: SetGlobal) -> tuple[Event, ...]:
    """Let a network talk with all, or no longer; it keeps its VNID."""
    network = known_network(snapshot, request.name)
    check_provider(network, request.provider, "changes")
    if network.is_global == request.is_global:
        return ()
    if network.name == DEFAULT_NETWORK:
        raise built_in(network.name, "made anything but global")
    check_few_moves(snapshot, network.name)
    return (Put(replace(network, is_global=request.is_global)),)


def set_dscp(snapshot: Snapshot, request: SetDscp) -> tuple[Event, ...]:
    """Let the packets of a network's pods carry a DSCP, or their own."""
    network = known_network(snapshot, request.name)
    check_provider(network, request.provider, "changes")
    _check_dscp(network.name, request.dscp)
    if network.dscp == request.dscp:
        return ()
    if network.name == DEFAULT_NETWORK:
        raise built_in(network.name, "given a DSCP")
    return (Put(replace(network, dscp=request.dscp)),)


def _check_dscp(name: str, dscp: int | None) -> None:
    if dscp is not None and not 0 <= dscp <= MOST_DSCP:
        remedy = f"give a number from 0 to {MOST_DSCP}, or none"
        raise Refused(Reason.INVALID, f'network "{name}"', f"a DSCP of {dscp} is out of range", remedy)


def join_networks(snapshot: Snapshot, request: JoinNetworks) -> tuple[Event, ...]:
    """Let two networks talk to each other, or change what each of them may begin."""
    key = _pair(snapshot, request.first, request.second, "joined with")
    if DEFAULT_NETWORK in key:
        return ()
    scopes = (request.forward, request.backward)
    for scope in scopes:
        check_scope(key, scope)
    if scopes == (None, None):
        cause, remedy = "neither of the two may begin anything", "isolate them instead"
        raise Refused(Reason.INVALID, f'connection of "{key.first}" and "{key.second}"', cause, remedy)
    translated, counted = translations(snapshot, key, wanted=request.translate)
    forward, backward = scopes if key.first == request.first else reversed(scopes)
    connection = Connection(key, forward, backward, translated)
    if snapshot.connections.get(key) == connection:
        return ()
    check_ranges(snapshot, connection)
    return (*counted, *allot_zones(snapshot, connection), Put(connection))


def track_connection(snapshot: Snapshot, request: TrackConnection) -> tuple[Event, ...]:
    """Let the tracker know what is under way on a connection that is narrowed next, if answers are left to it then."""
    narrowed, _ = apply_all(snapshot, join_networks(snapshot, request.join))
    key = ConnectionKey.between(request.join.first, request.join.second)
    present = snapshot.connections.get(key)
    if present is None or present.is_tracked:
        return ()
    pairs = (key, key[::-1])
    if not any(begins_tracked(*pair, narrowed) and not begins_tracked(*pair, snapshot) for pair in pairs):
        return ()
    tracked = replace(present, is_tracked=True)
    return (*allot_zones(snapshot, tracked), Put(tracked))


def isolate_networks(snapshot: Snapshot, request: IsolateNetworks) -> tuple[Event, ...]:
    """End one connection, or all connections of a network and its being global."""
    if request.second is None:
        network = known_network(snapshot, request.first)
        if network.name == DEFAULT_NETWORK:
            raise built_in(network.name, "isolated")
        cut = disconnected(snapshot, network.name)
        check_few_moves(snapshot, network.name)
        return (*cut, Put(replace(network, is_global=False))) if network.is_global else cut
    key = _pair(snapshot, request.first, request.second, "isolated from")
    for name in key:
        if name == DEFAULT_NETWORK:
            raise built_in(name, "isolated")
        if snapshot.networks[name].is_global:
            cause, remedy = "is global and talks with all networks", "isolate it alone, which ends its being global"
            raise Refused(Reason.IN_USE, f'network "{name}"', cause, remedy)
    connection = snapshot.connections.get(key)
    return () if connection is None else (Remove(connection),)


def _same_network(
    snapshot: Snapshot, old: Network, request: CreateNetwork, projects: tuple[str, ...]
) -> tuple[Event, ...]:
    known_network(snapshot, old.name)
    check_takes_in(old)
    check_provider(old, request.provider, "asks for")
    same = (request.vnid is None or request.vnid == old.vnid) and request.is_global == old.is_global
    asked, present = ((one.subnets, one.flat, one.mtu, one.dscp, one.multicast) for one in (request, old))
    same &= asked == present
    if same and all(project in snapshot.homes_of.get(old.name, {}) for project in projects):
        return ()
    cause = f"exists already, with VNID {old.vnid}{' and global' if old.is_global else ''}"
    raise Refused(Reason.TAKEN, f'network "{old.name}"', cause, "choose another name, or change the one that exists")


def _vnid(snapshot: Snapshot, request: CreateNetwork) -> int:
    if request.vnid is None:
        return free_vnid(snapshot)
    subject = f'network "{request.name}"'
    if not FIRST_VNID <= request.vnid <= LAST_VNID:
        cause = f"VNID {request.vnid} is out of range"
        raise Refused(Reason.INVALID, subject, cause, f"give a number from {FIRST_VNID} to {LAST_VNID}, or none")
    holder = snapshot.network_by_vnid.get(request.vnid)
    if holder is not None:
        cause = f'VNID {request.vnid} belongs to network "{holder}"'
        raise Refused(Reason.TAKEN, subject, cause, "give another number, or none to have one allotted")
    if 0 <= snapshot.watermarks.get(VNIDS, FIRST_VNID - 1) - request.vnid < SOON:
        cause = f"VNID {request.vnid} was given not long ago, and a switch that is away may know its last holder"
        raise Refused(Reason.TAKEN, subject, cause, "give another number, or none to have one allotted")
    return request.vnid


def _pair(snapshot: Snapshot, first: str, second: str, verb: str) -> ConnectionKey:
    for name in (first, second):
        known_network(snapshot, name)
    if first == second:
        cause = f"cannot be {verb} itself"
        raise Refused(Reason.INVALID, f'network "{first}"', cause, "name two different networks")
    return ConnectionKey.between(first, second)
