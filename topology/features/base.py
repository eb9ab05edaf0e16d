"""What every node has, whatever its pods are: dispatch, empty stages, the cluster's routes, each table's last drop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from topology import pipeline
from topology.features.section import WHOLE_NODE, Section, SubjectKey, families, of_each_node
from topology.fields import ETH_TYPE, IS_RELATED
from topology.flow import DROP, Flow, at, goto, load, match, match_fields, output_field
from topology.matches import in_space, in_state, to_prefix
from topology.model import SHARED_SPACE, TUN_OFPORT, VXLAN_OFPORT, Cluster, Prefix
from topology.pipeline import OUTPUT_PORT, Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.BASE

_NOT_UNICAST: Final[dict[int, tuple[Prefix, ...]]] = {
    4: (IPv4Network("224.0.0.0/4"), IPv4Network("255.255.255.255/32")),
    6: (IPv6Network("ff00::/8"),),
}


def subjects(node: str, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """One: the node itself."""
    return (WHOLE_NODE,) if node in snapshot.nodes else ()


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Dispatch, empty policy stages, cluster routes, table misses."""
    if node not in snapshot.nodes:
        return
    yield at(pipeline.DISPATCH_TUNNEL, match(in_port=VXLAN_OFPORT), (goto(Table.TUNNEL_INGRESS),))
    yield at(pipeline.DISPATCH_NODE, match(in_port=TUN_OFPORT), (goto(Table.NODE_INGRESS),))
    yield at(pipeline.DISPATCH_POD, (), (goto(Table.POD_INGRESS),))
    yield at(pipeline.NO_TRACK, (), (goto(Table.CROSSING),))
    yield at(pipeline.CROSS_SHARED, match_fields(in_space(SHARED_SPACE)), (goto(Table.SERVICES),))
    yield at(pipeline.NO_SERVICE, (), (goto(Table.EGRESS_POLICY),))
    yield at(pipeline.EGRESS_POLICY_NONE, (), (goto(Table.ROUTING),))
    yield at(pipeline.INGRESS_POLICY_NONE, (), (goto(Table.DELIVERY),))
    yield at(pipeline.OUTPUT_POD, (), (output_field(OUTPUT_PORT),))
    for stage in pipeline.TABLE_MISS.values():
        yield at(stage, (), DROP)
    yield from _routes(snapshot.cluster)


def touched(change: Change, snapshot: Snapshot) -> Iterable[Section]:
    """The cluster's settings concern every node; a node only itself."""
    return of_each_node(WHOLE_NODE, change, snapshot)


def _routes(cluster: Cluster) -> Iterator[Flow]:
    for cidr in cluster.service_cidrs:
        yield at(pipeline.SERVICE_RANGE, to_prefix(cidr), DROP)
    for cidr in cluster.cluster_cidrs:
        yield at(pipeline.ROUTE_CLUSTER, to_prefix(cidr, in_space(SHARED_SPACE)), (goto(Table.TUNNEL_EGRESS),))
    for kind in families(cluster):
        for cidr in _NOT_UNICAST[kind.version]:
            yield at(pipeline.ROUTE_MULTICAST, to_prefix(cidr), DROP)
        outside = match_fields((ETH_TYPE, kind.eth_type), in_space(SHARED_SPACE))
        yield at(pipeline.ROUTE_OUTSIDE, outside, (load(OUTPUT_PORT, TUN_OFPORT), goto(Table.OUTPUT)))
        yield at(pipeline.REPLY_RELATED, in_state(kind, IS_RELATED), (goto(Table.OUTPUT),))
