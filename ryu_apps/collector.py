"""Python's cycle collector, kept away from the network's values."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Young cycles (exceptions, closed connections) are found as ever; all objects are looked through almost never: they are
# the network's, and of what comes after the freeze a fourth would be enough for Python to look through all of it again.
_THRESHOLDS: Final = (20_000, 50, 1_000)


@contextmanager
def resting_collector() -> Iterator[None]:
    """Keep Python's cycle collector away from what is made here, now and later.

    The network is made of values, which refer to each other in one direction: counting references frees them. To look
    through them for cycles again and again while they are made takes longer than making them, and later the whole
    controller would stand still for it: a second, with 200 nodes.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        gc.enable()
