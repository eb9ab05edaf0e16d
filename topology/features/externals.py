"""External VTEPs: hosts of a network behind a VTEP on which no node of ours runs.

What goes there is made ready in ROUTING, in a form that says nothing of ours to whoever takes it, and leaves if
DELIVERY lets the pair of networks pass. What comes from there is taken for its network's and gets a source MAC of no
meaning, for ours mean something. So it gets to pods of the node it came to, and to that node, and no further.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import pipeline
from topology.answering import ANSWER
from topology.features.section import Section, SubjectKey
from topology.fields import (
    ARP_OP,
    ARP_SPA,
    ARP_TPA,
    ETH_ARP,
    ETH_DST,
    ETH_SRC,
    ETH_TYPE,
    IN_PORT,
    TUNNEL_ID,
    Field,
    family,
)
from topology.flow import DROP, Action, Flow, at, copy, goto, load, match_fields
from topology.matches import from_prefix, in_space, masked, to_address, to_prefix
from topology.model import SHARED_SPACE, TUNNEL_OFPORTS, ExternalVtep, Network, Node
from topology.pipeline import DESTINATION_VNID, OUTPUT_PORT, SOURCE_VNID, Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.EXTERNALS

_MAC_PREFIX: Final = 0x0A58 << 32
_COMMON: Final = "common"
_ARP: Final = "arp"


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """Every external VTEP: ARP of its hosts is answered for the node's own subnets."""
    if node in snapshot.nodes:
        for name in snapshot.externals:
            yield (_ARP, name)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Answer ARP for what is on this node: so a VTEP that learns, learns where each pod is."""
    kind, name = map(str, subject)
    this, external = snapshot.nodes.get(node), snapshot.externals.get(name)
    network = None if external is None else snapshot.networks.get(external.network)
    if this is None or external is None or network is None:
        return
    if kind == _COMMON:
        yield from common_flows(subject, snapshot)
        return
    back = load(family(external.address.version).tunnel_destination, int(external.address))
    for own in this.subnets:
        for subnet in external.subnets:
            if own.version == subnet.version == 4:
                asks = ((ETH_TYPE, ETH_ARP), (ARP_OP, 1), (ARP_SPA, masked(subnet)), (ARP_TPA, masked(own)))
                terms = match_fields(*_outer(external, network), *asks)
                yield at(pipeline.TUNNEL_EXTERNAL_ARP, terms, (back, *ANSWER))


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """An external VTEP, and its network, everywhere; a node in itself."""
    match change.subject:
        case Node(name=node):
            for subject in subjects(node, snapshot):
                yield Section(node, subject)
        case ExternalVtep() | Network():
            for name in _concerned(change, snapshot):
                for node in snapshot.nodes:
                    yield Section(node, (_ARP, name))


def common_subjects(snapshot: Snapshot) -> Iterator[SubjectKey]:
    """Every external VTEP."""
    for name in snapshot.externals:
        yield (_COMMON, name)


def common_flows(subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """To its hosts, from them, and that nobody uses their addresses or its own in another way."""
    external = snapshot.externals.get(str(subject[1]))
    network = None if external is None else snapshot.networks.get(external.network)
    if external is None or network is None:
        return
    guarded = to_address(external.address, in_space(SHARED_SPACE))
    yield at(pipeline.ROUTE_EXTERNAL_VTEP, guarded, (goto(Table.NODE_GUARD),))
    for subnet in external.subnets:
        kind = family(subnet.version)
        plain = (load(ETH_SRC, _MAC_PREFIX), copy(kind.source, ETH_SRC, 32))
        believed = from_prefix(subnet, *_outer(external, network))
        yield at(
            pipeline.TUNNEL_EXTERNAL,
            believed,
            (load(SOURCE_VNID, network.vnid), *plain, goto(Table.SERVICE_REPLIES)),
        )
        yield at(pipeline.NODE_EXTERNAL, from_prefix(subnet), DROP)
        envelope = (
            load(TUNNEL_ID, network.vnid),
            load(family(external.address.version).tunnel_destination, int(external.address)),
        )
        decided = (load(DESTINATION_VNID, network.vnid), load(OUTPUT_PORT, TUNNEL_OFPORTS[external.encapsulation]))
        made = (*plain, *_to_mac(external, kind.destination), *envelope, *decided, goto(Table.DELIVERY))
        yield at(pipeline.ROUTE_EXTERNAL, to_prefix(subnet, in_space(SHARED_SPACE)), made)


def common_touched(change: Change, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """An external VTEP, and its network."""
    if isinstance(change.subject, ExternalVtep | Network):
        for name in _concerned(change, snapshot):
            yield (_COMMON, name)


def absent(node: str) -> Iterable[SubjectKey]:
    """Nothing is absent anywhere."""
    return ()


def _concerned(change: Change, snapshot: Snapshot) -> set[str]:
    found: set[str] = set()
    for side in (change.before, change.after):
        match side:
            case ExternalVtep(name=name):
                found.add(name)
            case Network(name=name):
                found.update(snapshot.externals_of.get(name, {}))
    return found


def _outer(external: ExternalVtep, network: Network) -> tuple[tuple[Field, int], ...]:
    return (
        (IN_PORT, TUNNEL_OFPORTS[external.encapsulation]),
        (family(external.address.version).tunnel_source, int(external.address)),
        (TUNNEL_ID, network.vnid),
    )


def _to_mac(external: ExternalVtep, destination: Field) -> tuple[Action, ...]:
    if external.mac is not None:
        return (load(ETH_DST, external.mac),)
    return (load(ETH_DST, _MAC_PREFIX), copy(destination, ETH_DST, 32))
