"""Address spaces: within a network's own range its addresses hold; elsewhere its pods go by their cluster addresses.

Translation is stateless: a sender's cluster address stands in a register since POD_INGRESS, a receiver's is one of the
two addresses that LOCAL finds it by. The flows stand on nodes with ports that may send into the space.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from topology import pipeline
from topology.features.section import (
    Section,
    SubjectKey,
    has_other_range,
    is_reaching,
    networks_within_reach,
    nodes_reaching,
)
from topology.fields import ETH_TYPE, IPV4
from topology.flow import Flow, at, copy, goto, load, match_fields
from topology.matches import in_space, to_prefix
from topology.model import SHARED_SPACE, Connection, Hosting, Network, Node
from topology.pipeline import CLUSTER_SOURCE, SCRATCH, SPACE, Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.SPACES


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The networks that have ports on the node, and those connected to them."""
    for name in networks_within_reach(node, snapshot):
        yield (name,)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Within the network's range, into it, and out of it."""
    network = snapshot.networks.get(str(subject[0]))
    if network is None or not network.subnets or not is_reaching(node, network.name, snapshot):
        return
    space = in_space(network.space)
    for subnet in network.subnets:
        yield at(pipeline.ROUTE_SPACE, to_prefix(subnet.cidr, space), (goto(Table.TUNNEL_EGRESS),))
    if (node, network.name) not in snapshot.hosted:
        return
    for subnet in network.subnets:
        yield at(pipeline.CROSS_NOT, to_prefix(subnet.cidr, space), (goto(Table.EGRESS_POLICY),))
    ends = (copy(IPV4.source, SCRATCH, IPV4.bits), copy(CLUSTER_SOURCE, IPV4.source, IPV4.bits))
    leave = (*ends, load(SPACE, SHARED_SPACE), goto(Table.LEAVING_ERRORS))
    yield at(pipeline.CROSS_LEAVE, match_fields((ETH_TYPE, IPV4.eth_type), space), leave)


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A network, who may reach it, and the first and last port of one that may, on a node."""
    match change.subject:
        case Network(name=name) if has_other_range(change):
            for node in nodes_reaching(name, snapshot):
                yield Section(node, (name,))
        case Connection(key=key):
            for name in key:
                for node in nodes_reaching(name, snapshot) | set(snapshot.hosts.get(key.other(name), {})):
                    yield Section(node, (name,))
        case Hosting(node=node, network=network):
            for name in (network, *snapshot.peers.get(network, {})):
                yield Section(node, (name,))
        case Node(name=name):
            for subject in subjects(name, snapshot):
                yield Section(name, subject)
