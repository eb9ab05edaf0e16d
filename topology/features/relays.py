"""Relays: by which node another one is reached that has no tunnel, or whose tunnel is down; and probes of tunnels.

What is in transit is believed from known nodes, and on every node what may pass no further relay goes to its
destination: that is there before anybody needs it, so that a way over one relay takes one switch's change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import pipeline
from topology.features.section import WHOLE_NODE, Section, SubjectKey, families
from topology.fields import ETH_DST, ETH_TYPE, TUN_IPV4_DST, TUN_IPV4_SRC, TUNNEL_ID, Field, family
from topology.flow import (
    DROP,
    Action,
    Actions,
    Flow,
    at,
    copy,
    decremented,
    goto,
    load,
    match_fields,
    no_in_port,
    output,
)
from topology.model import TUN_OFPORT, Cluster, Node, Severed
from topology.pipeline import (
    COPY_IN_TRANSIT,
    IN_TRANSIT,
    LABEL_MASK,
    LAST_LABELLED,
    MIRROR_MAC,
    MIRROR_VNID,
    PROBE_ETH_TYPE,
    PROBE_MAC,
    PROBE_MASK,
    PROBE_VNID,
    PROBED_MAC,
    RELAYS_BIT,
    SPACE_MAC,
    TRANSIT_MASK,
    Table,
)
from topology.relaying import Transit
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.RELAYS

_ADDRESS_BITS: Final = 32
_NUMBER_BIT: Final = 24
_WAY: Final = "way"  # of subjects that are a node's own: the ways to another node


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The nodes that this one does not reach directly, or that it passes something on to as a relay."""
    if snapshot.relaying:
        direct = snapshot.relaying.routes.get(node, {})
        passed = (transit.destination for transit in snapshot.relaying.at(node))
        for name in {*direct, *passed}:
            yield (name, _WAY)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """By which relay a node is reached, and to which one is passed on what is in transit to it."""
    if node not in snapshot.nodes or subject == (node,):
        return
    if subject[1:] != (_WAY,):
        yield from common_flows(subject, snapshot)
        return
    destination = snapshot.nodes.get(str(subject[0]))
    if destination is None or not snapshot.relaying:
        return
    ways = snapshot.relaying.routes.get(node, {})
    if destination.name in ways:
        hop = ways[destination.name]
        to_it = (family(destination.underlay.version).tunnel_destination, int(destination.underlay))
        if hop is None:
            yield at(pipeline.DETOUR, match_fields(to_it), DROP)
        else:
            relay = snapshot.nodes[hop.relay]
            onwards = (_towards(relay), goto(Table.TUNNEL_OUTPUT))
            packet, copied = (_label(kind, destination, hop.relays) for kind in (IN_TRANSIT, COPY_IN_TRANSIT))
            of_mirror = match_fields(to_it, (TUNNEL_ID, MIRROR_VNID))
            yield at(pipeline.DETOUR_COPY, of_mirror, (load(ETH_DST, copied, LABEL_MASK), *onwards))
            yield at(pipeline.DETOUR, match_fields(to_it), (load(ETH_DST, packet, LABEL_MASK), *onwards))
    for transit, relay_name in snapshot.relaying.at(node).items():
        if transit.destination == destination.name:
            yield from _passed_on(transit, destination, snapshot.nodes[relay_name], snapshot.cluster)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """Whatever changes of tunnels and their ends, all ways may be others."""
    if isinstance(change.subject, Node | Severed) and snapshot.relaying:
        for node in snapshot.nodes:
            for subject in subjects(node, snapshot):
                yield Section(node, subject)


def common_subjects(snapshot: Snapshot) -> Iterator[SubjectKey]:
    """Every node, as one that may be in between and one that may be the end; and what there is of probes."""
    yield WHOLE_NODE
    for name in snapshot.nodes:
        yield (name,)


