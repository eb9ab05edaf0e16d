"""The node itself as sender and receiver: what tun0 may send in, what leaves by it, the way to this node's pods and
to other nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import fields, pipeline
from topology.features.section import WHOLE_NODE, Section, SubjectKey, of_each_node
from topology.fields import ETH_DST, ETH_TYPE, IN_PORT, Family, family
from topology.flow import Flow, at, conntrack, goto, known_nat, load, match, match_fields, nat_from, no_in_port, output
from topology.matches import from_address, in_space, in_state, masked, to_address, to_prefix
from topology.model import HAIRPIN, NODE_PORTS, SHARED_SPACE, TUN_OFPORT, Address, Cluster, Node, Prefix
from topology.pipeline import ANSWERED_BY_NODE, NODE_HAIRPIN_ZONE, NODE_ZONE, OUTPUT_PORT, OUTSIDE, Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.NODE

_SOLICITS: Final = {"ip_proto": fields.PROTO_ICMPV6, "icmpv6_type": fields.ND_SOLICITATION, "icmpv6_code": 0}


def subjects(node: str, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """One: the node itself."""
    return (WHOLE_NODE,) if node in snapshot.nodes else ()


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """What tun0 may send in and what leaves by it."""
    this = snapshot.nodes.get(node)
    if this is None:
        return
    yield at(pipeline.ENCAPSULATE, (), (output(this.tunnel_ofport(snapshot.cluster)),))
    for subnet in this.subnets:
        kind = family(subnet.version)
        own = _own_addresses(this, subnet)
        yield from _ingress(kind, subnet, own, snapshot.cluster)
        yield from _egress(kind, own, this.mac)
        yield at(pipeline.ROUTE_LOCAL, to_prefix(subnet, in_space(SHARED_SPACE)), (goto(Table.SERVICE_REPLIES),))


def touched(change: Change, snapshot: Snapshot) -> Iterable[Section]:
    """The cluster's settings concern every node; a node only itself."""
    return of_each_node(WHOLE_NODE, change, snapshot)


def _own_addresses(node: Node, subnet: Prefix) -> tuple[Address, ...]:
    """Addresses of the node in the family of `subnet`: its gateway there, and its underlay address."""
    underlay = (node.underlay,) if node.underlay.version == subnet.version else ()
    return (node.gateway(subnet), *underlay)


def _ingress(kind: Family, subnet: Prefix, own: tuple[Address, ...], cluster: Cluster) -> Iterator[Flow]:
    # From whichever of its addresses: that of a packet which it has to send.
    if kind is fields.IPV4:
        yield at(pipeline.NODE_ARP, match(eth_type=fields.ETH_ARP, arp_op=1), (goto(Table.ARP_RESPONDER),))
    else:
        yield at(pipeline.NODE_ND, match(eth_type=kind.eth_type, **_SOLICITS), (goto(Table.ARP_RESPONDER),))
    for source in own:
        for cidr in cluster.cluster_cidrs:
            if cidr.version == kind.version:
                terms = from_address(source, (kind.destination, masked(cidr)))
                yield at(pipeline.NODE_SOURCE, terms, (goto(Table.ROUTING),))
        for cidr in (*cluster.service_cidrs, NODE_PORTS[kind.version]):
            if cidr.version == kind.version:
                terms = from_address(source, (kind.destination, masked(cidr)))
                yield at(pipeline.NODE_SERVICE, terms, (goto(Table.SERVICES),))
    tracked = (conntrack(NODE_ZONE, table=Table.NODE_REPLIES),)
    yield at(pipeline.NODE_TRACK, to_prefix(subnet), tracked)
    yield at(pipeline.NODE_REPLY, in_state(kind, fields.IS_REPLY), (goto(Table.SERVICE_REPLIES),))
    yield at(pipeline.NODE_RELATED, in_state(kind, fields.IS_RELATED), (goto(Table.SERVICE_REPLIES),))
    back = conntrack(NODE_HAIRPIN_ZONE, table=Table.SERVICE_REPLIES, nested=(known_nat(),))
    answered = (no_in_port(), load(OUTSIDE, ANSWERED_BY_NODE), back)
    yield at(pipeline.NODE_HAIRPIN, to_address(HAIRPIN[kind.version]), answered)


def _egress(kind: Family, own: tuple[Address, ...], mac: int) -> Iterator[Flow]:
    # The kernel takes only frames that carry tun0's own MAC.
    for address in own:
        terms = to_address(address, (OUTPUT_PORT, TUN_OFPORT))
        yield at(pipeline.OUTPUT_OWN, terms, (load(ETH_DST, mac), output(TUN_OFPORT)))
    # To the kernel a packet from its own address is a forgery, so what it sent comes back to it from another one.
    back = match_fields((IN_PORT, TUN_OFPORT), (OUTPUT_PORT, TUN_OFPORT), (ETH_TYPE, kind.eth_type))
    nat = nat_from(HAIRPIN[kind.version])
    again = conntrack(NODE_HAIRPIN_ZONE, commit=True, table=Table.OUTPUT, nested=(nat,))
    yield at(pipeline.OUTPUT_HAIRPIN, back, (no_in_port(), again))
    terms = match_fields((OUTPUT_PORT, TUN_OFPORT), (ETH_TYPE, kind.eth_type))
    commit = conntrack(NODE_ZONE, commit=True)
    yield at(pipeline.OUTPUT_TUN, terms, (load(ETH_DST, mac), commit, output(TUN_OFPORT)))
