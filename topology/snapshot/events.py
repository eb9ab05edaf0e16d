"""What can happen to an object, and what an event altered. Values only."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from topology.model import PodKey, Port, Subject


class Put(NamedTuple):
    """The event that an object exists now, as given; it replaces the one with its key."""

    value: Subject


class Remove(NamedTuple):
    """The event that an object, given as it was last known, exists no more."""

    value: Subject


Event: TypeAlias = Put | Remove


class Change(NamedTuple):
    """What an event altered: the object before and after; None where it did not or does not exist."""

    before: Subject | None
    after: Subject | None

    @property
    def subject(self) -> Subject:
        """The object, as it is now or else as it was."""
        subject = self.after if self.after is not None else self.before
        assert subject is not None
        return subject

    @property
    def pods(self) -> set[PodKey]:
        """The pods whose port it was before, and is after; empty if it is no port that changes."""
        sides = (side for side in (self.before, self.after) if isinstance(side, Port))
        return {PodKey(port.project, port.pod) for port in sides}
