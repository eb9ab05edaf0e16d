"""What a claim is: what one stage of the pipeline may hold, and what it must hold. The claims are elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from topology.flow import Actions, Match
from topology.pipeline import Stage
from topology.verification.shape import Facts
from topology.verification.world import View, World


class Kind(Enum):
    """What is wrong."""

    LEAK = "leak"  # a packet gets where nobody allowed it
    SPOOF = "spoof"  # a packet is taken for somebody else's
    LOOP = "loop"  # a packet may come back to where it was
    BLACK_HOLE = "black hole"  # what is allowed gets nowhere
    UNEXPLAINED = "unexplained"  # a flow, or a sum, that nothing in the model asks for


Holds: TypeAlias = Callable[[View, Match, Actions], bool]
# On which nodes a flow holds: on each but the one of this name (EVERYWHERE: on each), or (None) nowhere; UNSAID, where
# it has to be asked on each.
Spread: TypeAlias = Callable[[World, Match, Actions], str | None]
EVERYWHERE: Final = ""
UNSAID: Final = "?"  # no node is called so
Owed: TypeAlias = Callable[[View], Iterable[Match]]


class About(Enum):
    """By what in a focus a stage's flows are owed."""

    NODE = "the node and the cluster's settings"
    PEERS = "nodes"
    PORTS = "ports"
    NETWORKS = "networks"
    REACHED = "networks, by whom they reach"
    CONNECTIONS = "connections"
    BLOCKS = "blocks"
    SERVICES = "services"
    EGRESSES = "egresses"
    MIRRORS = "mirrors"
    GROUPS = "groups, by the networks that send to them"


class Claim(NamedTuple):
    """About one stage: `holds` tells whether a flow there is true of the network, `owed` which matches must be there.

    Both say the same set: a flow holds if and only if its match is owed by the whole node and its actions are right.
    What `holds` is given as actions are a flow's own, and behind them the groups and meters that belong to it: a stage
    whose flows have none needs to say nothing of them. It may raise IndexError, KeyError, TypeError or ValueError for a
    flow that is not of the stage's form at all.
    `kind` is what a flow that does not hold does at worst. With `spread`, what holds and, for a focus of one node, what
    is owed are the same on all other nodes, so that it can be asked once for all of them.
    """

    stage: Stage
    kind: Kind
    about: About
    holds: Holds
    owed: Owed
    many: Callable[[View], int] | None = None  # a shorter way to count what is owed, where there is one
    spread: Spread | None = None

    def count(self, view: View) -> int:
        """Return how many matches are owed."""
        return sum(1 for _ in self.owed(view)) if self.many is None else self.many(view)


def of_cluster(stage: Stage, kind: Kind, make: Callable[[World], Facts]) -> Claim:
    """Return the claim of a stage whose flows are the same on every node."""

    def holds(view: View, match: Match, actions: Actions) -> bool:
        return view.world.facts(make).get(match) == actions

    def owed(view: View) -> Iterable[Match]:
        return view.world.facts(make) if view.focus.whole else ()

    def spread(world: World, match: Match, actions: Actions) -> str | None:
        return EVERYWHERE if world.facts(make).get(match) == actions else None

    return Claim(stage, kind, About.NODE, holds, owed, spread=spread)


def of_peers(stage: Stage, kind: Kind, spread: Spread, owed: Owed, many: Callable[[View], int]) -> Claim:
    """Return the claim of a stage whose flows follow from what other nodes there are."""

    def holds(view: View, match: Match, actions: Actions) -> bool:
        besides = spread(view.world, match, actions)
        return besides is not None and besides != view.node

    return Claim(stage, kind, About.PEERS, holds, owed, many, spread)


def of_node(stage: Stage, kind: Kind, make: Callable[[View], Facts]) -> Claim:
    """Return the claim of a stage whose flows follow from the node's own addresses and the cluster's settings."""

    def holds(view: View, match: Match, actions: Actions) -> bool:
        return view.facts(make).get(match) == actions

    def owed(view: View) -> Iterable[Match]:
        return view.facts(make) if view.focus.whole else ()

    return Claim(stage, kind, About.NODE, holds, owed)


def always(stage: Stage, kind: Kind, actions: Actions, match: Match = ()) -> Claim:
    """Return the claim of a stage that has one flow, the same everywhere."""
    facts: Facts = {match: actions}
    return of_cluster(stage, kind, lambda world: facts)
