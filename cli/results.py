"""How a change ends: what was done in one sentence or as the API's object, or which switches are late."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cli.client import Changed
from cli.failures import Late, one_line
from cli.options import Session
from cli.render import Item, cell, show


def done(session: Session, changed: Changed, sentence: Callable[[Item], str]) -> None:
    """Print the outcome of a change (a sentence, or several lines). Raises Late when switches do not have it yet."""
    body = changed.body if isinstance(changed.body, Mapping) else {}
    show(session.output, changed.body, lambda _: "\n".join(map(one_line, sentence(body).splitlines())))
    if not changed.in_force and body.get("moving") and not body.get("late"):
        raise Late("stored, but not done yet; it goes on, see heddle projects (--timeout waits longer)")
    if not changed.in_force:
        late = cell(body.get("late"))
        raise Late(
            f"stored, but not yet in force on {late}; it will be once they are in sync, see heddle switches "
            "(--timeout waits longer)"
        )


def created(changed: Changed, otherwise: str = "is there already") -> str:
    """Return the verb for a POST: an object that is there already, as asked for, is no error."""
    return otherwise if changed.status == 200 else "created"
