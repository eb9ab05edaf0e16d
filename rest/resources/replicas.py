"""Replicas of the controller: who answers for what, and what each of them waits for on behalf of another."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from rest.asked import Wait
from rest.control import Published, Replica
from rest.routing import Access, Answer, Answerer, Call, Empty, Route
from rest.shapes import Late, ReplicasView, ReplicaView, ShareView
from store.base import Mark
from store.fields import END

_MARK: Final = "[a-z]+/[-a-z0-9.]+@[0-9]{1,18}"
_NODE: Final = "[-a-z0-9.]+"


class Marks(Wait, frozen=True):
    """What another replica has written (PLURAL/NAME@VERSION), and the nodes that it asks about (else all of this one).

    Several with commas between.
    """

    marks: Annotated[str, Meta(pattern=f"^({_MARK}(,{_MARK})*)?{END}", max_length=100_000)] = ""
    nodes: Annotated[str, Meta(pattern=f"^({_NODE}(,{_NODE})*)?{END}", max_length=100_000)] | UnsetType = UNSET


def index(call: Call[Empty, Empty]) -> Answer:
    """All living replicas."""
    published = call.control.published
    return Answer(200, ReplicasView(replicas=tuple(_view(published, one) for one in published.replicas.living)))


def in_force(call: Call[Marks, Empty]) -> Answer:
    """Wait until what was written is in force on the switches of this replica; say where it is not."""
    marks = tuple(_mark(text) for text in call.query.marks.split(",") if text)
    named = call.query.nodes
    nodes = None if named is UNSET else frozenset(node for node in named.split(",") if node)
    return Answer(200, Late(late=call.control.in_force(marks, call.query.wait, nodes)))


def _view(published: Published, replica: Replica) -> ReplicaView:
    replicas = published.replicas
    nodes = tuple(sorted(node for node, master in replicas.masters.items() if master == replica.name))
    return ReplicaView(
        name=replica.name,
        api=replica.api,
        openflow=replica.openflow,
        since=replica.since or None,
        me=replica.name == replicas.me,
        decides=replica.name == replicas.decides,
        shares=tuple(
            ShareView(name=held.share, since=held.since or None)
            for held in replicas.held
            if held.replica == replica.name
        ),
        nodes=nodes,
    )


def _mark(text: str) -> Mark:
    plural, _, rest = text.partition("/")
    name, _, version = rest.rpartition("@")
    return Mark(plural, name, int(version))


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/v1/replicas", "List the controller's replicas", index, Access.ADMINISTRATION, {200: ReplicasView}),
    Route(
        "GET",
        "/v1/in-force",
        "Whether what another replica has written is in force on the switches of this one",
        in_force,
        Access.ADMINISTRATION,
        answers={200: Late},
        by=Answerer.ANY,
    ),
)
