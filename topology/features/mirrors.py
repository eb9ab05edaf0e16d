"""Mirrors: copies of what pods send and get, to the port of another pod, by the tunnel if that is on another node.

What a port has is the union of all mirrors that copy it. Copies go straight out: nothing copies a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey
from topology.fields import ETH_DST, IN_PORT, TUNNEL_ID, family
from topology.flow import (
    Actions,
    Flow,
    at,
    cloned,
    goto,
    load,
    match_fields,
    no_in_port,
    output,
    output_field,
    resubmit,
)
from topology.model import Cluster, Hosting, Mirror, Node, PodKey, Port, PortKey, Severed
from topology.pipeline import MIRROR_MAC, MIRROR_VNID, OUTPUT_PORT, Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.MIRRORS


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The ports on the node that are mirrored, and the mirrors whose targets are there."""
    if not snapshot.mirrors:
        return
    for key in snapshot.ports_on.get(node, {}):
        if any(_of_port(snapshot.ports[key], snapshot)):
            yield key
    for name, mirror in snapshot.mirrors.items():
        target = _target(mirror, snapshot)
        if target is not None and target.node == node:
            yield (name,)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Copies of a port's packets; or, where a mirror's target is, what comes from other nodes."""
    if len(subject) == 1:
        mirror = snapshot.mirrors.get(str(subject[0]))
        if mirror is not None and node in snapshot.nodes:
            yield from _arriving(node, mirror, snapshot)
        return
    port = snapshot.ports.get(PortKey(*map(str, subject)))
    if port is None or port.node != node or port.ofport is None:
        return
    mirrors = tuple(_of_port(port, snapshot))
    sent = tuple(_copy(node, mirror, snapshot) for mirror in mirrors if mirror.sent)
    if any(sent):
        onwards = (*(action for copy in sent for action in copy), goto(Table.TRACKING))
        yield at(pipeline.SENT_COPIED, match_fields((IN_PORT, port.ofport)), onwards)
    received = tuple(_copy(node, mirror, snapshot) for mirror in mirrors if mirror.received)
    if any(received):
        out = (*(action for copy in received for action in copy), output_field(OUTPUT_PORT))
        yield at(pipeline.RECEIVED_COPIED, match_fields((OUTPUT_PORT, port.ofport)), out)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A port itself, and all that is mirrored to it; what a mirror copies, and its target's node; a node's own."""
    match change.subject:
        case Port(key=key):
            yield Section(key.node, key)
            for pod in change.pods:
                yield from _of_pod(key.node, pod, snapshot)
        case Mirror():
            for side in (change.before, change.after):
                if isinstance(side, Mirror):
                    yield from _all_of(side, snapshot)
        case Hosting(network=network):
            for mirror in snapshot.mirrors_of.get(network, {}):
                yield from _at_target(snapshot.mirrors[mirror], snapshot)
        case Node() | Cluster() as changed:
            yield from _of_tunnels(changed, snapshot)
    if isinstance(change.subject, Node | Severed) and snapshot.relaying:
        for each in snapshot.mirrors.values():
            yield from _at_target(each, snapshot)


def _of_pod(node: str, pod: PodKey, snapshot: Snapshot) -> Iterator[Section]:
    """Name all that is mirrored to a pod that has, or had, a port on a node, and where copies of its packets arrive."""
    for mirror in snapshot.mirrors_to.get(pod, {}):
        yield Section(node, (mirror,))
        yield from _all_of(snapshot.mirrors[mirror], snapshot)
    for mirror in snapshot.mirrors_of.get(pod, {}):
        yield from _at_target(snapshot.mirrors[mirror], snapshot)


def _of_tunnels(changed: Node | Cluster, snapshot: Snapshot) -> Iterator[Section]:
    """Name what has a node's tunnel in it, the one that it sends by or the address that it is sent to."""
    for node in snapshot.nodes if isinstance(changed, Cluster) else (changed.name,):
        for subject in subjects(node, snapshot):
            yield Section(node, subject)
    if isinstance(changed, Node):
        for mirror in snapshot.mirrors.values():
            yield from _of_node(changed.name, mirror, snapshot)


