"""What goes wrong with the double on request: POST /_faults with any of

{"drop_watches": true}   all watches break off now
{"compact": true}        the history is forgotten: old watches are answered by 410
{"refuse": {"verb": "list", "plural": "pods", "status": 403, "reason": "Forbidden", "times": 2}}
{"away": 3.5}            for so many seconds, connections are closed without an answer
{"deny": ["user", "verb", "resource"]}   SubjectAccessReview says no
{"clear": true}          nothing goes wrong any more
"""

from __future__ import annotations

import time
from typing import Any

from lab.apiserver.kinds import Kind
from lab.apiserver.objects import Objects, Refusal


class Faults:
    """The faults that are set."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._refusals: list[dict[str, Any]] = []
        self._away_until = 0.0
        self.watches = 0  # counts how often watches were broken off
        self.denied: set[tuple[str, str, str]] = set()

    def set(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Set faults; return what is set."""
        if wanted.get("clear"):
            self._refusals.clear()
            self.denied.clear()
            self._away_until = 0.0
        if "refuse" in wanted:
            self._refusals.append(dict(wanted["refuse"]))
        if "deny" in wanted:
            user, verb, resource = wanted["deny"]
            self.denied.add((user, verb, resource))
        if wanted.get("compact"):
            self._objects.compact()
        if "away" in wanted:
            self._away_until = time.monotonic() + float(wanted["away"])
        if wanted.get("drop_watches") or "away" in wanted:
            with self._objects.changed:
                self.watches += 1
                self._objects.changed.notify_all()
        return {"refusals": self._refusals, "away": max(0.0, self._away_until - time.monotonic())}

    def check_away(self) -> None:
        """Raise when no connection is to be answered."""
        if time.monotonic() < self._away_until:
            raise ConnectionAbortedError

    def check(self, verb: str, kind: Kind) -> None:
        """Raise what is set for a call."""
        for refusal in self._refusals:
            if refusal.get("verb", verb) == verb and refusal.get("plural", kind.plural) == kind.plural:
                refusal["times"] = refusal.get("times", 1 << 30) - 1
                if refusal["times"] <= 0:
                    self._refusals.remove(refusal)
                reason = refusal.get("reason", "InternalError")
                raise Refusal(int(refusal["status"]), reason, refusal.get("message", reason))
