"""Multicast: what pods say of groups goes to heddle-node, what they send to a group to its members, wherever they are.

Membership is the node's to find out, for flows cannot read reports: by igmp0, with the port's number in the source
MAC; queries come from there, for one port each. To the members of a group on this node a packet is copied one by one,
and once for each other node that has some. What comes by the tunnel is only ever copied to members here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Address
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey
from topology.fields import ETH_DST, ETH_SRC, ETH_TYPE, IN_PORT, IP_PROTO, IPV4, IPV4_DST, PROTO_IGMP, TUNNEL_ID, family
from topology.flow import (
    Action,
    Actions,
    Flow,
    Meter,
    at,
    cloned,
    copy,
    goto,
    load,
    match_fields,
    metered,
    output,
    resubmit,
)
from topology.matches import masked, to_address, to_prefix
from topology.model import (
    GROUPS,
    IGMP_OFPORT,
    MOST_AUDIENCE,
    Cluster,
    Connection,
    Hosting,
    Membership,
    Network,
    Node,
    Pod,
    PodKey,
    Port,
    PortKey,
)
from topology.multicast import audible, audience, heard
from topology.pipeline import (
    ALL_SYSTEMS_MAC,
    GROUP_MAC,
    GROUP_MAC_BITS,
    OUTPUT_PORT,
    QUERY_MAC,
    REPORT_BURST,
    REPORT_MAC,
    REPORT_METERS,
    REPORT_RATE,
    SOURCE_VNID,
    VNID_BITS,
    Table,
)
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.MULTICAST

_LOW: Final = (1 << GROUP_MAC_BITS) - 1
_ANY_GROUP: Final = (ETH_DST, (GROUP_MAC, 0xFFFF_FFFF_FFFF ^ _LOW))


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """Ports of networks with multicast; networks that send here or are heard here; these with each group."""
    for key in snapshot.ports_on.get(node, {}):
        if _is_on(snapshot.ports[key].network, snapshot):
            yield key
    for network in _senders(snapshot.hosting.get(node, {}), snapshot):
        yield (network,)
        for group in heard(network, snapshot):
            yield (network, str(group))


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """What a port may say to the node; where packets to groups go; who gets those to one group."""
    here = snapshot.nodes.get(node)
    if here is None:
        return
    match subject:
        case (str(network),):
            yield from _of_network(node, network, snapshot)
        case (str(network), str(group)):
            yield from _of_group(here, network, IPv4Address(group), snapshot)
        case _:
            yield from _of_port(node, PortKey(*map(str, subject)), snapshot)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A port, with the groups that it is in; networks that alter who hears whom; where they have ports; nodes."""
    match change.subject:
        case Membership(port=key):
            sides = (side for side in (change.before, change.after) if isinstance(side, Membership))
            yield from _of_member(key, {group for side in sides for group in side.groups}, snapshot)
        case Port(key=key):
            yield Section(key.node, key)
            yield from _of_member(key, _joined(key, snapshot), snapshot)
        case Pod(key=pod):
            for key in snapshot.port_by_pod.get(pod, {}):
                yield from _of_member(key, _joined(key, snapshot), snapshot)
        case Network() | Connection() | Hosting():
            yield from _of_networks(change, snapshot)
        case Node(name=name):
            yield from _of_node(name, snapshot)
        case Cluster():
            for node in snapshot.nodes:
                yield from (Section(node, subject) for subject in subjects(node, snapshot))


