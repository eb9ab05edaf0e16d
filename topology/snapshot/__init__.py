"""The whole network at one moment: an immutable value with the indexes that make a change cost what it changes.

`apply` is the only way from one snapshot to the next. It checks nothing (see `admission`) and decides nothing
(see `features`); it keeps the indexes, and tells what changed, derived facts (`Hosting`) included. A new kind of object
needs an entry in `value.Snapshot`, a keeper in `objects`, and a line in `changing`.
"""

from topology.snapshot.bindings import projects_selected
from topology.snapshot.changing import apply, apply_all
from topology.snapshot.events import Change, Event, Put, Remove
from topology.snapshot.holding import held_by
from topology.snapshot.value import BLOCK_BITS, BLOCK_SIZE, BUILT_IN, Block, Claim, Snapshot, empty, places

__all__ = [
    "BLOCK_BITS",
    "BLOCK_SIZE",
    "BUILT_IN",
    "Block",
    "Change",
    "Claim",
    "Event",
    "Put",
    "Remove",
    "Snapshot",
    "apply",
    "apply_all",
    "empty",
    "held_by",
    "places",
    "projects_selected",
]
