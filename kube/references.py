"""What objects of the network need of each other: what one names, what names it, and what only one can have. Pure.

`topology.snapshot.apply` relies on all of this and checks none of it; admission sees to it for what is decided here.
Objects that others have written come one by one, in any order, and may have been edited by hand: `mirror` asks here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

from store.objects import KINDS
from topology.endpoints import of_services
from topology.model import (
    AddressBlock,
    Binding,
    Connection,
    Egress,
    EndpointSlice,
    ExternalVtep,
    Mirror,
    Move,
    Network,
    Node,
    Outage,
    Pod,
    Port,
    Prefix,
    Project,
    Service,
    Severed,
    Subject,
)
from topology.snapshot import Snapshot, places


class Reference(NamedTuple):
    """One object of the network: the name of its kind, and its key as text (see `store.objects.KINDS`)."""

    kind: str
    key: str


_KIND_OF: Final = {kind.value: kind for kind in KINDS}
_Finder: TypeAlias = Callable[[Any, Snapshot], Iterator[str]]


def reference(value: Subject) -> Reference:
    """Return what identifies an object."""
    kind = _KIND_OF[type(value)]
    return Reference(kind.name, kind.key(value))


def present(snapshot: Snapshot, value: Subject) -> Subject | None:
    """Return the object of a snapshot that has the key of a value, if there is one."""
    match value:
        case Node(name=name):
            return snapshot.nodes.get(name)
        case Network(name=name):
            return snapshot.networks.get(name)
        case Project(name=name):
            return snapshot.projects.get(name)
        case Move(project=project):
            return snapshot.moves.get(project)
        case Binding(name=name):
            return snapshot.bindings.get(name)
        case Pod(key=key):
            return snapshot.pods.get(key)
        case Connection(key=pair):
            return snapshot.connections.get(pair)
        case AddressBlock(network=network, prefix=prefix):
            return snapshot.blocks.get((network, prefix))
        case Service(key=service):
            return snapshot.services.get(service)
        case EndpointSlice(key=slice_key):
            return snapshot.slices.get(slice_key)
        case Port(key=port):
            return snapshot.ports.get(port)
    return _present_rest(snapshot, value)


def _present_rest(snapshot: Snapshot, value: Any) -> Subject | None:
    """Of what nothing refers to: lost nodes, egresses, mirrors, external VTEPs, addresses and numbers once given."""
    if isinstance(value, Outage):
        return snapshot.outages.get(value.node)
    if isinstance(value, Severed):
        return snapshot.severed.get(value.tunnel)
    if isinstance(value, Egress):
        return snapshot.egresses.get(value.name)
    if isinstance(value, Mirror):
        return snapshot.mirrors.get(value.name)
    if isinstance(value, ExternalVtep):
        return snapshot.externals.get(value.name)
    if hasattr(value, "pool"):
        last = snapshot.watermarks.get(value.pool)
        return None if last is None else type(value)(value.pool, last)
    return snapshot.quarantined.get((value.space, value.address))


def missing(snapshot: Snapshot, value: Subject) -> Reference | None:
    """Return an object that a value names and that a snapshot does not have, if there is one."""
    for network in _networks_named(value):
        if network not in snapshot.networks:
            return Reference("network", network)
    for project in _projects_named(value):
        if project not in snapshot.projects:
            return Reference("project", project)
    if isinstance(value, Port) and value.node not in snapshot.nodes:
        return Reference("node", value.node)
    return None


def _networks_named(value: Subject) -> tuple[str, ...]:
    match value:
        case Project(network=network, home=home):
            return (network, home)
        case Move(source=source, target=target, transit=transit):
            return (source, target, transit)
        case Binding():
            return value.networks
        case Connection(key=key):
            return tuple(key)
        case (
            AddressBlock(network=network)
            | Port(network=network)
            | Egress(network=network)
            | ExternalVtep(network=network)
        ):
            return (network,)
    return ()


def _projects_named(value: Subject) -> tuple[str, ...]:
    match value:
        case Pod(key=pod):
            return (pod.project,)
        case Service(key=service):
            return (service.project,)
        case EndpointSlice(key=slice_key):  # its service may come later
            return (slice_key.project,)
        case Move(project=project) | Port(project=project):
            return (project,)
    return ()


def still_named(snapshot: Snapshot, value: Subject) -> bool:
    """Whether other objects of a snapshot name an object, which therefore cannot go yet."""
    match value:
        case Network(name=name):
            indexes = (
                snapshot.homes_of,
                snapshot.projects_of,
                snapshot.moves_of,
                snapshot.bindings_to,
                snapshot.egresses_of,
                snapshot.externals_of,
                snapshot.peers,
                snapshot.blocks_of,
                snapshot.hosts,
            )
            return any(name in index for index in indexes) or _is_transit_in_use(snapshot, value)
        case Project(name=name):
            named = (snapshot.ports_in, snapshot.services_of, snapshot.slices_in, snapshot.pods_of, snapshot.moves)
            return any(name in index for index in named)
        case Node(name=name):
            return name in snapshot.ports_on
    return False


def _is_transit_in_use(snapshot: Snapshot, network: Network) -> bool:
    move = snapshot.moves.get(network.transit_for or "")
    return move is not None and move.transit == network.name


def possible(snapshot: Snapshot, value: Subject) -> tuple[Subject, str | None]:
    """Return what of a value can be, and what is left out, in words: of a slice, endpoints with services' addresses."""
    wrong = of_services(value, snapshot.cluster.service_cidrs) if isinstance(value, EndpointSlice) else {}
    if not wrong:
        return value, None
    assert isinstance(value, EndpointSlice)
    kept = tuple(endpoint for endpoint in value.endpoints if endpoint.address not in wrong)
    first, *others = wrong.values()
    more = f", and {len(others)} more" if others else ""
    return replace(value, endpoints=kept), f"left out: {first.cause}{more}; {first.remedy}"


