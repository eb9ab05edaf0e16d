"""The features: each is one file of pure functions that say which flows a subject has now. None imports another.

`flows(node, subject, snapshot)` yields what one subject (a port, a peer node, a network, a connection, a service) puts
on one node, and nothing when the subject does not exist or does not concern the node.
`subjects(node, snapshot)` lists the subjects that may have flows on a node: the full compile walks it.
`touched(change, snapshot)` names the (node, subject) sections a change can alter. The compiler asks it with the
snapshot before and the one after, so it only has to know one world at a time.
There is no function that adds or deletes: the diff does both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from topology.features import (
    arp,
    base,
    blocks,
    connections,
    guard,
    networks,
    node,
    ports,
    services,
    spaces,
    tracking,
    tunnels,
)
from topology.features.section import Section, SubjectKey
from topology.flow import Flow
from topology.pipeline import FeatureId
from topology.snapshot import Change, Snapshot


class Feature(Protocol):
    """What each module of this package offers."""

    ID: FeatureId

    def subjects(self, node: str, snapshot: Snapshot) -> Iterable[SubjectKey]:
        """Return the subjects that may have flows on `node`."""
        ...

    def flows(self, node: str, subject: SubjectKey, snapshot: Snapshot) -> Iterable[Flow]:
        """Return what `subject` puts on `node` now."""
        ...

    def touched(self, change: Change, snapshot: Snapshot) -> Iterable[Section]:
        """Return the sections that `change` can alter, seen from `snapshot`."""
        ...


FEATURES: Final[tuple[Feature, ...]] = (
    base,
    node,
    guard,
    arp,
    tunnels,
    ports,
    networks,
    connections,
    services,
    spaces,
    blocks,
    tracking,
)
# Of features whose subjects stand on all nodes: the flows that a subject puts on each node for which `subjects` or
# `touched` name it, or None where these differ by node. With n nodes such sections are n², and worth making once.
COMMON: Final[dict[int, Callable[[SubjectKey, Snapshot], Iterable[Flow] | None]]] = {
    int(guard.ID): guard.common,
    int(tunnels.ID): tunnels.common,
}
BY_ID: Final[dict[int, Feature]] = {int(feature.ID): feature for feature in FEATURES}
