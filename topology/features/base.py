"""What every node has, whatever its pods are: dispatch, empty stages, the cluster's routes, each table's last drop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from topology import pipeline
from topology.features.section import WHOLE_NODE, Section, SubjectKey, families
from topology.fields import CT_MARK, CT_STATE, ETH_TYPE, IN_PORT, IS_DNATTED, IS_NEW, IS_RELATED, IS_REPLY, Family
from topology.flow import (
    DROP,
    Action,
    Actions,
    Flow,
    at,
    conntrack,
    copy,
    goto,
    known_nat,
    load,
    match,
    match_fields,
    no_in_port,
    output_field,
)
from topology.matches import in_space, in_state, to_address, to_prefix
from topology.model import HAIRPIN, NODE_PORTS, SHARED_SPACE, TUN_OFPORT, TUNNEL_OFPORTS, Cluster, Prefix
from topology.pipeline import (
    BALANCER,
    BY_SERVICE,
    HAIRPIN_ZONE,
    MIRROR_VNID,
    OUTPUT_PORT,
    SERVICE_ZONE,
    SOURCE_VNID,
    VNID_BITS,
    Table,
)
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.BASE

_NOT_UNICAST: Final[dict[int, tuple[Prefix, ...]]] = {
    4: (IPv4Network("224.0.0.0/4"), IPv4Network("255.255.255.255/32")),
    6: (IPv6Network("ff00::/8"), IPv6Network("fe80::/10")),  # link-local addresses are on no link but the pod's own
}

_OUT: Final[Actions] = (load(OUTPUT_PORT, TUN_OFPORT), goto(Table.OUTPUT))


def subjects(node: str, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """None: what it has is common to all nodes."""
    return ()


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Dispatch, empty policy stages, cluster routes, table misses."""
    if node in snapshot.nodes:
        yield from common_flows(subject, snapshot)


def common_subjects(snapshot: Snapshot) -> Iterable[SubjectKey]:
    """One: any node."""
    return (WHOLE_NODE,)


def common_flows(subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """What stands on each node."""
    for ofport in TUNNEL_OFPORTS.values():
        yield at(pipeline.DISPATCH_TUNNEL, match(in_port=ofport), (goto(Table.TUNNEL_INGRESS),))
    yield at(pipeline.DISPATCH_NODE, match(in_port=TUN_OFPORT), (goto(Table.NODE_INGRESS),))
    yield at(pipeline.DISPATCH_POD, (), (goto(Table.POD_INGRESS),))
    yield at(pipeline.TUNNEL_NO_COPY, match(tunnel_id=MIRROR_VNID), DROP)
    yield at(pipeline.SENT_NONE, (), (goto(Table.TRACKING),))
    yield at(pipeline.NO_TRACK, (), (goto(Table.CROSSING),))
    yield at(pipeline.CROSS_SHARED, match_fields(in_space(SHARED_SPACE)), (goto(Table.SERVICES),))
    yield at(pipeline.NO_SERVICE, (), (goto(Table.EGRESS_POLICY),))
    yield at(pipeline.EGRESS_POLICY_NONE, (), (goto(Table.ROUTING),))
    yield at(pipeline.INGRESS_POLICY_NONE, (), (goto(Table.DELIVERY),))
    yield at(pipeline.SERVICE_REPLY_NONE, (), (goto(Table.LOCAL),))
    yield at(pipeline.HAIRPIN_NONE, (), (goto(Table.LOCAL),))
    yield at(pipeline.OUTPUT_BALANCER, match_fields((OUTPUT_PORT, BALANCER)), (goto(Table.BALANCING),))
    yield at(pipeline.OUTPUT_POD, (), (goto(Table.RECEIVED),))
    yield at(pipeline.RECEIVED_NONE, (), (output_field(OUTPUT_PORT),))
    for stage in pipeline.TABLE_MISS.values():
        yield at(stage, (), DROP)
    yield from _routes(snapshot.cluster)
    yield from _translation(snapshot.cluster)


def touched(change: Change, snapshot: Snapshot) -> Iterable[Section]:
    """Nothing of a single node."""
    return ()


def common_touched(change: Change, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """The cluster's settings concern it."""
    return (WHOLE_NODE,) if isinstance(change.subject, Cluster) else ()


def absent(node: str) -> Iterable[SubjectKey]:
    """Nothing is absent anywhere."""
    return ()


def _routes(cluster: Cluster) -> Iterator[Flow]:
    for cidr in cluster.cluster_cidrs:
        yield at(pipeline.ROUTE_CLUSTER, to_prefix(cidr, in_space(SHARED_SPACE)), (goto(Table.TUNNEL_EGRESS),))
    for kind in families(cluster):
        for cidr in _NOT_UNICAST[kind.version]:
            yield at(pipeline.ROUTE_MULTICAST, to_prefix(cidr), DROP)
        yield at(pipeline.ROUTE_NODE_PORTS, to_prefix(NODE_PORTS[kind.version], in_space(SHARED_SPACE)), _OUT)
        outside = match_fields((ETH_TYPE, kind.eth_type), in_space(SHARED_SPACE))
        yield at(pipeline.ROUTE_OUTSIDE, outside, _OUT)
        yield at(pipeline.REPLY_RELATED, in_state(kind, IS_RELATED), (goto(Table.OUTPUT),))
        by_whom = (copy(CT_MARK, SOURCE_VNID, VNID_BITS), goto(Table.ROUTING))
        yield at(pipeline.EGRESS_REPLY, in_state(kind, IS_REPLY), by_whom)
        yield at(pipeline.EGRESS_RELATED, in_state(kind, IS_RELATED), by_whom)


def _translation(cluster: Cluster) -> Iterator[Flow]:
    """What gives addresses of services and endpoints for each other, whichever service it is."""
    for cidr in cluster.service_cidrs:
        yield at(pipeline.SERVICE_RANGE, to_prefix(cidr), (_translated(SERVICE_ZONE, Table.SERVICE_CONNECTIONS),))
    for kind in families(cluster):
        here = to_prefix(NODE_PORTS[kind.version], (IN_PORT, TUN_OFPORT))
        yield at(pipeline.SERVICE_NODE_PORT, here, (_translated(SERVICE_ZONE, Table.SERVICE_CONNECTIONS),))
        begins = to_prefix(NODE_PORTS[kind.version], (CT_STATE, (IS_NEW, IS_NEW)))
        yield at(pipeline.NODE_PORT_NONE, begins, _OUT)
    # Not "established": a second packet may come before the first is answered.
    known = match_fields((CT_STATE, (IS_DNATTED, IS_DNATTED)))
    yield at(pipeline.SERVICE_KNOWN, known, (copy(CT_MARK, BY_SERVICE, VNID_BITS), goto(Table.EGRESS_POLICY)))
    for kind in families(cluster):
        yield from _replies(kind)


def _replies(kind: Family) -> Iterator[Flow]:
    of_family = match_fields((ETH_TYPE, kind.eth_type), in_space(SHARED_SPACE))
    yield at(pipeline.SERVICE_REPLY, of_family, (_translated(SERVICE_ZONE, Table.HAIRPIN),))
    # It may have to leave by the port that it came by, which a switch does only to a packet that came by none.
    back = (no_in_port(), _translated(HAIRPIN_ZONE, Table.SERVICE_REPLIES))
    yield at(pipeline.ROUTE_HAIRPIN, to_address(HAIRPIN[kind.version], in_space(SHARED_SPACE)), back)


def _translated(zone: int, onwards: Table) -> Action:
    """As conntrack knows the packet's connection in a zone, if it knows it."""
    return conntrack(zone, table=onwards, nested=(known_nat(),))
