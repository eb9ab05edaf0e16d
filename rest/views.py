"""From what is published to the shapes of answers. Pure functions; nothing is looked up anywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_interface
from itertools import combinations
from typing import Literal

import msgspec

from rest.binding_views import other_interfaces
from rest.control import Published, SwitchPhase, SwitchStatus
from rest.owners import owner_text
from rest.phases import Condition, conditions, outdated, phase
from rest.reports import Report, usual_mtu, warnings
from rest.shapes import (
    AddressView,
    Assignment,
    BlockView,
    ConditionView,
    ConflictView,
    ConnectionView,
    NetworkDetail,
    NetworkView,
    NodeView,
    PortView,
    RouteView,
    SwitchView,
    Topology,
    TunnelView,
)
from store.connections import Scope, Translation
from store.objects import Subnet
from topology.allocation import free_addresses
from topology.compiler import FlowTable, SectionKey
from topology.model import (
    SHARED_SPACE,
    Address,
    Connection,
    Encapsulation,
    Network,
    Node,
    Port,
    PortKey,
    Prefix,
    format_mac,
)
from topology.pipeline import FeatureId
from topology.requests import Refused
from topology.snapshot import Snapshot


def node_views(published: Published, nodes: Iterable[Node], reports: Mapping[str, Report]) -> tuple[NodeView, ...]:
    """Return nodes as they are shown; `reports` are all nodes'."""
    usual = usual_mtu(reports)
    return tuple(_node_view(published, node, reports, usual) for node in nodes)


def node_view(published: Published, node: Node, reports: Mapping[str, Report]) -> NodeView:
    """Return a node as it is shown."""
    return _node_view(published, node, reports, usual_mtu(reports))


def _node_view(published: Published, node: Node, reports: Mapping[str, Report], usual: int | None) -> NodeView:
    status = switch_status(published, node)
    return NodeView(
        name=node.name,
        dpid=f"{node.dpid:016x}",
        underlay=str(node.underlay),
        subnets=tuple(map(str, node.subnets)),
        gateways=gateways(node),
        encapsulation=node.encapsulation or published.snapshot.cluster.encapsulation,
        connected=status.phase is not SwitchPhase.AWAY,
        phase=status.phase.value,
        ports=len(published.snapshot.ports_on.get(node.name, ())),
        free_addresses=free_addresses(published.snapshot, node.name),
        mtu=reports[node.name].mtu if node.name in reports else None,
        warnings=warnings(node.name, reports, usual),
    )


def gateways(node: Node) -> tuple[str, ...]:
    """Return the addresses of a node's tun0 with their prefix lengths."""
    return tuple(f"{node.gateway(subnet)}/{subnet.prefixlen}" for subnet in node.subnets)


def switch_status(published: Published, node: Node) -> SwitchStatus:
    """Return the status of a node's switch; one that was never seen is away."""
    status = published.switches.get(node.name)
    return status or SwitchStatus(node.name, node.dpid, SwitchPhase.AWAY, 0, published.revision)


def network_view(published: Published, network: Network) -> NetworkView:
    """Return a network as it is shown."""
    return _network_view(published, network, conditions(published, network))


def _network_view(published: Published, network: Network, found: tuple[Condition, ...]) -> NetworkView:
    snapshot = published.snapshot
    nodes = sorted(snapshot.hosts.get(network.name, ()))
    return NetworkView(
        name=network.name,
        vnid=network.vnid,
        is_global=network.is_global,
        space=network.space,
        subnets=tuple(map(Subnet.of, network.subnets)),
        flat=network.flat,
        mtu=network.mtu,
        dscp=network.dscp,
        multicast=network.multicast,
        provider=network.provider,
        phase=phase(found).value,
        projects=tuple(sorted(snapshot.projects_of.get(network.name, ()))),
        nodes=tuple(nodes),
        ports=sum(snapshot.hosted[node, network.name] for node in nodes),
        outdated=outdated(snapshot, network),
    )


