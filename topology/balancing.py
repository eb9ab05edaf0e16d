"""Select groups for a service's port: a bucket an endpoint, in two levels where one group would not fit one message.

An endpoint's bucket keeps its id whatever others come and go, so that a change is of single buckets. Which endpoints
there are to choose from is said in `targets`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Final

from topology.flow import Actions, Bucket, Group, select
from topology.model import Address, Cluster
from topology.targets import Target

# What Open vSwitch chooses from by the data path's hash; at some 88 bytes each they fit a message of 64 KB, too.
MOST_BUCKETS: Final = 256
# Group ids: one bit for the address family, the address's place in the service ranges, and the service's own groups.
# A service address is given to one service only, so that its groups need no numbers of their own.
_OWN_BITS: Final = 11
PLACE_BITS: Final = 20  # the largest range that Kubernetes takes: /12, or /108 in IPv6
SMALLEST: Final = 0  # the id of the bucket that says how small a part of the hash counts
_BUCKET_IDS: Final = 0xFFFFFF00  # the largest: OpenFlow 1.5.1, 7.3.4.3.1: OFPG_BUCKET_MAX


def first_group(address: Address, cluster: Cluster) -> int:
    """Return the first of the group ids that belong to the service of an address within the service ranges."""
    place = 0
    for cidr in cluster.service_cidrs:
        if cidr.version == address.version:
            if address in cidr:
                place += int(address) - int(cidr.network_address)
                break
            place += cidr.num_addresses
    return (address.version == 6) << 31 | place << _OWN_BITS


def balanced(targets: Mapping[int, Target], first: int, actions: Callable[[int, Target], Actions]) -> tuple[Group, ...]:
    """Return the groups that choose among endpoints, the one to begin with last; none without endpoints.

    `targets` are as `numbered`; `first` is the first group id that may be used; `actions` says what is done to send to
    an endpoint, of which it is given number and place.
    """
    buckets = tuple((number, 1, actions(number, target)) for number, target in sorted(targets.items()))
    if not buckets:
        return ()
    parts = _parts(buckets)
    if len(parts) == 1:
        return (Group(first, _finely(buckets)),)
    lower = tuple(Group(first + 1 + number, part, is_lower=True) for number, part in enumerate(parts) if part)
    upper = tuple((group.group_id - first, len(group.buckets), (select(group.group_id),)) for group in lower)
    return (*lower, Group(first, upper))


def numbered(targets: Iterable[Target]) -> Mapping[int, Target]:
    """Give each endpoint a bucket id above 0 that depends on it alone, unless two have the same digest."""
    found: dict[int, Target] = {}
    for target in sorted(targets):
        digest = blake2b(target.address.packed + target.port.to_bytes(2, "big"), digest_size=4).digest()
        number = int.from_bytes(digest, "big") % _BUCKET_IDS + 1
        while number in found:
            number = number % _BUCKET_IDS + 1
        found[number] = target
    return found


def _finely(buckets: tuple[Bucket, ...]) -> tuple[Bucket, ...]:
    """Let a hash be shared as equally as it can be: by as many places as Open vSwitch takes, MOST_BUCKETS.

    It makes places, a power of two, by the smallest weight: of 10 alike 16, so that six have two and four have
    one. So the first endpoint has 1 of its share by a bucket of its own, with the id that `numbered` leaves free.
    """
    share = MOST_BUCKETS >> (len(buckets) - 1).bit_length()
    if len(buckets) == 1 or share == 1:
        return buckets
    (first, _, actions), *others = buckets
    equally = ((number, share, to) for number, _, to in others)
    return ((SMALLEST, 1, actions), (first, share - 1, actions), *equally)


def _parts(buckets: tuple[Bucket, ...]) -> tuple[tuple[Bucket, ...], ...]:
    """Divide buckets by their ids into as few parts as fit: a power of two, so that most stay where they are."""
    count = 1
    while True:
        parts: list[list[Bucket]] = [[] for _ in range(count)]
        for bucket in buckets:
            parts[bucket[0] % count].append(bucket)
        if max(map(len, parts)) <= MOST_BUCKETS:
            return tuple(map(tuple, parts))
        count *= 2
