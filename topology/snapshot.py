"""The whole network at one moment: an immutable value with the indexes that make a change cost what it changes.

`apply` is the only way from one snapshot to the next. It checks nothing (see `admission`) and decides nothing
(see `features`); it keeps the indexes, and tells what changed, derived facts (`Hosting`) included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias

from immutables import Map

from topology.model import (
    DEFAULT_NETWORK,
    GLOBAL_VNID,
    SHARED_SPACE,
    Address,
    AddressBlock,
    Cluster,
    Connection,
    ConnectionKey,
    Hosting,
    Network,
    Node,
    Port,
    PortKey,
    Prefix,
    Project,
    Quarantine,
    Service,
    ServiceKey,
    Subject,
    Watermark,
)


class Put(NamedTuple):
    """The event that an object exists now, as given; it replaces the one with its key."""

    value: Subject


class Remove(NamedTuple):
    """The event that an object, given as it was last known, exists no more."""

    value: Subject


Event: TypeAlias = Put | Remove


class Block(NamedTuple):
    """BLOCK_SIZE addresses in a row, in one address space."""

    space: int
    version: int  # of IP
    number: int  # what the addresses have in common above their last BLOCK_BITS bits


BLOCK_BITS: Final = 9
BLOCK_SIZE: Final = 1 << BLOCK_BITS


class Change(NamedTuple):
    """What an event altered: the object before and after; None where it did not or does not exist."""

    before: Subject | None
    after: Subject | None

    @property
    def subject(self) -> Subject:
        """The object, as it is now or else as it was."""
        subject = self.after if self.after is not None else self.before
        assert subject is not None
        return subject


_USUAL: Final = Cluster()
BUILT_IN: Map[str, Network] = Map({DEFAULT_NETWORK: Network(DEFAULT_NETWORK, GLOBAL_VNID, is_global=True)})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Objects by key, and indexes by what flows and checks look them up by. Empty entries are left out of indexes."""

    cluster: Cluster = _USUAL
    nodes: Map[str, Node] = Map()
    networks: Map[str, Network] = BUILT_IN
    projects: Map[str, Project] = Map({DEFAULT_NETWORK: Project(DEFAULT_NETWORK, DEFAULT_NETWORK)})
    connections: Map[ConnectionKey, Connection] = Map()
    blocks: Map[tuple[str, Prefix], AddressBlock] = Map()  # by network and prefix
    ports: Map[PortKey, Port] = Map()
    services: Map[ServiceKey, Service] = Map()
    quarantined: Map[tuple[int, Address], Quarantine] = Map()
    watermarks: Map[str, int] = Map()  # by pool: the number last given

    node_by_dpid: Map[int, str] = Map()
    node_by_underlay: Map[Address, str] = Map()
    network_by_vnid: Map[int, str] = Map({GLOBAL_VNID: DEFAULT_NETWORK})
    global_networks: Map[str, None] = Map({DEFAULT_NETWORK: None})
    peers: Map[str, Map[str, None]] = Map()  # network -> networks it is connected to
    blocks_of: Map[str, Map[Prefix, None]] = Map()  # by network
    blocks_on: Map[tuple[str, str], Map[Prefix, None]] = Map()  # by network and node
    projects_of: Map[str, Map[str, None]] = Map({DEFAULT_NETWORK: Map({DEFAULT_NETWORK: None})})  # by network
    services_of: Map[str, Map[ServiceKey, None]] = Map()  # by project
    service_by_address: Map[Address, ServiceKey] = Map()
    ports_on: Map[str, Map[PortKey, None]] = Map()  # by node
    port_by_interface: Map[tuple[str, str], PortKey] = Map()  # by node and name of the host's interface
    port_by_ofport: Map[tuple[str, int], PortKey] = Map()  # by node and ofport
    port_by_pod: Map[tuple[str, str], Map[PortKey, None]] = Map()  # by project and pod
    ports_in: Map[str, int] = Map()  # number of ports by project
    holder: Map[tuple[int, Address], PortKey] = Map()  # by address space and address
    taken: Map[Block, int] = Map()  # bit map of the addresses that are held or quarantined, by block
    hosted: Map[tuple[str, str], int] = Map()  # number of ports by node and network
    hosts: Map[str, Map[str, None]] = Map()  # network -> nodes that have ports of it
    hosting: Map[str, Map[str, None]] = Map()  # node -> networks that have ports on it

    # Not an index but a memory, and only a hint: the address last given, by node and IP version.
    latest: Map[tuple[str, int], Address] = Map()

    def __repr__(self) -> str:
        objects = (self.cluster, *self.nodes.values(), *self.networks.values(), *self.projects.values())
        more = (
            *self.connections.values(),
            *self.blocks.values(),
            *self.ports.values(),
            *self.services.values(),
            *self.quarantined.values(),
        )
        return f"Snapshot{(*objects, *more)}"


