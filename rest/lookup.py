"""Finding an object that a path names, or telling that it does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from rest.problems import UNKNOWN, Problem

KeyT = TypeVar("KeyT")
FoundT = TypeVar("FoundT")


def known(objects: Mapping[KeyT, FoundT], kind: str, key: KeyT) -> FoundT:
    """Return the object with a key. Raises Problem (404) when there is none."""
    found = objects.get(key)
    if found is None:
        name = "/".join(key) if isinstance(key, tuple) else key
        raise Problem(UNKNOWN, f'{kind} "{name}"', "does not exist", f"create the {kind} first, or correct the name")
    return found
