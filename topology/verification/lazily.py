"""An attribute that is worked out when it is first asked for.

As functools.cached_property, but for the lock that it takes before Python 3.12: that costs more than what is kept here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")
SelfT = TypeVar("SelfT")


class lazily(Generic[SelfT, T]):  # a decorator
    """Decorates a method without parameters; its value then stands in the instance's dictionary."""

    def __init__(self, make: Callable[[SelfT], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: Any) -> lazily[SelfT, T]: ...

    @overload
    def __get__(self, instance: SelfT, owner: Any) -> T: ...

    def __get__(self, instance: SelfT | None, owner: Any) -> lazily[SelfT, T] | T:
        if instance is None:
            return self
        value = self._make(instance)
        vars(instance)[self._name] = value
        return value