def network_detail(published: Published, network: Network) -> NetworkDetail:
    """Return a network as it is shown alone: with its conditions, and the blocks of its addresses, in order."""
    snapshot = published.snapshot
    prefixes = sorted(snapshot.blocks_of.get(network.name, ()), key=lambda prefix: (prefix.version, prefix))
    blocks = tuple(
        BlockView(prefix=str(prefix), node=snapshot.blocks[network.name, prefix].node) for prefix in prefixes
    )
    found = conditions(published, network)
    shown = tuple(
        ConditionView(kind=one.kind, status=one.status, reason=one.reason, message=one.message)  # type: ignore[arg-type]
        for one in found  # `phases` has the kinds of its own
    )
    view = _network_view(published, network, found)
    return NetworkDetail(**msgspec.structs.asdict(view), conditions=shown, blocks=blocks)


def connection_view(connection: Connection) -> ConnectionView:
    """Return a connection as it is shown."""
    forward, backward = (
        None if scope is None else Scope.of(scope) for scope in (connection.forward, connection.backward)
    )
    translations = tuple(map(Translation.of, connection.translations))
    return ConnectionView(
        networks=(connection.key.first, connection.key.second),
        forward=forward,
        backward=backward,
        translations=translations,
    )


def assignment(published: Published, port: Port, others: tuple[str, ...]) -> Assignment:
    """Return what was decided for a port; `others` are the interfaces that its pod has to get besides."""
    phase, _ = published.port_phase(port.key)
    network = published.snapshot.networks[port.network]
    places = tuple(_places(published, port))
    return Assignment(
        network=network.name,
        vnid=network.vnid,
        mac=format_mac(port.mac),
        addresses=places,
        cluster_addresses=tuple(map(str, port.cluster_addresses)),
        routes=tuple(_routes(published, port, places)),
        mtu=network.mtu,
        others=others,
        phase=phase,  # type: ignore[arg-type]  # Published.port_phase names its three values in its docstring
    )


def port_view(published: Published, port: Port) -> PortView:
    """Return a port as it is shown. If its pod could not come now, nothing more is to be attached."""
    try:
        others = other_interfaces(published.snapshot, port)
    except Refused:
        others = ()
    return PortView(
        **msgspec.structs.asdict(assignment(published, port, others)),
        reason=published.port_phase(port.key)[1],
        node=port.node,
        container=port.key.container,
        interface=port.key.interface,
        project=port.project,
        pod=port.pod,
        pod_uid=port.pod_uid,
        host_interface=port.host_interface,
        space=port.space,
        is_secondary=port.is_secondary,
        ofport=port.ofport,
    )


def switch_view(published: Published, node: Node) -> SwitchView:
    """Return a node's switch as it is shown."""
    status = switch_status(published, node)
    table = published.tables.get(node.name, FlowTable())
    return SwitchView(
        node=node.name,
        dpid=f"{node.dpid:016x}",
        connected=status.phase is not SwitchPhase.AWAY,
        phase=status.phase.value,
        committed_revision=status.committed_revision,
        desired_revision=status.desired_revision,
        last_error=status.last_error,
        conflicts=tuple(
            ConflictView(
                left_out=owner_text(conflict.left_out, published.snapshot),
                owner=owner_text(conflict.owner, published.snapshot),
                table=conflict.key[0],
                priority=conflict.key[1],
            )
            for conflict in table.conflicts
        ),
        faults=tuple(fault.said for fault in table.faults),
    )


def is_programmed(published: Published, node: str) -> bool:
    """Tell whether a node's bridge is connected and has had its flows: pods can be attached.

    What is still on its way for single pods or peers does not count; `port_phase` is asked about those.
    """
    status = published.switches.get(node)
    if status is None or status.phase is SwitchPhase.AWAY or not status.synchronised:
        return False
    return SectionKey(int(FeatureId.BASE), ()) in published.committed.get(node, FlowTable()).sections