def common_flows(subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """What a peer puts on each of the other nodes: it is believed, and it is a relay's next and last node."""
    if not subject:
        yield from _probes()
        return
    peer = snapshot.nodes.get(str(subject[0]))
    if peer is None:
        return
    source = (family(peer.underlay.version).tunnel_source, int(peer.underlay))
    in_transit = match_fields(source, (ETH_DST, (IN_TRANSIT, TRANSIT_MASK)))
    yield at(pipeline.TUNNEL_TRANSIT, in_transit, (goto(Table.TRANSIT),))
    yield at(pipeline.TUNNEL_PROBE, match_fields(source, (TUNNEL_ID, PROBE_VNID)), (goto(Table.PROBES),))
    if peer.dpid <= LAST_LABELLED:
        onwards = (_towards(peer), goto(Table.TUNNEL_OUTPUT))
        for terms, dec_ttl, label in _kinds(peer, 1, snapshot.cluster):
            before = SPACE_MAC if label == IN_TRANSIT else MIRROR_MAC
            restored = (no_in_port(), *dec_ttl, load(ETH_DST, before, LABEL_MASK), *onwards)
            yield at(pipeline.TRANSIT_LAST, terms, restored)


def common_touched(change: Change, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """A node; the cluster's families are what all of them pass on."""
    match change.subject:
        case Node(name=name):
            yield (name,)
        case Cluster():
            yield from common_subjects(snapshot)


def absent(node: str) -> Iterable[SubjectKey]:
    """No node is a peer of its own."""
    return ((node,),)


# --- flows ---------------------------------------------------------------------------------------


def _probes() -> Iterator[Flow]:
    """From tun0 to whom the MAC names; back from there, by the same tunnel; and the answer to tun0."""
    asked = (ETH_DST, (PROBE_MAC, PROBE_MASK))
    sent = match_fields(asked, (ETH_TYPE, PROBE_ETH_TYPE))
    to_it = (load(TUNNEL_ID, PROBE_VNID), copy(ETH_DST, TUN_IPV4_DST, _ADDRESS_BITS), goto(Table.TUNNEL_OUTPUT))
    yield at(pipeline.NODE_PROBE, sent, to_it)
    back = (
        no_in_port(),
        load(ETH_DST, PROBED_MAC, PROBE_MASK),
        copy(TUN_IPV4_SRC, TUN_IPV4_DST, _ADDRESS_BITS),
        goto(Table.TUNNEL_OUTPUT),
    )
    yield at(pipeline.PROBE_BACK, sent, back)
    answered = match_fields((ETH_DST, (PROBED_MAC, PROBE_MASK)), (ETH_TYPE, PROBE_ETH_TYPE))
    yield at(pipeline.PROBE_ANSWER, answered, (output(TUN_OFPORT),))


def _passed_on(transit: Transit, destination: Node, relay: Node, cluster: Cluster) -> Iterator[Flow]:
    onwards = (_towards(relay), goto(Table.TUNNEL_OUTPUT))
    for terms, dec_ttl, kind in _kinds(destination, transit.relays, cluster):
        less = load(ETH_DST, _label(kind, destination, transit.relays - 1), LABEL_MASK)
        yield at(pipeline.TRANSIT_NEXT, terms, (no_in_port(), *dec_ttl, less, *onwards))


def _kinds(
    destination: Node, relays: int, cluster: Cluster
) -> Iterator[tuple[tuple[tuple[Field, int, int], ...], Actions, int]]:
    """Yield how packets and copies in transit look, and what is done to their TTL: a relay is a hop to a packet, but
    a copy shows the packet as it was.
    """
    for kind in families(cluster):
        terms = match_fields(
            (ETH_TYPE, kind.eth_type), (ETH_DST, (_label(IN_TRANSIT, destination, relays), LABEL_MASK))
        )
        yield terms, (decremented(),), IN_TRANSIT
    copied = match_fields((ETH_DST, (_label(COPY_IN_TRANSIT, destination, relays), LABEL_MASK)))
    yield copied, (), COPY_IN_TRANSIT


def _label(kind: int, destination: Node, relays: int) -> int:
    return kind | relays << RELAYS_BIT | destination.dpid << _NUMBER_BIT


def _towards(node: Node) -> Action:
    return load(family(node.underlay.version).tunnel_destination, int(node.underlay))