def apply(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    """Return the snapshot after `event` and what changed; no change at all when the event says what is so already."""
    keep = _KEEPERS[type(event.value)]
    return keep(snapshot, event)


def apply_all(snapshot: Snapshot, events: tuple[Event, ...]) -> tuple[Snapshot, tuple[Change, ...]]:
    """Apply events in order."""
    changes: list[Change] = []
    for event in events:
        snapshot, more = apply(snapshot, event)
        changes.extend(more)
    return snapshot, tuple(changes)


def empty() -> Snapshot:
    """Return the snapshot of a cluster in which nothing was made yet: the built-in network and its project."""
    return Snapshot()


def places(port: Port) -> tuple[tuple[int, Address], ...]:
    """Return every address of a port with its address space: those of its network, and its cluster addresses."""
    own = tuple((port.space, address) for address in port.addresses)
    return own + tuple((SHARED_SPACE, address) for address in port.cluster_addresses)


# --- index keeping -------------------------------------------------------------------------------


def _include(index: Map[Any, Map[Any, None]], key: Any, member: Any) -> Map[Any, Map[Any, None]]:
    return index.set(key, index.get(key, Map()).set(member, None))


def _exclude(index: Map[Any, Map[Any, None]], key: Any, member: Any) -> Map[Any, Map[Any, None]]:
    members = index.get(key, Map())
    if member not in members:
        return index
    rest = members.delete(member)
    return index.set(key, rest) if rest else index.delete(key)


def _swap(index: Map[Any, Any], old: Any, new: Any, value: Any) -> Map[Any, Any]:
    """Move one entry: drop key `old` (None: there was none), set key `new` (None: there is none) to `value`."""
    if old is not None and old != new:
        index = _release(index, old, value)
    return index if new is None else index.set(new, value)


def _release(index: Map[Any, Any], key: Any, member: Any) -> Map[Any, Any]:
    """Drop an entry that still points to `member`; somebody else's entry stays."""
    return index.delete(key) if key in index and index[key] == member else index


def _count(index: Map[Any, int], key: Any, step: int) -> Map[Any, int]:
    return _table(index, key, index.get(key, 0) + step or None)


def _table(objects: Map[Any, Any], key: Any, after: Any) -> Map[Any, Any]:
    return objects.set(key, after) if after is not None else objects.delete(key)


def _before_after(objects: Map[Any, Any], key: Any, event: Event) -> tuple[Any, Any]:
    return objects.get(key), event.value if isinstance(event, Put) else None


def _keep_cluster(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Cluster)
    if not isinstance(event, Put) or event.value == snapshot.cluster:
        return snapshot, ()
    return replace(snapshot, cluster=event.value), (Change(snapshot.cluster, event.value),)


def _keep_node(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Node)
    name = event.value.name
    before, after = _before_after(snapshot.nodes, name, event)
    if before == after:
        return snapshot, ()
    state = replace(
        snapshot,
        nodes=_table(snapshot.nodes, name, after),
        node_by_dpid=_swap(snapshot.node_by_dpid, before and before.dpid, after and after.dpid, name),
        node_by_underlay=_swap(snapshot.node_by_underlay, before and before.underlay, after and after.underlay, name),
    )
    if after is None:
        latest = {place: address for place, address in state.latest.items() if place[0] != name}
        state = replace(state, latest=Map(latest))
    return state, (Change(before, after),)


def _keep_network(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Network)
    name = event.value.name
    before, after = _before_after(snapshot.networks, name, event)
    if before == after:
        return snapshot, ()
    was_global = name if before is not None and before.is_global else None
    is_global = name if after is not None and after.is_global else None
    state = replace(
        snapshot,
        networks=_table(snapshot.networks, name, after),
        network_by_vnid=_swap(
            snapshot.network_by_vnid,
            None if before is None else before.vnid,
            None if after is None else after.vnid,
            name,
        ),
        global_networks=_swap(snapshot.global_networks, was_global, is_global, None),
    )
    return state, (Change(before, after),)


def _keep_project(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Project)
    name = event.value.name
    before, after = _before_after(snapshot.projects, name, event)
    if before == after:
        return snapshot, ()
    projects_of = snapshot.projects_of
    if before is not None:
        projects_of = _exclude(projects_of, before.network, name)
    if after is not None:
        projects_of = _include(projects_of, after.network, name)
    state = replace(snapshot, projects=_table(snapshot.projects, name, after), projects_of=projects_of)
    return state, (Change(before, after),)


def _keep_connection(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Connection)
    first, second = key = event.value.key
    before, after = _before_after(snapshot.connections, key, event)
    if before == after:
        return snapshot, ()
    keep = _include if after is not None else _exclude
    state = replace(
        snapshot,
        connections=_table(snapshot.connections, key, after),
        peers=keep(keep(snapshot.peers, first, second), second, first),
    )
    return state, (Change(before, after),)


def _keep_block(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, AddressBlock)
    network, prefix, _ = event.value
    before, after = _before_after(snapshot.blocks, (network, prefix), event)
    if before == after:
        return snapshot, ()
    blocks_on = snapshot.blocks_on
    if before is not None:
        blocks_on = _exclude(blocks_on, (network, before.node), prefix)
    if after is not None:
        blocks_on = _include(blocks_on, (network, after.node), prefix)
    keep = _include if after is not None else _exclude
    state = replace(
        snapshot,
        blocks=_table(snapshot.blocks, (network, prefix), after),
        blocks_of=keep(snapshot.blocks_of, network, prefix),
        blocks_on=blocks_on,
    )
    return state, (Change(before, after),)


def _keep_service(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Service)
    key = event.value.key
    before, after = _before_after(snapshot.services, key, event)
    if before == after:
        return snapshot, ()
    keep = _include if after is not None else _exclude
    state = replace(
        snapshot,
        services=_table(snapshot.services, key, after),
        services_of=keep(snapshot.services_of, key.project, key),
        service_by_address=_swap(snapshot.service_by_address, before and before.address, after and after.address, key),
    )
    return state, (Change(before, after),)


def _keep_quarantine(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Quarantine)
    key = (event.value.space, event.value.address)
    before, after = _before_after(snapshot.quarantined, key, event)
    if before == after:
        return snapshot, ()
    quarantined = _table(snapshot.quarantined, key, after)
    taken = _mark(snapshot.taken, key, after is not None or key in snapshot.holder)
    return replace(snapshot, quarantined=quarantined, taken=taken), (Change(before, after),)


def _mark(taken: Map[Block, int], place: tuple[int, Address], is_taken: bool) -> Map[Block, int]:
    space, address = place
    block = Block(space, address.version, int(address) >> BLOCK_BITS)
    bit = 1 << (int(address) & (BLOCK_SIZE - 1))
    before = taken.get(block, 0)
    after = before | bit if is_taken else before & ~bit
    return _table(taken, block, after or None) if after != before else taken


def _keep_watermark(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Watermark)
    pool = event.value.pool
    last = snapshot.watermarks.get(pool)
    before = None if last is None else Watermark(pool, last)
    after = event.value if isinstance(event, Put) else None
    if before == after:
        return snapshot, ()
    marks = _table(snapshot.watermarks, pool, None if after is None else after.last)
    return replace(snapshot, watermarks=marks), (Change(before, after),)


def _keep_port(snapshot: Snapshot, event: Event) -> tuple[Snapshot, tuple[Change, ...]]:
    assert isinstance(event.value, Port)
    key = event.value.key
    before, after = _before_after(snapshot.ports, key, event)
    if before == after:
        return snapshot, ()
    changes = [Change(before, after)]
    state = snapshot
    if before is not None:
        state = _forget_port(state, before)
    if after is not None:
        state = _remember_port(state, after)
        if before is None or before.addresses != after.addresses:
            given = after.cluster_addresses or after.addresses
            latest = {(after.node, address.version): address for address in given}
            state = replace(state, latest=state.latest.update(latest))
    changes.extend(_hosting_changes(snapshot, state, before, after))
    return state, tuple(changes)


def _forget_port(snapshot: Snapshot, port: Port) -> Snapshot:
    key, place = port.key, (port.node, port.network)
    interface, pod = (port.node, port.host_interface), (port.project, port.pod)
    holder, taken = snapshot.holder, snapshot.taken
    for held in places(port):
        holder = _release(holder, held, key)
        taken = _mark(taken, held, held in holder or held in snapshot.quarantined)
    hosted = _count(snapshot.hosted, place, -1)
    last = place not in hosted
    return replace(
        snapshot,
        ports=snapshot.ports.delete(key),
        ports_on=_exclude(snapshot.ports_on, port.node, key),
        port_by_interface=_release(snapshot.port_by_interface, interface, key),
        port_by_ofport=_release(snapshot.port_by_ofport, (port.node, port.ofport), key),
        port_by_pod=_exclude(snapshot.port_by_pod, pod, key),
        ports_in=_count(snapshot.ports_in, port.project, -1),
        holder=holder,
        taken=taken,
        hosted=hosted,
        hosts=_exclude(snapshot.hosts, port.network, port.node) if last else snapshot.hosts,
        hosting=_exclude(snapshot.hosting, port.node, port.network) if last else snapshot.hosting,
    )


def _remember_port(snapshot: Snapshot, port: Port) -> Snapshot:
    key, place = port.key, (port.node, port.network)
    interface, pod = (port.node, port.host_interface), (port.project, port.pod)
    holder, taken, by_ofport = snapshot.holder, snapshot.taken, snapshot.port_by_ofport
    for held in places(port):
        holder = holder.set(held, key)
        taken = _mark(taken, held, True)
    first = place not in snapshot.hosted
    return replace(
        snapshot,
        ports=snapshot.ports.set(key, port),
        ports_on=_include(snapshot.ports_on, port.node, key),
        port_by_interface=snapshot.port_by_interface.set(interface, key),
        port_by_ofport=by_ofport if port.ofport is None else by_ofport.set((port.node, port.ofport), key),
        port_by_pod=_include(snapshot.port_by_pod, pod, key),
        ports_in=_count(snapshot.ports_in, port.project, 1),
        holder=holder,
        taken=taken,
        hosted=_count(snapshot.hosted, place, 1),
        hosts=_include(snapshot.hosts, port.network, port.node) if first else snapshot.hosts,
        hosting=_include(snapshot.hosting, port.node, port.network) if first else snapshot.hosting,
    )


def _hosting_changes(old: Snapshot, new: Snapshot, before: Port | None, after: Port | None) -> Iterator[Change]:
    concerned = {(port.node, port.network) for port in (before, after) if port is not None}
    for place in sorted(concerned):
        was, now = place in old.hosted, place in new.hosted
        if was != now:
            fact = Hosting(*place)
            yield Change(fact if was else None, fact if now else None)


_KEEPERS: dict[type, Callable[[Snapshot, Event], tuple[Snapshot, tuple[Change, ...]]]] = {
    Cluster: _keep_cluster,
    Node: _keep_node,
    Network: _keep_network,
    Project: _keep_project,
    Connection: _keep_connection,
    AddressBlock: _keep_block,
    Service: _keep_service,
    Port: _keep_port,
    Quarantine: _keep_quarantine,
    Watermark: _keep_watermark,
}