def _of_node(node: str, mirror: Mirror, snapshot: Snapshot) -> Iterator[Section]:
    """Name what other nodes have because a mirror's target, or what it copies, is on a node: its tunnel's address."""
    target = _target(mirror, snapshot)
    if target is not None and target.node == node:
        yield from _all_of(mirror, snapshot)
    elif node in _senders(mirror, snapshot):
        yield from _at_target(mirror, snapshot)


def _all_of(mirror: Mirror, snapshot: Snapshot) -> Iterator[Section]:
    for key in _sources(mirror, snapshot):
        yield Section(key.node, key)
    yield from _at_target(mirror, snapshot)


def _at_target(mirror: Mirror, snapshot: Snapshot) -> Iterator[Section]:
    """Name the section of what arrives, wherever a port of the target is: another may have been it before."""
    for key in snapshot.port_by_pod.get(mirror.target, {}):
        yield Section(key.node, (mirror.name,))


def _sources(mirror: Mirror, snapshot: Snapshot) -> Iterator[PortKey]:
    """The ports that a mirror copies, its target's left out only where they are looked at."""
    if mirror.pod is not None:
        yield from snapshot.port_by_pod.get(mirror.pod, {})
        return
    for node in snapshot.hosts.get(mirror.network or "", {}):
        for key in snapshot.ports_on.get(node, {}):
            if snapshot.ports[key].network == mirror.network:
                yield key


def _of_port(port: Port, snapshot: Snapshot) -> Iterator[Mirror]:
    """The mirrors that copy a port, by name."""
    pod = PodKey(port.project, port.pod)
    names: Iterable[str] = {*snapshot.mirrors_of.get(port.network, {}), *snapshot.mirrors_of.get(pod, {})}
    return (snapshot.mirrors[name] for name in sorted(names) if snapshot.mirrors[name].target != pod)


def _target(mirror: Mirror, snapshot: Snapshot) -> Port | None:
    """The port that gets the copies: of the target's on their switches, the first primary one."""
    ports = (snapshot.ports[key] for key in sorted(snapshot.port_by_pod.get(mirror.target, {})))
    return next((port for port in ports if port.ofport is not None and not port.is_secondary), None)


def _copy(node: str, mirror: Mirror, snapshot: Snapshot) -> Actions:
    """Copy a packet on a node to a mirror's target; nothing while that is gone."""
    target = _target(mirror, snapshot)
    there = None if target is None else snapshot.nodes.get(target.node)
    if target is None or target.ofport is None or there is None:
        return ()
    # It may have to leave by the port that it came by.
    named = (no_in_port(), load(ETH_DST, MIRROR_MAC | mirror.number))
    if target.node == node:
        return (cloned(*named, output(target.ofport)),)
    vtep = there.underlay
    envelope = (load(TUNNEL_ID, MIRROR_VNID), load(family(vtep.version).tunnel_destination, int(vtep)))
    return (cloned(*named, *envelope, resubmit(Table.ENCAPSULATION)),)


def _arriving(node: str, mirror: Mirror, snapshot: Snapshot) -> Iterator[Flow]:
    """What other nodes send that have ports of which a mirror copies the packets: to its target."""
    target = _target(mirror, snapshot)
    if target is None or target.node != node or target.ofport is None:
        return
    # What came over relays comes from the last of them.
    relays = snapshot.relaying.last_relays.get(node, ())
    for name in sorted(_senders(mirror, snapshot).union(relays)):
        peer = snapshot.nodes.get(name)
        if peer is not None and name != node:
            source = (family(peer.underlay.version).tunnel_source, int(peer.underlay))
            terms = match_fields(source, (TUNNEL_ID, MIRROR_VNID), (ETH_DST, MIRROR_MAC | mirror.number))
            yield at(pipeline.TUNNEL_COPY, terms, (output(target.ofport),))


def _senders(mirror: Mirror, snapshot: Snapshot) -> set[str]:
    if mirror.pod is not None:
        return {key.node for key in snapshot.port_by_pod.get(mirror.pod, {})}
    return {*snapshot.hosts.get(mirror.network or "", {})}
