"""Persistent maps with a large part in common: each has its own entries over that part, which is held once.

What every node has grows with the number of nodes; held by each, it would grow with its square.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, Set, ValuesView
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Generic, TypeAlias, TypeVar

from immutables import Map

from topology.flow import DIGEST_MASK

K = TypeVar("K")
V = TypeVar("V")
_NOTHING: Final[Any] = object()


@dataclass(frozen=True, slots=True, eq=False)
class Layered(Mapping[K, V]):
    """A persistent map: what is `own`, and what is `common` but for the keys `absent` here.

    All `absent` keys are in `common`, and `own` has no other key of it. `set`, `delete` and `mutate` keep it
    so.
    """

    own: Map[K, V]
    common: Map[K, V]
    absent: frozenset[K] = frozenset()

    def __getitem__(self, key: K) -> V:
        found: V = self.get(key, _NOTHING)
        if found is _NOTHING:
            raise KeyError(key)
        return found

    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of a key, or `default`."""
        found = self.own.get(key, _NOTHING)
        if found is _NOTHING:
            found = self.common.get(key, _NOTHING)
            if found is _NOTHING or key in self.absent:
                return default
        return found

    def __contains__(self, key: object) -> bool:
        return key in self.own or (key in self.common and key not in self.absent)

    def __len__(self) -> int:
        return len(self.own) + len(self.common) - len(self.absent)

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self.items())

    def items(self) -> ItemsView[K, V]:
        """Return the entries, own ones first."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Return the values, own ones first."""
        return _Values(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Layered) and self.common is other.common and self.absent == other.absent:
            return bool(self.own == other.own)
        if not isinstance(other, Mapping):
            return NotImplemented
        return len(self) == len(other) and all(other.get(key, _NOTHING) == value for key, value in self.items())

    __hash__ = None  # type: ignore[assignment]

    def set(self, key: K, value: V) -> Layered[K, V]:
        """Return the map with one entry set."""
        draft = self.mutate()
        draft[key] = value
        return draft.finish()

    def delete(self, key: K) -> Layered[K, V]:
        """Return the map without one entry. Raises KeyError."""
        draft = self.mutate()
        del draft[key]
        return draft.finish()

    def mutate(self) -> LayeredDraft[K, V]:
        """Return a draft to make several changes in."""
        return LayeredDraft(self)


Persistent: TypeAlias = Map[K, V] | Layered[K, V]


def over(part: Persistent[K, V], common: Persistent[K, V]) -> Layered[K, V]:
    """Return what is a map's own over a common part, which has all keys that are absent and no other that is own."""
    if isinstance(common, Layered):
        raise TypeError("what is common to many lies over nothing")
    return Layered(part.own, common, part.absent) if isinstance(part, Layered) else Layered(part, common)


class _Items(ItemsView[K, V]):
    _mapping: Layered[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return chain(self._mapping.own.items(), _common(self._mapping))


class _Values(ValuesView[V]):
    _mapping: Layered[Any, V]

    def __iter__(self) -> Iterator[V]:
        return chain(self._mapping.own.values(), (value for _, value in _common(self._mapping)))


def _common(layered: Layered[K, V]) -> Iterable[tuple[K, V]]:
    if not layered.absent:
        return layered.common.items()
    return (item for item in layered.common.items() if item[0] not in layered.absent)


class LayeredDraft(Generic[K, V]):
    """A map being changed, for the length of a few changes: what `MapMutation` is of `Map`."""

    def __init__(self, layered: Layered[K, V]) -> None:
        self._own = layered.own.mutate()
        self._common = layered.common
        self._absent = set(layered.absent)

    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of a key as it is now, or `default`."""
        found = self._own.get(key, _NOTHING)
        if found is _NOTHING:
            found = self._common.get(key, _NOTHING)
            if found is _NOTHING or key in self._absent:
                return default
        return found

    def __setitem__(self, key: K, value: V) -> None:
        self._own[key] = value
        if key in self._common:
            self._absent.add(key)

    def __delitem__(self, key: K) -> None:
        if self._own.pop(key, _NOTHING) is _NOTHING:
            if key in self._absent or key not in self._common:
                raise KeyError(key)
            self._absent.add(key)

    def finish(self) -> Layered[K, V]:
        """Return the map as it is now."""
        return Layered(self._own.finish(), self._common, frozenset(self._absent))


@dataclass(frozen=True, slots=True, eq=False)
class Sums(Mapping[int, int]):
    """Sums of cookies' digests by owner class: own ones and common ones, added. A sum of 0 is none.

    What is absent of the common part is subtracted in `own`.
    """

    own: Map[int, int]
    common: Map[int, int]

    def __getitem__(self, owner: int) -> int:
        total = self.own.get(owner, 0) + self.common.get(owner, 0) & DIGEST_MASK
        if not total:
            raise KeyError(owner)
        return total

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[int]:
        return (owner for owner in {*self.own, *self.common} if owner in self)


def sums_over(sums: Map[int, int] | Sums, common: Map[int, int] | Sums) -> Sums:
    """Return what are a table's own sums added to common ones."""
    if isinstance(common, Sums):
        raise TypeError("what is common to many lies over nothing")
    return Sums(sums.own if isinstance(sums, Sums) else sums, common)


def plus(sums: Map[int, int] | Sums, growth: Mapping[int, int]) -> Map[int, int] | Sums:
    """Return sums that have grown by so much, class by class; less than 0 is less."""
    if isinstance(sums, Sums):
        return Sums(_plus(sums.own, growth), sums.common)
    return _plus(sums, growth)


def _plus(sums: Map[int, int], growth: Mapping[int, int]) -> Map[int, int]:
    draft = sums.mutate()
    for owner, more in growth.items():
        total = draft.get(owner, 0) + more & DIGEST_MASK
        if total:
            draft[owner] = total
        else:
            draft.pop(owner, None)
    return draft.finish()


@dataclass(frozen=True, slots=True, eq=False)
class LayeredSet(Set[K]):
    """The union of what is `own` and what is `common` to many, which is held once."""

    own: Set[K]
    common: Set[K]

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Set[Any]:
        return set(it)

    def __contains__(self, key: object) -> bool:
        return key in self.own or key in self.common

    def __iter__(self) -> Iterator[K]:
        yield from self.own
        yield from (key for key in self.common if key not in self.own)

    def __len__(self) -> int:
        return len(self.own) + sum(key not in self.own for key in self.common)
