"""Claims about multicast: who may tell the node of groups, where what is for a group goes, and who gets it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from typing import Final

from topology import pipeline
from topology.fields import ETH_DST, ETH_SRC, IN_PORT, IP_PROTO, IPV4_DST, TUNNEL_ID
from topology.flow import Action, Actions, Match, Op
from topology.model import (
    GENEVE_OFPORT,
    ICMP_OFPORT,
    TUN_OFPORT,
    VXLAN_OFPORT,
    Cluster,
    Connection,
    ConnectionKey,
    Hosting,
    Membership,
    Network,
    Node,
    Pod,
    PodKey,
    Port,
    PortKey,
)
from topology.pipeline import OUTPUT_PORT, SOURCE_VNID, Table
from topology.snapshot import Change, Snapshot
from topology.verification.claim import About, Claim, Kind
from topology.verification.routing import sends_by
from topology.verification.shape import ADDRESS_MASK, IS_IP, W8, W32, W48, family_of, goto, load
from topology.verification.world import View

_NODES: Final = 65002  # igmp0
_NO_PODS: Final = frozenset((VXLAN_OFPORT, GENEVE_OFPORT, TUN_OFPORT, ICMP_OFPORT, _NODES))
_IS_IGMP: Final = (IP_PROTO, 2, W8)
_TO_GROUP: Final = (IPV4_DST, 0xE000_0000, 0xF000_0000)
_W64: Final = (1 << 64) - 1
_MOST: Final = 512
_TO_MEMBERS: Final = goto(Table.GROUP_MEMBERS)


def _has(network: str, snapshot: Snapshot) -> bool:
    found = snapshot.networks.get(network)
    return found is not None and found.multicast


def _hears(source: str, destination: str, snapshot: Snapshot) -> bool:
    """Within a network, or by a connection that lets everything be begun, in the shared space."""
    if not (_has(source, snapshot) and _has(destination, snapshot)):
        return False
    if source == destination:
        return True
    connection = snapshot.connections.get(ConnectionKey.between(source, destination))
    scope = None if connection is None else connection.scope(source)
    own = snapshot.networks[source].subnets or snapshot.networks[destination].subnets
    return not own and scope is not None and not scope.services_only and not scope.ports


def _near(network: str, snapshot: Snapshot) -> tuple[str, ...]:
    return (network, *snapshot.peers.get(network, {}))


def _members(source: str, snapshot: Snapshot) -> dict[IPv4Address, list[Port]]:
    """Who hears a network, by group: so many at most, in the order of ports."""
    found: dict[IPv4Address, list[Port]] = {}
    hears = {name for name in _near(source, snapshot) if _hears(source, name, snapshot)}
    for key in sorted(snapshot.memberships) if hears else ():
        port = snapshot.ports.get(key)
        for group in snapshot.memberships[key].groups if port is not None and port.network in hears else ():
            members = found.setdefault(group, [])
            if port is not None and len(members) < _MOST:
                members.append(port)
    return found


def _sender(view: View, vnid: int) -> Network | None:
    network = view.world.by_vnid[vnid]
    return network if network is not None and network.multicast else None


def _senders(view: View) -> Iterator[Network]:
    """The networks in focus that have multicast."""
    names: Iterable[str] = view.snapshot.networks if view.focus.whole else view.focus.groups
    for name in names:
        if _has(name, view.snapshot):
            yield view.snapshot.networks[name]


def _mac(group: IPv4Address) -> Action:
    """01:00:5e and 23 bits of the group (RFC 1112, section 6.4)."""
    return load(ETH_DST, 0x0100_5E00_0000 + int(group) % 0x80_0000, W48)


# --- ports ---------------------------------------------------------------------------------------


def _numbered(view: View, key: PortKey | None) -> Port | None:
    port = None if key is None else view.snapshot.ports.get(key)
    if port is None or port.node != view.node or port.ofport in (None, *_NO_PODS):
        return None
    return port if _has(port.network, view.snapshot) else None


def _report(ofport: int) -> tuple[Match, Actions]:
    match = ((IN_PORT, ofport, W32), IS_IP[4], _IS_IGMP, _TO_GROUP)
    number = 131072 + ofport
    told = (Op.METER, number), load(ETH_SRC, 0x0E01_0000_0000 + ofport, W48), (Op.OUTPUT, _NODES)
    return tuple(sorted(match)), (*told, (number, 32, 64))


def _query(ofport: int) -> tuple[Match, Actions]:
    named = (ETH_DST, 0x0E02_0000_0000 + ofport, W48)
    match = ((IN_PORT, _NODES, W32), named, IS_IP[4], _IS_IGMP)
    return tuple(sorted(match)), (load(ETH_DST, 0x0100_5E00_0001, W48), (Op.OUTPUT, ofport))


def _reports(view: View, match: Match, actions: Actions) -> bool:
    ((_, ofport, _),) = (term for term in match if term[0] == IN_PORT)
    port = _numbered(view, view.snapshot.port_by_ofport.get((view.node, ofport)))
    return port is not None and (match, actions) == _report(ofport)


def _queries(view: View, match: Match, actions: Actions) -> bool:
    ((_, named, _),) = (term for term in match if term[0] == ETH_DST)
    ofport = named & W32
    port = _numbered(view, view.snapshot.port_by_ofport.get((view.node, ofport)))
    return port is not None and (match, actions) == _query(ofport)


def _reports_owed(view: View) -> Iterator[Match]:
    for port in (_numbered(view, key) for key in view.ports()):
        if port is not None:
            yield _report(port.ofport or 0)[0]


def _queries_owed(view: View) -> Iterator[Match]:
    for port in (_numbered(view, key) for key in view.ports()):
        if port is not None:
            yield _query(port.ofport or 0)[0]


# --- networks ------------------------------------------------------------------------------------


def _any(network: Network) -> Match:
    return tuple(sorted(((SOURCE_VNID, network.vnid, W32), IS_IP[4], _TO_GROUP)))


def _is_any(view: View, match: Match, actions: Actions) -> bool:
    ((_, vnid, _),) = (term for term in match if term[0] == SOURCE_VNID)
    network = _sender(view, vnid)
    is_here = network is not None and network.name in view.hosting
    return network is not None and is_here and (match, actions) == (_any(network), (goto(Table.GROUPS),))


def _any_owed(view: View) -> Iterator[Match]:
    for network in _senders(view):
        if network.name in view.hosting:
            yield _any(network)


def _has_members(view: View, network: Network) -> bool:
    """Whether a port here has joined anything and hears the network."""
    for key in view.snapshot.ports_on.get(view.node, {}):
        port = view.snapshot.ports.get(key)
        if key in view.snapshot.memberships and port is not None and _hears(network.name, port.network, view.snapshot):
            return True
    return False


def _arrival(network: Network, peer: Node) -> Match:
    vtep = peer.underlay
    outer = (family_of(vtep.version).tunnel_source, int(vtep), ADDRESS_MASK[vtep.version])
    any_mac = (ETH_DST, 0x0100_5E00_0000, 0xFFFF_FF80_0000)
    return tuple(sorted((outer, (TUNNEL_ID, network.vnid, _W64), any_mac, IS_IP[4], _TO_GROUP)))


def _arrivals(view: View, network: Network) -> Iterator[Match]:
    hosts: Iterable[str] = view.snapshot.hosts.get(network.name, {})
    for name in hosts if _has_members(view, network) else ():
        if name != view.node and name in view.snapshot.nodes:
            yield _arrival(network, view.snapshot.nodes[name])


def _arrives(view: View, match: Match, actions: Actions) -> bool:
    ((_, vnid, _),) = (term for term in match if term[0] == TUNNEL_ID)
    network = _sender(view, vnid)
    wanted = ((Op.COPY, TUNNEL_ID, 0, SOURCE_VNID, 0, 24), _TO_MEMBERS)
    return network is not None and actions == wanted and match in _arrivals(view, network)


def _arrivals_owed(view: View) -> Iterator[Match]:
    for network in _senders(view):
        yield from _arrivals(view, network)


# --- groups --------------------------------------------------------------------------------------


def _to(network: Network, group: IPv4Address) -> Match:
    return tuple(sorted(((SOURCE_VNID, network.vnid, W32), IS_IP[4], (IPV4_DST, int(group), W32))))


def _sent(view: View, network: Network, group: IPv4Address, members: list[Port]) -> Actions | None:
    if network.name not in view.hosting:
        return None
    copies: list[Action] = []
    for name in sorted({port.node for port in members} & {*view.snapshot.nodes} - {view.node}):
        vtep = view.snapshot.nodes[name].underlay
        outer = (Op.SET, family_of(vtep.version).tunnel_destination, int(vtep), ADDRESS_MASK[vtep.version])
        copies.append((Op.CLONE, ((Op.SET, TUNNEL_ID, network.vnid, _W64), outer, (Op.OUTPUT, sends_by(view)))))
    return (_mac(group), *copies, _TO_MEMBERS)


def _given(view: View, network: Network, group: IPv4Address, members: list[Port]) -> Actions | None:
    copies: list[Action] = []
    for port in members:
        if port.node == view.node and port.ofport not in (None, *_NO_PODS):
            pod = view.snapshot.pods.get(PodKey(port.project, port.pod))
            is_limited = pod is not None and pod.ingress_bandwidth is not None
            limit: Actions = ((Op.METER, 2 * (port.ofport or 0) + 1),) if is_limited else ()
            copies.append((Op.CLONE, (*limit, load(OUTPUT_PORT, port.ofport or 0), (Op.RESUBMIT, int(Table.RECEIVED)))))
    return (_mac(group), *copies) if copies else None


def _of_groups(stage: pipeline.Stage, made: object) -> Claim:
    assert callable(made)

    def holds(view: View, match: Match, actions: Actions) -> bool:
        ((_, vnid, _),) = (term for term in match if term[0] == SOURCE_VNID)
        ((_, value, _),) = (term for term in match if term[0] == IPV4_DST)
        network, group = _sender(view, vnid), IPv4Address(value)
        members = [] if network is None else _members(network.name, view.snapshot).get(group, [])
        if network is None or not members or match != _to(network, group):
            return False
        return bool(actions == made(view, network, group, members))

    def owed(view: View) -> Iterator[Match]:
        for network in _senders(view):
            for group, members in _members(network.name, view.snapshot).items():
                if made(view, network, group, members) is not None:
                    yield _to(network, group)

    return Claim(stage, Kind.LEAK, About.GROUPS, holds, owed)


# --- what a change concerns ----------------------------------------------------------------------


def senders_concerned(change: Change, snapshot: Snapshot) -> set[str]:
    """Return the networks whose packets to groups may fare otherwise after a change."""
    networks: set[str] = set()
    match change.subject:
        case Membership(port=key) | Port(key=key):
            networks = _of(key, snapshot)
        case Pod(key=pod):
            networks = {name for key in snapshot.port_by_pod.get(pod, {}) for name in _of(key, snapshot)}
        case Network(name=name) | Hosting(network=name):
            networks = {name}
        case Connection(key=pair):
            networks = {*pair}
        case Node(name=node):
            networks = {*snapshot.hosting.get(node, {})}
        case Cluster():
            networks = {*snapshot.networks}
    return {near for name in networks for near in _near(name, snapshot) if _has(near, snapshot)}


def _of(key: PortKey, snapshot: Snapshot) -> set[str]:
    port = snapshot.ports.get(key)
    return set() if port is None else {port.network}


def where_heard(sender: str, snapshot: Snapshot) -> set[str]:
    """Return the nodes from which a network sends, and those that have ports which may hear it."""
    return {node for name in _near(sender, snapshot) for node in snapshot.hosts.get(name, {})}


CLAIMS: Final[tuple[Claim, ...]] = (
    Claim(pipeline.GROUP_REPORT, Kind.LEAK, About.PORTS, _reports, _reports_owed),
    Claim(pipeline.GROUP_QUERY, Kind.LEAK, About.PORTS, _queries, _queries_owed),
    Claim(pipeline.GROUP_ANY, Kind.LEAK, About.GROUPS, _is_any, _any_owed),
    Claim(pipeline.GROUP_ARRIVES, Kind.SPOOF, About.GROUPS, _arrives, _arrivals_owed),
    _of_groups(pipeline.GROUP_SENT, _sent),
    _of_groups(pipeline.GROUP_MEMBER, _given),
)
