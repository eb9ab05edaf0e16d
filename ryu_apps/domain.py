"""What this replica may decide: everything when it is alone, else its share. No decision is taken here.

Safety does not rest on it: objects are written on condition that they are as they were seen, and switches refuse all
masters but the newest. It saves replicas from deciding on the same things again and again.
"""

from __future__ import annotations

from typing import Final, Protocol

from topology.requests import Request


class Domain(Protocol):
    """What a replica answers for."""

    def check(self, request: Request) -> None:
        """Raise StoreError when another replica decides on a request, or nobody can now."""
        ...

    def answers_for(self, node: str) -> bool:
        """Whether this replica answers for a node's ports and addresses."""
        ...


class _Alone:
    """The domain of a controller without others."""

    def check(self, request: Request) -> None:
        """Let everything be decided."""

    def answers_for(self, node: str) -> bool:
        """Answer for every node."""
        return True


ALONE: Final[Domain] = _Alone()