def topology(published: Published, reports: Mapping[str, Report], *, with_tunnels: bool = True) -> Topology:
    """Return the whole network as a graph."""
    snapshot = published.snapshot
    names = sorted(snapshot.nodes)
    pairs = combinations(names, 2) if with_tunnels else ()
    return Topology(
        revision=published.revision,
        nodes=node_views(published, (snapshot.nodes[name] for name in names), reports),
        tunnels=tuple(_tunnel(published, first, second) for first, second in pairs),
        networks=tuple(network_view(published, network) for network in networks(snapshot)),
        connections=tuple(connection_view(connection) for connection in connections(snapshot)),
    )


def networks(snapshot: Snapshot, *, transit: bool = False) -> list[Network]:
    """Return the networks by name; those that exist only for the length of a move with `transit`."""
    return [network for _, network in sorted(snapshot.networks.items()) if transit or not network.is_transit]


def connections(snapshot: Snapshot, *, transit: bool = False) -> list[Connection]:
    """Return the connections by the names of their networks; those of transit networks with `transit`."""
    return [
        connection
        for key, connection in sorted(snapshot.connections.items())
        if transit or not any(snapshot.networks[name].is_transit for name in key)
    ]


def _tunnel(published: Published, first: str, second: str) -> TunnelView:
    up = _knows(published, first, second) and _knows(published, second, first)
    nodes, cluster = published.snapshot.nodes, published.snapshot.cluster
    first_by, second_by = (nodes[name].encapsulation or cluster.encapsulation for name in (first, second))
    kind: Encapsulation | Literal["mixed"] = first_by if first_by == second_by else "mixed"
    return TunnelView(source=first, destination=second, kind=kind, up=up)


def _knows(published: Published, node: str, peer: str) -> bool:
    """Whether a node is connected and has acknowledged the flows for the tunnel to a peer."""
    status = published.switches.get(node)
    if status is None or status.phase is SwitchPhase.AWAY:
        return False
    return SectionKey(int(FeatureId.TUNNELS), (peer,)) in published.committed.get(node, FlowTable()).sections


def _places(published: Published, port: Port) -> Iterator[AddressView]:
    """Yield each address that the pod itself has, in the subnet that it is of: its network's own, or its node's."""
    node, network = published.snapshot.nodes[port.node], published.snapshot.networks[port.network]
    ranges: list[tuple[Prefix, Address]] = [(subnet.cidr, subnet.gateway) for subnet in network.subnets]
    if port.space == SHARED_SPACE:
        ranges = [(subnet, node.gateway(subnet)) for subnet in node.subnets]
    for address in port.addresses:
        cidr, gateway = next((cidr, gateway) for cidr, gateway in ranges if address in cidr)
        yield AddressView(address=f"{address}/{cidr.prefixlen}", gateway=str(gateway))


def _routes(published: Published, port: Port, places: tuple[AddressView, ...]) -> Iterator[RouteView]:
    """Yield where a pod sends what by a port: everything by its primary one, by another only what is of its network.

    The shared space belongs to one interface, or half of either network would be out of reach: to the primary one, if
    that is in it.
    """
    if not port.is_secondary:
        yield from map(_default_route, places)
        return
    network, cluster = published.snapshot.networks[port.network], published.snapshot.cluster
    ranges: tuple[Prefix, ...] = tuple(subnet.cidr for subnet in network.subnets)
    if not network.subnets and not _has_primary_in_shared_space(published.snapshot, port):
        ranges = cluster.cluster_cidrs
    for place in places:
        near = ip_interface(place.address).network  # to this one, the address itself makes a route
        for cidr in ranges:
            if cidr.version == near.version and cidr != near:
                yield RouteView(dst=str(cidr), gw=place.gateway)


def _has_primary_in_shared_space(snapshot: Snapshot, port: Port) -> bool:
    keys: Iterable[PortKey] = snapshot.port_by_pod.get((port.project, port.pod), {})
    others = (snapshot.ports[key] for key in keys if (key.node, key.container) == (port.node, port.key.container))
    return any(other.space == SHARED_SPACE and not other.is_secondary for other in others)


def _default_route(place: AddressView) -> RouteView:
    return RouteView(dst="::/0" if ":" in place.address else "0.0.0.0/0", gw=place.gateway)
