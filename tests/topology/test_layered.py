"""Layered maps, sets and sums are the same as plain ones, however they came about."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from topology.flow import DIGEST_MASK
from topology.layered import Layered, LayeredSet, Sums, over, plus, sums_over

KEYS = st.integers(0, 8)
DICTS = st.dictionaries(KEYS, st.integers(0, 3))
STEPS = st.lists(st.tuples(KEYS, st.none() | st.integers(0, 3)), max_size=12)  # None: the key goes


def check(layered: Layered[int, int], plain: dict[int, int]) -> None:
    assert dict(layered) == plain
    assert layered == plain
    assert layered == Map(plain)
    assert Map(plain) == layered
    assert len(layered) == len(plain) == len(list(layered)) == len(list(layered.values()))
    assert sorted(layered.items()) == sorted(plain.items())
    assert sorted(layered.values()) == sorted(plain.values())
    for key in range(9):
        assert (key in layered) == (key in plain)
        assert layered.get(key, "nothing") == plain.get(key, "nothing")
        if key not in plain:
            with pytest.raises(KeyError):
                layered[key]
    assert layered.absent <= {*layered.common}
    assert not {*layered.own} & ({*layered.common} - layered.absent)


@given(DICTS, STEPS)
def test_a_layered_map_is_what_a_plain_one_would_be(
    common: dict[int, int], steps: list[tuple[int, int | None]]
) -> None:
    layered: Layered[int, int] = over(Map(), Map(common))
    plain, draft = dict(common), layered.mutate()
    for key, value in steps:
        if value is not None:
            layered, plain[key] = layered.set(key, value), value
            draft[key] = value
        elif key in plain:
            del plain[key], draft[key]
            layered = layered.delete(key)
        else:
            with pytest.raises(KeyError):
                layered.delete(key)
            with pytest.raises(KeyError):
                del draft[key]
        check(layered, plain)
        assert all(draft.get(each) == plain.get(each) for each in range(9))
    check(draft.finish(), plain)
    assert draft.finish() == layered


@given(DICTS, DICTS)
def test_layered_maps_are_equal_if_their_entries_are(one: dict[int, int], other: dict[int, int]) -> None:
    first: Layered[int, int] = over(Map(), Map(one))
    second: Layered[int, int] = over(Map(), Map())
    for key, value in other.items():
        second = second.set(key, value)
    assert (first == second) == (one == other)
    assert first != "something else"


def test_a_common_part_can_be_exchanged_and_lies_over_nothing() -> None:
    layered = over(Map({1: 1}), Map({2: 2, 3: 3})).delete(3)
    check(over(layered, Map({2: 4, 3: 5, 5: 5})), {1: 1, 2: 4, 5: 5})
    with pytest.raises(TypeError):
        over(Map(), layered)
    with pytest.raises(TypeError):
        sums_over(Map(), Sums(Map(), Map()))


@given(st.sets(KEYS), st.sets(KEYS), st.sets(KEYS))
def test_a_layered_set_is_a_union(own: set[int], common: set[int], other: set[int]) -> None:
    layered: Any = LayeredSet(frozenset(own), frozenset(common))
    union = own | common
    assert layered == union
    assert len(layered) == len(union)
    assert sorted(layered) == sorted(union)
    assert (layered - other, layered | other, other | layered) == (union - other, union | other, other | union)
    assert all((key in layered) == (key in union) for key in range(9))


@given(st.lists(st.tuples(KEYS, st.integers(-3, 3))), st.dictionaries(KEYS, st.integers(1, DIGEST_MASK)))
def test_sums_of_two_parts_are_added(growths: list[tuple[int, int]], common: dict[int, int]) -> None:
    plain: Any = Map(common)
    sums: Any = sums_over(Map(), plain)
    assert dict(sums) == common
    for owner, growth in growths:
        sums, plain = plus(sums, {owner: growth}), plus(plain, {owner: growth})
        assert dict(sums) == dict(plain) == {key: total for key, total in plain.items() if total}
        assert sums.get(owner, 0) == plain.get(owner, 0)
        assert len(sums) == len(plain)
