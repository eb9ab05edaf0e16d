"""Whether a change is in force on all switches, whichever replica programs them: each replica is asked about its own.

Who dies while it is asked is not waited for: who takes over its switches is asked about them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from eventlet import GreenPool

from rest.control import Published, Replica, Submitted
from ryu_apps.cluster.living import NODES, while_living
from ryu_apps.publication import Publication
from store.base import Mark

# The nodes of a replica (of those given) on which marks are not in force after a time; None when it does not answer.
Ask = Callable[[Replica, tuple[Mark, ...], frozenset[str], float], tuple[str, ...] | None]
Behind = Callable[[Submitted, float], tuple[str, ...]]


class Acknowledging:
    """Asks this replica (`behind`) and the others (`ask`)."""

    def __init__(self, publication: Publication, behind: Behind, ask: Ask) -> None:
        self._publication = publication
        self._behind = behind
        self._ask = ask

    def late(self, submitted: Submitted, timeout: float) -> tuple[str, ...]:
        """Wait until a request is in force on all switches; return the nodes on which it is not."""
        deadline = time.monotonic() + timeout
        late = set(submitted.nodes)
        again = submitted.nodes
        while True:
            masters = self._publication.current.replicas.masters
            late = (late - again) | self._round(submitted._replace(nodes=again), masters, _left(deadline))
            again = self._changed_hands(frozenset(late), masters, _left(deadline))
            if not again or _left(deadline) <= 0:
                return tuple(sorted(late))

    def _round(self, submitted: Submitted, masters: Mapping[str, str], timeout: float) -> set[str]:
        """Ask everybody once, all at the same time."""
        published = self._publication.current
        me, living = published.replicas.me, published.replicas.living
        late: set[str] = set()
        nodes_of: dict[str, set[str]] = {name: set() for name in (me, *(replica.name for replica in living))}
        for node in submitted.nodes & set(published.snapshot.nodes):
            nodes_of.get(masters.get(node, ""), late).add(node)
        pool = GreenPool()
        asked = {
            other.name: pool.spawn(self._asked, other, submitted, frozenset(nodes_of[other.name]), timeout)
            for other in living
            if other.name != me
        }
        late.update(self._behind(submitted._replace(nodes=frozenset(nodes_of[me])), timeout))
        for name, answer in asked.items():
            found = answer.wait()
            late |= nodes_of[name] if found is None else nodes_of[name] & set(found)
        return late

    def _asked(
        self, other: Replica, submitted: Submitted, nodes: frozenset[str], timeout: float
    ) -> tuple[str, ...] | None:
        """Return a replica's answer; None when it gives none, at once when it is known to be dead."""
        ask = partial(self._ask, other, submitted.marks, nodes, timeout)
        try:
            return while_living(self._publication, other.name, ask)
        except ConnectionError:
            return None

    def _changed_hands(self, late: frozenset[str], masters: Mapping[str, str], timeout: float) -> frozenset[str]:
        """Return the nodes that others answer for by now; where nobody lives who does, wait for somebody."""
        orphans = [node for node in late if not _has_living(self._publication.current, node)]
        if orphans:
            self._publication.wait(NODES, partial(_all_have_living, nodes=orphans), timeout)
        now = self._publication.current.replicas.masters
        return frozenset(node for node in late if now.get(node) not in (None, masters.get(node)))


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _has_living(published: Published, node: str) -> bool:
    # A node that was deleted meanwhile is nobody's, and nothing is waited for there.
    master = published.replicas.masters.get(node)
    return node not in published.snapshot.nodes or published.replicas.find(master) is not None


def _all_have_living(published: Published, nodes: list[str]) -> bool | None:
    return True if all(_has_living(published, node) for node in nodes) else None
