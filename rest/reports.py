"""What nodes say of themselves, besides their pods: the MTU of these, and what may go wrong. Kept in memory.

It is for people, and nothing is decided by it. A node says it to every replica, and again to one that is new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

_MOST_NAMED: Final = 3


class Report(NamedTuple):
    """A node's last one. `mtu`: bytes that a pod's packet may have there."""

    mtu: int
    warnings: tuple[str, ...]


class Reports(Mapping[str, Report]):
    """The last report of each node, by its name."""

    def __init__(self) -> None:
        self._of: dict[str, Report] = {}

    def __getitem__(self, node: str) -> Report:
        return self._of[node]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._of))

    def __len__(self) -> int:
        return len(self._of)

    def take(self, node: str, report: Report, nodes: Mapping[str, object]) -> None:
        """Keep a node's report in place of its last; forget those of nodes that are not among `nodes` any more."""
        self._of[node] = report
        for name in self._of.keys() - nodes.keys():
            del self._of[name]


def usual_mtu(reports: Mapping[str, Report]) -> int | None:
    """Return the MTU that most nodes' pods have, the larger one of two; None when nobody has reported."""
    counted = Counter(report.mtu for report in reports.values())
    return max(counted, key=lambda mtu: (counted[mtu], mtu), default=None)


def warnings(node: str, reports: Mapping[str, Report], usual: int | None) -> tuple[str, ...]:
    """Return what a node warns of, and whether its MTU is another than the `usual` one."""
    report = reports.get(node)
    if report is None:
        return ()
    if usual is None or report.mtu == usual:
        return report.warnings
    others = sorted(name for name, other in reports.items() if other.mtu == usual)
    named = ", ".join(others[:_MOST_NAMED]) + (f" and {len(others) - _MOST_NAMED} more" if others[_MOST_NAMED:] else "")
    odd = (
        f"pods on {node} have an MTU of {report.mtu} bytes, those on {named} of {usual}:"
        " give the underlay interfaces of all nodes the same MTU"
    )
    return (*report.warnings, odd)
