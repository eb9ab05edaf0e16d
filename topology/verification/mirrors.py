"""Claims about mirrors: whose packets are copied, to whose port, and what is taken for a copy on another node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from topology import fields, pipeline
from topology.fields import ETH_DST, IN_PORT, TUNNEL_ID, Field
from topology.flow import Action, Actions, Match, Op
from topology.model import GENEVE_OFPORT, ICMP_OFPORT, IGMP_OFPORT, TUN_OFPORT, VXLAN_OFPORT, Mirror, Node, Port
from topology.pipeline import OUTPUT_PORT, Stage, Table
from topology.snapshot import Snapshot
from topology.verification.claim import About, Claim, Kind, always
from topology.verification.routing import sends_by
from topology.verification.shape import ADDRESS_MASK, NO_IN_PORT, W32, W48, family_of, goto
from topology.verification.world import View

_NO_PODS: Final = frozenset((VXLAN_OFPORT, GENEVE_OFPORT, TUN_OFPORT, ICMP_OFPORT, IGMP_OFPORT))
_COPIES: Final = 1
_W64: Final = (1 << 64) - 1


def _target(mirror: Mirror, snapshot: Snapshot) -> Port | None:
    ports = [snapshot.ports[key] for key in snapshot.port_by_pod.get(mirror.target, {})]
    there = [port for port in ports if port.ofport not in (None, *_NO_PODS) and not port.is_secondary]
    return min(there, key=lambda port: port.key, default=None)


def _name(mirror: Mirror) -> int:
    """The MAC address that copies of a mirror go to: 0a:5c and its number."""
    return 0x0A5C << 32 | mirror.number


def _copies(view: View, port: Port, is_wanted: Callable[[Mirror], bool]) -> Iterator[Action]:
    """What is done to copy the packets of a port on the node, mirror after mirror by name."""
    pod = (port.project, port.pod)
    for name in sorted(view.snapshot.mirrors):
        mirror = view.snapshot.mirrors[name]
        is_source = mirror.network == port.network if mirror.pod is None else tuple(mirror.pod) == pod
        target = _target(mirror, view.snapshot) if is_source and is_wanted(mirror) else None
        if target is None or tuple(mirror.target) == pod or target.node not in view.snapshot.nodes:
            continue
        named: Actions = (NO_IN_PORT, (Op.SET, ETH_DST, _name(mirror), W48))
        if target.node == view.node:
            yield (Op.CLONE, (*named, (Op.OUTPUT, target.ofport or 0)))
        else:
            vtep = view.snapshot.nodes[target.node].underlay
            at = (Op.SET, family_of(vtep.version).tunnel_destination, int(vtep), ADDRESS_MASK[vtep.version])
            yield (Op.CLONE, (*named, (Op.SET, TUNNEL_ID, _COPIES, _W64), at, (Op.OUTPUT, sends_by(view))))


def _of_ports(stage: Stage, field: Field, is_wanted: Callable[[Mirror], bool], then: Action) -> Claim:
    def copied(view: View, port: Port | None) -> Actions:
        is_here = port is not None and port.node == view.node and port.ofport not in (None, *_NO_PODS)
        return tuple(_copies(view, port, is_wanted)) if port is not None and is_here else ()

    def holds(view: View, match: Match, actions: Actions) -> bool:
        ((name, ofport, mask),) = match
        key = view.snapshot.port_by_ofport.get((view.node, ofport))
        port = None if key is None else view.snapshot.ports.get(key)
        copies = copied(view, port)
        return bool(copies) and (name, mask) == (field, W32) and actions == (*copies, then)

    def owed(view: View) -> Iterator[Match]:
        for key in view.ports() if view.snapshot.mirrors else ():
            port = view.snapshot.ports.get(key)
            if port is not None and port.ofport is not None and copied(view, port):
                yield ((field, port.ofport, W32),)

    return Claim(stage, Kind.LEAK, About.PORTS, holds, owed)


def _sending(view: View, mirror: Mirror) -> Iterator[Node]:
    """The other nodes that have ports whose packets a mirror copies."""
    if mirror.pod is None:
        names = {*view.snapshot.hosts.get(mirror.network or "", {})}
    else:
        names = {key.node for key in view.snapshot.port_by_pod.get(mirror.pod, {})}
    return (view.snapshot.nodes[name] for name in names if name in view.snapshot.nodes and name != view.node)


def _from(node: Node, mirror: Mirror) -> Match:
    vtep = node.underlay
    outer = (family_of(vtep.version).tunnel_source, int(vtep), ADDRESS_MASK[vtep.version])
    return tuple(sorted((outer, (TUNNEL_ID, _COPIES, _W64), (ETH_DST, _name(mirror), W48))))


def _arrives(view: View, match: Match, actions: Actions) -> bool:
    named = {value for name, value, _ in match if name == ETH_DST}
    for mirror in view.snapshot.mirrors.values():
        target = _target(mirror, view.snapshot)
        if _name(mirror) in named and target is not None and target.node == view.node:
            is_sent = any(match == _from(node, mirror) for node in _sending(view, mirror))
            return is_sent and actions == ((Op.OUTPUT, target.ofport or 0),)
    return False


def _arriving(view: View) -> Iterator[Match]:
    names = view.snapshot.mirrors if view.focus.whole else view.focus.mirrors
    for mirror in (view.snapshot.mirrors[name] for name in names if name in view.snapshot.mirrors):
        target = _target(mirror, view.snapshot)
        if target is not None and target.node == view.node:
            for node in _sending(view, mirror):
                yield _from(node, mirror)


CLAIMS: Final[tuple[Claim, ...]] = (
    Claim(pipeline.TUNNEL_COPY, Kind.LEAK, About.MIRRORS, _arrives, _arriving),
    always(pipeline.TUNNEL_NO_COPY, Kind.LEAK, (), ((fields.TUNNEL_ID, _COPIES, _W64),)),
    _of_ports(pipeline.SENT_COPIED, IN_PORT, lambda mirror: mirror.sent, goto(Table.TRACKING)),
    always(pipeline.SENT_NONE, Kind.SPOOF, (goto(Table.TRACKING),)),
    _of_ports(pipeline.RECEIVED_COPIED, OUTPUT_PORT, lambda mirror: mirror.received, (Op.OUTPUT_FIELD, OUTPUT_PORT)),
)
