"""The node itself as sender and receiver: what tun0 may send in, what leaves by it, the way to this node's pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import fields, pipeline
from topology.features.section import WHOLE_NODE, Section, SubjectKey, of_each_node
from topology.fields import ETH_DST, ETH_TYPE, Family, family
from topology.flow import Flow, at, conntrack, goto, load, match, match_fields, output
from topology.matches import from_address, in_space, in_state, masked, to_address, to_prefix
from topology.model import SHARED_SPACE, TUN_OFPORT, Address, Cluster, Node, Prefix
from topology.pipeline import NODE_ZONE, OUTPUT_PORT, Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.NODE


def subjects(node: str, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """One: the node itself."""
    return (WHOLE_NODE,) if node in snapshot.nodes else ()


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """What tun0 may send in and what leaves by it."""
    this = snapshot.nodes.get(node)
    if this is None:
        return
    for subnet in this.subnets:
        kind = family(subnet.version)
        own = _own_addresses(this, subnet)
        yield from _ingress(kind, subnet, own, snapshot.cluster)
        yield from _egress(kind, own, this.mac)
        yield at(pipeline.ROUTE_LOCAL, to_prefix(subnet, in_space(SHARED_SPACE)), (goto(Table.LOCAL),))


def touched(change: Change, snapshot: Snapshot) -> Iterable[Section]:
    """The cluster's settings concern every node; a node only itself."""
    return of_each_node(WHOLE_NODE, change, snapshot)


def _own_addresses(node: Node, subnet: Prefix) -> tuple[Address, ...]:
    """Addresses of the node in the family of `subnet`: its gateway there, and its underlay address."""
    underlay = (node.underlay,) if node.underlay.version == subnet.version else ()
    return (node.gateway(subnet), *underlay)


def _ingress(kind: Family, subnet: Prefix, own: tuple[Address, ...], cluster: Cluster) -> Iterator[Flow]:
    for source in own:
        if kind is fields.IPV4:
            request = match(eth_type=fields.ETH_ARP, arp_op=1, arp_spa=int(source))
            yield at(pipeline.NODE_ARP, request, (goto(Table.ARP_RESPONDER),))
        for cidr in cluster.cluster_cidrs:
            if cidr.version == kind.version:
                terms = from_address(source, (kind.destination, masked(cidr)))
                yield at(pipeline.NODE_SOURCE, terms, (goto(Table.ROUTING),))
    tracked = (conntrack(NODE_ZONE, table=Table.NODE_REPLIES),)
    yield at(pipeline.NODE_TRACK, to_prefix(subnet), tracked)
    yield at(pipeline.NODE_REPLY, in_state(kind, fields.IS_REPLY), (goto(Table.LOCAL),))
    yield at(pipeline.NODE_RELATED, in_state(kind, fields.IS_RELATED), (goto(Table.LOCAL),))


def _egress(kind: Family, own: tuple[Address, ...], mac: int) -> Iterator[Flow]:
    # The kernel takes only frames that carry tun0's own MAC.
    for address in own:
        terms = to_address(address, (OUTPUT_PORT, TUN_OFPORT))
        yield at(pipeline.OUTPUT_OWN, terms, (load(ETH_DST, mac), output(TUN_OFPORT)))
    terms = match_fields((OUTPUT_PORT, TUN_OFPORT), (ETH_TYPE, kind.eth_type))
    commit = conntrack(NODE_ZONE, commit=True)
    yield at(pipeline.OUTPUT_TUN, terms, (load(ETH_DST, mac), commit, output(TUN_OFPORT)))
