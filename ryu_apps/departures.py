"""Addresses that left, and the nodes whose switches may still name them. Bookkeeping only, without a queue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from topology.model import Address

Place: TypeAlias = tuple[int, Address]  # address space and address


class Departures:
    """An address may be given again when each of its nodes has acknowledged that it is gone."""

    def __init__(self) -> None:
        self._waiting: dict[Place, set[str]] = {}
        self._by_node: dict[str, set[Place]] = {}

    def depart(self, place: Place, nodes: Iterable[str]) -> bool:
        """Note that an address left; return whether it is free at once, because no node has to acknowledge it."""
        waiting = set(nodes)
        if not waiting:
            return True
        self._waiting[place] = waiting
        for node in waiting:
            self._by_node.setdefault(node, set()).add(place)
        return False

    def acknowledge(self, node: str) -> tuple[Place, ...]:
        """Note that a node's switch names no address that left before now; return those that are free by that."""
        free = []
        for place in self._by_node.pop(node, ()):
            waiting = self._waiting.get(place, set())
            waiting.discard(node)
            if not waiting and self._waiting.pop(place, None) is not None:
                free.append(place)
        return tuple(sorted(free, key=str))
