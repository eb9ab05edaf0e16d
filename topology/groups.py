"""What a switch must be told of groups: from the groups of one set of flows to those of another.

Groups belong to flows (`Flow.groups`), and change with them in one bundle: what is new or other before the flows, what
is gone after them. Which flows change is the compiler's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from topology.flow import Bucket, Entry, Group


class BucketChange(NamedTuple):
    """A group that stays, but for some buckets: those in `removed` (ids) go, then those in `inserted` come."""

    group_id: int
    removed: tuple[int, ...]
    inserted: tuple[Bucket, ...]


class GroupChanges(NamedTuple):
    """`puts` are made, or replace whatever has their id; each part in the order in which a switch must be told."""

    puts: tuple[Group, ...] = ()
    buckets: tuple[BucketChange, ...] = ()
    gone: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.puts or self.buckets or self.gone)


NO_GROUPS: Final = GroupChanges()


def by_id(entries: Iterable[Entry]) -> dict[int, Group]:
    """Return the groups of flows by id, in the order in which they are made."""
    return {group.group_id: group for entry in entries for group in entry.flow.groups}


def changes(old: Mapping[int, Group], new: Mapping[int, Group]) -> GroupChanges:
    """Return what turns `old` into `new`, on a switch that has exactly `old`."""
    puts: list[Group] = []
    buckets: list[BucketChange] = []
    for number, group in new.items():
        known = old.get(number)
        if known == group:
            continue
        change = None if known is None else _bucket_change(known, group)
        if change is None:
            puts.append(group)
        else:
            buckets.append(change)
    return GroupChanges(tuple(puts), tuple(buckets), _gone(old, new))


def restored(wanted: Mapping[int, Group], found: Mapping[int, Group]) -> GroupChanges:
    """Return what brings a switch on which `found` was read to `wanted`; the order of buckets says nothing."""
    puts = tuple(
        group for number, group in wanted.items() if number not in found or _sorted(found[number]) != _sorted(group)
    )
    return GroupChanges(puts, gone=_gone(found, wanted))


def _gone(old: Mapping[int, Group], new: Mapping[int, Group]) -> tuple[int, ...]:
    """Return the ids that are gone, those that lead to others first."""
    return tuple(number for number in reversed(tuple(old)) if number not in new)


def _bucket_change(old: Group, new: Group) -> BucketChange | None:
    """Return how buckets change; None where replacing the whole group says it in fewer words."""
    before, after = set(old.buckets), set(new.buckets)
    removed = tuple(bucket[0] for bucket in old.buckets if bucket not in after)
    inserted = tuple(bucket for bucket in new.buckets if bucket not in before)
    if (
        old.is_lower != new.is_lower
        or not old.buckets
        or not new.buckets
        or 2 * (len(removed) + len(inserted)) > len(new.buckets) + 2
    ):
        return None
    return BucketChange(new.group_id, removed, inserted)


def _sorted(group: Group) -> Group:
    return group._replace(buckets=tuple(sorted(group.buckets)))
