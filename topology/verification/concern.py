"""What a change concerns: on which nodes, and which objects there. Said of the model alone, and not by features.

A feature that forgets a section makes the compiler leave it as it was. Here the same question is answered anew, so
that such a section is noticed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from topology.model import (
    AddressBlock,
    Cluster,
    Connection,
    ConnectionKey,
    EndpointSlice,
    Hosting,
    Move,
    Network,
    Node,
    Port,
    Project,
    Service,
    ServiceKey,
)
from topology.snapshot import Change, Snapshot
from topology.verification.world import Focus

Concern = dict[str, Focus]


def concerned(changes: Collection[Change], before: Snapshot, after: Snapshot) -> Concern:
    """Return for each node what it may owe flows for otherwise than before, of the nodes of the later snapshot."""
    concern: Concern = {}
    for change in changes:
        for snapshot in (before, after):
            _mark(change, snapshot, concern)
    return {node: focus for node, focus in concern.items() if node in after.nodes}


def _on(node: str, concern: Concern) -> Focus:
    focus = concern.get(node)
    if focus is None:
        focus = concern[node] = Focus()
    return focus


def _mark(change: Change, snapshot: Snapshot, concern: Concern) -> None:
    match change.subject:
        case Port(key=key):
            _on(key.node, concern).ports.add(key)
        case Hosting(node=node, network=network):
            _network(network, snapshot, _on(node, concern))
        case Network(name=name):
            _changed_network(change, name, snapshot, concern)
        case Connection(key=key):
            _connection(key, snapshot, concern)
        case AddressBlock(network=network, prefix=prefix):
            for node in _hosts((network, *snapshot.peers.get(network, {})), snapshot):
                _on(node, concern).blocks.add((network, prefix))
        case _:
            _mark_rest(change, snapshot, concern)


def _mark_rest(change: Change, snapshot: Snapshot, concern: Concern) -> None:
    match change.subject:
        case Service(key=service):
            _everywhere((service,), snapshot, concern)
        case EndpointSlice():
            sides = [side for side in (change.before, change.after) if isinstance(side, EndpointSlice)]
            _everywhere({side.service_key for side in sides}, snapshot, concern)
        case Project(name=name):
            _everywhere(snapshot.services_of.get(name, {}), snapshot, concern)
        case Move(transit=transit):
            _commits((transit,), snapshot, concern)
        case Node(name=name):
            _node(name, snapshot, concern)
        case Cluster():
            for node in snapshot.nodes:
                _on(node, concern).whole = True


def _commits(transits: Iterable[str], snapshot: Snapshot, concern: Concern) -> None:
    """What pods on transit networks begin, where these are."""
    for transit in transits:
        for node in _hosts((transit,), snapshot):
            _on(node, concern).reached.add(transit)


def _on_the_way(names: Iterable[str], snapshot: Snapshot) -> set[str]:
    """The transit networks of moves from or to networks: in the zones of these, too, is committed there."""
    return {snapshot.moves[project].transit for name in names for project in snapshot.moves_of.get(name, {})}


def _hosts(names: Iterable[str], snapshot: Snapshot) -> set[str]:
    return {node for name in names for node in snapshot.hosts.get(name, {})}


def _network(name: str, snapshot: Snapshot, focus: Focus) -> None:
    """All that a node with ports of a network has because of it."""
    near = (name, *snapshot.peers.get(name, {}))
    focus.networks.add(name)
    focus.reached.update(near)
    focus.connections.update(ConnectionKey.between(name, peer) for peer in near[1:])
    for each in near:
        focus.blocks.update((each, prefix) for prefix in snapshot.blocks_of.get(each, {}))


def _connection(key: ConnectionKey, snapshot: Snapshot, concern: Concern) -> None:
    """Both networks' spaces and tracking, where either has ports; what else they are connected to stays."""
    blocks = [(name, prefix) for name in key for prefix in snapshot.blocks_of.get(name, {})]
    for node in _hosts(key, snapshot):
        focus = _on(node, concern)
        focus.connections.add(key)
        focus.reached.update(key)
        focus.blocks.update(blocks)
    _commits(_on_the_way(key, snapshot), snapshot, concern)


def _changed_network(change: Change, name: str, snapshot: Snapshot, concern: Concern) -> None:
    """Where it or a network connected to it has ports; everywhere if it is or was global, or has another number."""
    sides = [side for side in (change.before, change.after) if isinstance(side, Network)]
    for node in _hosts((name, *snapshot.peers.get(name, {})), snapshot):
        _network(name, snapshot, _on(node, concern))
    if any(side.is_global for side in sides):
        for node in snapshot.nodes:
            _on(node, concern).networks.add(name)
    _commits(_on_the_way((name, *snapshot.peers.get(name, {})), snapshot), snapshot, concern)
    if len({side.vnid for side in sides}) == len({side.space for side in sides}) == 1 == len(sides) - 1:
        return
    for project in snapshot.projects_of.get(name, {}):
        _everywhere(snapshot.services_of.get(project, {}), snapshot, concern)
    for node in snapshot.hosts.get(name, {}):
        _on(node, concern).ports.update(snapshot.ports_on.get(node, {}))


def _everywhere(services: Collection[ServiceKey], snapshot: Snapshot, concern: Concern) -> None:
    """Services: every node may use each of them."""
    for node in snapshot.nodes if services else ():
        _on(node, concern).services.update(services)


def _node(name: str, snapshot: Snapshot, concern: Concern) -> None:
    """Every other node; and itself in all there is."""
    for other in snapshot.nodes:
        _on(other, concern).nodes.add(name)
    _on(name, concern).whole = True
    for network in snapshot.blocks_of:
        for prefix in snapshot.blocks_on.get((network, name), {}):
            for node in _hosts((network, *snapshot.peers.get(network, {})), snapshot):
                _on(node, concern).blocks.add((network, prefix))
