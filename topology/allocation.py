"""Numbers and addresses that nobody has: VNIDs, datapath ids, node subnets, pod addresses. Pure functions.

What is given out is input of everything else and stays with its holder (`admission` makes it part of an event);
nothing here is derived from a position or a hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from itertools import count
from typing import Final

from topology.model import FIRST_VNID, LAST_VNID, SHARED_SPACE, Address, Cluster, Node, Prefix
from topology.requests import Reason, Refused
from topology.snapshot import BLOCK_BITS, BLOCK_SIZE, Block, Snapshot

LAST_DPID: Final = (1 << 64) - 1  # a datapath id has 64 bits (OpenFlow 1.5.1, 7.3.1)
IPV6_NODE_PREFIX: Final = 64  # as Kubernetes' --node-cidr-mask-size-ipv6
POOL_LIMIT: Final = 1 << 16  # of a larger subnet, only so many addresses are given to pods
_RESERVED_AT_START: Final = 2  # the subnet's own address, and the gateway


def free_vnid(snapshot: Snapshot) -> int:
    """Return the lowest VNID that no network has. Raises Refused when there is none."""
    free = next((vnid for vnid in range(FIRST_VNID, LAST_VNID + 1) if vnid not in snapshot.network_by_vnid), None)
    if free is None:
        raise Refused(Reason.EXHAUSTED, "VNIDs", "all 24-bit numbers are taken", "delete networks that are not used")
    return free


def free_dpid(snapshot: Snapshot) -> int:
    """Return the lowest datapath id that no node has."""
    return next(dpid for dpid in count(1) if dpid not in snapshot.node_by_dpid)


def free_subnets(snapshot: Snapshot) -> tuple[Prefix, ...]:
    """Return a new node's subnets: for each family of the cluster, the lowest block free in any of its CIDRs.

    A block is free when it overlaps no node's subnet, and nobody holds an address of it, nor does quarantine.
    Raises Refused when a family has none. The cost follows the number of nodes, as that of making one does.
    """
    cluster = snapshot.cluster
    taken = sorted(span(subnet) for node in snapshot.nodes.values() for subnet in node.subnets)
    found: list[Prefix] = []
    for version in sorted({cidr.version for cidr in cluster.cluster_cidrs}):
        cidrs = [cidr for cidr in cluster.cluster_cidrs if cidr.version == version]
        blocks = (block for cidr in cidrs for block in _gaps(cidr, node_prefix(cluster, version), taken))
        block = next((block for block in blocks if not _any_taken(snapshot, block)), None)
        if block is None:
            names = ", ".join(map(str, cidrs))
            remedy = "add a cluster CIDR, or delete nodes that are not used"
            raise Refused(Reason.EXHAUSTED, f"node subnets of {names}", "none is free", remedy)
        found.append(block)
    return tuple(found)


def free_address(snapshot: Snapshot, node: Node, subnet: Prefix, space: int = SHARED_SPACE) -> Address:
    """Return an address of a node's subnet for a pod: one that nobody holds and that is not in quarantine.

    The search begins after the one last given there, so that an address comes back as late as possible. It looks
    at blocks of addresses, never at single ones. Raises Refused when the subnet is full.
    """
    first, last = pool(subnet)
    latest = snapshot.latest.get((node.name, subnet.version))
    start = first if latest is None or not first <= int(latest) < last else int(latest) + 1
    for low, high in ((start, last), (first, start - 1)):
        free = _first_free(snapshot, Block(space, subnet.version, 0), low, high)
        if free is not None:
            return type(subnet[0])(free)
    cause = f"no address of subnet {subnet} is free"
    remedy = "remove pods from this node, or make it anew with a larger subnet"
    raise Refused(Reason.EXHAUSTED, f'node "{node.name}"', cause, remedy)


def free_addresses(snapshot: Snapshot, node: str, space: int = SHARED_SPACE) -> int:
    """Return how many pods a node has addresses for. Raises KeyError when there is no such node."""
    return min(_count_free(snapshot, subnet, space) for subnet in snapshot.nodes[node].subnets)


def pool(subnet: Prefix) -> tuple[int, int]:
    """Return the first and last address, as numbers, that pods may get: not the gateway, nor the last (broadcast)."""
    base = int(subnet.network_address)
    return base + _RESERVED_AT_START, base + min(subnet.num_addresses - 2, POOL_LIMIT)


def node_prefix(cluster: Cluster, version: int) -> int:
    """Return the prefix length of a node's subnet of a family."""
    return cluster.node_prefix if version == 4 else IPV6_NODE_PREFIX


def span(prefix: Prefix) -> tuple[int, int, int]:
    """Return family, first and last address of a prefix: spans can be ordered."""
    return prefix.version, int(prefix.network_address), int(prefix.broadcast_address)


def _gaps(cidr: Prefix, length: int, taken: Iterable[tuple[int, int, int]]) -> Iterator[Prefix]:
    """Yield the blocks of `cidr` with that prefix length which overlap no span of `taken` (in order), lowest first."""
    version, start, end = span(cidr)
    size = 1 << (cidr.max_prefixlen - length)
    for kind, first, last in (*taken, (version, end + 1, end + 1)):
        if kind != version or last < start or first > end + 1:
            continue
        while start + size <= first:
            yield ip_network((type(cidr.network_address)(start), length))
            start += size
        start = max(start, -(-(last + 1) // size) * size)


def _any_taken(snapshot: Snapshot, subnet: Prefix, space: int = SHARED_SPACE) -> bool:
    first, last = pool(subnet)
    return any(bits for _, bits in _blocks(snapshot, Block(space, subnet.version, 0), first, last))


def _count_free(snapshot: Snapshot, subnet: Prefix, space: int) -> int:
    first, last = pool(subnet)
    used = sum(bits.bit_count() for _, bits in _blocks(snapshot, Block(space, subnet.version, 0), first, last))
    return last - first + 1 - used


def _first_free(snapshot: Snapshot, kind: Block, first: int, last: int) -> int | None:
    for base, bits in _blocks(snapshot, kind, first, last):
        low = max(first, base)
        free = ~bits & (1 << BLOCK_SIZE) - (1 << (low - base))
        lowest = base + (free & -free).bit_length() - 1
        if free and lowest <= last:
            return lowest
    return None


def _blocks(snapshot: Snapshot, kind: Block, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield, for each block of addresses between two, its first address and the bits of those taken between the two."""
    for number in range(first >> BLOCK_BITS, (last >> BLOCK_BITS) + 1):
        base = number << BLOCK_BITS
        low, high = max(first, base) - base, min(last, base + BLOCK_SIZE - 1) - base
        within = (1 << (high + 1)) - (1 << low)
        yield base, snapshot.taken.get(kind._replace(number=number), 0) & within
