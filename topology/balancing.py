"""Select groups for a service's port: a bucket an endpoint, in two levels where one group would not fit one message.

An endpoint's bucket keeps its id whatever others come and go, so that a change is of single buckets. Which endpoints
there are to choose from is said in `targets`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Final

from topology.flow import Actions, Bucket, Group, select
from topology.model import Address, Cluster, Service
from topology.targets import Target

# What Open vSwitch chooses from by the data path's hash; at some 88 bytes each they fit a message of 64 KB, too.
MOST_BUCKETS: Final = 256
# Group ids: one bit for the address family, the address's place in the service ranges, and the service's own groups,
# which have all bits that the ranges leave. A service address is given to one service only, so that its groups need no
# numbers of their own.
_ID_BITS: Final = 31  # without the family
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
    return (address.version == 6) << _ID_BITS | place << _own_bits(address.version, cluster)


def room(version: int, cluster: Cluster) -> int:
    """Return how many groups a service of an address family can have."""
    return 1 << _own_bits(version, cluster)


def room_for(service: Service, cluster: Cluster) -> int:
    """Return how many groups a service can have for clients inside: half, where those outside have groups apart."""
    there = room(service.address.version, cluster)
    return there // 2 if service.external_local else there


def _own_bits(version: int, cluster: Cluster) -> int:
    places = sum(cidr.num_addresses for cidr in cluster.service_cidrs if cidr.version == version)
    return _ID_BITS - max(places - 1, 0).bit_length()


def first_outer_group(address: Address, cluster: Cluster) -> int:
    """Return the first of those that are for endpoints on one node only, for whom comes from outside: half of them."""
    return first_group(address, cluster) + room(address.version, cluster) // 2


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


def most_groups(endpoints: int) -> int:
    """Return how many groups so many endpoints of a port need at most."""
    parts = most_parts(endpoints)
    return parts if parts == 1 else parts + 1


def most_parts(buckets: int) -> int:
    """Return into how many parts so many buckets are divided at most: by chance they fit a half of that."""
    return 1 if buckets <= MOST_BUCKETS else 2 << (-(-buckets // MOST_BUCKETS) - 1).bit_length()


def _parts(buckets: tuple[Bucket, ...]) -> tuple[tuple[Bucket, ...], ...]:
    """Divide buckets by their ids into as few parts as fit: a power of two, so that most stay where they are.

    Whose addresses were chosen so that their ids fall together are divided in the order of these: then one more
    endpoint moves others, and there are not more parts than buckets need.
    """
    count = 1
    while count <= most_parts(len(buckets)):
        parts: list[list[Bucket]] = [[] for _ in range(count)]
        for bucket in buckets:
            parts[bucket[0] % count].append(bucket)
        if max(map(len, parts)) <= MOST_BUCKETS:
            return tuple(map(tuple, parts))
        count *= 2
    return tuple(buckets[at : at + MOST_BUCKETS] for at in range(0, len(buckets), MOST_BUCKETS))
