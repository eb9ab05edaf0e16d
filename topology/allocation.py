"""Numbers and addresses that nobody has: VNIDs, datapath ids, node subnets, pod addresses. Pure functions.

What is given out is input of everything else and stays with its holder (`admission` makes it part of an event);
nothing here is derived from a position or a hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from itertools import chain, count
from typing import Final

from topology.model import (
    FIRST_VNID,
    LAST_MIRROR,
    LAST_VNID,
    MIRRORS,
    SHARED_SPACE,
    TRANSLATIONS,
    VNIDS,
    ZONES,
    Address,
    AddressBlock,
    Cluster,
    Network,
    Node,
    Prefix,
    Subnet,
)
from topology.pipeline import FIRST_NETWORK_ZONE, LAST_NETWORK_ZONE
from topology.requests import Reason, Refused
from topology.snapshot import BLOCK_BITS, BLOCK_SIZE, Block, Snapshot

LAST_DPID: Final = (1 << 64) - 1  # a datapath id has 64 bits (OpenFlow 1.5.1, 7.3.1)
IPV6_NODE_PREFIX: Final = 64  # as Kubernetes' --node-cidr-mask-size-ipv6
SMALLEST_SUBNET_BITS: Final = 2  # its own address, the gateway, one pod, broadcast
POOL_LIMIT: Final = 1 << 16  # of a larger subnet, only so many addresses are given to pods
# A node's block of a network's subnet: a sixteenth of it, but from 4 to 64 addresses.
_BLOCK_SPLIT: Final = 4
_LARGEST_BLOCK: Final = 26
_LONGEST_BLOCK: Final = 30
_RESERVED_AT_START: Final = 2  # the subnet's own address, and the gateway


def free_vnid(snapshot: Snapshot) -> int:
    """Return a VNID that no network has, after the one last given: a switch that is away may still know an old holder.

    Raises Refused when there is none.
    """
    last: int = snapshot.watermarks.get(VNIDS, FIRST_VNID - 1)
    candidates = chain(range(last + 1, LAST_VNID + 1), range(FIRST_VNID, last + 1))
    free = next((vnid for vnid in candidates if vnid not in snapshot.network_by_vnid), None)
    if free is None:
        raise Refused(Reason.EXHAUSTED, "VNIDs", "all 24-bit numbers are taken", "delete networks that are not used")
    return free


def free_mirror(snapshot: Snapshot) -> int:
    """Return a number that no mirror has, after the one last given."""
    last: int = snapshot.watermarks.get(MIRRORS, 0)
    taken = {mirror.number for mirror in snapshot.mirrors.values()}
    candidates = chain(range(last + 1, LAST_MIRROR + 1), range(1, last + 1))
    return next(number for number in candidates if number not in taken)


def free_zone(snapshot: Snapshot) -> int:
    """Return a conntrack zone that no network has, after the one last given: one reused at once inherits connections.

    Raises Refused when there is none.
    """
    last: int = snapshot.watermarks.get(ZONES, FIRST_NETWORK_ZONE - 1)
    for zone in chain(range(last + 1, LAST_NETWORK_ZONE + 1), range(FIRST_NETWORK_ZONE, last + 1)):
        if zone not in snapshot.network_by_zone:
            return zone
    cause, remedy = "all are taken", "make connections symmetric, or delete networks that are not used"
    raise Refused(Reason.EXHAUSTED, "conntrack zones", cause, remedy)


def free_translation(snapshot: Snapshot, cidr: Prefix, taken: Iterable[Prefix]) -> Prefix:
    """Return a prefix of the translation ranges, as long as `cidr`, that overlaps none of `taken`.

    The search begins after the one last given: what hosts remember of an old holder has time to be forgotten.
    Raises Refused when there is none.
    """
    pools = sorted(pool for pool in snapshot.cluster.translation_cidrs if pool.version == cidr.version)
    spans = sorted(map(span, taken))
    given = (cidr.version, 0, snapshot.watermarks.get(TRANSLATIONS, 0))
    for kept in (sorted((*spans, given)), spans):
        for pool_ in pools:
            for block in _gaps(pool_, cidr.prefixlen, kept):
                return block
    ranges = ", ".join(map(str, pools)) or "none"
    cause = f"no prefix of {ranges} is free for a subnet of /{cidr.prefixlen}"
    remedy = "add a translation range, or isolate networks that are joined with translation"
    raise Refused(Reason.EXHAUSTED, "translated prefixes", cause, remedy)


def free_dpid(snapshot: Snapshot) -> int:
    """Return the lowest datapath id that no node has."""
    return next(dpid for dpid in count(1) if dpid not in snapshot.node_by_dpid)


def free_subnets(snapshot: Snapshot, but: Iterable[int] = ()) -> tuple[Prefix, ...]:
    """Return a new node's subnets: for each family of the cluster, the lowest block free in any of its CIDRs.

    For a node that has some already, `but` is of which IP versions it needs none.

    A block is free when it overlaps no node's subnet, and nobody holds an address of it, nor does quarantine.
    Raises Refused when a family has none. The cost follows the number of nodes, as that of making one does.
    """
    cluster = snapshot.cluster
    taken = sorted(span(subnet) for node in snapshot.nodes.values() for subnet in node.subnets)
    found: list[Prefix] = []
    for version in sorted({cidr.version for cidr in cluster.cluster_cidrs}.difference(but)):
        cidrs = [cidr for cidr in cluster.cluster_cidrs if cidr.version == version]
        blocks = (block for cidr in cidrs for block in _gaps(cidr, node_prefix(cluster, version), taken))
        block = next((block for block in blocks if not any_taken(snapshot, block)), None)
        if block is None:
            names = ", ".join(map(str, cidrs))
            remedy = "add a cluster CIDR, or delete nodes that are not used"
            raise Refused(Reason.EXHAUSTED, f"node subnets of {names}", "none is free", remedy)
        found.append(block)
    return tuple(found)


def free_address(snapshot: Snapshot, node: Node, subnet: Prefix, space: int = SHARED_SPACE) -> Address:
    """Return an address of a node's subnet for a pod: one that nobody holds and that is not in quarantine.

    The search begins after the one last given there, so that an address comes back as late as possible. It looks
    at blocks of addresses, never at single ones. What a binding promises to a pod is left for that pod. Raises Refused
    when the subnet is full.
    """
    first, last = pool(subnet)
    latest = snapshot.latest.get((node.name, subnet.version))
    start = first if latest is None or not first <= int(latest) < last else int(latest) + 1
    for low, high in ((start, last), (first, start - 1)):
        number = _first_free(snapshot, Block(space, subnet.version, 0), low, high)
        while number is not None:
            address = type(subnet[0])(number)
            if not _is_promised(snapshot, space, address):
                return address
            number = _first_free(snapshot, Block(space, subnet.version, 0), number + 1, high)
    cause = f"no address of subnet {subnet} is free"
    remedy = "remove pods from this node, or make it anew with a larger subnet"
    raise Refused(Reason.EXHAUSTED, f'node "{node.name}"', cause, remedy)


def free_own_address(snapshot: Snapshot, network: Network, node: str) -> tuple[Address, AddressBlock | None]:
    """Return an address of a network's own for a pod on a node, and the block to allot with it, if a new one is needed.

    First in the blocks that the node has, then in a new block. Raises Refused when every subnet is full.
    """
    if network.flat:  # each address is a block: what is neither held nor in quarantine is in none
        for subnet in network.subnets:
            address = _first_in(snapshot, network, subnet.cidr)
            if address is not None:
                return address, AddressBlock(network.name, ip_network(address), node)
        raise _full(network)
    for prefix in snapshot.blocks_on.get((network.name, node), {}):
        address = _first_in(snapshot, network, prefix)
        if address is not None:
            return address, None
    for subnet in network.subnets:
        for prefix in _free_blocks(snapshot, network, subnet):
            address = _first_in(snapshot, network, prefix)
            if address is not None:
                return address, AddressBlock(network.name, prefix, node)
    raise _full(network)


def _full(network: Network) -> Refused:
    ranges = ", ".join(str(subnet.cidr) for subnet in network.subnets)
    remedy = "remove pods from it; if other nodes hold blocks of it, put the pod there"
    return Refused(Reason.EXHAUSTED, f'network "{network.name}"', f"no address of {ranges} is free", remedy)


def has_free_own_address(snapshot: Snapshot, network: Network) -> bool:
    """Return whether an address of a network's own is neither held nor in quarantine, whichever node may give it."""
    return any(_first_in(snapshot, network, subnet.cidr) is not None for subnet in network.subnets)


