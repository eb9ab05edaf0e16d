"""What a controller consists of once it is put together, alone or as one of several. A value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rest.control import Control
from rest.options import Reviewer
from ryu_apps.owner import Owner


@dataclass(frozen=True, slots=True)
class Started:
    """The owner, the control for REST, the green threads to be spawned, and what is done when the process ends.

    `reviewer` knows tokens that are not the API's own.
    """

    owner: Owner
    control: Control
    threads: tuple[Callable[[], None], ...]
    leave: Callable[[], object]
    reviewer: Reviewer | None = None
