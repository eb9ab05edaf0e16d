"""What a switch must be told of meters: from the meters of one set of flows to those of another.

Meters belong to flows (`Flow.meters`) as groups do, but cannot ride in a bundle: what is new or other is told before
it, what is gone only when the switch has committed it. A switch refuses to make a meter that it has, and to change one
that it has not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from topology.flow import Entry, Meter


class MeterChanges(NamedTuple):
    """`made` are new, `changed` have another rate than they had, `gone` (ids) are used no more."""

    made: tuple[Meter, ...] = ()
    changed: tuple[Meter, ...] = ()
    gone: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.made or self.changed or self.gone)


NO_METERS: Final = MeterChanges()


def by_id(entries: Iterable[Entry]) -> dict[int, Meter]:
    """Return the meters of flows by id."""
    return {meter.meter_id: meter for entry in entries for meter in entry.flow.meters}


def changes(old: Mapping[int, Meter], new: Mapping[int, Meter]) -> MeterChanges:
    """Return what turns `old` into `new`, on a switch that has exactly `old`."""
    if not (old or new):
        return NO_METERS
    made = tuple(meter for number, meter in new.items() if number not in old)
    changed = tuple(meter for number, meter in new.items() if old.get(number, meter) != meter)
    return MeterChanges(made, changed, tuple(number for number in old if number not in new))