def _of_networks(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """Name what a change of networks, of who they are connected to, and of where they have ports concerns."""
    names: Iterable[str] = ()
    match change.subject:
        case Network(name=name) if _marks(change.before) != _marks(change.after):
            names = (name, *snapshot.peers.get(name, {}))
            for node in snapshot.hosts.get(name, {}):
                yield from (Section(node, key) for key in snapshot.ports_on.get(node, {}))
        case Connection(key=pair):
            names = pair
        case Hosting(network=network):
            names = (network,)
    for network in names:
        yield from _all_of(network, snapshot)


def _marks(network: object) -> tuple[int, int, bool] | None:
    return (network.vnid, network.space, network.multicast) if isinstance(network, Network) else None


def _is_on(network: str, snapshot: Snapshot) -> bool:
    found = snapshot.networks.get(network)
    return found is not None and found.multicast


def _senders(networks: Iterable[str], snapshot: Snapshot) -> set[str]:
    """The networks that members in some may hear, and these themselves."""
    near = {each for name in networks for each in (name, *snapshot.peers.get(name, {})) if _is_on(name, snapshot)}
    return {name for name in near if _is_on(name, snapshot)}


def _joined(key: PortKey, snapshot: Snapshot) -> set[IPv4Address]:
    known = snapshot.memberships.get(key)
    return set() if known is None else {*known.groups}


# --- what a change concerns ----------------------------------------------------------------------


def _of_member(key: PortKey, groups: set[IPv4Address], snapshot: Snapshot) -> Iterator[Section]:
    """Name what stands where a port is, and where others send to the groups that it is in."""
    port = snapshot.ports.get(key)
    if port is None or not groups:
        return
    for sender in _senders((port.network,), snapshot):
        yield Section(key.node, (sender,))
        for group in groups:
            members = audience(sender, group, snapshot)
            nodes = {key.node, *snapshot.hosts.get(sender, {})}
            if len(members) >= MOST_AUDIENCE:  # who comes in may push another one out
                nodes.update(each.node for name in audible(sender, snapshot) for each in _in(name, group, snapshot))
            yield from (Section(node, (sender, str(group))) for node in nodes)


def _in(network: str, group: IPv4Address, snapshot: Snapshot) -> Iterator[PortKey]:
    yield from snapshot.listeners.get((network, group), {})


def _listening(sender: str, snapshot: Snapshot) -> set[str]:
    """The nodes that have members who hear a network."""
    names = audible(sender, snapshot)
    every = ((name, group) for name in names for group in snapshot.groups_of.get(name, {}))
    return {key.node for name, group in every for key in _in(name, group, snapshot)}


def _all_of(sender: str, snapshot: Snapshot) -> Iterator[Section]:
    """Name all that there is because a network sends."""
    if not _is_on(sender, snapshot):
        return
    groups = heard(sender, snapshot)
    for node in {*snapshot.hosts.get(sender, {}), *_listening(sender, snapshot)}:
        yield Section(node, (sender,))
        yield from (Section(node, (sender, str(group))) for group in groups)


def _of_node(name: str, snapshot: Snapshot) -> Iterator[Section]:
    """Name what a node has, and what others have because of its tunnel."""
    for subject in subjects(name, snapshot):
        yield Section(name, subject)
    for sender in _senders(snapshot.hosting.get(name, {}), snapshot):
        yield from _all_of(sender, snapshot)


# --- flows ---------------------------------------------------------------------------------------


def _of_port(node: str, key: PortKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Reports of a port go to heddle-node, so many and no more; its queries come from there."""
    port = snapshot.ports.get(key)
    if port is None or port.node != node or port.ofport is None or not _is_on(port.network, snapshot):
        return
    meter = Meter(REPORT_METERS + port.ofport, REPORT_RATE, REPORT_BURST)
    said = to_prefix(GROUPS, (IN_PORT, port.ofport), (IP_PROTO, PROTO_IGMP))
    told = (metered(meter.meter_id), load(ETH_SRC, REPORT_MAC | port.ofport), output(IGMP_OFPORT))
    yield at(pipeline.GROUP_REPORT, said, told, meters=(meter,))
    asked = match_fields(
        (IN_PORT, IGMP_OFPORT), (ETH_TYPE, IPV4.eth_type), (IP_PROTO, PROTO_IGMP), (ETH_DST, QUERY_MAC | port.ofport)
    )
    yield at(pipeline.GROUP_QUERY, asked, (load(ETH_DST, ALL_SYSTEMS_MAC), output(port.ofport)))


def _of_network(node: str, network: str, snapshot: Snapshot) -> Iterator[Flow]:
    """What a network's pods here send to groups; and what those elsewhere do, if somebody here hears it."""
    found = snapshot.networks.get(network)
    if found is None or not found.multicast:
        return
    hosts: Collection[str] = snapshot.hosts.get(network, {})
    if node in hosts:
        yield at(pipeline.GROUP_ANY, to_prefix(GROUPS, (SOURCE_VNID, found.vnid)), (goto(Table.GROUPS),))
    if not _has_listeners(node, network, snapshot):
        return
    for name in sorted(hosts):
        peer = snapshot.nodes.get(name)
        if peer is not None and name != node:
            source = (family(peer.underlay.version).tunnel_source, int(peer.underlay))
            terms = match_fields(
                source,
                (TUNNEL_ID, found.vnid),
                _ANY_GROUP,
                (ETH_TYPE, IPV4.eth_type),
                (IPV4_DST, masked(GROUPS)),
            )
            onwards = (copy(TUNNEL_ID, SOURCE_VNID, VNID_BITS), goto(Table.GROUP_MEMBERS))
            yield at(pipeline.GROUP_ARRIVES, terms, onwards)


def _has_listeners(node: str, sender: str, snapshot: Snapshot) -> bool:
    names = audible(sender, snapshot)
    keys = (key for key in snapshot.ports_on.get(node, {}) if key in snapshot.memberships)
    return any(snapshot.ports[key].network in names for key in keys)


def _of_group(here: Node, network: str, group: IPv4Address, snapshot: Snapshot) -> Iterator[Flow]:
    """To the members of a group on this node, and once to each other node that has some."""
    found = snapshot.networks.get(network)
    members = audience(network, group, snapshot)
    if found is None or not members:
        return
    terms = to_address(group, (SOURCE_VNID, found.vnid))
    name = load(ETH_DST, GROUP_MAC | int(group) & _LOW)
    if here.name in snapshot.hosts.get(network, {}):
        others = sorted({port.node for port in members} - {here.name})
        away = (
            _to_node(here, snapshot.nodes[other], found.vnid, snapshot) for other in others if other in snapshot.nodes
        )
        yield at(pipeline.GROUP_SENT, terms, (name, *away, goto(Table.GROUP_MEMBERS)))
    near = tuple(_to_member(port, snapshot) for port in members if port.node == here.name and port.ofport is not None)
    if near:
        yield at(pipeline.GROUP_MEMBER, terms, (name, *near))


def _to_node(here: Node, there: Node, vnid: int, snapshot: Snapshot) -> Action:
    vtep = there.underlay
    outer = load(family(vtep.version).tunnel_destination, int(vtep))
    return cloned(load(TUNNEL_ID, vnid), outer, output(here.tunnel_ofport(snapshot.cluster)))


def _to_member(port: Port, snapshot: Snapshot) -> Action:
    """Give a copy to one member. Its limit is asked inside of the clone, so that only this copy exceeds it."""
    assert port.ofport is not None
    pod = snapshot.pods.get(PodKey(port.project, port.pod))
    limit: Actions = ()
    if pod is not None and pod.ingress_bandwidth is not None:
        limit = (metered(port.ofport * pipeline.METERS_OF_PORT + pipeline.TO_POD),)
    return cloned(*limit, load(OUTPUT_PORT, port.ofport), resubmit(Table.RECEIVED))
