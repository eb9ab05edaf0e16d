"""What a change concerns: on which nodes, and which objects there. Said of the model alone, and not by features.

A feature that forgets a section makes the compiler leave it as it was. Here the same question is answered anew, so
that such a section is noticed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import product

from topology.model import (
    AddressBlock,
    Cluster,
    Connection,
    ConnectionKey,
    Egress,
    EndpointSlice,
    Held,
    Hosting,
    Mirror,
    Move,
    Network,
    Node,
    Pod,
    PodKey,
    Port,
    PortKey,
    Project,
    Service,
    ServiceKey,
)
from topology.snapshot import Change, Snapshot
from topology.verification.gatherings import senders_concerned, where_heard
from topology.verification.world import Focus

Concern = dict[str, Focus]


def concerned(changes: Collection[Change], before: Snapshot, after: Snapshot) -> Concern:
    """Return for each node what it may owe flows for otherwise than before, of the nodes of the later snapshot."""
    concern: Concern = {}
    for change in changes:
        for snapshot in (before, after):
            _mark(change, snapshot, concern)
            for sender in senders_concerned(change, snapshot):
                for node in where_heard(sender, snapshot):
                    _on(node, concern).groups.add(sender)
            if snapshot.egresses:
                _mark_egress(change, snapshot, concern)
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
            for pod in change.pods:
                _mirrored(pod, snapshot, concern)
        case Hosting(node=node, network=network):
            _network(network, snapshot, _on(node, concern))
            for mirror in snapshot.mirrors_of.get(network, {}):
                _copying(snapshot.mirrors[mirror], snapshot, concern)
        case Network(name=name):
            _changed_network(change, name, snapshot, concern)
        case Connection(key=key):
            _connection(key, snapshot, concern)
        case AddressBlock(network=network, prefix=prefix):
            for node in _hosts((network, *snapshot.peers.get(network, {})), snapshot):
                _on(node, concern).blocks.add((network, prefix))
        case Pod() | Mirror():
            _mark_pods(change, snapshot, concern)
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
            for peer in snapshot.peers.get(transit, {}):
                _pair(ConnectionKey.between(transit, peer), snapshot, concern)
        case Node(name=name):
            _node(name, snapshot, concern)
        case Cluster():
            for node in snapshot.nodes:
                _on(node, concern).whole = True


def _mark_egress(change: Change, snapshot: Snapshot, concern: Concern) -> None:
    """Egresses, on every node: whatever a change has to do with one of them, it is rare."""
    match change.subject:
        case Pod(key=pod):
            for key in snapshot.port_by_pod.get(pod, {}):
                _on(key.node, concern).ports.add(key)
        case Port():
            _gateways(change.pods, snapshot, concern)
        case Hosting(node=node, network=network):
            _on(node, concern).egresses.update(snapshot.egresses_of.get(_left_from(network, snapshot), {}))
        case Held(address=address) if address in snapshot.egress_by_address:
            egress = snapshot.egresses[snapshot.egress_by_address[address]]
            _egresses((egress.network,), snapshot, concern)
        case Egress():
            sides = [side for side in (change.before, change.after) if isinstance(side, Egress)]
            _egresses({side.network for side in sides}, snapshot, concern)
            for side in sides:
                _become(side, snapshot, concern)
        case Move(source=source):
            _egresses((source,), snapshot, concern)
        case Network(name=name):
            _egresses((_left_from(name, snapshot),), snapshot, concern)
        case Node(name=name):
            held = {address for address, node in snapshot.held.items() if node == name}
            found = {snapshot.egress_by_address[address] for address in held if address in snapshot.egress_by_address}
            found |= {each.name for each in snapshot.egresses.values() if each.via is not None}
            for node in snapshot.nodes:
                _on(node, concern).egresses.update(found)


def _gateways(pods: set[PodKey], snapshot: Snapshot, concern: Concern) -> None:
    """What gateways' ports are to those who leave by them."""
    _egresses({each.network for each in snapshot.egresses.values() if each.via in pods}, snapshot, concern)


def _become(egress: Egress, snapshot: Snapshot, concern: Concern) -> None:
    """A pod that becomes a gateway, or is none any more, leaves otherwise itself."""
    keys: Iterable[PortKey] = () if egress.via is None else snapshot.port_by_pod.get(egress.via, {})
    for key in keys:
        _on(key.node, concern).ports.add(key)


def _left_from(network: str, snapshot: Snapshot) -> str:
    """The network whose egress the pods of a network have: of a transit network, the one that they leave."""
    moves = (move for move in snapshot.moves.values() if move.transit == network)
    return next((move.source for move in moves), network)