def conflict(snapshot: Snapshot, value: Subject) -> str | None:
    """Return which other object has what a value says is its own, as a sentence's end, if one has."""
    return next(_conflicts(snapshot, value), None)


def _conflicts(snapshot: Snapshot, value: Subject) -> Iterator[str]:
    match value:
        case Network():
            yield from _of_network(snapshot, value)
        case Node():
            yield from _of_node(snapshot, value)
        case Port():
            yield from _of_port(snapshot, value)
        case Service():
            yield from _of_service(snapshot, value)
        case Egress():
            yield from _of_egress(snapshot, value)
        case ExternalVtep():
            yield from _of_external(snapshot, value)
        case Mirror():
            for other in snapshot.mirrors.values():
                if other.number == value.number and other.name != value.name:
                    yield f'number {value.number} belongs to mirror "{other.name}"'


def _of_network(snapshot: Snapshot, network: Network) -> Iterator[str]:
    holder = snapshot.network_by_vnid.get(network.vnid)
    if holder not in (None, network.name):
        yield f'VNID {network.vnid} belongs to network "{holder}"'
    if network.zone is not None and not network.is_transit:
        holder = snapshot.network_by_zone.get(network.zone)
        if holder not in (None, network.name):
            yield f'conntrack zone {network.zone} belongs to network "{holder}"'


def _of_node(snapshot: Snapshot, node: Node) -> Iterator[str]:
    for what, holder in (
        (f"datapath id {node.dpid:016x}", snapshot.node_by_dpid.get(node.dpid)),
        (f"underlay address {node.underlay}", snapshot.node_by_underlay.get(node.underlay)),
    ):
        if holder not in (None, node.name):
            yield f'{what} belongs to node "{holder}"'
    if snapshot.nodes.get(node.name) is None:
        for other in snapshot.nodes.values():
            if any(_overlap(one, two) for one in node.subnets for two in other.subnets):
                yield f'its subnets overlap those of node "{other.name}"'


def _of_service(snapshot: Snapshot, service: Service) -> Iterator[str]:
    held = [(f"address {service.address}", snapshot.service_by_address.get(service.address))]
    for protocol, number in service.held_ports:
        held.append((f"node port {number}/{protocol}", snapshot.service_by_node_port.get((protocol, number))))
    for what, holder in held:
        if holder is not None and holder != service.key:
            yield f"{what} belongs to service {'/'.join(holder)}"


def _of_egress(snapshot: Snapshot, egress: Egress) -> Iterator[str]:
    for address in egress.addresses:
        claim = snapshot.claims.get(address)
        if claim is not None and claim.whose != f'egress "{egress.name}"':
            yield f"address {address} belongs to {claim.whose}"
    others = (snapshot.egresses[name] for name in snapshot.egresses_of.get(egress.network, ()))
    for other in others if egress.pods is None else ():
        if other.name != egress.name and other.pods is None:
            yield f'network "{egress.network}" leaves by egress "{other.name}" already'


def _of_external(snapshot: Snapshot, external: ExternalVtep) -> Iterator[str]:
    node = snapshot.node_by_underlay.get(external.address)
    if node is not None:
        yield f'address {external.address} belongs to node "{node}"'
    for other in snapshot.externals.values():
        if other.name == external.name:
            continue
        if other.address == external.address:
            yield f'address {external.address} belongs to external VTEP "{other.name}"'
        if any(_overlap(one, two) for one in external.subnets for two in other.subnets):
            yield f'its subnets overlap those of external VTEP "{other.name}"'


def _overlap(one: Prefix, two: Prefix) -> bool:
    return one.version == two.version and one.overlaps(two)


def _of_port(snapshot: Snapshot, port: Port) -> Iterator[str]:
    for space, address in places(port):
        holder = snapshot.holder.get((space, address))
        if holder is not None and holder != port.key:
            yield f"address {address} belongs to port {'/'.join(holder)}"
    for holder in (
        snapshot.port_by_interface.get((port.node, port.host_interface)),
        snapshot.port_by_mac.get((port.space, port.mac)),
    ):
        if holder is not None and holder != port.key:
            yield f"its interface or MAC belongs to port {'/'.join(holder)}"
