"""Groups: whatever a switch has, it ends with what it must have, told in few words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from topology.flow import Group, Op
from topology.groups import NO_GROUPS, GroupChanges, changes, restored

BUCKETS = st.dictionaries(st.integers(1, 9), st.integers(1, 3), max_size=9)
SETS = st.dictionaries(st.integers(1, 5), BUCKETS, max_size=4)


def groups(of: dict[int, dict[int, int]]) -> dict[int, Group]:
    """Groups by id, with buckets of these weights by id."""
    return {
        number: Group(
            number, tuple((bucket, weight, ((Op.OUTPUT, bucket),)) for bucket, weight in sorted(these.items()))
        )
        for number, these in of.items()
    }


def told(present: dict[int, Group], what: GroupChanges) -> dict[int, Group]:
    """What a switch has after it was told; it refuses what is not there."""
    after = {**present, **{group.group_id: group for group in what.puts}}
    for number, removed, inserted in what.buckets:
        kept = [bucket for bucket in after[number].buckets if bucket[0] not in removed]
        assert len(kept) + len(removed) == len(after[number].buckets)
        assert not {bucket[0] for bucket in kept} & {bucket[0] for bucket in inserted}
        after[number] = after[number]._replace(buckets=tuple(sorted([*kept, *inserted])))
    for number in what.gone:
        del after[number]
    return after


@given(SETS, SETS)
def test_changes_lead_from_one_to_the_other(one: dict[int, dict[int, int]], other: dict[int, dict[int, int]]) -> None:
    old, new = groups(one), groups(other)
    assert told(old, changes(old, new)) == new
    assert told(old, restored(new, old)) == new
    assert changes(old, old) == restored(old, old) == NO_GROUPS


@given(BUCKETS.filter(lambda found: len(found) > 3))
def test_one_bucket_more_or_less_is_one_bucket(these: dict[int, int]) -> None:
    before = groups({1: these})
    after = groups({1: {**these, 77: 1}})
    (more,), (less,) = changes(before, after).buckets, changes(after, before).buckets
    assert (more.removed, [bucket[0] for bucket in more.inserted]) == ((), [77])
    assert (less.removed, less.inserted) == ((77,), ())


def test_the_order_of_buckets_says_nothing() -> None:
    group = groups({1: {1: 1, 2: 1}})[1]
    assert restored({1: group}, {1: Group(1, group.buckets[::-1])}) == NO_GROUPS
