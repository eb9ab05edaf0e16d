"""The shapes of mirrors. As `store.objects`, which names them among the kinds of objects."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from store.fields import Label, Malformed, Object, Subdomain
from topology import model
from topology.model import LAST_MIRROR

Direction: TypeAlias = Literal["in", "out", "both"]
_DIRECTIONS: Final[dict[tuple[bool, bool], Direction]] = {  # by whether what is sent, and what is received, is copied
    (True, True): "both",
    (True, False): "out",
    (False, True): "in",
}
_FLAGS: Final = {direction: flags for flags, direction in _DIRECTIONS.items()}


class PodName(Object, frozen=True):
    """A pod, which need not be there."""

    project: Label
    pod: Subdomain

    def value(self) -> model.PodKey:
        """Return the value of this shape."""
        return model.PodKey(self.project, self.pod)


class MirrorCreation(Object, frozen=True):
    """Copy what the pods of a network, or one pod, send (`out`), get (`in`) or both to another pod."""

    name: Label
    target: PodName
    network: Label | None = None
    pod: PodName | None = None
    direction: Direction = "both"

    def asked(self) -> model.Mirror:
        """Return the mirror that is asked for: without a number. Raises Malformed."""
        if (self.network is None) == (self.pod is None):
            raise Malformed("$", "it is to copy not a network's or a pod's packets alone", "give network, or pod")
        sent, received = _FLAGS[self.direction]
        pod = None if self.pod is None else self.pod.value()
        return model.Mirror(self.name, 0, self.target.value(), self.network, pod, sent, received)


class Mirror(MirrorCreation, frozen=True, kw_only=True):
    """A mirror, and the number by which its copies are told on the target's node."""

    number: Annotated[int, Meta(ge=1, le=LAST_MIRROR)]

    @classmethod
    def of(cls, value: model.Mirror) -> Mirror:
        """Return the shape of a value."""
        return cls(
            name=value.name,
            number=value.number,
            target=PodName(project=value.target.project, pod=value.target.name),
            network=value.network,
            pod=None if value.pod is None else PodName(project=value.pod.project, pod=value.pod.name),
            direction=_DIRECTIONS[value.sent, value.received],
        )

    def value(self) -> model.Mirror:
        """Return the value of this shape. Raises Malformed."""
        asked = self.asked()
        return model.Mirror(self.name, self.number, asked.target, asked.network, asked.pod, asked.sent, asked.received)
