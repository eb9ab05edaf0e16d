"""What becomes of addresses, read off the changes of a snapshot: the entries of the ledger's history. Pure; no clock.

An address is allotted to a port, in quarantine once the port is gone, and free again when no switch names it.
Whether it is *bound*, its flows acknowledged by the switch, is a matter of the present and no entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from topology.model import Address, Port, Quarantine
from topology.snapshot import Change, places


class State(Enum):
    """What an address has become."""

    ALLOTTED = "allotted"
    QUARANTINED = "quarantined"
    FREE = "free"


class Turn(NamedTuple):
    """An address that has become something. `pod` (project/pod) and `attachment` (container/interface): whose it was.

    Both are empty when it becomes free: by then it is nobody's.
    """

    space: int
    address: Address
    state: State
    node: str
    pod: str = ""
    attachment: str = ""


def turns(changes: Iterable[Change]) -> Iterator[Turn]:
    """Yield what became of addresses, in the order of the changes."""
    for before, after in changes:
        if isinstance(before, Port) or isinstance(after, Port):
            yield from _of_port(before, after)
        elif isinstance(before, Quarantine) and after is None:
            yield Turn(before.space, before.address, State.FREE, before.node)


def _of_port(before: object, after: object) -> Iterator[Turn]:
    had, has = (dict.fromkeys(places(side)) if isinstance(side, Port) else {} for side in (before, after))
    for side, own, others, state in ((before, had, has, State.QUARANTINED), (after, has, had, State.ALLOTTED)):
        if isinstance(side, Port):
            whose = (side.node, f"{side.project}/{side.pod}", f"{side.key.container}/{side.key.interface}")
            for space, address in own:
                if (space, address) not in others:
                    yield Turn(space, address, state, *whose)
