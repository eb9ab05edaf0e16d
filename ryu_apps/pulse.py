"""Which nodes give no sign of life, told by their switches. Bookkeeping only: no clock, no queue.

Counted in beats: at each, every switch is asked for an echo, and has said something since the last one or has not. A
beat that comes late, for this process was busy, is one beat: nobody is lost because we were slow. A node is lost after
LOST_BEATS without a word, and found once its switch has had its flows for FOUND_BEATS: a restart of Open vSwitch
moves nothing, and a node that comes and goes moves what it held only once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

BEAT_SECONDS: Final = 0.5
LOST_BEATS: Final = 6  # 3 s; Open vSwitch is back 1.3 s after a restart began
FOUND_BEATS: Final = 20
FIRST_BEATS: Final = 30  # after the start, until each switch had the time to connect


class Verdict(NamedTuple):
    """What a beat has shown: nodes that are lost, and those that may be found, each time anew while it is so."""

    lost: tuple[str, ...] = ()
    found: tuple[str, ...] = ()


class Pulse:
    """Counts the beats of all nodes."""

    def __init__(self) -> None:
        self._beats = 0
        self._silent: dict[str, int] = {}
        self._sound: dict[str, int] = {}

    def beat(self, nodes: Collection[str], heard: Iterable[str], sound: Iterable[str]) -> Verdict:
        """Take in which nodes' switches have said something since the last beat, and which have their flows.

        When nobody has said anything it is this controller that is cut off, and nobody is lost for that.
        """
        heard, sound = frozenset(heard), frozenset(sound)
        self._beats += 1
        if heard:
            self._silent = {node: 0 if node in heard else self._silent.get(node, 0) + 1 for node in nodes}
        self._sound = {node: self._sound.get(node, 0) + 1 for node in nodes if node in heard and node in sound}
        if self._beats <= FIRST_BEATS:
            return Verdict()
        return Verdict(
            tuple(node for node, beats in self._silent.items() if beats >= LOST_BEATS),
            tuple(node for node, beats in self._sound.items() if beats >= FOUND_BEATS),
        )
