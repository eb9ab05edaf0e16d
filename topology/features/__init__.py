"""The features: each is one file of pure functions that say which flows a subject has now. None imports another.

`flows(node, subject, snapshot)` yields what one subject (a port, a peer node, a network, a connection, a service) puts
on one node, and nothing when the subject does not exist or does not concern the node.
`subjects(node, snapshot)` lists the subjects that may have flows on a node: the full compile walks it.
`touched(change, snapshot)` names the (node, subject) sections a change can alter. The compiler asks it with the
snapshot before and the one after, so it only has to know one world at a time.
There is no function that adds or deletes: the diff does both.

What some subjects put on a node is the same on all nodes. These are no node's `subjects`, and `touched` names no node
for them: `common_subjects`, `common_flows` and `common_touched` are the same for all at once, and `absent` says which
of them a node is without. The compiler makes and holds them once: with n nodes, each a peer to all, they would be n².
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from topology.features import (
    arp,
    base,
    blocks,
    connections,
    egress,
    errors,
    gateways,
    guard,
    limits,
    mirrors,
    neighbours,
    networks,
    node,
    outside,
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


class CommonFeature(Protocol):
    """What a module offers besides if some of its subjects put the same on all nodes."""

    ID: FeatureId

    def common_subjects(self, snapshot: Snapshot) -> Iterable[SubjectKey]:
        """Return the subjects that may have the same flows on all nodes."""
        ...

    def common_flows(self, subject: SubjectKey, snapshot: Snapshot) -> Iterable[Flow]:
        """Return what such a subject puts on each node now."""
        ...

    def common_touched(self, change: Change, snapshot: Snapshot) -> Iterable[SubjectKey]:
        """Return such subjects that `change` can alter, seen from `snapshot`."""
        ...

    def absent(self, node: str) -> Iterable[SubjectKey]:
        """Return such subjects that put nothing on this one node."""
        ...


FEATURES: Final[tuple[Feature, ...]] = (
    base,
    node,
    guard,
    arp,
    neighbours,
    tunnels,
    ports,
    networks,
    connections,
    services,
    spaces,
    blocks,
    tracking,
    errors,
    outside,
    egress,
    gateways,
    limits,
    mirrors,
)
_COMMON: Final[tuple[CommonFeature, ...]] = (base, guard, arp, neighbours, tunnels, services, errors, outside)
BY_ID: Final[dict[int, Feature]] = {int(feature.ID): feature for feature in FEATURES}
COMMON: Final[dict[int, CommonFeature]] = {int(feature.ID): feature for feature in _COMMON}