def _egresses(networks: Collection[str], snapshot: Snapshot, concern: Concern) -> None:
    """All egresses of networks, and the pods that may have them."""
    transits = {move.transit for move in snapshot.moves.values() if move.source in networks}
    names = {name for network in networks for name in snapshot.egresses_of.get(network, {})}
    for node in snapshot.nodes if names else ():
        _on(node, concern).egresses.update(names)
    for network in {*networks, *transits}:
        for node in snapshot.hosts.get(network, {}):
            keys: Iterable[PortKey] = snapshot.ports_on.get(node, {})
            _on(node, concern).ports.update(key for key in keys if snapshot.ports[key].network == network)


def _mark_pods(change: Change, snapshot: Snapshot, concern: Concern) -> None:
    """A pod's limits, and mirrors."""
    for side in (change.before, change.after):
        if isinstance(side, Pod):
            for key in snapshot.port_by_pod.get(side.key, {}):
                _on(key.node, concern).ports.add(key)
        if isinstance(side, Mirror):
            _copying(side, snapshot, concern)


def _mirrored(pod: PodKey, snapshot: Snapshot, concern: Concern) -> None:
    """What a pod's port is to mirrors, as their target and as what they copy."""
    for name in {*snapshot.mirrors_to.get(pod, {}), *snapshot.mirrors_of.get(pod, {})}:
        _copying(snapshot.mirrors[name], snapshot, concern)


def _copying(mirror: Mirror, snapshot: Snapshot, concern: Concern) -> None:
    """Where a mirror's copies are made, and where its target's ports are."""
    for key in snapshot.port_by_pod.get(mirror.target, {}):
        _on(key.node, concern).mirrors.add(mirror.name)
    if mirror.pod is not None:
        for key in snapshot.port_by_pod.get(mirror.pod, {}):
            _on(key.node, concern).ports.add(key)
        return
    for node in snapshot.hosts.get(mirror.network or "", {}):
        keys: Iterable[PortKey] = snapshot.ports_on.get(node, {})
        _on(node, concern).ports.update(key for key in keys if snapshot.ports[key].network == mirror.network)


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
    _everywhere(_outer_services(key, snapshot), snapshot, concern)
    on_the_way = [_on_the_way((name,), snapshot) for name in key]
    _commits({*on_the_way[0], *on_the_way[1]}, snapshot, concern)
    for one, other in product(*({name, *more} for name, more in zip(key, on_the_way, strict=True))):
        _pair(ConnectionKey.between(one, other), snapshot, concern)


def _pair(key: ConnectionKey, snapshot: Snapshot, concern: Concern) -> None:
    """What one connection lets pass, where either of its networks has ports."""
    for node in _hosts(key, snapshot):
        _on(node, concern).connections.add(key)


def _changed_network(change: Change, name: str, snapshot: Snapshot, concern: Concern) -> None:
    """Where it or a network connected to it has ports; everywhere if it is or was global, or has another number."""
    sides = [side for side in (change.before, change.after) if isinstance(side, Network)]
    for node in _hosts((name, *snapshot.peers.get(name, {})), snapshot):
        _network(name, snapshot, _on(node, concern))
    if any(side.is_global for side in sides):
        for node in snapshot.nodes:
            _on(node, concern).networks.add(name)
    _commits(_on_the_way((name, *snapshot.peers.get(name, {})), snapshot), snapshot, concern)
    _everywhere(_outer_services((name, *snapshot.peers.get(name, {})), snapshot), snapshot, concern)
    is_same = len({side.vnid for side in sides}) == len({side.space for side in sides}) == 1 == len(sides) - 1
    if is_same and len({(side.dscp, side.multicast) for side in sides}) == 1:
        return
    projects: Iterable[str] = () if is_same else snapshot.projects_of.get(name, {})
    for project in projects:
        _everywhere(snapshot.services_of.get(project, {}), snapshot, concern)
    for node in snapshot.hosts.get(name, {}):
        _on(node, concern).ports.update(snapshot.ports_on.get(node, {}))


def _outer_services(networks: Iterable[str], snapshot: Snapshot) -> set[ServiceKey]:
    """The services of networks to whose endpoints nobody is led by an address that these networks know."""
    projects = {project for network in networks for project in snapshot.projects_of.get(network, {})}
    keys = {key for project in projects for key in snapshot.services_of.get(project, {})}
    return {key for key in keys if snapshot.services[key].external_local}


def _everywhere(services: Collection[ServiceKey], snapshot: Snapshot, concern: Concern) -> None:
    """Services: every node may use each of them."""
    for node in snapshot.nodes if services else ():
        _on(node, concern).services.update(services)


def _node(name: str, snapshot: Snapshot, concern: Concern) -> None:
    """Every other node; and itself in all there is."""
    for other in snapshot.nodes:
        _on(other, concern).nodes.add(name)
    _on(name, concern).whole = True
    for mirror in snapshot.mirrors.values():
        _copying(mirror, snapshot, concern)
    for network in snapshot.blocks_of:
        for prefix in snapshot.blocks_on.get((network, name), {}):
            for node in _hosts((network, *snapshot.peers.get(network, {})), snapshot):
                _on(node, concern).blocks.add((network, prefix))
