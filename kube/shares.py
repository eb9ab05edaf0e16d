"""Which replica answers for what: shares, divided among those that live. Pure: leases as seen, and the time, come in.

A share is a replica's as long as that replica lives, which it shows by renewing a lease of its own; the share's lease
is written only when it changes hands, on condition that nobody else was first. A replica is dead when its lease was not
seen to change for as long as the lease says: by the clock of who looks, so clocks need not agree.

It only saves replicas from doing the same work. That two never write to one switch, or decide on one object, is seen to
by the switch (generations) and by the API (resource versions).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

DECISIONS: Final = "decisions"  # the share of what concerns the whole network
_UNFAIR: Final = 2  # more shares than another has: then it gets one of them
MARGIN: Final = 0.25  # of a lease's duration: who has not renewed it for the rest decides nothing any more


class SeenLease(NamedTuple):
    """A lease as it was seen: `holder` is empty when nobody has it, `changed` when it was first seen so (seconds)."""

    holder: str
    version: int
    duration: float
    changed: float

    def is_over(self, now: float) -> bool:
        """Whether it was not renewed in time."""
        return now - self.changed > self.duration


class Take(NamedTuple):
    """Take a share, whoever has it; `version` is its lease's, 0 when there is none yet."""

    share: str
    version: int


class Leases(NamedTuple):
    """All leases as seen: those of replicas by their names, and those of shares."""

    replicas: Mapping[str, SeenLease]
    shares: Mapping[str, SeenLease]

    def living(self, now: float) -> frozenset[str]:
        """Return the replicas that renew their leases."""
        return frozenset(name for name, lease in self.replicas.items() if not lease.is_over(now))

    def holder(self, share: str, now: float) -> str | None:
        """Return the living replica that has a share."""
        lease = self.shares.get(share)
        return lease.holder if lease is not None and lease.holder in self.living(now) else None


def steps(me: str, names: Iterable[str], leases: Leases, now: float) -> tuple[Take, ...]:
    """Return which shares a replica takes now: free ones up to its part, or one of who has too many.

    A share changes hands without a moment in which it is nobody's: who had it learns of it from the switches at once.
    It is to have seen its own lease renewed.
    """
    names = tuple(names)
    living = sorted(leases.living(now) | {me})
    holders = {name: leases.holder(name, now) for name in names}
    counts = {one: sum(1 for holder in holders.values() if holder == one) for one in living}
    most = -(-len(names) // len(living))
    free = [name for name in names if holders[name] is None]
    if free:
        wanted = _turned(free, living.index(me))[: max(0, most - counts[me])]
        return tuple(Take(name, _version(leases, name)) for name in wanted)
    rich = max(living, key=lambda one: counts[one])
    if counts[rich] - counts[me] < _UNFAIR:
        return ()
    # What concerns the whole network changes hands last: it costs most.
    theirs = sorted((name for name in names if holders[name] == rich), key=lambda name: (name == DECISIONS, name))
    return (Take(theirs[0], _version(leases, theirs[0])),)


def _turned(names: list[str], by: int) -> list[str]:
    """Return names from another place on, so that replicas do not all reach for the same one."""
    start = by * len(names) // (by + 1)
    return names[start:] + names[:start]


def _version(leases: Leases, share: str) -> int:
    lease = leases.shares.get(share)
    return 0 if lease is None else lease.version


def share_of(node: str, count: int) -> str:
    """Return the share that a node's switch is in. It is the same in every replica, and in every run."""
    return f"switches-{sum(map(ord, node)) % count}"


def share_names(count: int) -> tuple[str, ...]:
    """Return all shares, of which `count` are of switches."""
    return (DECISIONS, *(f"switches-{number}" for number in range(count)))
