"""Mirrors: whose packets are copied, and to which pod."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from topology.model.tenancy import PodKey

MOST_MIRRORS: Final = 64
LAST_MIRROR: Final = (1 << 24) - 1  # its number is carried in 24 bits of a MAC


@dataclass(frozen=True, slots=True)
class Mirror:
    """That what pods send (`sent`) and get (`received`) is copied to `target`: all pods of `network`, or `pod`.

    What it names need not be there: then nothing is copied. The target's own packets are not copied to it. By `number`
    a copy is told on the target's node.
    """

    name: str
    number: int
    target: PodKey
    network: str | None = None
    pod: PodKey | None = None
    sent: bool = True
    received: bool = True
