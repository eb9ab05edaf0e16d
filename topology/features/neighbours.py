"""Neighbour discovery (RFC 4861) is answered by flows, per address space, and never flooded: what ARP is to IPv4.

A solicitation is turned into its advertisement in two tables: which option a packet has follows from its type, and a
flow may write only into what its match says is there. Every MAC is derived from its address (`model.mac_of`), so one
flow answers for a whole prefix, and the answer tells nothing about who exists. Solicitations from :: (duplicate address
detection, RFC 4862, 5.4) do not come here: POD_INGRESS lets only those from the port's own addresses through. Nothing
else of neighbour or router discovery is taken from pods, nor what DHCPv6 servers say: nobody can pose as a router or as
another pod. Open vSwitch rewrites these packets in its slow path; a pod asks once for each address it talks to.

Without IPv6 addresses in the cluster there are no such flows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from topology import pipeline
from topology.features.section import Section, SubjectKey, families, has_other_range
from topology.fields import (
    ETH_DST,
    ETH_IPV6,
    ETH_SRC,
    ETH_TYPE,
    ICMPV6_CODE,
    ICMPV6_TYPE,
    IP_PROTO,
    IPV6,
    IPV6_DST,
    IPV6_SRC,
    ND_ADVERTISEMENT,
    ND_OPTIONS_TYPE,
    ND_RESERVED,
    ND_SOLICITATION,
    ND_TARGET,
    ND_TLL,
    PROTO_ICMPV6,
    TRANSPORT,
    Field,
)
from topology.flow import DROP, IN_PORT_NUMBER, Actions, Flow, at, copy, goto, load, match_fields, output
from topology.matches import in_space, masked
from topology.model import SHARED_SPACE, Cluster, Hosting, Network, Node, Prefix
from topology.packet import DHCPV6_CLIENT, ND_TYPES
from topology.pipeline import Table
from topology.snapshot import Change, Snapshot

ID: Final = pipeline.FeatureId.ND

_SHARED: Final = ""  # no network is called so
_MAC_PREFIX: Final = 0x0A58 << 32
_TARGET_LINK_ADDRESS: Final = 2  # type of the option, section 4.6.1
_SOLICITED_OVERRIDE: Final = 0x6000_0000  # flags, section 4.4; not a router: pods have a static route

_IS_ICMPV6: Final = ((ETH_TYPE, ETH_IPV6), (IP_PROTO, PROTO_ICMPV6))

_ADVERTISE: Final[Actions] = (
    copy(ETH_SRC, ETH_DST, 48),
    load(ETH_SRC, _MAC_PREFIX),
    copy(ND_TARGET, ETH_SRC, 16),
    copy(ND_TARGET, ETH_SRC, 16, from_bit=64, to_bit=16),
    copy(IPV6_SRC, IPV6_DST, 128),
    copy(ND_TARGET, IPV6_SRC, 128),
    load(ND_OPTIONS_TYPE, _TARGET_LINK_ADDRESS),
    load(ND_RESERVED, _SOLICITED_OVERRIDE),
    load(ICMPV6_TYPE, ND_ADVERTISEMENT),
    goto(Table.ND_ANSWERS),
)


def subjects(node: str, snapshot: Snapshot) -> Iterator[SubjectKey]:
    """The address spaces of networks with subnets that have ports on the node; the shared one is common."""
    if node in snapshot.nodes:
        for name in snapshot.hosting.get(node, {}):
            yield (name,)


def flows(node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Answer for each prefix of the space."""
    if node not in snapshot.nodes:
        return
    name = str(subject[0])
    network = snapshot.networks.get(name)
    if name == _SHARED:
        yield from common_flows(subject, snapshot)
    elif network is not None and (node, name) in snapshot.hosted:
        yield from _answers(network.space, tuple(subnet.cidr for subnet in network.subnets))


def touched(change: Change, snapshot: Snapshot) -> Iterator[Section]:
    """A node concerns only itself; a network the nodes that have ports of it."""
    match change.subject:
        case Hosting(node=node, network=network):
            yield Section(node, (network,))
        case Network(name=name) if has_other_range(change):
            for node in snapshot.hosts.get(name, {}):
                yield Section(node, (name,))
        case Node(name=name):
            for subject in subjects(name, snapshot):
                yield Section(name, subject)


def common_subjects(snapshot: Snapshot) -> Iterable[SubjectKey]:
    """The shared address space, and what no pod may say in any."""
    return ((_SHARED,),)


def common_flows(subject: SubjectKey, snapshot: Snapshot) -> Iterator[Flow]:
    """Answer for all that is in the cluster; take nothing else from pods."""
    if IPV6 not in families(snapshot.cluster):
        return
    yield from _answers(SHARED_SPACE, snapshot.cluster.cluster_cidrs)
    advertisement = match_fields(*_IS_ICMPV6, (ICMPV6_TYPE, ND_ADVERTISEMENT), (ICMPV6_CODE, 0))
    yield at(pipeline.ND_ADVERTISED, advertisement, (copy(ETH_SRC, ND_TLL, 48), output(IN_PORT_NUMBER)))
    yield at(pipeline.ND_MISS, (), DROP)
    for kind in ND_TYPES:
        yield at(pipeline.POD_NO_ND, match_fields(*_IS_ICMPV6, (ICMPV6_TYPE, kind)), DROP)
    number, _, destination = TRANSPORT["UDP"]
    to_clients: tuple[tuple[Field, int], ...] = (
        (ETH_TYPE, ETH_IPV6),
        (IP_PROTO, number),
        (destination, DHCPV6_CLIENT),
    )
    yield at(pipeline.POD_NO_ND, match_fields(*to_clients), DROP)


def common_touched(change: Change, snapshot: Snapshot) -> Iterable[SubjectKey]:
    """The cluster's settings concern it."""
    return ((_SHARED,),) if isinstance(change.subject, Cluster) else ()


def absent(node: str) -> Iterable[SubjectKey]:
    """Nothing is absent anywhere."""
    return ()


def _answers(space: int, cidrs: tuple[Prefix, ...]) -> Iterator[Flow]:
    for cidr in cidrs:
        if cidr.version == IPV6.version:
            asked = ((ICMPV6_TYPE, ND_SOLICITATION), (ICMPV6_CODE, 0), (ND_TARGET, masked(cidr)))
            yield at(pipeline.ND_SOLICITED, match_fields(*_IS_ICMPV6, *asked, in_space(space)), _ADVERTISE)
