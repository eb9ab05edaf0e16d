"""What address families settings and networks may have, and that they go together. It allots nothing."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Network
from typing import Final

from topology.admission.checks import overlapping
from topology.allocation import IPV6_NODE_PREFIX, SMALLEST_SUBNET_BITS, node_prefix
from topology.encapsulation import least_mtu
from topology.model import HAIRPIN, NODE_PORTS, Cluster, Prefix, Subnet
from topology.requests import Reason, Refused
from topology.snapshot import Snapshot

_WIDEST: Final = 48  # RFC 4291, section 2.5.4, and `model.mac_of`
# Unspecified, loopback and what embeds IPv4 (RFC 4291, 2.5.5); link-local and site-local; multicast.
_SPECIAL: Final[tuple[Prefix, ...]] = tuple(map(IPv6Network, ("::/16", "fe80::/9", "ff00::/8")))
_OUR_OWN: Final[tuple[Prefix, ...]] = (IPv6Network((int(HAIRPIN[6]), 128)), NODE_PORTS[6])


def versions(cluster: Cluster) -> frozenset[int]:
    """Return the IP versions that pods have addresses of."""
    return frozenset(cidr.version for cidr in cluster.cluster_cidrs)


def unsound_families(cluster: Cluster) -> Iterator[Refused]:
    """Yield what is wrong with the families of settings in themselves."""
    for cidr in cluster.cluster_cidrs:
        if cidr.version == 6 and cidr.prefixlen < _WIDEST:
            cause = f"is a /{cidr.prefixlen}, and pods' MAC addresses tell 16 bits of subnets apart"
            yield _bad(f"cluster CIDR {cidr}", cause, f"give a CIDR from /{_WIDEST} to /{IPV6_NODE_PREFIX}")
        length, most = node_prefix(cluster, cidr.version), cidr.max_prefixlen - SMALLEST_SUBNET_BITS
        if not cidr.prefixlen <= length <= most:
            remedy = f"give a length from {cidr.prefixlen} to {most}"
            if cidr.version == 6:
                remedy = f"give a CIDR of /{IPV6_NODE_PREFIX} or larger: each node gets a /{IPV6_NODE_PREFIX} of it"
            yield _bad(f"node prefix length {length}", f"does not fit cluster CIDR {cidr}", remedy)
    for cidr in (*cluster.cluster_cidrs, *cluster.service_cidrs):
        special = overlapping(cidr, (*_SPECIAL, *_OUR_OWN))
        if special is not None:
            remedy = "give a range of unicast addresses, such as one of fd00::/8 (RFC 4193)"
            yield _bad(f"CIDR {cidr}", f"shares addresses with {special}, which no host can have for its own", remedy)
    for cidr in cluster.service_cidrs:
        if cidr.version not in versions(cluster):
            cause = f"is IPv{cidr.version}, of which pods have no addresses"
            remedy = "give service CIDRs of the cluster CIDRs' families (--heddle-service-cidr)"
            yield _bad(f"service CIDR {cidr}", cause, remedy)


def unfit_families(cluster: Cluster, snapshot: Snapshot) -> Iterator[Refused]:
    """Yield networks and egresses that exist and do not go with the families of settings."""
    subject = "settings of the cluster"
    for name, network in sorted(snapshot.networks.items()):
        least = least_mtu((subnet.cidr for subnet in network.subnets) if network.subnets else cluster.cluster_cidrs)
        if network.mtu is not None and network.mtu < least:
            cause = f'network "{name}" has an MTU of {network.mtu} bytes, and pods of these families need {least}'
            yield Refused(Reason.IN_USE, subject, cause, f'delete "{name}", and make it anew with a larger MTU or none')
        for own in network.subnets:
            if own.cidr.version not in versions(cluster):
                cause = f'network "{name}" has subnet {own.cidr}, and pods would have no address to be known by'
                yield Refused(Reason.IN_USE, subject, cause, f'keep a CIDR of its family, or delete "{name}"')
    for address, name in sorted(snapshot.egress_by_address.items()):
        if address.version not in versions(cluster):
            cause = f'egress "{name}" has address {address}, and pods would have none of its family'
            yield Refused(Reason.IN_USE, subject, cause, f'keep a CIDR of its family, or delete "{name}"')


def check_own_family(cluster: Cluster, subject: str, subnet: Subnet) -> None:
    """Raise Refused when a network cannot have a subnet of this family for its own."""
    version = subnet.cidr.version
    if version == 6:
        cause = f"subnet {subnet.cidr} is not IPv4, and ranges of a network's own are not supported in IPv6 yet"
        remedy = "give an IPv4 range, or none: without subnets, its pods have addresses of all families of the cluster"
        raise Refused(Reason.INVALID, subject, cause, remedy)
    if version not in versions(cluster):
        cause = f"subnet {subnet.cidr} is IPv{version}, and pods would have no IPv{version} address to be known by"
        raise Refused(Reason.INVALID, subject, cause, f"add an IPv{version} cluster CIDR, or give no subnets")


def _bad(subject: str, cause: str, remedy: str) -> Refused:
    return Refused(Reason.INVALID, subject, cause, remedy)