def block_length(network: Network, subnet: Subnet) -> int:
    """Return the prefix length of the blocks that a network's subnet is given out in; they are aligned to it."""
    return 32 if network.flat else min(_LONGEST_BLOCK, max(_LARGEST_BLOCK, subnet.cidr.prefixlen + _BLOCK_SPLIT))


def _free_blocks(snapshot: Snapshot, network: Network, subnet: Subnet) -> Iterator[Prefix]:
    length = block_length(network, subnet)
    taken = sorted(span(prefix) for prefix in snapshot.blocks_of.get(network.name, {}))
    yield from _gaps(subnet.cidr, length, taken)


def _first_in(snapshot: Snapshot, network: Network, prefix: Prefix) -> Address | None:
    """Return the lowest free address of a block, if there is one: no subnet's first or last, and no gateway."""
    kept = {address for subnet in network.subnets for address in (subnet.cidr[0], subnet.cidr[-1], subnet.gateway)}
    low, high = int(prefix[0]), int(prefix[-1])
    while low <= high:
        number = _first_free(snapshot, Block(network.space, prefix.version, 0), low, high)
        if number is None:
            return None
        address = type(prefix[0])(number)
        if address not in kept and not _is_promised(snapshot, network.space, address):
            return address
        low = number + 1
    return None


def _is_promised(snapshot: Snapshot, space: int, address: Address) -> bool:
    """Whether a binding gives an address of this space to a pod."""
    names = (name for _, name in snapshot.promised.get(address, {}))
    return any(snapshot.networks[name].space == space for name in names)


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


def any_taken(snapshot: Snapshot, subnet: Prefix, space: int = SHARED_SPACE) -> bool:
    """Whether an address of a prefix is held or in quarantine."""
    first, last = int(subnet[0]), int(subnet[0]) + min(subnet.num_addresses, POOL_LIMIT) - 1
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
