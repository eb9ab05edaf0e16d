"""Which addresses of the pool the statuses of services have, as one replica has read or written them. A value to look
things up in: nothing is called here."""

from __future__ import annotations

from collections.abc import Container

from topology.model import Address, ServiceKey


class Holdings:
    """By service and by address; it takes as long to change or to ask however many there are."""

    def __init__(self) -> None:
        self._of: dict[ServiceKey, tuple[Address, ...]] = {}
        self._by: dict[Address, set[ServiceKey]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._of

    def of(self, key: ServiceKey) -> tuple[Address, ...]:
        """Return what a service has."""
        return self._of.get(key, ())

    def put(self, key: ServiceKey, addresses: tuple[Address, ...]) -> bool:
        """Let a service have these, and nothing else; return whether it had one that it has no more."""
        before = self._of.pop(key, ())
        for address in before:
            self._by[address].discard(key)
            if not self._by[address]:
                del self._by[address]
        if addresses:
            self._of[key] = addresses
        for address in addresses:
            self._by.setdefault(address, set()).add(key)
        return not set(before) <= set(addresses)

    def others(self, key: ServiceKey) -> Container[Address]:
        """Return what others than a service have."""
        return _Others(self._by, key)

    def clear(self) -> None:
        """Forget everything."""
        self._of.clear()
        self._by.clear()


class _Others:
    def __init__(self, by: dict[Address, set[ServiceKey]], key: ServiceKey) -> None:
        self._by, self._own = by, {key}

    def __contains__(self, address: object) -> bool:
        return bool(self._by.get(address, set()) - self._own)  # type: ignore[call-overload]
