"""The shape of a move outside the program; `store.objects` lists it among the others. Nothing else is here."""

from __future__ import annotations

from typing import Literal

from store.fields import Label, Object
from topology import model


class Move(Object, frozen=True):
    """A project's pods on their way from one network to another, by a transit network."""

    project: Label
    source: Label
    target: Label
    transit: Label
    stage: Literal["preparing", "crossing", "serving", "arriving"]

    @classmethod
    def of(cls, value: model.Move) -> Move:
        """Return the shape of a value."""
        return cls(
            project=value.project,
            source=value.source,
            target=value.target,
            transit=value.transit,
            stage=value.stage.value,
        )

    def value(self) -> model.Move:
        """Return the value of this shape."""
        return model.Move(self.project, self.source, self.target, self.transit, model.Stage(self.stage))
