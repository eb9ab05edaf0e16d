"""What a switch answers when it is read: its flows, request by request, and beside them numbers, groups and meters.

It gathers; what follows from it is the session's business. A value for one reading: the next one begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ryu_apps.openflow.decode import FlowStats
from topology.flow import Group, Meter
from topology.pipeline import APART


@dataclass(slots=True)
class Readback:
    """One reading of a switch.

    `scope` are the owner classes whose flows are read, None all of them, and empty the sentinels alone; `counts` the
    numbers of flows by table; `groups` by id, None where they were not asked for; `meters` by id.
    """

    scope: frozenset[int] | None = frozenset()
    flows: list[FlowStats] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    groups: dict[int, Group] | None = None
    meters: dict[int, Meter] = field(default_factory=dict)
    _expected: set[int] = field(default_factory=set)

    @property
    def is_of_sentinels(self) -> bool:
        """Whether the sentinels alone are read."""
        return self.scope is not None and not self.scope

    def expect(self, xid: int) -> None:
        """Flows will come in answer to this request too."""
        self._expected.add(xid)

    def take(self, xid: int, flows: Iterable[FlowStats], *, more: bool) -> bool:
        """Take in a part of an answer, of which `more` is to come or not; return whether that was the last of all."""
        if xid not in self._expected:
            return False
        self.flows.extend(flows)
        if not more:
            self._expected.remove(xid)
        return not self._expected

    def count(self, counts: Mapping[int, int]) -> None:
        """Take in numbers of flows by table; tables that are not the controller's do not count."""
        self.counts.update({table: count for table, count in counts.items() if count and table not in APART})

    def forget(self) -> None:
        """Expect nothing any more: answers that are under way are somebody else's."""
        self._expected.clear()
